"""Draw the diagrams of README and docs as SVG, each for a light and for a dark page.

python docs/figures/diagrams.py docs/pictures
"""

import math
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path


FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
# By theme: of writing, of quieter writing and lines, of the page; then of each kind of box its ground and its edge.
THEMES = {
    "light": {
        **{"ink": "#1b2230", "soft": "#5a6475", "page": "#ffffff"},
        **{"plain": ("#f4f6f9", "#aab3c2"), "frozen": ("#e8edf3", "#8a96a8"), "face": ("#dcecf8", "#0072b2")},
        **{"context": ("#d9f1e8", "#00805d"), "text": ("#ebe4f4", "#6f4e9b"), "result": ("#fdebd0", "#b26a00")},
        "wrong": ("#fbe3d6", "#c2410c"),
    },
    "dark": {
        **{"ink": "#e8ebf1", "soft": "#a3adbd", "page": "#0d1117"},
        **{"plain": ("#1d2430", "#556072"), "frozen": ("#252d3a", "#77849a"), "face": ("#12324a", "#56b4e9")},
        **{"context": ("#10382d", "#2fc296"), "text": ("#33284a", "#b79ce0"), "result": ("#40300f", "#e6a117")},
        "wrong": ("#45200f", "#ff9b6a"),
    },
}


class Sketch:
    """Boxes, arrows and words on a page.

    Args:
        width, height (`int`): in pixels.
        theme (`str`): "light" or "dark".
    """

    def __init__(self, width: int, height: int, theme: str):
        self.width, self.height, self.colours = width, height, THEMES[theme]
        self.parts: list[str] = []

    def add(self, part: str) -> None:
        """An element of SVG."""
        self.parts.append(part)

    def text(self, x: float, y: float, words: str, size: int = 14, colour: str = "ink", anchor="middle", bold=False):
        """Words whose line is centred on `y`."""
        weight = ' font-weight="600"' if bold else ""
        self.add(
            f'<text x="{x:g}" y="{y + 0.36 * size:.1f}" font-size="{size}"{weight} fill="{self.colours[colour]}" '
            f'text-anchor="{anchor}">{escape(words)}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, kind: str, *lines: str) -> None:
        """A box with a bold line, and quieter lines below it."""
        ground, edge = self.colours[kind]
        dash = ' stroke-dasharray="6 4"' if kind == "frozen" else ""
        self.add(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" fill="{ground}" '
            f'stroke="{edge}" stroke-width="1.6"{dash}/>'
        )
        top = y + height / 2 - 9.5 * (len(lines) - 1)
        for number, line in enumerate(lines):
            look = (12, "soft", "middle", False) if number else (14, "ink", "middle", True)
            self.text(x + width / 2, top + 19 * number, line, *look)

    def arrow(self, *points: tuple[float, float], colour: str = "soft", both: bool = False) -> None:
        """A line through `points` with a head at its end, or at both ends."""
        shade = self.colours[colour] if isinstance(self.colours[colour], str) else self.colours[colour][1]
        way = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.add(f'<polyline points="{way}" fill="none" stroke="{shade}" stroke-width="1.8" stroke-linejoin="round"/>')
        ends = [(points[-2], points[-1])] + ([(points[1], points[0])] if both else [])
        for (x0, y0), (x, y) in ends:
            turn = math.degrees(math.atan2(y - y0, x - x0))
            place = f"translate({x:g} {y:g}) rotate({turn:.1f})"
            self.add(f'<path d="M0 0L-9 4.5V-4.5Z" transform="{place}" fill="{shade}"/>')

    def student(self, x: float, y: float, size: float, face: str = "plain", body: str = "plain") -> None:
        """Head and shoulders in a square of side `size`, in the edges' colours of two kinds."""
        head, shoulders = self.colours[face][1], self.colours[body][1]
        self.add(
            f'<path d="M{x + 0.12 * size:g} {y + size:g}q0 {-0.36 * size:g} {0.38 * size:g} {-0.36 * size:g}'
            f't{0.38 * size:g} {0.36 * size:g}Z" fill="{shoulders}"/>'
            f'<circle cx="{x + 0.5 * size:g}" cy="{y + 0.36 * size:g}" r="{0.2 * size:g}" fill="{head}"/>'
        )

    def write(self, path: Path) -> None:
        """The page as a file."""
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}">'
        path.write_text("\n".join([head, *self.parts, "</svg>\n"]), encoding="utf-8")


def draw_model(page: Sketch) -> None:
    """The way of a clip and of a label through the model."""
    frame, edge = page.colours["plain"]
    for number in (2, 1, 0):
        x, y = 14 + 9 * number, 92 - 9 * number
        page.add(f'<rect x="{x}" y="{y}" width="96" height="76" rx="4" fill="{frame}" stroke="{edge}"/>')
    page.student(28, 92, 68, "face", "context")
    page.text(62, 190, "a clip, T frames", 13, "soft")
    for y, kind, name in ((36, "face", "faces"), (132, "context", "context")):
        page.arrow((130, 120), (150, 120), (150, y + 29), (170, y + 29), colour=kind)
        page.box(172, y, 92, 58, kind, name, "T crops")
        page.arrow((264, y + 29), (300, y + 29), colour=kind)
    page.box(302, 26, 114, 174, "frozen", "CLIP", "vision tower", "frozen,", "one call for both")
    page.arrow((416, 65), (448, 65), colour="face")
    page.box(450, 36, 104, 58, "face", "adapter", "EAA")
    page.arrow((554, 65), (584, 65), colour="face")
    page.arrow((416, 161), (584, 161), colour="context")
    page.box(586, 36, 118, 58, "face", "temporal", "transformer")
    page.box(586, 132, 118, 58, "context", "temporal", "transformer")
    page.arrow((704, 65), (724, 65), (724, 100), (746, 100), colour="face")
    page.arrow((704, 161), (724, 161), (724, 126), (746, 126), colour="context")
    page.box(748, 82, 78, 62, "plain", "fusion", "z")
    page.arrow((787, 144), (787, 227))

    page.box(14, 254, 130, 106, "text", "a label", "Fatigue")
    page.arrow((144, 283), (170, 283), colour="text")
    page.arrow((144, 331), (170, 331), colour="text")
    page.box(172, 256, 200, 48, "text", "soft prompt", "[learned] a tired student")
    page.box(172, 312, 200, 48, "plain", "sentences", "half-closed eyes …")
    page.arrow((372, 280), (402, 280), colour="text")
    page.arrow((372, 336), (402, 336))
    page.box(404, 254, 114, 106, "frozen", "CLIP", "text tower", "frozen")
    page.arrow((518, 280), (548, 280), colour="text")
    page.arrow((518, 336), (548, 336))
    page.box(550, 260, 130, 40, "text", "soft view")
    page.box(550, 316, 130, 40, "plain", "descriptive")
    page.arrow((615, 300), (615, 316), colour="text", both=True)
    page.text(623, 308, "MI loss", 11, "soft", "start")
    page.text(615, 247, "DC loss: labels apart", 11, "soft")
    page.arrow((680, 280), (710, 280), colour="text")
    page.arrow((680, 336), (710, 336))
    page.box(712, 228, 162, 148, "result")
    page.text(822, 248, "IEC", 14, "ink", bold=True)
    draw_slerp(page, 738, 358, 88)
    page.text(787, 392, "z · slerp(t, z, λ) / τ", 13, "soft")
    page.arrow((874, 302), (896, 302), colour="result")
    for number, (name, share) in enumerate((("Neutrality", 12), ("Enjoyment", 3), ("Confusion", 9), ("Fatigue", 72))):
        y, kind = 236 + 38 * number, "result" if name == "Fatigue" else "plain"
        page.text(902, y, f"{name} {share} %", 12, "ink" if share > 50 else "soft", "start", share > 50)
        shade = page.colours[kind][1]
        page.add(f'<rect x="902" y="{y + 9}" width="{0.9 * share:g}" height="7" rx="3" fill="{shade}"/>')
    page.text(14, 14, "from the clip", 12, "soft", "start")
    page.text(14, 238, "from the label, once for all clips", 12, "soft", "start")


def draw_slerp(page: Sketch, x: float, y: float, radius: float) -> None:
    """Three unit vectors from (x, y): a text, a clip, and the text on its way to the clip."""

    def tip(degrees: float, length: float = 1.0) -> tuple[float, float]:
        turn = math.radians(degrees)
        return x + length * radius * math.cos(turn), y - length * radius * math.sin(turn)

    (left, top), (right, bottom) = tip(80), tip(8)
    page.add(
        f'<path d="M{left:.1f} {top:.1f}A{radius} {radius} 0 0 1 {right:.1f} {bottom:.1f}" fill="none" '
        f'stroke="{page.colours["soft"]}" stroke-dasharray="3 4"/>'
    )
    for degrees, name, colour in ((80, "t", "text"), (44, "slerp", "result"), (8, "z", "soft")):
        page.arrow((x, y), tip(degrees), colour=colour)
        page.text(*tip(degrees, 1.16), name, 12, "ink", "start" if name == "slerp" else "middle")


def draw_tasks(page: Sketch) -> None:
    """From clips to timelines, and which page is about what."""
    steps = (
        (10, "plain", "your clips", "videos, labels"),
        (200, "context", "dataset", "data.md"),
        (390, "text", "checkpoint", "training.md"),
        (580, "face", "timeline", "timeline.md"),
    )
    for x, kind, *lines in steps:
        page.box(x, 30, 130, 64, kind, *lines)
    for x, word in ((140, "build"), (330, "train"), (520, "predict")):
        page.arrow((x, 62), (x + 58, 62))
        page.text(x + 28, 48, word, 12, "soft")
    page.box(580, 132, 130, 52, "plain", "recordings", "of your own")
    page.arrow((645, 132), (645, 96))
    for x, name, file in ((200, "report", "evaluation.md"), (330, "maps", "explain.md"), (460, "stress", "stress.md")):
        page.box(x, 132, 110, 52, "result", name, file)
        page.arrow((x + 55, 132), (x + 55, 114), (455, 114), (455, 96), colour="result")


def draw_checkpoint(page: Sketch) -> None:
    """What lies in a checkpoint, and who reads it."""
    page.box(10, 20, 220, 148, "text", "a checkpoint folder", "model.safetensors", "config.json", "pixel settings",
             "its own code", "model card, report")  # fmt: skip
    for y, lines in (
        (14, ("transformers alone", "pipeline, AutoModel: labels of clips")),
        (72, ("with this package", "timelines, boxes, maps, reports")),
        (130, ("export", "one ONNX file, without the text tower")),
    ):
        page.arrow((230, 94), (262, 94), (262, y + 23), (290, y + 23), colour="text")
        page.box(292, y, 320, 46, "plain", *lines)


def draw_extending(page: Sketch) -> None:
    """Two places, and what follows from them."""
    page.box(10, 20, 170, 56, "face", "a function", "what it does")
    page.box(10, 100, 170, 56, "text", "a row", "in the one table")
    page.arrow((95, 76), (95, 100), colour="face", both=True)
    page.box(270, 20, 370, 136, "plain")
    page.arrow((180, 128), (224, 128), (224, 88), (268, 88), colour="text")
    page.text(290, 40, "follows by itself", 12, "soft", "start")
    things = ("flags and ranges", "help", "checks", "what runs", "what is written", "records")
    for number, thing in enumerate(things):
        page.box(286 + 116 * (number % 3), 56 + 48 * (number // 3), 106, 38, "result")
        page.text(339 + 116 * (number % 3), 75 + 48 * (number // 3), thing, 12)


def draw_from_research_code(page: Sketch) -> None:
    """What is brought, and what it becomes."""
    rows = (
        ("model_best.pth", "their checkpoint", "clipcaer convert", "a checkpoint folder", "the same logits to 1e-5"),
        ("annotation, boxes", "their lists", "clipcaer build raer", "a dataset", "files stay where they are"),
        ("main.py --mode train", "their flags", "clipcaer train", "a run, or a reason", "each flag named"),
    )
    for number, (theirs, what, command, ours, note) in enumerate(rows):
        y = 12 + 62 * number
        page.box(10, y, 190, 50, "plain", theirs, what)
        page.arrow((200, y + 25), (408, y + 25))
        page.text(302, y + 12, command, 13, "ink")
        page.box(410, y, 200, 50, "context", ours, note)


def draw_resuming(page: Sketch) -> None:
    """A run that is stopped behind its third checkpoint, whose file is torn."""
    page.arrow((20, 70), (500, 70))
    marks: Iterable[tuple[int, str, str]] = (
        (100, "context", "checkpoint-100"), (260, "context", "checkpoint-200"), (420, "wrong", "checkpoint-300")
    )  # fmt: skip
    for x, kind, name in marks:
        page.add(f'<circle cx="{x}" cy="70" r="9" fill="{page.colours[kind][0]}" stroke="{page.colours[kind][1]}" '
                 'stroke-width="2.5"/>')  # fmt: skip
        page.text(x, 48, name, 12)
    page.text(420, 94, "torn: passed over, by name", 12, "soft")
    page.text(506, 70, "stopped", 12, "soft", "start")
    page.arrow((260, 80), (260, 130), (640, 130), colour="context")
    page.text(270, 116, "--resume-from-checkpoint last", 13, "ink", "start")
    page.box(642, 106, 170, 48, "context", "the same weights", "to the last bit")
    page.text(270, 146, "goes on from the latest that is whole", 12, "soft", "start")


DIAGRAMS = {
    "model": (draw_model, 1016, 404),
    "tasks": (draw_tasks, 724, 196),
    "checkpoint": (draw_checkpoint, 624, 190),
    "extending": (draw_extending, 650, 172),
    "from_research_code": (draw_from_research_code, 622, 200),
    "resuming": (draw_resuming, 822, 168),
}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (draw, width, height) in DIAGRAMS.items():
        for theme in THEMES:
            page = Sketch(width, height, theme)
            draw(page)
            page.write(folder / f"{name}_{theme}.svg")


if __name__ == "__main__":
    main()
