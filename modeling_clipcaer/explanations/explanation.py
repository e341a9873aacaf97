"""All that can be told of one answer: maps over frames, what frames and streams contribute, the nearest sentences."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from modeling_clipcaer.explanations.attention import PIXELS_OF, attend_patches
from modeling_clipcaer.explanations.contributions import contribute_frames, contribute_streams, probabilities
from modeling_clipcaer.explanations.texts import Text, nearest_texts
from modeling_clipcaer.models.frozen_parts import EMBEDS_OF, FrozenParts
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


DIGITS = 5  # of what a file tells


@dataclass
class Sample:
    """What an answer is asked for.

    Args:
        name: of the clip, or of the person and the time in a recording.
        pixels: by stream, uint8 (num_frames, 3, image_size, image_size), as the processor cuts them. Without "face"
            where nobody's face was seen, and the context decides alone.
        label: the true one's name, where it is known.
        shown: by stream, the frames as people may be shown them, uint8 (num_frames, image_size, image_size, 3); empty
            where none may be.
        reason: why it was chosen, in a few words.
        moment: of a window of a recording its `person`, `start` and `end` in seconds.
    """

    name: str
    pixels: dict[str, torch.Tensor]
    label: str | None = None
    shown: dict[str, np.ndarray] = field(default_factory=dict)
    reason: str | None = None
    moment: dict[str, Any] = field(default_factory=dict)


@dataclass
class Explanation:
    """Why a sample got its answer, as far as it can be told.

    Attributes:
        sample: what was asked.
        answer: the label's name.
        scores: probabilities by label.
        maps: by stream (num_frames, side, side), see [`attend_patches`].
        frames: by stream (num_frames,), see [`contribute_frames`].
        streams: by stream, see [`contribute_streams`]; `answer_without` by name.
        sentences: by view, see [`nearest_texts`].
        video_embed: (projection_dim,) of unit length.
    """

    sample: Sample
    answer: str
    scores: dict[str, float]
    maps: dict[str, torch.Tensor]
    frames: dict[str, torch.Tensor]
    streams: dict[str, dict[str, Any]]
    sentences: dict[str, list[tuple[Text, float]]]
    video_embed: torch.Tensor

    def to_dict(self, labels: list[str]) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {
            "name": self.sample.name,
            **self.sample.moment,
            "reason": self.sample.reason,
            "label": self.sample.label,
            "answer": self.answer,
            "scores": _round(self.scores),
            "streams": _round(self.streams),
            "frames": {stream: _round(values.tolist()) for stream, values in self.frames.items()},
            "sentences": {
                view: [
                    {"label": labels[text.label], "sentence": text.sentence, "cosine": _round(cosine)}
                    for text, cosine in found
                ]
                for view, found in self.sentences.items()
            },
            "maps": {stream: _round(values.tolist()) for stream, values in self.maps.items()},
            "shown": bool(self.sample.shown),
        }


class Explainer:
    """Explains the answers of one model.

    Args:
        parts: of the model, which is in evaluation mode; its tower computes in float32.
        processor: normalises the pixels, on the model's device.
        texts, text_embeds: of [`~texts.encode_texts`].
        num_sentences: how many of each view are told.
    """

    def __init__(
        self,
        parts: FrozenParts,
        processor: ClipCaerVideoProcessor,
        texts: list[Text],
        text_embeds: torch.Tensor,
        num_sentences: int = 3,
    ):
        self.parts, self.model, self.processor = parts, parts.model, processor
        self.texts, self.text_embeds, self.num_sentences = texts, text_embeds, num_sentences
        self.labels = [self.model.config.id2label[index] for index in range(self.model.config.num_labels)]

    def explain(self, sample: Sample) -> Explanation:
        """Explain the answer to a sample."""
        inputs = self._build_inputs(sample)
        with torch.no_grad():
            encoded = self.parts(inputs)
            outputs = self.model(**encoded)
        answer = int(outputs["logits"][0].argmax())
        embeds = {name.removesuffix("_embeds"): encoded.pop(name) for name in EMBEDS_OF.values() if name in encoded}
        pixels = {name: inputs[name] for name in PIXELS_OF.values() if name in inputs}
        maps = attend_patches(self.model, encoded | pixels, answer)
        frames = contribute_frames(self.model, embeds, **encoded)
        streams = contribute_streams(self.model, outputs)
        for found in streams.values():
            found["answer_without"] = self.labels[found["answer_without"]]
        scores = probabilities(self.model, outputs["logits"][0])
        return Explanation(
            sample,
            self.labels[answer],
            dict(zip(self.labels, scores.tolist(), strict=True)),
            {stream: values.cpu() for stream, values in maps.items() if stream in sample.pixels},
            {stream: values.cpu() for stream, values in frames.items() if stream in sample.pixels},
            streams,
            nearest_texts(outputs["video_embeds"][0], self.texts, self.text_embeds, self.num_sentences),
            outputs["video_embeds"][0].cpu(),
        )

    def _build_inputs(self, sample: Sample) -> dict[str, Any]:
        config, inputs = self.model.config, {"use_soft_prompts": self.model.config.soft_prompts_classify}
        for stream, name in PIXELS_OF.items():
            if config.streams in (stream, "both"):
                # What stands for a face that is not there is left out by `face_present`.
                pixels = sample.pixels[stream if stream in sample.pixels else "context"]
                inputs[name] = self.processor.normalize(pixels[None].to(self.model.device))
        if config.face_stream:
            inputs["face_present"] = torch.tensor(["face" in sample.pixels], device=self.model.device)
        return inputs


def _round(content: Any) -> Any:
    """`content` with every number rounded to `DIGITS`."""
    if isinstance(content, float):
        return round(content, DIGITS) + 0.0  # no -0.0
    if isinstance(content, dict):
        return {name: _round(value) for name, value in content.items()}
    return [_round(value) for value in content] if isinstance(content, list) else content
