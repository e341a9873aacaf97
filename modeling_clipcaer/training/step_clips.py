"""The clips of a step of the optimizer: every one counts alike, however processes and batches share them out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator


# Draws of mixup are a stream of their own, beside those that order the clips.
MIXUP_STREAM = 1


@dataclass(frozen=True)
class Share:
    """What of a batch counts in its step.

    Attributes:
        clips: the first so many; those behind them repeat others, so that all processes have batches of one size.
        factor: of the mean loss of these clips. The mean over batches and processes is then that over the step's.
    """

    clips: int
    factor: float


def share_step(sizes: list[int], num_processes: int, process: int, in_last_pass: int | None) -> list[Share]:
    """The shares of this process's batches of one step.

    Args:
        sizes: clips of each of the batches.
        in_last_pass: clips that all processes' last batches have together, where they are not all full; else `None`.
    """
    totals = [num_processes * size for size in sizes]
    if in_last_pass is not None:
        totals[-1] = in_last_pass
    counts = [min(max(total - process * size, 0), size) for total, size in zip(totals, sizes, strict=True)]
    factor = num_processes * len(sizes) / sum(totals)
    return [Share(count, count * factor) for count in counts]


def pair_clips(
    batches: list[dict[str, Any]], shares: list[Share], alpha: float, seed: tuple[int, ...], accelerator: Accelerator
) -> list[dict[str, Any]]:
    """Mixup (Zhang et al., 2018) over a whole step: every clip's partner is drawn among all that count in it.

    Args:
        batches: this process's, of tensors whose first axis is of clips.
        shares: what of them counts.
        alpha: parameter of the Beta distribution that the one share of the step is drawn from.
        seed: of the step; the draw depends on it alone.

    Returns:
        For each batch its partners, of the same form, with the clips' own "share" in the mixture.
    """
    rng = np.random.default_rng((*seed, MIXUP_STREAM))
    share = float(rng.beta(alpha, alpha))
    names = [name for name, value in batches[0].items() if torch.is_tensor(value)]
    # In the order in which one process with one batch has them: batch by batch, in each process by process.
    everything = {name: torch.cat([accelerator.gather(batch[name]) for batch in batches]) for name in names}
    counted = torch.cat(
        [_gather_counted(batch, part, accelerator) for batch, part in zip(batches, shares, strict=True)]
    )
    places = counted.nonzero()[:, 0]
    partner = torch.arange(len(counted), device=counted.device)
    partner[places] = places[torch.from_numpy(rng.permutation(len(places))).to(places.device)]
    paired, start = [], 0
    for batch in batches:
        size = len(batch["labels"])
        first = start + accelerator.process_index * size
        mine = partner[first : first + size]
        paired.append({"share": share, **{name: everything[name][mine] for name in names}})
        start += accelerator.num_processes * size
    return paired


def mix(inputs: dict[str, Any], partners: dict[str, Any]) -> dict[str, Any]:
    """Inputs of the model, both streams with the one share of their step."""
    share = partners["share"]
    return {name: share * value + (1 - share) * partners[name] for name, value in inputs.items()}


def _gather_counted(batch: dict[str, Any], share: Share, accelerator: Accelerator) -> torch.Tensor:
    """Of the clips of all processes' batches, which count."""
    labels = batch["labels"]
    return accelerator.gather(torch.arange(len(labels), device=labels.device) < share.clips)
