"""Texts beside a video: the nearest sentences, and a map of both."""

from typing import NamedTuple

import torch
from torch.nn import functional as F

from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.prompt_learner import as_list, encode_token_embeds, pad_token_ids


class Text(NamedTuple):
    """A sentence of a label: `view` is "descriptive", or "soft" for one that stands behind learned tokens."""

    view: str
    label: int
    sentence: str


@torch.no_grad()
def encode_texts(model: ClipCaerForVideoClassification) -> tuple[list[Text], torch.Tensor]:
    """The labels' sentences, and their unit embeddings (num_texts, projection_dim).

    The descriptive ones one by one, by the checkpoint's own text tower; of a checkpoint that does not keep its
    sentences, the one embedding of each label that it does keep.
    """
    config = model.config
    texts, embeds = [], []
    for label in range(config.num_labels):
        sentences = as_list((config.descriptive_prompts or config.id2label)[label])
        if config.descriptive_prompts and config.descriptive_token_ids:
            embeds.append(_encode_sentences(model, config.descriptive_token_ids[label]))
        else:
            sentences = [" ".join(sentences)]
            embeds.append(model.model.descriptive_text_embeds[label, None])
        texts += [Text("descriptive", label, sentence) for sentence in sentences]
    soft = model.model.encode_soft_prompts()  # (num_labels, num_sentences, projection_dim)
    for label in range(config.num_labels):
        sentences = as_list((config.label_prompts or config.id2label)[label])
        if len(sentences) != soft.shape[1]:
            sentences = [" ".join(sentences)] * soft.shape[1]
        texts += [Text("soft", label, sentence) for sentence in sentences]
    return texts, torch.cat([*embeds, soft.flatten(0, 1)])


def _encode_sentences(model: ClipCaerForVideoClassification, token_ids: list[list[int]]) -> torch.Tensor:
    clip = model.model.clip
    ids = pad_token_ids(token_ids).to(clip.device)
    ends = torch.tensor([len(tokens) - 1 for tokens in token_ids], device=clip.device)
    return F.normalize(encode_token_embeds(clip, clip.text_model.embeddings.token_embedding(ids), ends), dim=-1)


def nearest_texts(
    video_embed: torch.Tensor, texts: list[Text], text_embeds: torch.Tensor, count: int
) -> dict[str, list[tuple[Text, float]]]:
    """The `count` texts of each view that are nearest to a video, by cosine, the nearest first.

    Args:
        video_embed: (projection_dim,) of unit length.
        texts, text_embeds: of [`encode_texts`].
    """
    cosines = (text_embeds @ video_embed).tolist()
    order = sorted(range(len(texts)), key=lambda place: -cosines[place])
    return {
        view: [(texts[place], cosines[place]) for place in order if texts[place].view == view][:count]
        for view in ("descriptive", "soft")
    }


def map_points(embeds: torch.Tensor) -> tuple[torch.Tensor, list[float]]:
    """Embeddings in the plane in which they vary most: principal component analysis (Pearson, 1901).

    Args:
        embeds: (num_points, dim).

    Returns:
        (num_points, 2) in double precision, each axis turned such that its farthest point lies on the positive side,
        and the share of the variance that each of the two axes shows.
    """
    centred = embeds.double().cpu() - embeds.double().cpu().mean(dim=0)
    left, strengths, _ = torch.linalg.svd(centred, full_matrices=False)
    points = (left * strengths)[:, :2]
    points = F.pad(points, (0, 2 - points.shape[1]))
    farthest = points.gather(0, points.abs().argmax(dim=0, keepdim=True))
    total = float(strengths.square().sum())
    shares = [*(strengths.square() / total if total else strengths).tolist(), 0.0, 0.0][:2]
    return points * torch.where(farthest < 0, -1.0, 1.0), shares
