"""Whether maps tell of the model and of the picture: the checks that a saliency method has to pass.

A map that stays when the weights are shuffled tells of the picture's edges and not of the model (Adebayo et al.,
2018); one that is no better on a known cue than the middle of the picture tells nothing of the cue.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification


def shuffle_weights(model: ClipCaerForVideoClassification, seed: int = 0) -> Iterator[str]:
    """Shuffle the model's weights in place, from its head down, and yield after each part what it was: the cascading
    randomisation of Adebayo et al. (2018). Each tensor keeps its values in another order, and so its scale."""
    generator = torch.Generator().manual_seed(seed)
    encoder, tower = model.model, model.model.clip.vision_model
    heads = [getattr(encoder, name, None) for name in ("face_temporal_encoder", "context_temporal_encoder")]
    head = nn.ModuleList([encoder.fusion, *(module for module in heads if module is not None)])
    layers = list(enumerate(tower.encoder.layers, start=1))
    parts = [("fusion and temporal encoders", head), ("projection", encoder.clip.visual_projection)]
    parts += [(f"tower layer {number}", layer) for number, layer in reversed(layers)]
    for name, module in [*parts, ("patch embedding", tower.embeddings)]:
        with torch.no_grad():
            for weight in module.parameters():
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.flatten()[order].view_as(weight))
        yield name


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays of one size, from -1 to 1; equal values share their mean rank. NaN
    where all of one are equal."""
    ranks = np.array([_rank(np.ravel(values)) for values in (first, second)])
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(ranks)[0, 1])


def _rank(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def mass_within(heat: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The share of each map's mass that lies within a mask; a patch's mass is spread evenly over its area.

    Args:
        heat: (num_frames, side, side), each summing to 1.
        mask: (num_frames, size, size) in [0, 1]: which pixels, and how much of them; size is a multiple of side.

    Returns:
        (num_frames,)
    """
    covered = nn.functional.adaptive_avg_pool2d(mask[:, None].float(), heat.shape[-1])[:, 0]
    return (heat * covered).sum(dim=(-2, -1))


def centre_prior(side: int) -> torch.Tensor:
    """A map (side, side) that only says that things stand in the middle: a Gaussian whose deviation is a quarter of
    the picture's side, summing to 1."""
    places = (torch.arange(side) + 0.5) / side - 0.5
    line = torch.exp(-0.5 * (places / 0.25) ** 2)
    return torch.outer(line, line) / line.sum() ** 2
