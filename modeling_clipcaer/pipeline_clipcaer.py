"""Pipeline `academic-emotion-recognition`: clips, with boxes where there are any, to labels and scores."""

import os
from collections.abc import Sized
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForVideoClassification, Pipeline
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

from .errors import InputError
from .frames import is_image_path, is_loaded_frame


class StrictAutoModel(AutoModelForVideoClassification):
    """Loads what fits to the last weight. transformers would log what does not, and go on with random weights."""

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, **kwargs):
        """The model of a folder or a Hub id, from safetensors files alone.

        Raises:
            InputError: a weight is missing, unexpected or of another shape.
        """
        kwargs |= {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
        model, info = AutoModelForVideoClassification.from_pretrained(folder, **kwargs)
        for name, found, expected in sorted(info["mismatched_keys"]):
            raise InputError(f"{folder}: `{name}` is of shape {tuple(found)}, expected {tuple(expected)}")
        for problem in ("missing", "unexpected"):
            for name in sorted(info[f"{problem}_keys"]):
                raise InputError(f"{folder}: {problem} weight `{name}`")
        return model


class ClipCaerPipeline(Pipeline):
    r"""
    Answers which label a clip shows.

    The builtin `video-classification` pipeline takes a clip alone, and works where this package is not installed. This
    one also takes boxes of the face and the body; without them both streams see the whole frame.

    Args of a call:
        inputs: a clip as [`ClipCaerVideoProcessor`] takes it (path of a video, folder of frames, frames), a mapping
            `{"video": clip, "face_boxes": ..., "body_box": ...}`, or a list of either. A list is never one clip:
            a clip as a list of frames goes into a mapping.
        top_k (`int`, *optional*): how many labels; all by default.
        batch_size (`int`, *optional*): how many clips of a list the model sees at a time; 1 by default.
        num_workers (`int`, *optional*): processes that decode the clips of a list; 0 by default, which is this one.

    Returns:
        For each clip a list of `{"label": str, "score": float}`, the likeliest first.
    """

    _load_video_processor = True
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs):
        """Save model and video processor with their code.

        Keep: not the base class's way, which leaves out the video processor and makes the folder name this pipeline,
        whose file the next one to save it would not have.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.video_processor.save_pretrained(save_directory)

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs):
        if kwargs:
            raise ValueError(f"unknown argument `{min(kwargs)}`; the pipeline takes `top_k`")
        return {}, {}, {} if top_k is None else {"top_k": top_k}

    def get_iterator(self, inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params):
        """Iterates over the answers to many clips.

        Keep: the base class's batches are padded by a tokenizer or a feature extractor, and refused without one.
        """
        if isinstance(inputs, Sized):
            clips = PipelineDataset(inputs, self.preprocess, preprocess_params)
        else:  # each worker would go through all of a generator
            clips, num_workers = PipelineIterator(inputs, self.preprocess, preprocess_params), min(num_workers, 1)
        batches = DataLoader(clips, batch_size=batch_size, num_workers=num_workers, collate_fn=_join)
        outputs = PipelineIterator(batches, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(outputs, self.postprocess, postprocess_params)

    def preprocess(self, inputs: Any):
        """A clip to one batch of pixels."""
        clip = inputs if isinstance(inputs, dict) else {"video": inputs}
        unknown = sorted(set(clip) - {"video", "face_boxes", "body_box"})
        if unknown or "video" not in clip:
            found = f"unknown key `{unknown[0]}`" if unknown else "no key `video`"
            raise InputError(
                f"{found} in a clip; expected `video`, and `face_boxes` and `body_box` where there are any"
            )
        video = clip["video"]
        if is_loaded_frame(video) or is_image_path(video):  # one answer for each frame is hardly what was asked for
            name = video if is_image_path(video) else f"clip of type {type(video).__name__}"
            raise InputError(f'{name}: expected a clip, found one frame; a list of frames goes into {{"video": list}}')
        pixels = self.video_processor([video], face_boxes=[clip.get("face_boxes")], body_boxes=[clip.get("body_box")])
        return pixels.to(self.dtype)

    def _forward(self, model_inputs):
        # Keep: the logits alone. A batch of outputs is taken apart clip by clip, and the others are not all of a clip.
        return {"logits": self.model(**model_inputs).logits}

    def postprocess(self, model_outputs, top_k: int | None = None) -> list[dict[str, Any]]:
        """Logits (1, num_labels) to labels and probabilities."""
        scores = model_outputs["logits"][0].float().softmax(-1)
        order = scores.argsort(descending=True)[:top_k].tolist()
        return [{"label": self.model.config.id2label[index], "score": scores[index].item()} for index in order]


def _join(clips):
    """Pixels of one clip each (1, num_frames, 3, height, width) to those of a batch."""
    return {name: torch.cat([clip[name] for clip in clips]) for name in clips[0]}
