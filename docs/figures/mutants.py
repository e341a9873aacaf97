"""Draw the table of mutants in docs/reliability.md.

python docs/figures/mutants.py docs/pictures
"""

import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from modeling_clipcaer.common.palette import COLOURS, NEUTRAL_COLOUR


PAGE = Path(__file__).parents[1] / "reliability.md"
ROW = re.compile(r"^\| `?([\w/ ]+?)`? \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


def main() -> None:
    rows = [(row[0], *map(int, row[1:])) for row in ROW.findall(PAGE.read_text(encoding="utf-8"))]
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    for place, (_room, _, drawn, die, equal, live) in enumerate(reversed(rows)):
        axes.barh(place, die, color=COLOURS[0])
        axes.barh(place, live, left=die, color=COLOURS[1])
        axes.barh(place, equal, left=die + live, color=NEUTRAL_COLOUR)
        axes.text(drawn + 1, place, f"{die} of {drawn - equal}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [row[0] for row in reversed(rows)])
    for label, colour in (
        ("a test fails", COLOURS[0]),
        ("none does", COLOURS[1]),
        ("changes nothing", NEUTRAL_COLOUR),
    ):
        axes.barh(0, 0, color=colour, label=label)
    axes.set_xlabel("small faults, drawn by chance")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(Path(sys.argv[1], "mutants.png"), dpi=120)


if __name__ == "__main__":
    main()
