"""Where things are."""

import os
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
GOLDEN_DIR = ROOT / "tests" / "golden"
TINY_CLIP = ROOT / "tests" / "fixtures" / "tiny_clip"
# YuNet's real file, which is no part of the project: beside the checkout, or where the variable says.
YUNET = Path(os.environ.get("CLIPCAER_YUNET", ROOT.parent / "shared" / "data" / "face_detection_yunet_2023mar.onnx"))
needs_yunet = pytest.mark.skipif(not YUNET.is_file(), reason=f"{YUNET} is not there, nor does CLIPCAER_YUNET name it")
