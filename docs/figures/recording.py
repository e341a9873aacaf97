"""Draw the moving picture of README from a demo: the recording with its labels, and the timeline that runs below.

python docs/figures/recording.py outputs/demo docs/pictures

writes recording.webp, and timeline.png, one moment of it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import matplotlib
from PIL import Image, ImageColor, ImageDraw, ImageFont

from modeling_clipcaer.common.progress import show_clock
from modeling_clipcaer.exports.look import label_colours, text_colour
from modeling_clipcaer.exports.timeline_json import load_timeline
from modeling_clipcaer.recordings.timeline import ROOM, Timeline, TimelineSegment


WIDTH = 720
MARGIN, NAMES, LANE, GAP, AXIS = 14, 92, 32, 6, 24  # pixels around, for names, of a lane, between lanes, for times
GROUND, WRITING, QUIET = "#10151d", "#e8ebf1", "#94a0b4"
STEP, SHOWN = 0.4, 0.2  # seconds of the recording from picture to picture, and for which each is shown
STILL = 0.6  # of the recording, where timeline.png is
QUALITY = 70
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


class Lanes:
    """The timeline below the recording, a lane a person."""

    def __init__(self, timeline: Timeline):
        self.timeline, self.colours = timeline, label_colours(timeline.labels)
        self.persons = timeline.persons or [ROOM]
        self.height = 2 * MARGIN + AXIS + len(self.persons) * (LANE + GAP)
        self.plain, self.bold = (
            ImageFont.truetype(str(FONTS / name), 17) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
        )

    def place(self, time: float) -> float:
        """Where a time lies, in pixels from the left."""
        return MARGIN + NAMES + (WIDTH - 2 * MARGIN - NAMES) * time / self.timeline.duration

    def draw(self, time: float) -> Image.Image:
        """All lanes at `time`: what has not begun is dimmed."""
        picture = Image.new("RGB", (WIDTH, self.height), GROUND)
        pen = ImageDraw.Draw(picture)
        for number, person in enumerate(self.persons):
            pen.text((MARGIN, self._middle(number)), person, WRITING, self.plain, anchor="lm")
        for segment in self.timeline.segments:
            if segment.person in self.persons:
                self._draw_stretch(pen, segment, segment.start <= time)
        now = self.place(time)
        pen.line([(now, MARGIN), (now, self.height - MARGIN - AXIS + GAP)], "white", 2)
        pen.polygon([(now - 6, MARGIN - 7), (now + 6, MARGIN - 7), (now, MARGIN)], "white")
        end = round(self.timeline.duration)
        for tick in range(0, end + 1, 10 if end <= 60 else 60):
            place = (self.place(tick), self.height - MARGIN - AXIS / 2 + GAP)
            pen.text(place, show_clock(tick), QUIET, self.plain, anchor="rm" if tick == end else "mm")
        return picture

    def _middle(self, number: int) -> float:
        return MARGIN + number * (LANE + GAP) + LANE / 2

    def _draw_stretch(self, pen: ImageDraw.ImageDraw, segment: TimelineSegment, has_begun: bool) -> None:
        middle, colour = self._middle(self.persons.index(segment.person)), self.colours[segment.label]
        left, right = self.place(segment.start), self.place(segment.end) - 2
        shown = colour if has_begun else dim(colour)
        pen.rounded_rectangle([left, middle - LANE / 2, right, middle + LANE / 2], 4, shown)
        for words in (f"{segment.label} {100 * segment.score:.0f} %", segment.label):
            if self.bold.getlength(words) < right - left - 8:
                writing = text_colour(colour) if has_begun else QUIET
                pen.text((left + 6, middle), words, writing, self.bold, anchor="lm")
                break


def dim(colour: str) -> tuple[int, ...]:
    """A colour with the ground showing through."""
    return tuple(round(0.25 * a + 0.75 * b) for a, b in zip(*map(ImageColor.getrgb, (colour, GROUND)), strict=True))


def read_pictures(video: Path) -> Iterator[tuple[float, Image.Image]]:
    """Frames of a video every `STEP` seconds but the first, each with its time, `WIDTH` wide."""
    wanted = STEP  # the first moments have no sampled frame behind them, and so no boxes
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= wanted - 1e-3:
                wanted += STEP
                picture = frame.to_image()
                height = round(WIDTH * picture.height / picture.width)
                yield frame.time, picture.resize((WIDTH, height), Image.Resampling.LANCZOS)


def stack(above: Image.Image, below: Image.Image) -> Image.Image:
    """Two pictures, one above the other."""
    picture = Image.new("RGB", (WIDTH, above.height + below.height), GROUND)
    picture.paste(above, (0, 0))
    picture.paste(below, (0, above.height))
    return picture


def main() -> None:
    demo, output = map(Path, sys.argv[1:])
    folder = demo / "prediction" / "lesson"
    timeline = load_timeline(folder / "recording.json")
    lanes = Lanes(timeline)
    pictures = [(time, stack(frame, lanes.draw(time))) for time, frame in read_pictures(folder / "overlay.mp4")]
    (_, still) = min(pictures, key=lambda entry: abs(entry[0] - STILL * timeline.duration))
    still.save(output / "timeline.png", optimize=True)
    first, *others = (picture for _, picture in pictures)
    first.save(
        output / "recording.webp",
        **{"save_all": True, "append_images": others, "duration": round(1000 * SHOWN), "loop": 0},
        **{"quality": QUALITY, "method": 4},
    )


if __name__ == "__main__":
    main()
