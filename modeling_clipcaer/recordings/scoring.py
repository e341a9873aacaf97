"""Probabilities of persons in windows, in batches that fill across windows, persons and recordings."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.recordings.crops import Crop, PersonCrops
from modeling_clipcaer.recordings.stage_clock import StageClock


class WindowScorer:
    """Answers for persons in windows, in the order in which they come.

    A crop is encoded once, when a first window needs it, in batches of `batch_size` crops; then everybody whose crops
    are all encoded is classified.

    Args:
        parts: of the model, which is in evaluation mode.
        processor: normalises the crops, on the model's device.
        batch_size (`int`): crops a pass of the tower, and persons a pass of what follows it.
        clock: counts the seconds of "encode" and "classify".
    """

    def __init__(
        self,
        parts: FrozenParts,
        processor: ClipCaerVideoProcessor,
        batch_size: int,
        clock: StageClock,
    ):
        self.parts, self.model = parts, parts.model
        self.processor, self.batch_size, self.clock = processor, batch_size, clock
        self.temperature = self.model.config.calibration_temperature or 1.0
        self._crops: deque[Crop] = deque()
        self._jobs: deque[tuple[Sequence[PersonCrops], Callable[[np.ndarray], None]]] = deque()

    def submit(self, people: Sequence[PersonCrops], receive: Callable[[np.ndarray], None]) -> None:
        """Ask for the probabilities of `people`: `receive` is called with (num_people, num_labels), in turn."""
        for person in people:
            for crop in (*person.context, *person.face):
                if not crop.is_asked:
                    crop.is_asked = True
                    self._crops.append(crop)
        self._jobs.append((people, receive))
        while len(self._crops) >= self.batch_size:
            self._encode()
        self._answer()

    def flush(self) -> None:
        """Answer everything that was asked."""
        while self._crops:
            self._encode()
        self._answer()

    @torch.no_grad()
    def _encode(self) -> None:
        crops = [self._crops.popleft() for _ in range(min(self.batch_size, len(self._crops)))]
        with self.clock("encode"):
            pixels = torch.stack([crop.content for crop in crops]).to(self.model.device)
            pixels = self.processor.normalize(pixels).to(self.model.dtype)
            embeds = self.parts.frame_encoder(pixels[:, None])[:, 0]
        for crop, embed in zip(crops, embeds, strict=True):
            crop.content, crop.is_encoded = embed, True

    def _answer(self) -> None:
        ready = []
        while self._jobs and all(crop.is_encoded for crop in _crops_of(self._jobs[0][0])):
            ready.append(self._jobs.popleft())
        people = [person for asked, _ in ready for person in asked]
        batches = [people[start : start + self.batch_size] for start in range(0, len(people), self.batch_size)]
        with self.clock("classify"):
            answers = iter([row for batch in batches for row in self._classify(batch)])
        for asked, receive in ready:
            receive(np.array([next(answers) for _ in asked]).reshape(len(asked), self.model.config.num_labels))

    @torch.no_grad()
    def _classify(self, people: Sequence[PersonCrops]) -> np.ndarray:
        config = self.model.config
        context = torch.stack([_stack(person.context) for person in people]) if config.context_stream else None
        face = present = None
        if config.face_stream:
            present = torch.tensor([bool(person.face) for person in people], device=self.model.device)
            # What stands for a face that is not there is left out. Keep: no zeros, which have no unit embedding.
            face = torch.stack([_stack(person.face or person.context) for person in people])
        streams = {"context_embeds": context, "face_embeds": face, "face_present": present}
        inputs = self.parts({**streams, "use_soft_prompts": config.soft_prompts_classify})
        logits = self.model(**inputs).logits
        return (logits.cpu().double() / self.temperature).softmax(-1).numpy()


def _crops_of(people: Sequence[PersonCrops]) -> Iterator[Crop]:
    for person in people:
        yield from person.context
        yield from person.face


def _stack(crops: Sequence[Crop]) -> torch.Tensor:
    """(num_frames, projection_dim) embeddings."""
    return torch.stack([crop.content for crop in crops])
