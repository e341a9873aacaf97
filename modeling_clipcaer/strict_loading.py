"""Weights are loaded whole and finite or not at all. transformers logs what does not fit, and goes on without it."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from .errors import InputError, check_readable, first_line
from .names import is_hub_id


class LoadError(InputError, OSError, RuntimeError):
    """Bad input, and what transformers raises where nothing is there (`OSError`) or nothing fits (`RuntimeError`)."""


def load_strictly(load: Callable, place: str | os.PathLike | None, what: str, *args, **kwargs):
    """Call `load`, a `from_pretrained` of transformers, and refuse what it would only have logged.

    Args:
        load: the method.
        place: a folder or an id on the Hub. `None`, where weights are given as `state_dict`, is left to the method.
        what: what is loaded, such as "CLIP checkpoint", for messages.
        args, kwargs: of the method. With `output_loading_info=True` the caller is told what is missing or unexpected
            instead; with `ignore_mismatched_sizes=True` weights may be of another shape, as always in transformers.
            Weights are read from safetensors files alone, unless `use_safetensors` says otherwise.

    Raises:
        InputError: a weight is missing, unexpected, of another shape, not finite or nothing but zeros; or the files
            are torn or not there.
    """
    if place is None:
        return load(place, *args, **kwargs)
    check_found(place)
    with_info = kwargs.pop("output_loading_info", False)
    may_differ = kwargs.pop("ignore_mismatched_sizes", False)
    kwargs = {"use_safetensors": True} | kwargs | {"ignore_mismatched_sizes": True, "output_loading_info": True}
    with tell_loading(place, what):
        model, info = load(place, *args, **kwargs)
        for name, found, expected in () if may_differ else sorted(info["mismatched_keys"]):
            raise InputError(f"weight `{name}` is of shape {tuple(found)}, expected {tuple(expected)}")
        for problem in () if with_info else ("missing", "unexpected"):
            for name in sorted(info[f"{problem}_keys"]):
                raise InputError(f"{problem} weight `{name}`")
        check_weights(model.state_dict())
    return (model, info) if with_info else model


def check_weights(weights: Mapping[str, torch.Tensor]) -> None:
    """Look at every number of `weights`, which takes some tenths of a second a gigabyte.

    Raises:
        InputError: one is NaN or infinite, or a matrix holds nothing but zeros, as after a write that was cut short.
            LoRA's B is zero until its first step.
    """
    for name, weight in weights.items():
        if weight.is_meta or not weight.is_floating_point() or not weight.numel():
            continue
        low, high = (bound.item() for bound in weight.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise InputError(f"weight `{name}` holds NaN or infinite numbers; copy or fetch the file anew")
        is_trained = name.endswith((".weight", ".text_embeds")) and ".lora_B." not in name
        if low == high == 0 and weight.ndim > 1 and is_trained:
            raise InputError(f"weight `{name}` holds nothing but zeros; copy or fetch the file anew")


@contextmanager
def tell_loading(place: str | os.PathLike, what: str) -> Iterator[None]:
    """Tell in one line, behind `place`, what libraries say of a file that they cannot load.

    Args:
        place: the folder, the file or the id on the Hub that is loaded from.
        what: what was expected there, such as "CLIP checkpoint".

    Raises:
        InputError: the block ended in an error. One that does not name `place` yet gets its name.
    """
    try:
        yield
    except InputError as error:
        if str(error).startswith(os.fspath(place)):
            raise
        raise LoadError(f"{place}: {error}") from error
    # Keep: whatever it is. A value of the wrong kind in a JSON file makes the error of the line that uses it; a
    # library that a checkpoint needs is not there; pickle has errors of its own.
    except Exception as error:
        absent, hint = "", ""
        if is_hub_id(os.fspath(place)):
            absent = "there is no such folder, and from the Hub "
            hint = f"; where there is a network, hf download {place} fetches it once"
        raise LoadError(f"{place}: {absent}no {what} could be loaded: {first_line(error)}{hint}") from error


def check_found(place: str | os.PathLike) -> None:
    """Refuse a path with nothing there before the Hub is asked for it; what may be an id on the Hub passes.

    Raises:
        InputError: there is no such folder, it may not be read, or it is no folder.
    """
    if not os.fspath(place):
        raise InputError("expected a folder or an id on the Hub, found an empty name")
    check_readable(place)
    if not Path(place).exists() and not is_hub_id(os.fspath(place)):
        raise LoadError(f"{place}: there is no such folder")
    if Path(place).is_file():
        raise InputError(f"{place}: expected a folder, found a file")
