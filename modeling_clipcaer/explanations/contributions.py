"""What an answer rests on: exact differences that appear when a stream is switched off or a frame left out.

Every figure is what the model computes in another case, and no estimate. But a case that never occurs in training, as
a stream that is off, is one for which the model was not made.
"""

from typing import Any

import torch
from torch.nn import functional as F

from modeling_clipcaer.explanations.attention import STREAMS
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerOutput


def probabilities(model: ClipCaerForVideoClassification, logits: torch.Tensor) -> torch.Tensor:
    """Logits (..., num_labels) as probabilities, calibrated where the checkpoint is."""
    return (logits.double() / (model.config.calibration_temperature or 1.0)).softmax(dim=-1)


@torch.no_grad()
def switch_off(model: ClipCaerForVideoClassification, outputs: ClipCaerOutput, stream: str) -> torch.Tensor:
    """Logits (batch_size, num_labels) without a stream: its clip embedding is 0 before the fusion, as the model has it
    for a face that is not there (`face_present` False).

    Args:
        outputs: of the model with both streams.
        stream: "context" or "face".
    """
    embeds = {"face": outputs["face_video_embeds"], "context": outputs["context_video_embeds"]}
    embeds[stream] = torch.zeros_like(embeds[stream])
    fused = F.normalize(model.model.fusion(torch.cat([embeds["face"], embeds["context"]], dim=-1)), dim=-1)
    return model.classify(fused, model.select_prototypes(outputs))


def contribute_streams(model: ClipCaerForVideoClassification, outputs: ClipCaerOutput) -> dict[str, dict[str, Any]]:
    """What face and context contribute to the answer to one clip. A model of one stream has nothing to tell apart.

    Args:
        outputs: of the model for one clip.

    Returns:
        By stream: `logit` and `probability`, by which that of the answer falls without the stream (negative where the
        stream speaks against the answer), and `answer_without`, the number of the label that is answered then.
    """
    if model.config.streams != "both":
        return {}
    logits = outputs["logits"][0]
    answer, chances = int(logits.argmax()), probabilities(model, logits)
    found = {}
    for stream in STREAMS:
        without = switch_off(model, outputs, stream)[0]
        found[stream] = {
            "logit": float(logits[answer] - without[answer]),
            "probability": float((chances - probabilities(model, without))[answer]),
            "answer_without": int(without.argmax()),
        }
    return found


@torch.no_grad()
def contribute_frames(
    model: ClipCaerForVideoClassification, embeds: dict[str, torch.Tensor], **inputs: Any
) -> dict[str, torch.Tensor]:
    """What each frame of each stream contributes to the answer to one clip: by how much the answer's probability falls
    where the frame before it (for the first, the one after it) is shown in its place.

    Exact, and a case the model knows: short clips repeat frames. Not the attention over frames, which need not agree
    with what changes the answer (Jain and Wallace, 2019). Where neighbours show the same, no single frame matters.

    Args:
        embeds: by stream, the frame embeddings (1, num_frames, projection_dim).
        inputs: what else `model.forward` is given: `face_present`, `soft_prompt_embeds`, `use_soft_prompts`.

    Returns:
        By stream, (num_frames,) in double precision; 0 of a clip of one frame.
    """

    def ask(streams: dict[str, torch.Tensor]) -> torch.Tensor:
        size = len(next(iter(streams.values())))
        present = inputs.get("face_present")
        others = inputs | ({} if present is None else {"face_present": present.expand(size)})
        given = {f"{name}_embeds": values for name, values in streams.items()}
        return probabilities(model, model(**given, **others).logits)

    chances = ask(embeds)[0]
    answer, found = int(chances.argmax()), {}
    for stream, own in embeds.items():
        num_frames = own.shape[1]
        places = torch.arange(num_frames).repeat(num_frames, 1)
        places.fill_diagonal_(0)
        places += torch.diag(torch.tensor([min(1, num_frames - 1), *range(num_frames - 1)]))
        changed = {name: values.expand(num_frames, -1, -1) for name, values in embeds.items()}
        changed[stream] = own[0][places.to(own.device)]
        found[stream] = chances[answer] - ask(changed)[:, answer]
    return found
