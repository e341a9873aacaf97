"""ClipCaerVideoProcessor: clips and boxes -> `pixel_values` (context) and `face_pixel_values`."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import Literal, TypedDict, get_args, get_origin

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import VideosKwargs
from transformers.utils import VIDEO_PROCESSOR_NAME
from transformers.video_processing_utils import VideoProcessorMixin

from .errors import InputError
from .frames import (
    FrameSource,
    ImageFrames,
    ListedFrames,
    is_image_path,
    is_loaded_frame,
    open_clip,
    sample_frame_indices,
)
from .json_files import read_object
from .pixels import augment, crop_box, crop_face, draw_augmentation, letterbox, resize_to_square
from .settings_clipcaer import ModelSettings, PixelSettings, check_ranges, document, option
from .strict_loading import check_found, tell_loading


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
STREAMS = get_args(ModelSettings.__annotations__["streams"])
# Pixels along a side of a frame decoded at a smaller size, for each made of them. With 1.5 photographs differ by at
# most 0.9 levels of 255 on average (0.4 at 1280x720 and 224) and 14 anywhere; with 0.8 by 1.4 on average and by 60.
SCALED_SURPLUS = 1.5

# What transformers writes into the JSON beside the settings.
SERVICE_KEYS = ("video_processor_type", "processor_class", "auto_map")


@dataclass(eq=False)
class ProcessorSettings(PixelSettings):
    """Settings of [`ClipCaerVideoProcessor`]: of its pixels, and what follows from the model that they are for."""

    num_frames: int = option(ModelSettings.num_frames, "Frames sampled from a clip.", least=1, most=4096)
    image_size: int = option(224, "Side of both squares in pixels.", least=1, most=4096)
    image_mean: Sequence[float] = option(CLIP_MEAN, "Of pixels in [0, 1], per channel.")
    image_std: Sequence[float] = option(CLIP_STD, "The same, standard deviation.")


CHOICES = {
    setting.name: get_args(setting.type)
    for setting in fields(ProcessorSettings)
    if get_origin(setting.type) is Literal
}
# The settings that `from_pretrained(..., setting=value)` overrides.
ClipCaerVideosKwargs = TypedDict(  # type: ignore[misc]
    "ClipCaerVideosKwargs",
    VideosKwargs.__annotations__ | {setting.name: setting.type for setting in fields(ProcessorSettings)},
    total=False,
)


@document(ProcessorSettings)
class ClipCaerVideoProcessor(VideoProcessorMixin, ProcessorSettings):
    r"""
    Turns clips into the two streams of [`ClipCaerForVideoClassification`]: the face crop, squeezed to a square, and
    the context (body crop or whole frame), letterboxed on black. Needs neither torchvision nor a tokenizer.

    Args:
    """

    model_input_names = ["pixel_values", "face_pixel_values"]  # noqa: RUF012
    valid_kwargs = ClipCaerVideosKwargs

    @wraps(ProcessorSettings.__init__, assigned=(), updated=())  # type: ignore[misc]  # for its signature
    def __init__(self, *sizes, **settings):
        unknown = sorted(settings.keys() - {setting.name for setting in fields(self)} - set(SERVICE_KEYS))
        if unknown:
            raise InputError(f"ClipCaerVideoProcessor: unknown setting `{unknown[0]}`")
        service = {name: settings.pop(name) for name in SERVICE_KEYS if name in settings}
        super().__init__(**{name: value for name, value in service.items() if name == "auto_map"})
        ProcessorSettings.__init__(self, *sizes, **settings)
        for name in ("image_mean", "image_std"):
            setattr(self, name, list(values) if isinstance(values := getattr(self, name), tuple) else values)
        self._validate()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs) -> "ClipCaerVideoProcessor":
        """Load as every video processor of transformers does, or say in one line what is wrong with the file."""
        if not Path(pretrained_model_name_or_path).is_file():
            check_found(pretrained_model_name_or_path)
        file = Path(pretrained_model_name_or_path, VIDEO_PROCESSOR_NAME)
        if file.is_file():
            read_object(file)  # Keep: transformers does not say which file is torn.
        with tell_loading(pretrained_model_name_or_path, "video processor"):
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    def _validate(self) -> None:
        for name, allowed in CHOICES.items():
            _require(getattr(self, name) in allowed, name, getattr(self, name), f"one of {', '.join(allowed)}")
        for setting in fields(self):
            name, value, kind = setting.name, getattr(self, setting.name), setting.type
            if kind is bool:
                _require(isinstance(value, bool), name, value, "true or false")
            elif kind in (int, float):
                is_number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
                _require(is_number, name, value, "an integer" if kind is int else "a number")
        check_ranges(self)
        for name in ("image_mean", "image_std"):
            values = getattr(self, name)
            sound = isinstance(values, list) and len(values) == 3
            sound = sound and all(
                isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) for value in values
            )
            _require(sound and (name == "image_mean" or min(values) > 0), name, values, "three numbers, std above 0")

    def __call__(
        self,
        videos,
        face_boxes=None,
        body_boxes=None,
        num_frames: int | None = None,
        do_sample_frames: bool = True,
        mode: str = "eval",
        generator: torch.Generator | None = None,
        do_normalize: bool | None = None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        r"""
        Args:
            videos: a clip, or a list of clips. A clip is the path or http(s) address of a video, a folder of frames, a
                list of image files, uint8 frames (num_frames, height, width, 3) or (num_frames, 3, height, width), a
                list of frames, Pillow's images or arrays, which may differ in size, or a [`~frames.FrameSource`].
            face_boxes: per clip, one box for all its frames, or a list with one box per original frame. A box is left,
                top, right, bottom in pixels; `None` or an empty one is the whole frame, so without boxes the face
                stream sees the whole frame, squeezed to a square.
            body_boxes: the same of the body.
            num_frames (`int`, *optional*): replaces the setting.
            do_sample_frames (`bool`): `False` takes every frame.
            mode (`str`): "eval", or "train" for random frames and augmentation.
            generator (`torch.Generator`, *optional*): of the training draws.
            do_normalize (`bool`, *optional*): replaces the setting.
            return_tensors (`str`): "pt" or "np".

        Returns:
            [`BatchFeature`] with `pixel_values` and `face_pixel_values`, float32 of shape
            `(batch_size, num_frames, 3, image_size, image_size)`.
        """
        clips, batched = (videos, True) if _is_batch(videos) else ([videos], False)
        _require(len(clips) > 0, "videos", videos, "at least one clip")
        face_boxes = _per_clip("face_boxes", face_boxes, len(clips), batched)
        body_boxes = _per_clip("body_boxes", body_boxes, len(clips), batched)
        streams = []
        for number, (clip, faces, body) in enumerate(zip(clips, face_boxes, body_boxes, strict=True)):
            try:
                source = self.open_clip(clip)
                indices = self.frame_indices(source, num_frames, do_sample_frames, mode, generator)
                streams.append(self.process_clip(source, faces, body, indices, mode, generator))
            except InputError as error:
                raise InputError(f"clip {number}: {error}" if batched else str(error)) from error
        context, face = zip(*streams, strict=True)
        lengths = sorted(set(map(len, context)))
        if len(lengths) > 1:
            raise InputError(f"clips of {lengths[0]} to {lengths[-1]} frames: expected equal lengths without sampling")
        pixels = {"pixel_values": torch.stack(context), "face_pixel_values": torch.stack(face)}
        return BatchFeature(
            {name: self.normalize(stream, do_normalize) for name, stream in pixels.items()}, tensor_type=return_tensors
        )

    def process_clip(
        self,
        clip,
        face_boxes=None,
        body_boxes=None,
        indices: torch.Tensor | None = None,
        mode: str = "eval",
        generator: torch.Generator | None = None,
        streams: str = "both",
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Decode the frames of one clip that are looked at, each once, and cut both streams from them.

        Arguments as in `__call__`, for one clip. `indices` (num_frames,) says which frames, those that
        [`~ClipCaerVideoProcessor.frame_indices`] draws by default. `streams` is "both", "face" or "context"; the other
        one is `None`.

        Returns:
            Context and face, each uint8 of shape `(num_frames, 3, image_size, image_size)`.
        """
        _require(streams in STREAMS, "streams", streams, f"one of {', '.join(STREAMS)}")
        source = self.open_clip(clip)
        faces, bodies = (boxes_per_frame(boxes, len(source)) for boxes in (face_boxes, body_boxes))
        if indices is None:
            indices = self.frame_indices(source, mode=mode, generator=generator)
        distinct, places = indices.unique(return_inverse=True)
        context, face = [], []
        # One frame at a time: resized while it is in the cache it is seven times faster than a stack of whole frames,
        # and only one whole frame is ever held.
        frames = self._read(source, distinct.tolist(), faces, bodies)
        for index, frame in zip(distinct.tolist(), frames, strict=True):
            try:
                if streams != "face":
                    context.append(self.cut_context(frame, bodies[index]))
                if streams != "context":
                    face.append(self.cut_face(frame, faces[index]))
            except InputError as error:
                raise InputError(f"frame {index}: {error}") from error
        # Keep: listed, not indexed; torch takes ten times as long to index what lies channels last.
        context_pixels, face_pixels = (
            torch.cat([squares[place] for place in places.tolist()]) if squares else None
            for squares in (context, face)
        )
        if mode == "train":
            return self.augment_clip(context_pixels, face_pixels, generator)
        return context_pixels, face_pixels

    def open_clip(self, clip) -> FrameSource:
        """The frames of a clip, which is any of those of `__call__`, as `exif_orientation` has them."""
        source = open_clip(clip)
        if self.exif_orientation == "ignore" and isinstance(source, ImageFrames | ListedFrames):
            return source.as_stored()
        return source

    def frame_indices(
        self,
        source: FrameSource,
        num_frames: int | None = None,
        do_sample_frames: bool = True,
        mode: str = "eval",
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Which frames of `source` are looked at, in order: int64 (num_frames,); arguments as in `__call__`."""
        if do_sample_frames:
            wanted = self.num_frames if num_frames is None else num_frames
            indices = sample_frame_indices(len(source), wanted, mode, generator, self.frame_sampling)
        else:
            _require(num_frames is None, "num_frames", num_frames, "None without sampling")
            indices = torch.arange(len(source))
        if self.frame_order == "string" and isinstance(source, ImageFrames):
            order = sorted(range(len(source)), key=source.names.__getitem__)
            indices = torch.tensor(order)[indices]
        return indices

    def _read(
        self, source: FrameSource, indices: list[int], faces: Sequence, bodies: Sequence
    ) -> Iterator[torch.Tensor]:
        if not isinstance(source, ImageFrames) or not self.scaled_decoding or self.letterbox == "reference":
            return source.read(indices)
        # Keep: the boxes of both streams; a stream's pixels must not depend on whether the other one is wanted.
        bodies = bodies if self.context == "body" else [None] * len(bodies)
        whole = (all(box is None or len(box) == 0 for box in (faces[index], bodies[index])) for index in indices)
        min_side = math.ceil(SCALED_SURPLUS * self.image_size)
        return source.read(indices, [min_side if is_whole else 0 for is_whole in whole])

    def cut_context(self, frame: torch.Tensor, body_box) -> torch.Tensor:
        """The context of a frame, uint8 (1, 3, image_size, image_size)."""
        crop = crop_box(frame, body_box if self.context == "body" else None)
        return letterbox(crop[None], self.image_size, self.resample, reference=self.letterbox == "reference")

    def cut_face(self, frame: torch.Tensor, face_box) -> torch.Tensor:
        """The face on a frame, uint8 (1, 3, image_size, image_size)."""
        return resize_to_square(crop_face(frame, face_box, self.face_margin)[None], self.image_size, self.resample)

    def augment_clip(
        self, context: torch.Tensor | None, face: torch.Tensor | None, generator: torch.Generator | None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """One draw of the training augmentation on the frames of a clip, uint8 (num_frames, 3, size, size)."""
        # Both draws are always made, so that a stream looks the same whether or not the other one is wanted.
        face_draw, context_draw = (
            draw_augmentation(self.flip_prob, self.rotation_degrees, self.color_jitter, generator) for _ in range(2)
        )
        if not self.augment_per_stream:
            context_draw = face_draw
        return (
            None if context is None else augment(context, context_draw),
            None if face is None else augment(face, face_draw),
        )

    def normalize(self, pixel_values: torch.Tensor, do_normalize: bool | None = None) -> torch.Tensor:
        """uint8 pixels (..., 3, height, width) to float32 in [0, 1], then to mean 0 and std 1, on their own device."""
        if pixel_values.dtype != torch.uint8:
            raise InputError(f"pixels of type {pixel_values.dtype}: expected uint8, not normalised yet")
        pixels = pixel_values.float().div_(255)
        if self.do_normalize if do_normalize is None else do_normalize:
            pixels.sub_(pixels.new_tensor(self.image_mean).view(3, 1, 1))
            pixels.div_(pixels.new_tensor(self.image_std).view(3, 1, 1))
        return pixels


def _require(sound: bool, name: str, value: object, expected: str) -> None:
    if not sound:
        raise InputError(f"`{name}` must be {expected}, got {value!r}")


def _is_batch(videos) -> bool:
    """A list of image files or of frames is one clip; any other list, and a five-dimensional array, is a batch."""
    if isinstance(videos, np.ndarray | torch.Tensor):
        return videos.ndim == 5
    if not isinstance(videos, list | tuple):
        return False
    return not videos or not all(is_image_path(item) or is_loaded_frame(item) for item in videos)


def _per_clip(name: str, boxes, num_clips: int, batched: bool) -> Sequence:
    """Boxes for each of `num_clips` clips."""
    if boxes is None:
        return [None] * num_clips
    if not batched:
        return [boxes]
    if len(boxes) != num_clips:
        raise InputError(f"`{name}` for {len(boxes)} clips: expected one entry for each of {num_clips} clips")
    return boxes


def boxes_per_frame(boxes, total: int) -> Sequence:
    """A box or `None` for each of `total` frames, from none, one for all, or a list with one for all or for each."""
    if boxes is None or len(boxes) == 0:
        return [None] * total
    if all(isinstance(side, Real) or getattr(side, "ndim", 1) == 0 for side in boxes):
        return [boxes] * total
    if len(boxes) == 1:
        return [boxes[0]] * total
    if len(boxes) != total:
        raise InputError(f"boxes for {len(boxes)} frames: expected one for each of {total} frames")
    return boxes
