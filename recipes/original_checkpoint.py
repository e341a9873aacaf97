"""Read a checkpoint file of the public research code into tensors, each under one name and in fp32."""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from modeling_clipcaer.errors import InputError
from recipes.original_keys import canonical_name


class _StandIn:
    """Takes the place of an object that is no tensor. It takes whatever the file says of it and does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


@dataclass
class OriginalCheckpoint:
    """Tensors by their canonical names, the second names that some had, and the type of what was no tensor."""

    state: dict[str, torch.Tensor] = field(default_factory=dict)
    second_names: list[str] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)


def read_original_checkpoint(path: str | Path, trust: bool = False) -> OriginalCheckpoint:
    """Read a training checkpoint or a bare state dict.

    Nothing of the file is ever run: it is read as weights only, and with `trust` objects of other classes, which
    stand in training checkpoints beside the weights, are replaced by empty ones.

    Raises:
        InputError: the file cannot be read so, or is no state dict of finite floating-point tensors.
    """
    content = _load(path, trust)
    if not isinstance(content, Mapping):
        raise InputError(f"expected a checkpoint or a state dict, found a {type(content).__name__}")
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping) or not state:
        raise InputError("expected a state dict with tensors, found none")
    checkpoint = _merge_names(state)
    if state is not content:
        checkpoint.others = {name: _type_name(value) for name, value in content.items() if value is not state}
    return checkpoint


def _load(path: str | Path, trust: bool):
    try:
        foreign = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RuntimeError, pickle.UnpicklingError):
        foreign = []  # No file of today's torch.save; torch.load below has the last word on it.
    if foreign and not trust:
        raise InputError(
            f"holds objects beside tensors ({', '.join(foreign[:4])}{', …' if len(foreign) > 4 else ''}), whose code "
            "loading could run, and is refused; --trust-checkpoint reads such a file without them"
        )
    try:
        with torch.serialization.safe_globals([(_StandIn, name) for name in foreign]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, AttributeError) as error:
        # Keep: torch's message begins with the advice to load the file with code and all.
        told = re.split(r"WeightsUnpickler error:\s*", str(error))[-1].strip() or type(error).__name__
        raise InputError(f"cannot be read as a checkpoint of tensors: {told.splitlines()[0]}") from error


def _type_name(value) -> str:
    return "object that was not read" if isinstance(value, _StandIn) else type(value).__name__


def _merge_names(state: Mapping) -> OriginalCheckpoint:
    """One fp32 tensor for each tensor of the model, which may stand under two names and behind `module.`."""
    checkpoint = OriginalCheckpoint()
    merged = checkpoint.state
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            found = tensor.dtype if isinstance(tensor, torch.Tensor) else _type_name(tensor)
            raise InputError(f"`{name}`: expected a floating-point tensor, found {found}")
        canonical, tensor = canonical_name(str(name).removeprefix("module.")), tensor.float()
        if canonical not in merged:
            if not tensor.isfinite().all():
                raise InputError(f"`{name}`: holds NaN or infinite numbers")
            merged[canonical] = tensor
        elif not torch.equal(merged[canonical], tensor):
            raise InputError(f"two tensors that are one in the research code differ: `{canonical}`, by `{name}`")
        else:
            checkpoint.second_names.append(name)
    return checkpoint
