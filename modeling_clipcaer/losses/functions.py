"""Losses of training, as functions of tensors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from modeling_clipcaer.errors import InputError


# The vector over which the public research code spreads its label smoothing; ours is uniform unless it is given.
REFERENCE_SMOOTHING_DISTRIBUTION = (0.065267810, 0.817977729, 1.035884371, 0.388144355, 0.19551041668)


def _at_least_fp32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _cosine_matrix(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    # Keep: inside autocast the product would be bf16, with steps of 0.06 in a logit of 1 / 0.07.
    with torch.autocast(rows.device.type, enabled=False):
        return F.normalize(_at_least_fp32(rows), dim=-1) @ F.normalize(_at_least_fp32(columns), dim=-1).T


def mi_loss(soft: torch.Tensor, descriptive: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """
    Mutual information between the two text views: symmetric InfoNCE over labels (van den Oord et al., 2018; in both
    directions as in Radford et al., 2021): `½ [CE(S, diag) + CE(Sᵀ, diag)]` with `S = cos(soft, descriptive) /
    temperature`.

    Minimum: `log(1 + (K - 1) exp(-K / ((K - 1) · temperature)))` for K labels, nearly 0, reached when both views are
    the same regular simplex. Views that do not tell the labels apart (all equal) give `log K`.

    Args:
        soft (`torch.Tensor` of shape `(num_labels, projection_dim)`): Soft prompts' text embeddings, of any length.
        descriptive (`torch.Tensor` of shape `(num_labels, projection_dim)`): Descriptive prompts' text embeddings.
        temperature (`float`, *optional*, defaults to 0.07): Divides the cosines.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    similarity = _cosine_matrix(soft, descriptive) / temperature
    own_label = torch.arange(len(similarity), device=similarity.device)
    return (F.cross_entropy(similarity, own_label) + F.cross_entropy(similarity.T, own_label)) / 2


def dc_loss(soft: torch.Tensor) -> torch.Tensor:
    """
    Decorrelation of the labels' soft prompts: `mean over i ≠ j of cos²(soft_i, soft_j)`, the off-diagonal penalty of
    Zbontar et al., 2021 (Barlow Twins) on labels instead of features.

    Minimum: 0, reached exactly by pairwise orthogonal embeddings (and by a single label). Parallel ones give 1.

    Args:
        soft (`torch.Tensor` of shape `(num_labels, projection_dim)`): Soft prompts' text embeddings, of any length.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    cosines = _cosine_matrix(soft, soft)
    num_labels = len(cosines)
    itself = torch.eye(num_labels, dtype=torch.bool, device=cosines.device)
    return cosines.masked_fill(itself, 0).square().sum() / max(num_labels * (num_labels - 1), 1)


def ramp_weight(epoch: float, warmup: float, ramp: float, final: float) -> float:
    """Weight at `epoch` (0, 1, …, or a fraction): 0 for `warmup` epochs, linear over `ramp` epochs, then `final`."""
    if epoch < warmup:
        return 0.0
    return final if ramp <= 0 else final * min((epoch - warmup) / ramp, 1.0)


def _checked_counts(counts: Sequence[int] | torch.Tensor) -> torch.Tensor:
    counts = torch.as_tensor(counts, dtype=torch.float64)
    if counts.ndim != 1 or not len(counts) or not (counts > 0).all():
        found = ", ".join(f"{count:g}" for count in counts.flatten().tolist())
        raise InputError(f"`counts` must be one positive number of training clips per label, got [{found}]")
    return counts


def class_balanced_weights(counts: Sequence[int] | torch.Tensor, beta: float) -> torch.Tensor:
    """
    Class weights by effective numbers (Cui et al., 2019): `(1 - β) / (1 - β^n_k)`, scaled to sum to the number of
    labels. Equal counts give 1 each, `beta = 0` gives 1 each, `beta → 1` approaches inverse frequency.

    Args:
        counts (sequence of `num_labels` positive integers): Clips per label in the training split.
        beta (`float` in [0, 1)): Share of a new clip that the others of its label already cover.

    Returns:
        `torch.Tensor` of shape `(num_labels,)`, float32.
    """
    counts = _checked_counts(counts)
    if not 0 <= beta < 1:
        raise InputError(f"`beta` must be at least 0 and below 1, got {beta}")
    # Keep: expm1. `1 - beta**n` loses its digits as beta nears 1. The constant 1 - β cancels in the scaling.
    weights = -1 / torch.expm1(counts * torch.tensor(beta, dtype=torch.float64).log())
    return (weights / weights.mean()).float()


def adjust_logits(logits: torch.Tensor, class_priors: Sequence[float] | torch.Tensor, tau: float) -> torch.Tensor:
    """
    Logit adjustment (Menon et al., 2021): `logits + τ log(priors)`. For the training loss only: predictions and
    metrics use the logits as they are, and so answer as if labels were equally frequent.

    Args:
        logits (`torch.Tensor` of shape `(batch_size, num_labels)`): What the model returns.
        class_priors (sequence of `num_labels` numbers): Label frequencies of the training split, summing to 1.
        tau (`float`): Strength; 0 leaves the logits as they are.

    Returns:
        `torch.Tensor` of shape `(batch_size, num_labels)`.
    """
    logits = _at_least_fp32(logits)
    # Keep: the floor. A label without training clips would put -inf, or NaN at tau 0, into every row.
    return logits + tau * torch.as_tensor(class_priors).to(logits).clamp(min=1e-12).log()


def _mean_over_clips(losses: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    if weights is not None:
        losses = losses * weights.to(losses)[labels]
    # Keep: mean over clips. Dividing by the batch's weight sum, as F.cross_entropy(weight=) does, makes the loss of a
    # step depend on how its clips are split over micro-batches and processes.
    return losses.mean()


def smoothed_targets(
    num_labels: int, smoothing: float, class_distribution: Sequence[float] | torch.Tensor | None = None
) -> torch.Tensor:
    """
    Target distribution of each label, `(num_labels, num_labels)`, rows sum to 1. Without `class_distribution` a share
    `smoothing` spreads evenly over all labels (Szegedy et al., 2016; `label_smoothing` of torch). With it, the share
    goes to the *other* labels in proportion to it, and the label itself keeps exactly `1 - smoothing`.
    """
    own_label = torch.eye(num_labels)
    if class_distribution is None:
        return (1 - smoothing) * own_label + smoothing / num_labels
    distribution = torch.as_tensor(class_distribution, dtype=own_label.dtype, device="cpu")
    if distribution.shape != (num_labels,) or not (distribution >= 0).all() or (distribution > 0).sum() < 2:
        raise InputError(
            f"`class_distribution` must hold {num_labels} numbers from 0 up, at least two of them above 0, "
            f"got {distribution.tolist()}"
        )
    others = (1 - own_label) * distribution
    return (1 - smoothing) * own_label + smoothing * others / others.sum(dim=1, keepdim=True)


def smoothed_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    smoothing: float = 0.0,
    class_distribution: Sequence[float] | torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Cross-entropy with smoothed labels: `- Σ_k q_k log softmax(logits)_k`, `q` a row of [`smoothed_targets`].
    Minimum: the entropy of `q` (0 without smoothing), reached when the softmax equals `q`.

    Args:
        logits (`torch.Tensor` of shape `(batch_size, num_labels)`): Raw scores.
        labels (`torch.LongTensor` of shape `(batch_size,)`): 0-based labels.
        smoothing (`float` in [0, 1], *optional*, defaults to 0.0): Share of the target taken from the label.
        class_distribution (sequence of `num_labels` numbers, *optional*):
            Where that share goes. Uniform by default: the research code's fixed vector
            ([`REFERENCE_SMOOTHING_DISTRIBUTION`]) pushes mistakes towards the rare labels of one data set.
        weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): A factor for the clips of each label.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    logits = _at_least_fp32(logits)
    num_labels = logits.shape[-1]
    rows = smoothed_targets(num_labels, smoothing, class_distribution).to(logits)
    # Keep: embedding, not rows[labels], which takes a label of -1 for the last one.
    targets = F.embedding(labels, rows)
    return _mean_over_clips(F.cross_entropy(logits, targets, reduction="none"), labels, weights)


def focal_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    gamma: float = 2.0,
    alpha: float = 1.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Focal loss (Lin et al., 2017): `α (1 - p)^γ CE` with `p` the probability of the label. Minimum: 0, reached when
    every `p` is 1.

    Args:
        logits (`torch.Tensor` of shape `(batch_size, num_labels)`): Raw scores.
        labels (`torch.LongTensor` of shape `(batch_size,)`): 0-based labels.
        gamma (`float`, *optional*, defaults to 2.0): How fast easy clips lose weight; 0 is the plain cross-entropy.
        alpha (`float`, *optional*, defaults to 1.0):
            One factor for all clips. The research code has 0.25 here, which with one factor for all labels balances
            nothing and only scales the gradient; `weights` is what balances.
        weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): A factor for the clips of each label.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    logits = _at_least_fp32(logits)
    cross_entropy = F.cross_entropy(logits, F.one_hot(labels, logits.shape[-1]).to(logits), reduction="none")
    # Keep: the floor. At p = 1 the slope of (1 - p)^γ is infinite for γ below 1, and its product with CE = 0 is NaN.
    miss = (-torch.expm1(-cross_entropy)).clamp(min=torch.finfo(logits.dtype).eps)
    return _mean_over_clips(alpha * miss.pow(gamma) * cross_entropy, labels, weights)


def ldam_loss(
    cosines: torch.Tensor,
    labels: torch.Tensor,
    counts: Sequence[int] | torch.Tensor,
    max_margin: float = 0.5,
    scale: float = 30.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Label-distribution-aware margin loss (Cao et al., 2019): `CE(scale · (cosines - margin_y on the label), y)` with
    `margin_k = C / n_k^¼`, `C` such that the rarest label has `max_margin`. Minimum: the mean over clips of
    `log(1 + (K - 1) exp(-scale · (2 - margin_y)))`, reached when the label's cosine is 1 and the others are -1.

    Args:
        cosines (`torch.Tensor` of shape `(batch_size, num_labels)`): In [-1, 1], *not* divided by a temperature,
            and of prototypes that slerp has not moved.
        labels (`torch.LongTensor` of shape `(batch_size,)`): 0-based labels.
        counts (sequence of `num_labels` positive integers): Clips per label in the training split.
        max_margin (`float`, *optional*, defaults to 0.5): Margin of the rarest label, in units of the cosine.
        scale (`float`, *optional*, defaults to 30): Multiplies the cosines after the margin.
        weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): A factor for the clips of each label.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    cosines = _at_least_fp32(cosines)
    counts = _checked_counts(counts)
    margins = max_margin * (counts.min() / counts).pow(0.25)
    own_label = F.one_hot(labels, cosines.shape[-1]).to(cosines)
    logits = scale * (cosines - own_label * margins.to(cosines))
    return _mean_over_clips(F.cross_entropy(logits, own_label, reduction="none"), labels, weights)


def distribution_loss(
    logits: torch.Tensor, labels: torch.Tensor, votes: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """
    Cross-entropy with the distribution of raters' votes (Barsoum et al., 2016, for FER+): `- Σ_k q_k log
    softmax(logits)_k` with `q = votes / Σ votes`. A clip without a vote has its label for `q`, so that votes of one
    label alone give the plain cross-entropy. Minimum: the mean entropy of `q`, reached when the softmax equals it.

    Args:
        logits (`torch.Tensor` of shape `(batch_size, num_labels)`): Raw scores.
        labels (`torch.LongTensor` of shape `(batch_size,)`): 0-based labels.
        votes (`torch.Tensor` of shape `(batch_size, num_labels)`): How many raters said each label of each clip.
        weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): A factor for the clips of each label.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    logits = _at_least_fp32(logits)
    own_label = F.one_hot(labels, logits.shape[-1]).to(logits)
    votes = torch.where(votes.sum(-1, keepdim=True) > 0, votes.to(logits), own_label)
    targets = votes / votes.sum(-1, keepdim=True)
    return _mean_over_clips(F.cross_entropy(logits, targets, reduction="none"), labels, weights)


def near_label_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    label_embeds: torch.Tensor,
    beta: float = 10.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Cross-entropy with soft labels (Bertinetto et al., 2020): `- Σ_k q_yk log softmax(logits)_k` with `q_yk ∝ exp(-β
    d_yk)`, so that to take a label for a near one costs less. The distance is `1 - cos` of the labels' embeddings,
    scaled to 1 for the farthest two, where theirs is one in a hierarchy. With β up it becomes the plain cross-entropy;
    labels that are all equally far apart give smoothing by `K exp(-β) / (1 + (K - 1) exp(-β))` for K labels. Minimum:
    the mean entropy of `q`, reached when the softmax equals it.

    Args:
        logits (`torch.Tensor` of shape `(batch_size, num_labels)`): Raw scores.
        labels (`torch.LongTensor` of shape `(batch_size,)`): 0-based labels.
        label_embeds (`torch.Tensor` of shape `(num_labels, projection_dim)`): Of any length; they get no gradient.
        beta (`float`, *optional*, defaults to 10.0): How fast the target falls with the distance; 0 makes it uniform.
        weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): A factor for the clips of each label.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    logits = _at_least_fp32(logits)
    distances = (1 - _cosine_matrix(label_embeds, label_embeds).detach()).fill_diagonal_(0).clamp(min=0)
    rows = F.softmax(-beta * distances / distances.max().clamp(min=1e-6), dim=-1).to(logits)
    return _mean_over_clips(F.cross_entropy(logits, F.embedding(labels, rows), reduction="none"), labels, weights)
