"""Read a checkpoint file of the public research code into tensors, each under one name and in fp32."""

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.research_code.keys import canonical_name


# How a file of torch.save begins: a zip archive, or what PyTorch wrote before 1.6.
ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
SAVE_TENSORS = (
    "load it where you trust it, with the code that it needs, and save its tensors alone: "
    'torch.save({"state_dict": checkpoint["state_dict"]}, ...)'
)


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
        raise InputError(f"expected a checkpoint or a state dict, found: {_type_name(content)}")
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping) or not state:
        raise InputError("expected a state dict with tensors, found none")
    checkpoint = _merge_names(state)
    if state is not content:
        checkpoint.others = {name: _type_name(value) for name, value in content.items() if value is not state}
    return checkpoint


def _load(path: str | Path, trust: bool):
    try:
        foreign = _find_foreign(path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    if foreign and not trust:
        raise InputError(
            f"holds objects beside tensors ({_name_some(foreign)}), whose code loading could run, and is refused; "
            "--trust-checkpoint reads such a file without them"
        )
    try:
        with torch.serialization.safe_globals([(_StandIn, name) for name in foreign]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Keep: our own words. torch's are the advice to load the file with code and all.
        if foreign:
            raise InputError(
                f"holds objects that only their own code can fill ({_name_some(foreign)}), and --trust-checkpoint "
                f"runs no code of a file; {SAVE_TENSORS}"
            ) from error
        if "global" in str(error).lower():  # of a legacy file, whose objects cannot be listed beforehand
            raise InputError(
                "holds objects beside tensors in the form that PyTorch wrote before 1.6, of which --trust-checkpoint "
                f"reads none; {SAVE_TENSORS}"
            ) from error
        raise InputError("cannot be read as a checkpoint of tensors: it is damaged, or no state dict") from error


def _find_foreign(path: str | Path) -> list[str]:
    """Classes and functions that a file names beside those of tensors."""
    with open(path, "rb") as file:
        start = file.read(len(LEGACY))
    if start == LEGACY:
        return []
    if not start.startswith(ZIP):
        raise InputError(f"cannot be read as a checkpoint: no file of torch.save begins with {start[:8]!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            # Keep: torch packs nothing, and unpacks whatever it is given into memory.
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            # Keep: torch compares no checksum, and would give the changed number.
            damaged = None if packed else archive.testzip()
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError) as error:
        raise InputError("cannot be read as a checkpoint: the file is torn, its end is missing") from error
    if damaged is not None:
        raise InputError(f"cannot be read as a checkpoint: the file is damaged, in {damaged}")
    if any(Path(entry.filename).name == "constants.pkl" for entry in entries):
        raise InputError("expected a checkpoint of tensors, found a TorchScript program")
    if packed:
        raise InputError("cannot be read as a checkpoint: a packed archive, which torch.save does not write")
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (ValueError, RuntimeError, LookupError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError("cannot be read as a checkpoint of tensors: it is damaged, or of another program") from error


def _name_some(names: list[str]) -> str:
    return f"{', '.join(names[:4])}{', …' if len(names) > 4 else ''}"


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
        if tensor.layout != torch.strided or tensor.is_meta or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise InputError(f"`{name}`: expected all numbers of its shape {tuple(tensor.shape)}, found fewer")
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
