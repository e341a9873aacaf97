"""The columns of a dataset of clips, as Arrow keeps them."""

from collections.abc import Sequence

from datasets import ClassLabel, Features, List, Value

from modeling_clipcaer.data.boxes import BOX_SOURCES
from modeling_clipcaer.data.rows import COUNTS
from modeling_clipcaer.raer_labels import RAER_LABELS


FOLDER_COLUMNS = {"frame_dir": Value("string"), "frame_names": List(Value("string"))}
VIDEO_COLUMNS = {"video": Value("string"), "first_frame": Value("int32"), "num_frames": Value("int32")}
VOTE_COLUMNS = {"votes": List(Value("int32"))}
# Of the counts that a reading adds to its row.
COUNT_FEATURES = Features({name: Value("int32") for name in COUNTS})


def make_features(labels: Sequence[str], is_folder: bool = True, has_votes: bool = False) -> Features:
    """Columns of a dataset of folders of frames, or of videos, whose labels have these names, perhaps with votes."""
    return Features(
        {
            "clip_id": Value("string"),
            "person_id": Value("string"),
            **(FOLDER_COLUMNS if is_folder else VIDEO_COLUMNS),
            "face_boxes": List(List(Value("float32"))),
            "face_box_sources": List(ClassLabel(names=list(BOX_SOURCES))),
            "body_boxes": List(List(Value("float32"))),
            "label": ClassLabel(names=list(labels)),
            **(VOTE_COLUMNS if has_votes else {}),
        }
    )


FEATURES = make_features(RAER_LABELS)
