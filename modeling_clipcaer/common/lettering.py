"""Fonts for what is drawn into pictures, by its characters; a number where no font of this machine has them."""

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from PIL import ImageFont

from modeling_clipcaer.names import printable


logger = logging.getLogger(__name__)

# A code point that is no character. A font that claims to have it draws a box for everything.
NO_CHARACTER = 0x0378
BUNDLED = "DejaVuSans-Bold.ttf"
LONGEST_LABEL = 32


class Lettering:
    """How `texts` are drawn, and everything in the alphabet of the font that comes with matplotlib, digits included.

    Args:
        texts: names from outside, such as labels.
        word: what one of them is called where it is drawn as a number: "label 2".
    """

    def __init__(self, texts: Sequence[str], word: str = "label"):
        self.fonts = find_fonts("".join(map(clean, texts)))
        known = set().union(*(characters for _, _, characters in self.fonts))
        self.drawn: dict[str, str] = {}
        for number, text in enumerate(dict.fromkeys(texts), start=1):
            shown = clean(text)
            # Keep: no two look alike, also where what tells them apart is not drawn.
            if not set(map(ord, shown)) <= known or shown in self.drawn.values():
                shown = f"{word} {number}"
                while shown in texts:
                    shown = f"({shown})"
            self.drawn[text] = shown
        replaced = [f"{shown} = {text}" for text, shown in self.drawn.items() if shown != clean(text)]
        if replaced:
            _warn_once(f"no font of this machine has the characters of {'; '.join(replaced)}: drawn by number")

    def __getitem__(self, text: str) -> str:
        """What is drawn for one of the texts."""
        return self.drawn[text]

    @property
    def families(self) -> list[str]:
        """matplotlib's `font.family`, which takes each character from the first that has it."""
        return ["DejaVu Sans", *(name for name, _, _ in self.fonts[1:])]

    def split(self, text: str) -> list[tuple[str, str]]:
        """`text` in parts that one font draws: the font's file, and the part."""

        def find(character: str) -> str:
            return next((file for _, file, found in self.fonts if ord(character) in found), self.fonts[0][1])

        return [(file, "".join(part)) for file, part in groupby(clean(text), key=find)]


def cut_label(label: str) -> str:
    """A label as there is room for it in a picture."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def clean(text: str) -> str:
    """`text` without what no font has a sign for: marks of direction, joiners, variants; controls become spaces."""
    kept = (" " if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") else sign for sign in text)
    return "".join(sign for sign in kept if unicodedata.category(sign) != "Cf" and not "\ufe00" <= sign <= "\ufe0f")


def find_fonts(characters: Iterable[str]) -> list[tuple[str, str, frozenset[int]]]:
    """Name, file, code points: the font of matplotlib, then as many more of this machine as `characters` need."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    bundled = str(Path(matplotlib.get_data_path(), "fonts", "ttf", BUNDLED))
    fonts = [("DejaVu Sans", bundled, _read_characters(bundled))]
    missing = {ord(character) for character in characters} - fonts[0][2]
    for entry in fontManager.ttflist if missing else ():
        found = _read_characters(entry.fname)
        if missing & found and NO_CHARACTER not in found:
            fonts.append((entry.name, entry.fname, found))
            missing -= found
        if not missing:
            break
    return fonts


@cache
def _read_characters(file: str) -> frozenset[int]:
    """The code points that a font can draw; none of a broken one, or of one of bitmaps."""
    from matplotlib.ft2font import FT2Font

    try:
        ImageFont.truetype(file, 12)
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@cache
def _warn_once(message: str) -> None:
    logger.warning("%s", printable(message))
