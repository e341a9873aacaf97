"""From where on the audit of a dataset calls something wrong."""

from dataclasses import dataclass

from modeling_clipcaer.settings_clipcaer import check_ranges, option


HASH_FRAMES = 3  # frames of a clip that are compared with those of other clips
HASH_BITS = 64 * HASH_FRAMES


@dataclass(frozen=True)
class AuditThresholds:
    """From where on something is wrong."""

    max_imbalance: float = option(
        20.0, "Clips of a split's most common label for each of its rarest.", least=1, most=1e9
    )
    min_face_share: float = option(
        0.5, "Share of a split's clips that must have a face box of their own.", least=0, most=1
    )
    min_body_share: float = option(0.5, "Share of a split's clips that must have a body box.", least=0, most=1)
    # Half of the 16 frames that the model is shown: below that most of what it sees is repeated.
    min_frames: int = option(8, "Frames that a clip must have.", least=1, most=10**9)
    max_missing_share: float = option(
        0.0, "Share of frames that may be missing, empty or unreadable.", least=0, most=1
    )
    min_face_side: float = option(
        16.0, "Pixels of a face box's shorter side, below which it is tiny.", least=1, most=10**6
    )
    min_body_side: float = option(
        32.0, "Pixels of a body box's shorter side, below which it is tiny.", least=1, most=10**6
    )
    max_tiny_share: float = option(0.01, "Share of the boxes of a split that may be tiny.", least=0, most=1)
    max_hash_distance: int = option(
        8,
        f"Bits of {HASH_BITS} in which the picture hashes of near-duplicates may differ.",
        least=0,
        most=HASH_BITS,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
