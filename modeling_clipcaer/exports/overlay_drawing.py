"""Painting of an overlay's frames: hidden faces, boxes with labels, a line about the room."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from modeling_clipcaer.common.lettering import Lettering, cut_label
from modeling_clipcaer.exports.face_paths import follow_faces
from modeling_clipcaer.exports.look import (
    UNCERTAIN_COLOUR,
    label_colours,
    name_caveats,
    show_percent,
    show_person,
    show_time,
    text_colour,
)
from modeling_clipcaer.exports.overlay_labels import Rectangle, leader, place_label
from modeling_clipcaer.faces.boxes import Box
from modeling_clipcaer.faces.hiding import hide_between
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN, Timeline, TimelineSegment, TimelineWindow


BLACK, WHITE = "#000000", "#FFFFFF"
# The text on a chip, its foreground and its background.
Chip = tuple[str, str, str]


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
        self.colours = label_colours(timeline.labels, timeline.settings.get("label_colours"))
        self.persons = timeline.persons
        names = [*self.persons, ROOM]
        self.segments = {name: [segment for segment in timeline.segments if segment.person == name] for name in names}
        answered = [window for window in timeline.windows if window.score is not None]
        self.windows = {name: [window for window in answered if window.person == name] for name in names}
        self.line = max(2, round(min(width, height) / 300))
        self.text_height = max(8, round(min(width, height) / 32))
        self.lettering = Lettering([*timeline.labels, UNCERTAIN])
        self.ribbon = self._draw_ribbon()
        # Keep: the bounds. A long recording has thousands of scores and times of day.
        self._chip = lru_cache(maxsize=256)(self._draw_chip)
        self._row = lru_cache(maxsize=64)(self._draw_row)

    def paint(self, frame: np.ndarray, time: float) -> None:
        """Paint on `frame` (height, width, 3), uint8 RGB, what is known at `time`, in place."""
        if not self.show_faces:
            # Keep: all who were seen, also those followed too shortly for a timeline of their own.
            for seen in self.paths.values():
                boxes = seen.boxes_to_hide(time)
                if len(boxes):
                    hide_between(frame, boxes * self.scale)
        unseen, shown = [], []
        for person in self.persons:
            path, segment = self.paths.get(person), self._segment_at(person, time)
            box = path.box_at(time) if path else None
            if path is not None and box is not None:
                shown.append((person, self._in_pixels(box), segment, path.is_found_at(time)))
            elif segment is not None:
                unseen.append((f"{_number(person)}, face not seen", segment))
        for _, box, segment, is_found in shown:
            paint_box(frame, box, self._colour(segment), self.line, dashed=not is_found)
        self._paint_labels(frame, time, shown)
        self._paint_footer(frame, time, unseen)

    def _in_pixels(self, box: Box) -> Rectangle:
        left, top, right, bottom = (round(side * scale) for side, scale in zip(box, self.scale, strict=True))
        return left, top, right, bottom

    def _colour(self, segment: TimelineSegment | None) -> str:
        return self.colours[segment.label] if segment else UNCERTAIN_COLOUR

    def _segment_at(self, person: str, time: float) -> TimelineSegment | None:
        segments = self.segments[person]
        place = bisect_right(segments, time, key=lambda segment: segment.start) - 1
        return segments[place] if place >= 0 and time <= segments[place].end else None

    def _paint_labels(
        self, frame: np.ndarray, time: float, shown: Sequence[tuple[str, Rectangle, TimelineSegment | None, bool]]
    ) -> None:
        """Beside each face whose it is and what it is labelled, with a line to the face where that is further away."""
        faces = [
            (box[0] - self.line, box[1] - self.line, box[2] + self.line, box[3] + self.line) for _, box, _, _ in shown
        ]
        room = (self.width, self.height - self._footer_height())
        strips: list[np.ndarray] = []
        places: list[Rectangle] = []
        for (person, _, segment, is_found), face in zip(shown, faces, strict=True):
            strips.append(self._row(self._list_chips(person, segment, is_found, time), 1.0))
            height, width = strips[-1].shape[:2]
            places.append(place_label(face, (width, height), room, places, faces))
        for (_, _, segment, _), face, place in zip(shown, faces, places, strict=True):
            if line := leader(face, place):
                cv2.line(frame, *line, (0, 0, 0), self.line + 2)
                cv2.line(frame, *line, ImageColor.getrgb(self._colour(segment)), self.line)
        for strip, place in zip(strips, places, strict=True):
            paste(frame, strip, *place[:2])

    def _list_chips(
        self, person: str, segment: TimelineSegment | None, is_found: bool, time: float
    ) -> tuple[Chip, ...]:
        chips = [(_number(person), WHITE, BLACK)]
        if segment:
            colour = self._colour(segment)
            chips.append((self._describe(segment, time), text_colour(colour), colour))
        return (*chips, *([] if is_found else [("face not seen", WHITE, BLACK)]))

    def _describe(self, segment: TimelineSegment, time: float) -> str:
        """The label of the segment, and what the window around `time` has for it."""
        return f"{cut_label(self.lettering[segment.label])} {show_percent(self._score_at(segment, time))}"

    def _score_at(self, segment: TimelineSegment, time: float) -> float:
        windows = self.windows[segment.person]
        after = bisect_left(windows, time, key=_middle)
        near = min(
            windows[max(after - 1, 0) : after + 1], key=lambda window: abs(_middle(window) - time), default=None
        )
        return segment.score if near is None else near.probabilities.get(segment.label, near.score or 0.0)

    def _footer_height(self) -> int:
        return self._chip_height(1.0) + self._chip_height(0.6) + self.ribbon.shape[0]

    def _chip_height(self, size: float) -> int:
        return round(1.5 * max(6, round(size * self.text_height)))

    def _paint_footer(self, frame: np.ndarray, time: float, unseen: list[tuple[str, TimelineSegment]]) -> None:
        room = self._segment_at(ROOM, time)
        chips = [(show_time(time)[:-2], WHITE, BLACK)]
        for name, segment in ([(show_person(ROOM), room)] if room else []) + unseen:
            colour = self.colours[segment.label]
            chips += [(name, WHITE, BLACK), (self._describe(segment, time), text_colour(colour), colour)]
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
        height = max(6, round(size * self.text_height))
        parts = [(part, ImageFont.truetype(file, height)) for file, part in self.lettering.split(text)]
        shape = (round(sum(font.getlength(part) for part, font in parts)) + height, self._chip_height(size))
        image, place = Image.new("RGB", shape, background), height / 2
        for part, font in parts:
            ImageDraw.Draw(image).text((place, shape[1] / 2), part, foreground, font, anchor="lm")
            place += font.getlength(part)
        return np.asarray(image)


def _middle(window: TimelineWindow) -> float:
    return (window.start + window.end) / 2


def _number(person: str) -> str:
    return person.removeprefix("person-")


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
