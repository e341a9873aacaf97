"""Other forms of YuNet's real file, and what ONNX Runtime finds with it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.places import YUNET


onnx = pytest.importorskip("onnx", reason="onnx is in the extras `export` and `test`")
STRIDES = (8, 16, 32)


def save_form(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """The real network, changed and without the shapes that were inferred for its inner tensors."""
    model = onnx.load(YUNET)
    del model.graph.value_info[:]
    change(model)
    onnx.save(model, path)
    return path


def give_input_size(model: onnx.ModelProto, height: int | str, width: int | str) -> None:
    """State the picture's sides: numbers, or names of sides that are open, as OpenCV's file of May 2026 has them."""
    for place, side in ((2, height), (3, width)):
        _set_dim(model.graph.input[0], place, side)
    for output in model.graph.output:
        stride = int(output.name.split("_")[1])
        cells = height // stride * (width // stride) if isinstance(height, int) else f"cells_{stride}"
        _set_dim(output, 1, cells)


def compute_sizes_within(model: onnx.ModelProto) -> None:
    """Open sides, and the network reads the size of its own tensors, as exporters of dynamic networks write it."""
    give_input_size(model, "height", "width")
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Reshape":
            size = f"{node.output[0]}_size"
            nodes.append(onnx.helper.make_node("Shape", [node.input[0]], [size]))
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def change_weights(model: onnx.ModelProto, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Other kernels in the same network."""
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.ndim == 4:
            weight.CopyFrom(onnx.numpy_helper.from_array(change(values).astype(np.float32), weight.name))


def find_with_onnxruntime(path: Path, picture: np.ndarray, min_score: float) -> np.ndarray:
    """What the file at `path`, of open sides, says of a picture (height, width, 3), RGB, without OpenCV.

    Returns:
        Candidates (n, 5) of at least `min_score`: left, top, right, bottom, score; many of one face.
    """
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    height, width = picture.shape[:2]
    padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.float32)
    padded[:height, :width] = picture[..., ::-1]
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, {"input": padded.transpose(2, 0, 1)[None]}), strict=True))
    found = []
    for stride in STRIDES:
        cls, obj, box = (outputs[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox"))
        row, column = np.divmod(np.arange(len(cls)), padded.shape[1] // stride)
        centre = (np.stack([column, row], 1) + box[:, :2]) * stride
        half = np.exp(box[:, 2:]) * stride / 2
        score = np.sqrt(cls.clip(0, 1) * obj.clip(0, 1))
        found.append(np.hstack([centre - half, centre + half, score]))
    candidates = np.concatenate(found)
    return candidates[candidates[:, 4] >= min_score]


def _set_dim(value: onnx.ValueInfoProto, place: int, size: int | str) -> None:
    dim = value.type.tensor_type.shape.dim[place]
    dim.Clear()
    if isinstance(size, int):
        dim.dim_value = size
    else:
        dim.dim_param = size
