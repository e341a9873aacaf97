"""Make the pictures of README and docs anew from the folder of a demo.

clipcaer demo outputs/demo
python docs/figures/pictures.py outputs/demo

Names behind the folder make those alone: `pictures.py outputs/demo sheet stress`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image


HERE = Path(__file__).parent
PICTURES = HERE.parent / "pictures"
WIDEST = 1200  # pixels
CLIPCAER = "-m modeling_clipcaer.commands.main"
# By picture: the command that draws it into NEW, if that is to be run, and the file to take.
COMMANDS = {
    "diagrams": (f"{HERE / 'diagrams.py'} {PICTURES}", None),
    "mutants": (f"{HERE / 'mutants.py'} {PICTURES}", None),
    "recording": (f"{HERE / 'recording.py'} DEMO {PICTURES}", None),
    "training_curves": (None, "DEMO/model/training_curves.png"),
    "confusion_matrix": (None, "DEMO/evaluation/confusion_matrix.png"),
    "sheet": (
        f"{CLIPCAER} view DEMO/dataset --split test --num 3 --processor DEMO/model --show-faces "
        "--output NEW/sheet.png",
        "NEW/sheet.png",
    ),
    "explanation": (
        f"{CLIPCAER} explain --model DEMO/model --dataset DEMO/dataset --split test --clips 3 --frames --show_faces "
        "--output_dir NEW/explanation",
        "NEW/explanation/figures/1.png",
    ),
    "stress": (
        f"{CLIPCAER} stress --model DEMO/model --dataset DEMO/dataset --split test --tower_dtype float32 "
        "--output_dir NEW/stress",
        "NEW/stress/stress.png",
    ),
}


def main() -> None:
    demo, *names = sys.argv[1:]
    for name in names or COMMANDS:
        command, file = COMMANDS[name]
        with tempfile.TemporaryDirectory() as new:
            if command:
                words = [word.replace("DEMO", demo).replace("NEW", new) for word in command.split()]
                subprocess.run([sys.executable, *words], check=True)
            if file:
                keep(Path(file.replace("DEMO", demo).replace("NEW", new)), PICTURES / f"{name}.png")


def keep(source: Path, target: Path) -> None:
    """A picture for a page: not too wide, and in few colours."""
    with Image.open(source) as image:
        picture = image.convert("RGB")
    picture.thumbnail((WIDEST, 10 * WIDEST), Image.Resampling.LANCZOS)
    picture.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
