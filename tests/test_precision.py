"""Every loss, and the model whole, is finite in value and gradient where rounding is coarse and inputs are extreme."""

import dataclasses
import itertools
from contextlib import nullcontext

import pytest
import torch

from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.losses import adjust_logits
from modeling_clipcaer.losses.table import ADDED_LOSSES, CLASSIFICATION_LOSSES


NUM_LABELS, DIM = 5, 24
PRECISIONS = ("float32", "bfloat16", "float16")
# Those that `temperature` may have, and its default.
TEMPERATURES = (1e-6, 0.07, 1e6)


def in_precision(name):
    """What training computes in: float32, or autocast to a type of 16 bits."""
    return nullcontext() if name == "float32" else torch.autocast("cpu", getattr(torch, name))


def directions(kind):
    """Embeddings (5, 24) of labels, all but one of which are parallel or opposite to the first."""
    torch.manual_seed(0)
    first, other = torch.nn.functional.normalize(torch.randn(2, DIM), dim=-1)
    signs = {"parallel": [1, 1, 1, 1], "opposite": [-1, 1, -1, 1]}.get(kind)
    if signs is None:
        return torch.nn.functional.normalize(torch.randn(NUM_LABELS, DIM), dim=-1)
    return torch.stack([first, *(sign * first for sign in signs[:3]), other])


def assert_finite(loss, *leaves, scale=1.0):
    """The loss, and its gradients. `scale` is that of a gradient scaler, which float16 is trained with."""
    assert torch.isfinite(loss), loss
    (scale * loss).backward()
    for leaf in leaves:
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()


def find_scale(precision, temperature):
    """What a gradient scaler comes down to: slopes are 1 over the temperature, and float16 ends at 65,504."""
    return min(temperature, 1.0) if precision == "float16" else 1.0


LABELS = {"one clip": [2], "one label": [1, 1, 1, 1], "all labels": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", CLASSIFICATION_LOSSES.values(), ids=lambda loss: loss.name)
def test_a_classification_loss_is_finite_in_the_corners(tmp_path, loss, precision):
    args = ClipCaerTrainingArguments(str(tmp_path), label_smoothing_factor=0.1)
    for kind, labels, temperature, prior in itertools.product(
        ("parallel", "opposite", "apart"), LABELS.values(), TEMPERATURES, (0.0, 0.2)
    ):
        labels, embeds = torch.tensor(labels), directions(kind)
        videos = embeds[labels].clone().requires_grad_()
        priors = [prior, *([(1 - prior) / 4] * 4)]
        inputs = {
            "counts": [1, 2, 3, 4, 100_000],
            "votes": torch.eye(NUM_LABELS)[labels] * 3,
            "label_embeds": embeds,
        }
        with in_precision(precision):
            # As the model: the product may be coarse, the logits are float32.
            cosines = (videos @ embeds.T).float()
            scores = cosines if loss.has_margins else adjust_logits(cosines / temperature, priors, 1.0)
            others = {name: inputs[name] for name in loss.inputs}
            value = loss.compute(args, scores, labels, weights=torch.rand(NUM_LABELS) + 0.1, **others)
        assert_finite(value, videos, scale=find_scale(precision, temperature))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", ADDED_LOSSES, ids=lambda loss: loss.name)
def test_an_added_loss_is_finite_in_the_corners(loss, precision):
    kinds, others, lengths = ("parallel", "opposite", "apart"), ("parallel", "apart"), (1e-4, 1, 100)
    for kind, other, length in itertools.product(kinds, others, lengths):
        views = {name: length * directions(kind if place == 0 else other) for place, name in enumerate(loss.inputs)}
        views = {name: view.requires_grad_() for name, view in views.items()}
        with in_precision(precision):
            value = loss.compute(type("Outputs", (), views))
        assert_finite(value, *views.values())


@dataclasses.dataclass
class Corner:
    """A batch and a model that are extreme in a way."""

    batch_size: int = 2
    num_frames: int = 4
    temperature: float = 0.07
    pixels: str = "noise"
    texts: str = "apart"


CORNERS = {
    "one clip": Corner(batch_size=1),
    "one frame": Corner(num_frames=1),
    "64 frames": Corner(num_frames=64, batch_size=1),
    "one frame of one clip": Corner(batch_size=1, num_frames=1),
    "least temperature": Corner(temperature=1e-6),
    "greatest temperature": Corner(temperature=1e6),
    "black pixels": Corner(pixels="black"),
    "pixels of an extreme": Corner(pixels="extreme"),
    "texts on one line": Corner(texts="on one line"),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("corner", CORNERS)
def test_the_model_whole_is_finite_in_the_corners(corner, precision):
    corner = CORNERS[corner]
    torch.manual_seed(0)
    model = tiny_model(num_frames=64, temperature=corner.temperature).train()
    if corner.texts == "on one line":  # parallel and opposite to each other
        with torch.no_grad():
            projection = model.model.clip.text_projection.weight
            projection.copy_(torch.outer(projection[:, 0], projection[0]))
    shape = (corner.batch_size, corner.num_frames, 3, 32, 32)
    draw = {"noise": torch.randn, "black": torch.zeros, "extreme": lambda *size: torch.full(size, 100.0)}
    pixels, faces = draw[corner.pixels](*shape), draw[corner.pixels](*shape)
    labels = torch.zeros(corner.batch_size, dtype=torch.long)
    with in_precision(precision):
        outputs = model(pixel_values=pixels, face_pixel_values=faces)
        loss = torch.nn.functional.cross_entropy(outputs.logits, labels)
        loss = loss + sum(added.compute(outputs) for added in ADDED_LOSSES)
    assert torch.isfinite(outputs.logits).all() and outputs.logits.dtype == torch.float32
    assert_finite(loss, *model.parameters(), scale=find_scale(precision, corner.temperature))
    moved = [name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()]
    # At a temperature of a million all answers are alike, and nothing is left to learn from but the texts.
    assert moved or corner.temperature > 1
