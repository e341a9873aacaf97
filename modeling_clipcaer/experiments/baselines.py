"""What a result is to be held against, on the same clips: always the most frequent label, CLIP without training, and
two small classifiers without any text, on the frame embeddings of the same frozen towers.

The classifiers see of each stream mean, deviation and maximum over time, of the frames that evaluation looks at, and
learn with the labels' log-priors on their logits (Menon et al., 2021), as the model does where labels are unequal.
What is to be chosen of them is chosen by UAR on the validation split.
"""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from torch import nn
from torch.nn.functional import cross_entropy

from modeling_clipcaer.common.progress import track
from modeling_clipcaer.data.loading import get_labels
from modeling_clipcaer.losses.functions import adjust_logits
from modeling_clipcaer.metrics import (
    bootstrap_confidence_intervals,
    predict_labels,
    unweighted_average_recall,
    weighted_average_recall,
)
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.zero_shot import ZeroShotModel, embed_clips
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor


MAJORITY, ZERO_SHOT, LINEAR, MLP = "majority", "zero-shot", "linear probe", "MLP"
# Strengths of the penalty on the squared weights of the linear probe, the strongest first: a tie takes it.
STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001)
# Of the MLP.
HIDDEN, DROPOUT, LEARNING_RATE, BATCH, EPOCHS = 256, 0.5, 1e-3, 64, 60
DECAYS = (1.0, 0.1, 0.01)
Features = dict[str, tuple[torch.Tensor, np.ndarray]]  # of a split: (num_clips, num_features), and labels


@torch.random.fork_rng()
def measure_baselines(
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    clips: DatasetDict,
    split: str = "test",
    training: str | None = "train",
    *,
    batch_size: int = 8,
    num_workers: int = 0,
    tower_dtype: str = "float32",
    seed: int = 0,
) -> list[dict[str, Any]]:
    """What each baseline reaches on a split. Clips that hold frame embeddings are taken as they are; of others the
    tower encodes every frame that evaluation looks at, once.

    Args:
        model: its CLIP and its labels' sentences are used, nothing that was trained on top; in evaluation mode, on
            the device that it is to run on.
        processor: cuts the pixels.
        clips: `split`; for the two classifiers also `training` and the split validation, by which they are chosen.
        split: that is measured.
        training: what the classifiers learn; `None`: there are none.
        batch_size: clips that the tower sees at a time.
        num_workers: processes that decode frames.
        tower_dtype: type that the tower computes in.
        seed: of the MLP, and of the bootstrap.

    Returns:
        for each a dictionary with `name`, `uar` and `war` with their 95 % intervals `uar_ci95` and `war_ci95` in
        percent, and the `seconds` it took, in which encoding counts for the first that needs it.
    """
    num_labels, references = len(get_labels(clips)), np.array(clips[split]["label"][:])
    found, clock = [], time.perf_counter()

    def add(name: str, predictions: np.ndarray) -> None:
        nonlocal clock
        found.append({"name": name, **_score(references, predictions, num_labels, seed)})
        found[-1]["seconds"] = round(time.perf_counter() - clock, 1)
        clock = time.perf_counter()

    def score(batch: dict[str, Any]) -> Any:
        return ZeroShotModel.forward(model, **batch).logits

    def embed(name: str) -> Iterator[dict[str, torch.Tensor]]:
        batches = embed_clips(model, processor, clips[name], batch_size, num_workers, tower_dtype)
        return track(batches, f"baselines, {name}", math.ceil(len(clips[name]) / batch_size))

    add(MAJORITY, np.full(len(references), np.bincount(references).argmax()))
    embeds = list(embed(split))
    with torch.no_grad():
        logits = torch.cat([score(batch) for batch in embeds])
    add(ZERO_SHOT, predict_labels(logits.float().cpu().numpy()))
    if training is None:
        return found
    pooled = {"test": _pool(embeds), "train": _pool(embed(training)), "validation": _pool(embed("validation"))}
    names = {"test": split, "train": training, "validation": "validation"}
    features = standardise({role: (pooled[role], np.array(clips[name]["label"][:])) for role, name in names.items()})
    for name, train in ((LINEAR, train_linear_probe), (MLP, train_mlp)):
        torch.manual_seed(seed)
        add(name, train(features, num_labels))
    return found


def add_baselines(report: dict[str, Any], baselines: list[dict[str, Any]]) -> dict[str, Any]:
    """A report with `baselines` beside its result, and first of its caveats which of them its model does not beat."""
    report = {**report, "baselines": baselines}
    return {**report, "caveats": [*tell_rivals(report), *report["caveats"]]}


def tell_rivals(report: dict[str, Any]) -> list[str]:
    """A sentence on the baselines of a report that have its model's UAR or more, and one on those that have less, and
    still lie within its interval; none where there are none."""
    uar, low, baselines = report["uar"], report["uar_ci95"][0], report.get("baselines", [])
    rivals = {
        "in UAR the model does not beat": [rival for rival in baselines if rival["uar"] >= uar],
        "in UAR the model is ahead, by no more than chance may give, of": [
            rival for rival in baselines if low < rival["uar"] < uar
        ],
    }
    return [
        f"{words}: " + ", ".join(f"{rival['name']} ({rival['uar']:.1f} %)" for rival in those)
        for words, those in rivals.items()
        if those
    ]


def _score(references: np.ndarray, predictions: np.ndarray, num_labels: int, seed: int) -> dict[str, Any]:
    measured = (references, predictions, num_labels)
    intervals = bootstrap_confidence_intervals(*measured, seed=seed)
    return {
        "uar": round(100 * unweighted_average_recall(*measured), 6),
        "war": round(100 * weighted_average_recall(*measured), 6),
        **{f"{name}_ci95": [round(100 * bound, 6) for bound in intervals[name]] for name in ("uar", "war")},
    }


def _pool(batches: Iterable[dict[str, torch.Tensor]]) -> torch.Tensor:
    """(num_clips, num_features) float64: of each stream mean, deviation and maximum over time."""
    clips = [
        torch.cat(
            [
                pooled
                for embeds in batch.values()
                for pooled in (embeds.mean(dim=1), embeds.std(dim=1, correction=0), embeds.amax(dim=1))
            ],
            dim=-1,
        )
        for batch in batches
    ]
    return torch.cat(clips).double().cpu()


def standardise(features: Features) -> Features:
    """Features of mean 0 and deviation 1 in training; one that does not vary there is 0."""
    known = features["train"][0]
    mean, deviation = known.mean(dim=0), known.std(dim=0, correction=0)
    scale = torch.where(deviation > 1e-8, 1 / deviation.clamp(min=1e-8), 0)
    return {split: ((values - mean) * scale, labels) for split, (values, labels) in features.items()}


def train_linear_probe(features: Features, num_labels: int) -> np.ndarray:
    """Predictions (num_clips,) on the test split of multinomial logistic regression, with the strength of the penalty
    that the validation split prefers."""
    inputs, labels = features["train"]
    targets = torch.from_numpy(labels)
    priors = torch.from_numpy(np.bincount(labels, minlength=num_labels) / len(labels))
    best = _Best(features, priors)
    for strength in STRENGTHS:
        probe = nn.Linear(inputs.shape[1], num_labels).double()
        nn.init.zeros_(probe.weight)
        nn.init.zeros_(probe.bias)
        optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def loss(probe=probe, strength=strength, optimizer=optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            penalty = strength / 2 * probe.weight.square().sum()
            total = cross_entropy(adjust_logits(probe(inputs), priors, 1), targets) + penalty
            total.backward()
            return total

        optimizer.step(loss)
        best.consider(probe)
    return best.predictions


def train_mlp(features: Features, num_labels: int) -> np.ndarray:
    """Predictions (num_clips,) on the test split of an MLP of one hidden layer, with the weight decay and after the
    number of epochs that the validation split prefers."""
    inputs, labels = features["train"]
    inputs, targets = inputs.float(), torch.from_numpy(labels)
    priors = torch.from_numpy(np.bincount(labels, minlength=num_labels) / len(labels))
    best = _Best(features, priors)
    for decay in DECAYS:
        mlp = nn.Sequential(
            nn.Linear(inputs.shape[1], HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, num_labels)
        )
        optimizer = torch.optim.AdamW(mlp.parameters(), lr=LEARNING_RATE, weight_decay=decay)
        for _ in range(EPOCHS):
            mlp.train()
            for chosen in torch.randperm(len(inputs)).split(BATCH):
                loss = cross_entropy(adjust_logits(mlp(inputs[chosen]), priors, 1), targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            best.consider(mlp.eval())
    return best.predictions


class _Best:
    """Keeps the test predictions of what is best on the validation split; of equals, the first."""

    def __init__(self, features: Features, priors: torch.Tensor):
        self.features, self.unseen = features, priors == 0
        self.uar, self.predictions = -1.0, np.empty(0, np.int64)

    def consider(self, classifier: nn.Module) -> None:
        uar = unweighted_average_recall(
            self.features["validation"][1], self._predict(classifier, "validation"), len(self.unseen)
        )
        if uar > self.uar:
            self.uar, self.predictions = uar, self._predict(classifier, "test")

    @torch.no_grad()
    def _predict(self, classifier: nn.Module, split: str) -> np.ndarray:
        """A label that was never learnt is never answered."""
        inputs = self.features[split][0].to(next(classifier.parameters()).dtype)
        return classifier(inputs).masked_fill(self.unseen, -torch.inf).argmax(dim=1).numpy()
