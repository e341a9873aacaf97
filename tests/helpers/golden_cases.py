"""The tiny model of the golden data, as the public research code would save it (see tests/golden)."""

import importlib.util
import json

import numpy as np
import torch

from helpers.places import GOLDEN_DIR
from modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.research_code.keys import canonical_name
from modeling_clipcaer.research_code.model import build_model


GOLDEN = json.loads((GOLDEN_DIR / "golden.json").read_text())
ARRAYS = np.load(GOLDEN_DIR / "golden.npz")
KEYS = json.loads((GOLDEN_DIR / "vitb32_keys.json").read_text())

_module = importlib.util.spec_from_file_location("golden_build", GOLDEN_DIR / "golden_build.py")
golden_build = importlib.util.module_from_spec(_module)
_module.loader.exec_module(golden_build)
SPEC = golden_build.load()


def golden(name: str) -> torch.Tensor:
    """A golden array."""
    return torch.from_numpy(ARRAYS[name])


def case_state(case: str) -> dict[str, torch.Tensor]:
    """The whole state dict of a case, with the second names of tensors."""
    weights = golden_build.case_weights(SPEC, GOLDEN["cases"][case])
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def drop_second_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict with one name for each tensor."""
    return {name: tensor for name, tensor in state.items() if name == canonical_name(name)}


def case_flags(case: str) -> dict:
    """What the tensors of a case do not tell."""
    options = GOLDEN["cases"][case]["options"]
    return {name: options[name] for name in ("class_token_position", "temperature", "slerp_weight") if name in options}


def case_model(case: str, **flags) -> ClipCaerForVideoClassification:
    """The converted model of a case, in evaluation mode; `flags` override the case's."""
    return build_model(drop_second_names(case_state(case)), **{**case_flags(case), **flags})


def golden_pixels() -> dict[str, torch.Tensor]:
    """Both streams of the golden input, under our names."""
    streams = golden_build.clip_inputs(tuple(SPEC["input_shape"]))
    return {
        "pixel_values": torch.from_numpy(streams["image_body"]),
        "face_pixel_values": torch.from_numpy(streams["image_face"]),
    }
