"""Draw a data set of student scenes in RAER's own layout: frames, annotation, boxes, and a caption per frame.

    clipcaer synthetic --output data/drawn --seed 0

writes `data/drawn/RAER/{images,annotation,bounding_box}` and `data/drawn/RAER/captions.jsonl`. The same seed gives the
same bytes, whatever the number of processes. Persons of the test split do not occur in training, and the test split
has at least 30 clips of each label (a fifth where it has fewer than 150 clips), so that recalls mean something.
"""

import os
import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.common.files import working_folder
from modeling_clipcaer.common.flags import check_ranges, option, parse_arguments
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.synthetic.data_set import LABEL_SHARES, MISSING_FACE_SHARE, draw_dataset, plan_dataset
from modeling_clipcaer.synthetic.drawing import STYLES


@dataclass
class DrawingArguments:
    """What is drawn, and where."""

    output: str = option(MISSING, "Folder that will hold the folder RAER.")
    seed: int = option(0, "Seed of the drawing.", least=0)
    imbalance: str = option("mild", "Label shares of the training split.", choices=tuple(LABEL_SHARES))
    clips_train: int = option(420, "Clips of the training split.", least=1)
    clips_test: int = option(180, "Clips of the test split.", least=1)
    missing_faces: float = option(MISSING_FACE_SHARE, "Share of the frames without a face box.", least=0, below=1)
    test_style: str | None = option(None, "How the test clips alone are drawn.", choices=tuple(STYLES))
    num_workers: int = option(lambda: os.cpu_count() or 1, "Processes that draw.", least=1)

    def __post_init__(self):
        check_ranges(self)


def main() -> None:
    (args,) = parse_arguments((DrawingArguments,), sys.argv[1:], __doc__)
    target = Path(args.output) / "RAER"
    if target.exists():
        raise InputError(
            f"--output {args.output}: expected no folder RAER in it, found {target}; remove it or choose another"
        )
    tell(f"drawing {args.clips_train} training clips and {args.clips_test} test clips")
    plans = plan_dataset(
        *(args.seed, args.imbalance, args.clips_train, args.clips_test), args.missing_faces, args.test_style
    )
    with working_folder(target) as working:
        draw_dataset(plans, working / target.name, args.num_workers)
        (working / target.name).rename(target)
    tell(f"{target}: {args.clips_train} training clips, {args.clips_test} test clips, seed {args.seed}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
