"""What an overlay shows on a frame: hidden faces, boxes with labels, and a line about the room."""

import logging
import string
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from modeling_clipcaer.timeline import ROOM, Timeline, TimelineSegment
from recipes.face_paths import Box, follow_faces, hide_face
from recipes.timeline_look import (
    UNCERTAIN_COLOUR,
    label_colours,
    name_caveats,
    show_percent,
    show_time,
    text_colour,
)


logger = logging.getLogger(__name__)

LONGEST_LABEL = 32
BLACK, WHITE = "#000000", "#FFFFFF"
# The text on a chip, its foreground and its background.
Chip = tuple[str, str, str]
PRINTABLE = string.digits + string.ascii_letters + string.punctuation + " ·…"


def find_font(characters: str) -> str:
    """The file of a font with all of `characters`: the one that comes with matplotlib, else one of this machine."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    bundled = str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf"))
    wanted = {ord(character) for character in characters}
    if wanted <= set(FT2Font(bundled).get_charmap()):
        return bundled
    from matplotlib.font_manager import fontManager

    for entry in fontManager.ttflist:
        try:
            if wanted <= set(FT2Font(entry.fname).get_charmap()):
                ImageFont.truetype(entry.fname, 12)
                return entry.fname
        except (OSError, RuntimeError):  # a broken font, or one of bitmaps
            continue
    logger.warning("no font of this machine has all characters of the labels: the overlay shows boxes in their place")
    return bundled


class OverlayPainter:
    """Paints a timeline's labels on the frames of its recording.

    Args:
        timeline (`Timeline`): of the recording.
        width, height (`int`): pixels of a frame.
        show_faces (`bool`): leave the faces recognisable.
    """

    def __init__(self, timeline: Timeline, width: int, height: int, show_faces: bool):
        self.timeline, self.width, self.height, self.show_faces = timeline, width, height, show_faces
        self.scale = np.array([width / timeline.width, height / timeline.height] * 2)
        self.paths = follow_faces(timeline.sightings)
        self.colours = label_colours(timeline.labels)
        self.persons = timeline.persons
        names = [*self.persons, ROOM]
        self.segments = {name: [segment for segment in timeline.segments if segment.person == name] for name in names}
        self.line = max(2, round(min(width, height) / 300))
        self.text_height = max(8, round(min(width, height) / 32))
        self.font = find_font(PRINTABLE + "".join([*timeline.labels, *self.persons]))
        self.ribbon = self._draw_ribbon()
        # Keep: the bounds. A long recording has thousands of scores and times of day.
        self._chip = lru_cache(maxsize=256)(self._draw_chip)
        self._row = lru_cache(maxsize=16)(self._draw_row)

    def paint(self, frame: np.ndarray, time: float) -> None:
        """Paint on `frame` (height, width, 3), uint8 RGB, what is known at `time`, in place."""
        if not self.show_faces:
            # Keep: all who were seen, also those followed too shortly for a timeline of their own.
            for path in self.paths.values():
                boxes = path.boxes_to_hide(time)
                if len(boxes):
                    hide_face(frame, boxes * self.scale)
        unseen = []
        taken: list[Box] = []
        for person in self.persons:
            path, segment = self.paths.get(person), self._segment_at(person, time)
            box = path.box_at(time) if path else None
            if box is not None:
                self._paint_person(frame, person, box, segment, path.is_found_at(time), taken)
            elif segment is not None:
                unseen.append((f"{_number(person)}, face not seen", segment))
        self._paint_footer(frame, time, unseen)

    def _segment_at(self, person: str, time: float) -> TimelineSegment | None:
        segments = self.segments[person]
        place = bisect_right(segments, time, key=lambda segment: segment.start) - 1
        return segments[place] if place >= 0 and time <= segments[place].end else None

    def _paint_person(
        self,
        frame: np.ndarray,
        person: str,
        box: Box,
        segment: TimelineSegment | None,
        is_found: bool,
        taken: list[Box],
    ) -> None:
        left, top, right, bottom = (round(side * scale) for side, scale in zip(box, self.scale, strict=True))
        colour = self.colours[segment.label] if segment else UNCERTAIN_COLOUR
        paint_box(frame, (left, top, right, bottom), colour, self.line, dashed=not is_found)
        chips = [self._chip(_number(person), WHITE, BLACK)]
        if segment:
            chips.append(self._chip(_describe(segment), text_colour(colour), colour))
        if not is_found:
            chips.append(self._chip("face not seen", WHITE, BLACK))
        strip = np.hstack(chips)
        height, width = strip.shape[:2]
        left = min(left, self.width - width)
        above, below = top - height - self.line, bottom + self.line
        places = [(left, y, left + width, y + height) for y in ([above, below] if above >= 0 else [below])]
        # Keep: beside whom words are already. In a full room neighbours' labels would cover each other.
        place = next((place for place in places if not any(overlap(place, other) for other in taken)), places[0])
        taken.append(place)
        paste(frame, strip, *place[:2])

    def _paint_footer(self, frame: np.ndarray, time: float, unseen: list[tuple[str, TimelineSegment]]) -> None:
        room = self._segment_at(ROOM, time)
        chips = [(show_time(time)[:-2], WHITE, BLACK)]
        for name, segment in ([(ROOM, room)] if room else []) + unseen:
            colour = self.colours[segment.label]
            chips += [(name, WHITE, BLACK), (_describe(segment), text_colour(colour), colour)]
        notice = " · ".join(["research use only", *name_caveats(self.timeline.settings)])
        rows = [self._row(tuple(chips), 1.0), self._row(((notice, WHITE, BLACK),), 0.6), self.ribbon]
        top = self.height - sum(row.shape[0] for row in rows)
        frame[max(top, 0) :] >>= 2  # dims the picture behind the text
        for row in rows:
            paste(frame, row, 0, top)
            top += row.shape[0]
        now = round(time / self.timeline.duration * self.width) if self.timeline.duration else 0
        frame[-self.ribbon.shape[0] :, max(now - self.line, 0) : now + self.line] = 255

    def _draw_ribbon(self) -> np.ndarray:
        """The room's labels over the whole recording, (4 lines, width of the frame, 3) uint8."""
        ribbon = np.zeros((4 * self.line, self.width, 3), dtype=np.uint8)
        for segment in self.segments[ROOM]:
            start, end = (round(time / self.timeline.duration * self.width) for time in (segment.start, segment.end))
            ribbon[:, start:end] = ImageColor.getrgb(self.colours[segment.label])
        return ribbon

    def _draw_row(self, chips: tuple[Chip, ...], size: float) -> np.ndarray:
        """The chips beside each other, shrunk to the frame's width where they are too wide."""
        row = np.hstack([self._chip(*chip, size) for chip in chips])
        if row.shape[1] <= self.width:
            return row
        shape = (self.width, max(1, round(row.shape[0] * self.width / row.shape[1])))
        return cv2.resize(row, shape, interpolation=cv2.INTER_AREA)

    def _draw_chip(self, text: str, foreground: str, background: str, size: float = 1.0) -> np.ndarray:
        """Text on a ground, uint8 (height, width of the text, 3), `size` times as large as usual."""
        # Keep: Pillow cannot lay out control characters.
        text = "".join(character if character.isprintable() else " " for character in text)
        height = max(6, round(size * self.text_height))
        font = ImageFont.truetype(self.font, height)
        shape = (round(font.getlength(text)) + height, round(1.5 * height))
        image = Image.new("RGB", shape, background)
        ImageDraw.Draw(image).text((shape[0] / 2, shape[1] / 2), text, foreground, font, anchor="mm")
        return np.asarray(image)


def _number(person: str) -> str:
    return person.removeprefix("person-")


def _describe(segment: TimelineSegment) -> str:
    label = segment.label if len(segment.label) <= LONGEST_LABEL else segment.label[: LONGEST_LABEL - 1] + "…"
    return f"{label} {show_percent(segment.score)}"


def overlap(box: Box, other: Box) -> bool:
    """Whether two boxes share an area."""
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def paste(frame: np.ndarray, image: np.ndarray, left: int, top: int) -> None:
    """Paint `image` on `frame` with its corner at (left, top), in place; what lies outside the frame is cut off."""
    hidden_left, hidden_top = max(0, -left), max(0, -top)
    target = frame[top + hidden_top : max(0, top + image.shape[0]), left + hidden_left : max(0, left + image.shape[1])]
    target[:] = image[hidden_top:, hidden_left:][: target.shape[0], : target.shape[1]]


def paint_box(
    frame: np.ndarray, box: tuple[int, int, int, int], colour: str, thickness: int, dashed: bool = False
) -> None:
    """Paint the outline of `box` in `colour` between two black lines, which set it off from any picture, in place."""
    left, top, right, bottom = box
    rgb = ImageColor.getrgb(colour)
    cv2.rectangle(frame, (left, top), (right, bottom), (0, 0, 0), thickness + 2)
    dash = max(6 * thickness, 1) if dashed else max(right - left, bottom - top, 1)
    for x in range(left, right, 2 * dash):
        for y in (top, bottom):
            cv2.line(frame, (x, y), (min(x + dash, right), y), rgb, thickness)
    for y in range(top, bottom, 2 * dash):
        for x in (left, right):
            cv2.line(frame, (x, y), (x, min(y + dash, bottom)), rgb, thickness)
