"""What goes with parquet shards in words: the notices and the dataset card."""

from collections.abc import Iterable, Mapping

from modeling_clipcaer.common.markdown_text import markdown_text


LICENCE = (
    "The frames of a restricted data set must not be passed on, nor crops made of them. RAER, for one, is lent for "
    "non-commercial research and must not be redistributed: no upload from which others can read it."
)
PEOPLE = "Frames and crops are images of people: keep them only where the data may be."
FILES = (
    "Image files are kept byte for byte, with all that they hold beside the picture: a phone's photo perhaps "
    "the place where it was taken."
)
PATHS = "The rows hold paths: the files of the frames must be at the same place wherever the shards are read."
EMBEDDED = {
    "none": "paths of the frames' files, which are not part of it",
    "frames": "the bytes of the frames' image files (`frames`), with boxes of face and body",
    "crops": "crops of face and context as the model sees them, uint8 (num_views, num_frames, 3, size, size)",
}
# What whoever passes the shards on must know, by --embed.
NOTICES = {"none": PATHS, "frames": f"{PEOPLE} {FILES}", "crops": PEOPLE}
CARD = """\
---
license: other
task_categories:
- video-classification
configs:
- config_name: default
  data_files:
{files}
---

# {name}

{clips}. Labels: {labels}.

A row holds {embedded}.

{note}

## Licence

{licence}
{people}"""


def render_dataset_card(sizes: Mapping[str, int], labels: Iterable[str], name: str, embed: str) -> str:
    """The dataset card, which says which files are which split and what must not be done with them."""
    return CARD.format(
        name=markdown_text(name),
        files="\n".join(f"  - split: {split}\n    path: {split}-*.parquet" for split in sizes),
        clips=", ".join(f"{size} clips for {split}" for split, size in sizes.items()),
        labels=", ".join(map(markdown_text, labels)),
        embedded=EMBEDDED[embed],
        note=PATHS if embed == "none" else "Read by ClipCaer's recipes with `--dataset`, or by `load_dataset`.",
        licence=LICENCE,
        people="" if embed == "none" else f"{NOTICES[embed]}\n",
    )
