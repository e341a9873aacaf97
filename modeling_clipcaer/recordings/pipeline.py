"""Pipeline `academic-emotion-recognition`: recordings to timelines, or clips to labels and scores."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any

from torch.utils.data import Dataset
from transformers import Pipeline

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frames import is_image_path, is_loaded_frame
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.timeline import Timeline, TimelineWindow, join_notes
from modeling_clipcaer.video_classification import iterate_clips


OPTIONS = (*(setting.name for setting in fields(TimelineSettings) if setting.name != "batch_size"), "on_window")


class ClipCaerPipeline(Pipeline):
    r"""
    Answers who shows which label when, in a recording; or, with `window=None`, which label a clip shows.

    The builtin `video-classification` pipeline takes a clip alone, and works where this package is not installed. This
    one also finds faces and follows persons, or takes boxes. The arguments of a call may also be given when the
    pipeline is made.

    Args of a call:
        inputs: the path or http(s) address of a video, a folder of frames, an array of frames, a camera
            ("/dev/video0"), a mapping `{"video": ..., "face_boxes": ..., "body_box": ...}` (see
            [`~recording.open_recording`]), or a list of any of them. A list is never one clip: a clip as a list of
            frames goes into a mapping. A list's recordings are analysed together, in batches that fill across them.
            A recording's boxes may also be files, by their paths, as `clipcaer predict` takes them.
        window (`float`, *optional*): seconds of a window, 10 by default. `None` takes the whole input for one clip,
            whose streams both see the whole frame where no boxes are given.
        stride, smoothing, hysteresis, threshold, context, max_gap, face_detector, face_detector_weights, fps,
            duration: see [`~settings.TimelineSettings`]. `face_detector` may also be a detector, see
            [`~face_detection.FaceDetector`].
        tower_dtype (`str`, *optional*): the type that the vision tower computes in, "float32" by default, "bfloat16",
            or "auto" for bfloat16 where the device multiplies matrices in it.
        on_window (`Callable[[TimelineWindow], None]`, *optional*): called with every row as soon as it is final.
        batch_size (`int`, *optional*): crops that are encoded at a time, 32 by default; with `window=None` clips of a
            list that the model sees at a time, 1 by default.
        top_k (`int`, *optional*): with `window=None`, how many labels; all by default.
        num_workers (`int`, *optional*): with `window=None`, processes that decode the clips of a list; 0 by default,
            which is this one.

    Returns:
        For each recording a [`~timeline.Timeline`]; with `window=None` for each clip a list of
        `{"label": str, "score": float}`, the likeliest first. For an iterator of inputs an iterator.
    """

    _load_video_processor = True
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args, **kwargs):
        # Keep: not the settings' default. A pipeline answers as `video-classification` does, in the weights' own type.
        self._options = {"tower_dtype": "float32"} | _take_options(kwargs)
        super().__init__(*args, **kwargs)

    def __call__(self, inputs, *, batch_size: int | None = None, num_workers: int | None = None, **kwargs):
        """See the class."""
        given = _take_options(kwargs)
        self._sanitize_parameters(**kwargs)
        options = self._options | given
        whole = options.get("window", TimelineSettings.window) is None
        of_clips = kwargs if num_workers is None else {**kwargs, "num_workers": num_workers}
        for name in sorted(set(given) - {"window", "tower_dtype"} if whole else of_clips):
            raise InputError(f"`{name}` goes with {'windows' if whole else '`window=None`'}")
        if whole:
            if isinstance(inputs, list) and not inputs:  # of which the base class asks for the first
                return []
            # Keep: of all iterators the base class knows generators alone.
            inputs = (item for item in inputs) if isinstance(inputs, Iterator) else inputs
            parts = FrozenParts(self.model, options["tower_dtype"])
            return super().__call__(inputs, num_workers=num_workers, batch_size=batch_size, parts=parts, **kwargs)
        many = isinstance(inputs, list | Iterator | Dataset)
        timelines = self._analyze(inputs if many else [inputs], batch_size, **options)
        if isinstance(inputs, list):
            return list(timelines)
        return timelines if many else next(timelines)

    def _analyze(
        self,
        inputs: Iterable,
        batch_size: int | None,
        face_detector: Any = TimelineSettings.face_detector,
        on_window: Callable[[TimelineWindow], None] | None = None,
        **options,
    ) -> Iterator[Timeline]:
        # Keep: imported here. OpenCV and SciPy would make the import of the package slower.
        from modeling_clipcaer.recordings.analysis import RecordingAnalyzer

        batch_size = self._batch_size if batch_size is None else batch_size
        if batch_size is not None:
            options["batch_size"] = batch_size
        detector = None if isinstance(face_detector, str) else face_detector
        if detector is None:
            options["face_detector"] = face_detector
        settings = TimelineSettings(**options)
        analyzer = RecordingAnalyzer(self.model, self.video_processor, settings, detector)
        recordings = (_open(item, settings) for item in inputs)
        for timeline in analyzer.analyze(recordings, on_window):
            if not timeline.windows:
                raise InputError(f"{timeline.source}: expected frames to analyse: {join_notes(timeline.notes)}")
            yield timeline

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs):
        """Save model and video processor with their code.

        Keep: not the base class's way, which leaves out the video processor and makes the folder name this pipeline,
        whose file the next one to save it would not have.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.video_processor.save_pretrained(save_directory)

    def _sanitize_parameters(self, top_k: int | None = None, parts: FrozenParts | None = None, **kwargs):
        if kwargs:
            known = ", ".join(f"`{name}`" for name in ("top_k", *OPTIONS))
            raise ValueError(f"unknown argument `{min(kwargs)}`; the pipeline takes {known}")
        return {}, {"parts": parts}, {} if top_k is None else {"top_k": top_k}

    def get_iterator(self, inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params):
        """Iterates over the answers to many clips."""
        params = (preprocess_params, forward_params, postprocess_params)
        return iterate_clips(self, inputs, num_workers, batch_size, *params)

    def preprocess(self, inputs: Any):
        """A clip to one batch of pixels."""
        clip = _unpack(inputs)
        pixels = self.video_processor([clip["source"]], face_boxes=[clip["face_boxes"]], body_boxes=[clip["body_box"]])
        return pixels.to(self.dtype)

    def _forward(self, model_inputs, parts: FrozenParts):
        inputs = parts({**model_inputs, "use_soft_prompts": self.model.config.soft_prompts_classify})
        # Keep: the logits alone. A batch of outputs is taken apart clip by clip, and the others are not all of a clip.
        return {"logits": self.model(**inputs).logits}

    def postprocess(self, model_outputs, top_k: int | None = None) -> list[dict[str, Any]]:
        """Logits (1, num_labels) to labels and probabilities, calibrated where the checkpoint is."""
        temperature = self.model.config.calibration_temperature or 1.0
        scores = (model_outputs["logits"][0].float() / temperature).softmax(-1)
        order = scores.argsort(descending=True)[:top_k].tolist()
        return [{"label": self.model.config.id2label[index], "score": scores[index].item()} for index in order]


def _take_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those of `kwargs` that are about timelines, which are taken from there."""
    return {name: kwargs.pop(name) for name in OPTIONS if name in kwargs}


def _open(inputs: Any, settings: TimelineSettings):
    """The recording of an input, with the boxes that are given or that files hold."""
    # Keep: imported here. OpenCV and SciPy would make the import of the package slower.
    from modeling_clipcaer.data.clip_boxes import read_boxes
    from modeling_clipcaer.recordings.recording import open_recording, open_with_boxes

    clip = _unpack(inputs)
    boxes = (clip["face_boxes"], clip["body_box"])
    if any(isinstance(given, str) for given in boxes):
        return open_with_boxes(clip["source"], read_boxes(*boxes), settings)
    return open_recording(fps=settings.fps, duration=settings.duration, **clip)


def _unpack(inputs: Any) -> dict[str, Any]:
    """Source, face boxes and body box of an input."""
    clip = inputs if isinstance(inputs, dict) else {"video": inputs}
    unknown = sorted(set(clip) - {"video", "face_boxes", "body_box"})
    if unknown or "video" not in clip:
        found = f"unknown key `{unknown[0]}`" if unknown else "no key `video`"
        raise InputError(f"{found} in a clip; expected `video`, and `face_boxes` and `body_box` where there are any")
    video = clip["video"]
    if is_loaded_frame(video) or is_image_path(video):  # one answer for each frame is hardly what was asked for
        name = video if is_image_path(video) else f"clip of type {type(video).__name__}"
        raise InputError(f'{name}: expected a clip, found one frame; a list of frames goes into {{"video": list}}')
    return {"source": video, "face_boxes": clip.get("face_boxes"), "body_box": clip.get("body_box")}
