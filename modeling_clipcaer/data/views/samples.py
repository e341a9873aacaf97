"""Contact sheets of what the model sees of chosen clips."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from PIL import Image

from modeling_clipcaer.common.files import staged_folder
from modeling_clipcaer.common.locks import locked_name
from modeling_clipcaer.data.clip_rows import BOX_COLUMNS, open_row
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.data.views.contact_sheet import ClipView, HiddenFaces, draw_page
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.faces.hiding import hide_whole
from modeling_clipcaer.names import identity_key
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor, boxes_per_frame


CLIPS_PER_PAGE = 8
SOURCES = "face_box_sources"
OWN = "annotated"  # a face box that is the frame's own


def view_clip(
    rows: Dataset, place: int, processor: ClipCaerVideoProcessor, mode: str = "eval", show_faces: bool = False
) -> ClipView:
    """What the model sees of the clip at `place` of a split.

    Raises:
        InputError: the clip cannot be read; the message begins with its `clip_id`.
    """
    row = rows[place]
    try:
        source = processor.open_clip(open_row(row))
        faces, bodies = (boxes_per_frame(row[name], len(source)) for name in BOX_COLUMNS)
        indices = processor.frame_indices(source, mode=mode)
        shown = int(indices[len(indices) // 2])
        names = [rows.features[SOURCES].feature.int2str(number) for number in row[SOURCES]]
        title = _describe(rows, place, names, len(source))
        if not show_faces:
            # Sources go as boxes do: one for each frame, or one for all.
            is_own = [name == OWN for name in boxes_per_frame(names, len(source))]
            source = HiddenFaces(source, faces, is_own)
        streams = processor.process_clip(source, faces, bodies, indices, mode)
        (frame,) = source.read([shown])
    except InputError as error:
        raise InputError(f"clip {row['clip_id']}: {error}") from error
    context, face = (pixels.permute(0, 2, 3, 1).numpy() for pixels in streams if pixels is not None)
    if not show_faces:
        for index, square in zip(indices.tolist(), face, strict=True):
            if not is_own[index]:
                hide_whole(square)
    whole = Image.fromarray(np.ascontiguousarray(frame.permute(1, 2, 0)))
    return ClipView(title, whole, faces[shown] or None, bodies[shown] or None, context, face)


def _describe(rows: Dataset, place: int, source_names: Sequence[str], num_frames: int) -> tuple[str, str]:
    """The clip's two lines of text."""
    row, counts = rows[place], Counter(source_names)
    faces = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"
    bodies = {0: "none", 1: "one for all frames"}.get(len(row["body_boxes"]), "one a frame")
    label = rows.features["label"].int2str(row["label"])
    return f"{place}: {row['clip_id']}", f"{label}. {num_frames} frames; face boxes: {faces}; body boxes: {bodies}"


def load_split(folder: str, split: str) -> Dataset:
    """A split of a dataset whose faces can be hidden.

    Raises:
        InputError: there is none.
    """
    rows = load_clips(folder, (split,))[split]
    if SOURCES not in rows.column_names:
        raise InputError(f"{folder}: split `{split}` has no column `{SOURCES}`, without which no face can be hidden")
    return rows


def choose_clips(rows: Dataset, wanted: Sequence[str] | None, num: int, seed: int) -> list[int]:
    """Places of the clips `wanted`, by name or number, else of `num` drawn at random, in their order."""
    if wanted is None:
        draws = np.random.default_rng(seed).permutation(len(rows))[:num]
        return sorted(draws.tolist())
    places = {name: place for place, name in enumerate(rows["clip_id"][:])}
    spelling = defaultdict(list)
    for name, place in places.items():
        spelling[identity_key(name)].append(place)
    chosen = []
    for name in wanted:
        alike = spelling[identity_key(name)]  # as a keyboard writes it
        place = places.get(name, alike[0] if len(alike) == 1 else int(name) if name.isdecimal() else -1)
        if not 0 <= place < len(rows):
            numbers = f"a number from 0 to {len(rows) - 1}"
            raise InputError(f"--clips: no clip `{name}`; expected {numbers}, or a name as `{rows[0]['clip_id']}`")
        chosen.append(place)
    return chosen


def make_processor(
    checkpoint: str | None, num_frames: int | None = None, image_size: int | None = None
) -> ClipCaerVideoProcessor:
    """The processor of a checkpoint, or a new one.

    Raises:
        InputError: there is no such checkpoint, or a size is given beside it.
    """
    given = {"num_frames": num_frames, "image_size": image_size}
    given = {name: number for name, number in given.items() if number is not None}
    if checkpoint is None:
        return ClipCaerVideoProcessor(**given)
    if given:
        raise InputError(f"--{next(iter(given)).replace('_', '-')} has no effect with --processor, which states it")
    return ClipCaerVideoProcessor.from_pretrained(checkpoint)


def write_pages(
    rows: Dataset,
    places: Sequence[int],
    processor: ClipCaerVideoProcessor,
    output: Path,
    heading: str,
    mode: str = "eval",
    show_faces: bool = False,
) -> list[Path]:
    """Write the sheet, or its pages once all are complete, and return their paths."""
    pages = [places[start : start + CLIPS_PER_PAGE] for start in range(0, len(places), CLIPS_PER_PAGE)]
    names = [output.name] if len(pages) == 1 else [f"{output.stem}-{page + 1}.png" for page in range(len(pages))]
    heading += (
        f": {processor.num_frames} frames of {processor.image_size} pixels, context above, face below; "
        "face box green, body box orange"
    )
    # Keep: a folder that goes, whatever happens. A page shows people.
    with locked_name(output), staged_folder(output.parent) as folder:
        for name, page in zip(names, pages, strict=True):
            views = [view_clip(rows, place, processor, mode, show_faces) for place in page]
            draw_page(views, heading).save(folder / name)
    return [output.parent / name for name in names]
