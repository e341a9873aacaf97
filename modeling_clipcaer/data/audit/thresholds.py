"""From where on the audit of a dataset calls something wrong."""

from dataclasses import dataclass, field, fields
from typing import Any

from modeling_clipcaer.errors import InputError


HASH_FRAMES = 3  # frames of a clip that are compared with those of other clips
HASH_BITS = 64 * HASH_FRAMES


def _limit(default: float, low: float, high: float, text: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": text})


@dataclass(frozen=True)
class AuditThresholds:
    """Limits of an audit, each with its range and its meaning in the field's metadata."""

    max_imbalance: float = _limit(20.0, 1, 1e9, "clips of a split's most common label for each of its rarest")
    min_face_share: float = _limit(0.5, 0, 1, "share of a split's clips that must have a face box of their own")
    min_body_share: float = _limit(0.5, 0, 1, "share of a split's clips that must have a body box")
    # Half of the 16 frames that the model is shown: below that most of what it sees is repeated.
    min_frames: int = _limit(8, 1, 10**9, "frames that a clip must have")
    max_missing_share: float = _limit(0.0, 0, 1, "share of frames that may be missing, empty or unreadable")
    min_face_side: float = _limit(16.0, 1, 10**6, "pixels of a face box's shorter side, below which it is tiny")
    min_body_side: float = _limit(32.0, 1, 10**6, "pixels of a body box's shorter side, below which it is tiny")
    max_tiny_share: float = _limit(0.01, 0, 1, "share of the boxes of a split that may be tiny")
    max_hash_distance: int = _limit(
        8, 0, HASH_BITS, f"bits of {HASH_BITS} in which the picture hashes of near-duplicates may differ"
    )

    def __post_init__(self) -> None:
        for limit in fields(self):
            value, low, high = getattr(self, limit.name), limit.metadata["low"], limit.metadata["high"]
            if not low <= value <= high:
                raise InputError(f"`{limit.name}` is {value}, expected a number from {low:g} to {high:g}")
