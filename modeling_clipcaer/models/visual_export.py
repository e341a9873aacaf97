"""The visual path alone, as one file: pixels to logits, the text side folded into constants."""

import copy
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from modeling_clipcaer.model_output import ClipCaerOutput
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.prototypes import instance_logits


# What serves the prompts only.
TEXT_SIDE = ("clip.text_model", "clip.text_projection", "clip.logit_scale", "prompt_learner")


class VisualPath(torch.nn.Module):
    r"""
    A classifier without its text side: the prototypes are a constant, and IEC moves them towards each video as before.

    Args:
        model: the classifier, in evaluation mode; it is copied.
        dtype: in which the towers compute. Pixels and logits are fp32, and so is the classifier.
    """

    prototypes: torch.Tensor

    def __init__(self, model: ClipCaerForVideoClassification, dtype: torch.dtype = torch.float32):
        super().__init__()
        with torch.no_grad():
            soft = model.model.encode_soft_prompts() if model.config.soft_prompts_classify else None
            text = ClipCaerOutput(soft_prompt_embeds=soft, descriptive_text_embeds=model.model.descriptive_text_embeds)
            self.register_buffer("prototypes", model.select_prototypes(text).float().clone())
            weight = model.model.slerp_weight()
            self.slerp_weight = weight.clone() if isinstance(weight, torch.Tensor) else weight
        self.temperature, self.slerp_target = model.config.temperature, model.config.slerp_target
        self.encoder = copy.deepcopy(model.model)
        for name in TEXT_SIDE:
            parent, _, child = name.rpartition(".")
            delattr(self.encoder.get_submodule(parent), child)
        self.encoder.to(dtype)
        self.eval()

    def forward(
        self, pixel_values: torch.Tensor | None = None, face_pixel_values: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Pixels (batch_size, num_frames, 3, height, width) of each stream to logits (batch_size, num_labels)."""
        streams = {"pixel_values": pixel_values, "face_pixel_values": face_pixel_values}
        given = {name: pixels.to(self.encoder.dtype) for name, pixels in streams.items() if pixels is not None}
        video_embeds = self.encoder(**given, use_soft_prompts=False).video_embeds
        return instance_logits(video_embeds, self.prototypes, self.slerp_weight, self.temperature, self.slerp_target)


def dynamic_axes(model: ClipCaerForVideoClassification) -> dict[str, dict[int, str]]:
    """The axes of each input whose size is free: any number of clips, and of frames up to `num_frames`."""
    # Keep: torch.export takes an axis of size 1 for a constant.
    axes = {0: "batch_size"} | ({1: "num_frames"} if model.config.num_frames > 1 else {})
    built = {"pixel_values": model.config.context_stream, "face_pixel_values": model.config.face_stream}
    return {name: axes for name, wanted in built.items() if wanted}


def draw_pixels(model: ClipCaerForVideoClassification, batch_size: int) -> dict[str, torch.Tensor]:
    """Normally distributed pixels (batch_size, num_frames, 3, height, width) for each stream that is built."""
    size = model.config.vision_tower_config.image_size
    shape = (batch_size, model.config.num_frames, 3, size, size)
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name in dynamic_axes(model)}


@contextmanager
def _without_warnings() -> Iterator[None]:
    """torch's exporters warn of their own insides, and of torchvision, which is not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@_without_warnings()
@torch.no_grad()
def export_program(model: ClipCaerForVideoClassification, dtype: torch.dtype = torch.float32) -> ExportedProgram:
    """The visual path as a graph of PyTorch operators. `model` is in evaluation mode, on the CPU."""
    sizes = {"batch_size": Dim("batch_size"), "num_frames": Dim("num_frames", max=model.config.num_frames)}
    shapes = {name: {axis: sizes[size] for axis, size in axes.items()} for name, axes in dynamic_axes(model).items()}
    pixels = draw_pixels(model, batch_size=2)
    program = torch.export.export(VisualPath(model, dtype), (), pixels, dynamic_shapes=shapes)
    _forget_origin(program)
    return program


def _forget_origin(program: ExportedProgram) -> None:
    """Drop the example pixels, tens of megabytes, and the paths of the exporting machine from what will be saved."""
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)


def save_torch_export(program: ExportedProgram, path: str | os.PathLike) -> None:
    """Write the graph and its weights as a file that `torch.export.load` reads."""
    torch.export.save(program, path)


@_without_warnings()
def save_onnx(program: ExportedProgram, path: str | os.PathLike, axes: dict[str, dict[int, str]]) -> None:
    """Write the graph as ONNX; weights of more than 2 GB go into a second file beside it."""
    torch.onnx.export(
        program,
        f=path,
        input_names=list(axes),
        output_names=["logits"],
        dynamic_shapes=axes,
        external_data=False,
        verbose=False,
    )


def load_exported(path: str | os.PathLike) -> Callable[..., torch.Tensor]:
    """A function from pixels, by name, to logits: what a saved file computes, on PyTorch's number of threads."""
    if Path(path).suffix == ".pt2":
        return torch.export.load(path).module()
    # Keep: before the import. ONNX Runtime tells its makers of each session, and keeps an id of the machine for it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda **pixels: torch.from_numpy(
        session.run(["logits"], {name: values.numpy() for name, values in pixels.items()})[0]
    )
