"""What goes with parquet shards in words: the notices, the dataset card and the licence."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from modeling_clipcaer.common.markdown_text import markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.names import printable


LICENCE = (
    "The frames of a restricted data set must not be passed on, nor crops made of them. RAER, for one, is lent for "
    "non-commercial research and must not be redistributed: no upload from which others can read it."
)
DRAWN_LICENCE = "The clips are drawings made by the package `clipcaer`, under the Apache License 2.0."
PEOPLE = "Frames and crops are images of people: keep them only where the data may be."
OF_PEOPLE = (
    "A label is what annotators saw in a clip, not what a person felt. Faces and their expression differ between "
    "people, ages and cultures: what is learned here holds for clips like these."
)
OF_DRAWINGS = "A label is what a clip was drawn to show. What is learned here says nothing about people."
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
COLUMNS = {
    "clip_id": "name of the clip",
    "person_id": "who is seen in it",
    "label": "its label, by number",
    "votes": "raters who said each label",
    "frame_dir": "folder of its frames",
    "frame_names": "files of its frames, in order",
    "video": "its video",
    "first_frame": "its first frame in the video, from 0",
    "num_frames": "its frames",
    "frames": "the bytes of each frame's image file",
    "face_boxes": "left, top, right, bottom of the face in pixels: one for each frame, or one for all",
    "face_box_sources": "where each of them is from",
    "body_boxes": "left, top, right, bottom of the body in pixels: one for all frames, or one for each",
    "face_crops": "uint8 (num_views, num_frames, 3, size, size)",
    "context_crops": "uint8 (num_views, num_frames, 3, size, size)",
    "num_views": "views of a clip that training draws from",
    "cut_settings": "settings of the processor that cut the crops",
}
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
CARD = """\
---
{header}---

# {name}

{drawn}{total} {clips}, each with one of {num_labels} labels. A row holds {embedded}.{notice}

> {responsible_use}

## How to read it

`THIS_FOLDER` is where this file lies, or the repository's name. `clipcaer train --dataset THIS_FOLDER` takes it, too.

```python
from datasets import load_dataset

clips = load_dataset("THIS_FOLDER")
print(clips["{split}"][0]["clip_id"])
```

## Labels

{labels}

## Splits

{splits}

{protocol}

## Columns

{columns}

## Where it is from

{provenance}

## What may not be done

* Watching students or employees; grades, admission, discipline or any other decision about a person; diagnosis.
* Identifying people, or recording them without their knowledge.
* Passing it on beyond what the licence of its source allows.

{meaning}

## Licence

{licence}
"""


def render_dataset_card(
    counts: Mapping[str, Mapping[str, int]],
    features: Mapping[str, Any],
    record: Mapping[str, Any],
    name: str,
    embed: str,
) -> str:
    """The dataset card: what it holds, where that is from, and what must not be done with it.

    Args:
        counts: clips of each label, by split.
        features: the columns, with their types.
        record: what is published of the record of its build; may be empty.
        name: of its folder, where the record does not name the data.
        embed: what a row holds, a key of `EMBEDDED`.
    """
    origin, sizes = record.get("origin") or {}, {split: sum(labels.values()) for split, labels in counts.items()}
    name, is_drawn = origin.get("name") or name, bool(origin.get("is_drawn"))
    total, labels = sum(sizes.values()), list(next(iter(counts.values())))
    return CARD.format(
        header=yaml.safe_dump(describe(printable(name), sizes, is_drawn), sort_keys=False, allow_unicode=True),
        name=markdown_text(name[:1].upper() + name[1:]),
        drawn="> **Drawings, not people.** Every clip is drawn by a computer.\n\n" if is_drawn else "",
        total=f"{total:,}",
        clips="drawn clips" if is_drawn else "clips of learners",
        num_labels=len(labels),
        split=next(iter(counts)),
        embedded=EMBEDDED[embed],
        notice="" if is_drawn and embed != "none" else f" {NOTICES[embed]}",
        responsible_use=RESPONSIBLE_USE,
        labels=_table(
            ["label", *counts],
            [[markdown_text(label), *(counts[split][label] for split in counts)] for label in labels],
        ),
        splits=_table(
            ["split", "clips", "persons", "frames of a clip: least, median, most"], _list_splits(sizes, record)
        ),
        protocol=_tell_protocol(record),
        columns="\n".join(
            [
                "| column | type | what it holds |",
                "|---|---|---|",
                *(
                    f"| `{column}` | {_name_type(kind)} | {COLUMNS.get(column, '')} |"
                    for column, kind in features.items()
                ),
            ]
        ),
        provenance=_tell_provenance(origin, record),
        meaning=OF_DRAWINGS if is_drawn else OF_PEOPLE,
        licence=choose_licence(record),
    )


def choose_licence(record: Mapping[str, Any]) -> str:
    """What holds for whoever has the clips."""
    return DRAWN_LICENCE if (record.get("origin") or {}).get("is_drawn") else LICENCE


def describe(name: str, sizes: Mapping[str, int], is_drawn: bool) -> dict[str, Any]:
    """The card's header, which the Hub reads."""
    total = sum(sizes.values())
    files = [{"split": split, "path": f"{split}-*.parquet"} for split in sizes]
    terms = {"license_name": "terms-of-the-source", "license_link": "LICENSE"}
    return {
        "pretty_name": name,
        "language": ["en"],
        **({"license": "apache-2.0"} if is_drawn else {"license": "other", **terms}),
        "task_categories": ["video-classification"],
        "tags": ["clipcaer", "emotion-recognition", "learning-analytics", *(["synthetic"] * is_drawn)],
        "size_categories": [next((size for most, size in SIZES if total < most), "n>1M")],
        "configs": [{"config_name": "default", "data_files": files}],
    }


def _list_splits(sizes: Mapping[str, int], record: Mapping[str, Any]) -> list[list[object]]:
    """Of each split its name, clips, persons and frames; the last two where the record knows them."""
    rows = []
    for split, size in sizes.items():
        known = record.get("splits", {}).get(split, {})
        lengths = known.get("frames_per_clip")
        frames = "{min}, {median:g}, {max}".format(**lengths) if lengths else "–"
        rows.append([split, f"{size:,}", known.get("num_persons", "–"), frames])
    return rows


def _tell_protocol(record: Mapping[str, Any]) -> str:
    """How the splits were made, and whether they share persons."""
    name = record.get("split", {}).get("name")
    if name is None:
        return "How the splits were made is not known."
    shared = {pair: count for pair, count in record.get("shared_persons", {}).items() if count}
    persons = ", ".join(f"{count} of {pair}" for pair, count in shared.items()) or "none"
    return f"Splits: {markdown_text(name)}. Persons in two of them: {persons}."


def _tell_provenance(origin: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Whose data, built how and with what."""
    lines = [f"* Source: {markdown_text(origin.get('name') or 'not recorded')}"]
    lines[0] += f", <{origin['link']}>" if origin.get("link") else ""
    if left_out := record.get("unreadable_clips_left_out"):
        lines.append(f"* Left out, as they cannot be read: {left_out} clips")
    if versions := record.get("versions"):
        told = ", ".join(f"{name} {number}" for name, number in versions.items())
        lines.append(f"* Built with {told}; settings, box counts and checksums of the source's lists: `build.json`")
    return "\n".join(lines)


def _name_type(kind: Any) -> str:
    """A column's type in a few words."""
    names = getattr(kind, "names", None)
    if names:
        return "number of " + ", ".join(map(markdown_text, names))
    inner = getattr(kind, "feature", None)
    return f"list of {_name_type(inner)}" if inner is not None else str(kind.dtype)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
