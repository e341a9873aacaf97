"""Places of labels on an overlay's frames."""

from collections.abc import Iterator, Sequence


# Left, top, right, bottom in whole pixels.
Rectangle = tuple[int, int, int, int]


def overlap(box: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes share an area."""
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def place_label(
    box: Rectangle,
    size: tuple[int, int],
    room: tuple[int, int],
    taken: Sequence[Rectangle],
    faces: Sequence[Rectangle],
) -> Rectangle:
    """The place for a label.

    Args:
        box: the face, with its outline.
        size: width and height of the label.
        room: width and height of the part of the frame that labels may stand in.
        taken: other labels, which are covered only if there is no other place at all.
        faces: all faces, which are covered rather than a label.
    """
    second = None
    for place in _list_places(box, size, room):
        if not any(overlap(place, other) for other in taken):
            if not any(overlap(place, face) for face in faces):
                return place
            second = second or place
    return second or next(_list_places(box, size, room))


def _list_places(box: Rectangle, size: tuple[int, int], room: tuple[int, int]) -> Iterator[Rectangle]:
    """Above, below, right and left of the face, then everywhere else in rows, the nearest first."""
    left, top, right, bottom = box
    width, height = size
    most_left, most_top = max(room[0] - width, 0), max(room[1] - height, 0)
    level = min(max(left, 0), most_left)  # Keep: a label above a face at the edge moves into the frame
    for x, y in ((level, top - height), (level, bottom), (right, top), (left - width, top)):
        if 0 <= x <= most_left and 0 <= y <= most_top:
            yield x, y, x + width, y + height
    columns = {level, most_left, *range(0, most_left + 1, max(width // 2, 1))}
    rows = {row for first in (0, top % height, bottom % height) for row in range(first, most_top + 1, height)}
    distance = {(x, y): abs(x - left) + abs(y - top) for x in columns for y in rows | {most_top}}
    for x, y in sorted(distance, key=lambda place: (distance[place], place)):
        yield x, y, x + width, y + height


def leader(box: Rectangle, place: Rectangle) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The ends of a line from a label to its face; `None` where they touch."""
    ends = [min(max((place[side] + place[side + 2]) // 2, box[side]), box[side + 2]) for side in (0, 1)]
    starts = [min(max(end, place[side]), place[side + 2]) for side, end in enumerate(ends)]
    return None if starts == ends else ((starts[0], starts[1]), (ends[0], ends[1]))
