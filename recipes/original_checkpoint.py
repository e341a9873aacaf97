"""Read a checkpoint file of the public research code into tensors, each under one name and in fp32."""

import pickle
from collections.abc import Mapping
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


def read_original_checkpoint(path: str | Path, trust: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors of a training checkpoint or of a bare state dict, and what else the file holds, by name and type.

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
    others = {str(name): _type_name(value) for name, value in content.items() if value is not state}
    return _merge_names(state), {} if state is content else others


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
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"cannot be read as a checkpoint of tensors: {reason}") from error


def _type_name(value) -> str:
    return "object that was not read" if isinstance(value, _StandIn) else type(value).__name__


def _merge_names(state: Mapping) -> dict[str, torch.Tensor]:
    """One fp32 tensor for each tensor of the model, which may stand under two names and behind `module.`."""
    merged, first_names = {}, {}
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            found = tensor.dtype if isinstance(tensor, torch.Tensor) else _type_name(tensor)
            raise InputError(f"`{name}`: expected a floating-point tensor, found {found}")
        canonical, tensor = canonical_name(str(name).removeprefix("module.")), tensor.float()
        if canonical not in merged:
            if not tensor.isfinite().all():
                raise InputError(f"`{name}`: holds NaN or infinite numbers")
            merged[canonical], first_names[canonical] = tensor, name
        elif not torch.equal(merged[canonical], tensor):
            first = first_names[canonical]
            raise InputError(f"`{first}` and `{name}` are one tensor in the research code, but differ")
    return merged
