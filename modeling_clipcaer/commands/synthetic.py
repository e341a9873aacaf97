"""Draw a data set of student scenes in RAER's own layout: frames, annotation, boxes, and a caption per frame.

    clipcaer synthetic --output data/drawn --seed 0

writes `data/drawn/RAER/{images,annotation,bounding_box}` and `data/drawn/RAER/captions.jsonl`. The same seed gives the
same bytes, whatever the number of processes. Persons of the test split do not occur in training, and the test split
has at least 30 clips of each label (a fifth where it has fewer than 150 clips), so that recalls mean something.
"""

import argparse
import os
from pathlib import Path

from modeling_clipcaer.common.command_flags import CommandParser
from modeling_clipcaer.common.files import working_folder
from modeling_clipcaer.common.progress import tell
from modeling_clipcaer.errors import InputError, run_command
from modeling_clipcaer.synthetic.data_set import LABEL_SHARES, draw_dataset, plan_dataset


def main() -> None:
    args = parse_args()
    target = Path(args.output) / "RAER"
    if target.exists():
        raise InputError(
            f"--output {args.output}: expected no folder RAER in it, found {target}; remove it or choose another"
        )
    for name in ("clips_train", "clips_test", "num_workers"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')}: expected at least 1, found {getattr(args, name)}")
    if args.seed < 0:
        raise InputError(f"--seed: expected 0 or more, found {args.seed}")
    tell(f"drawing {args.clips_train} training clips and {args.clips_test} test clips")
    plans = plan_dataset(args.seed, args.imbalance, args.clips_train, args.clips_test)
    with working_folder(target) as working:
        draw_dataset(plans, working / target.name, args.num_workers)
        (working / target.name).rename(target)
    print(f"{target}: {args.clips_train} training clips, {args.clips_test} test clips, seed {args.seed}")


def parse_args() -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="folder that will hold the folder RAER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--imbalance", choices=LABEL_SHARES, default="mild", help="label shares of the training split (default: mild)"
    )
    parser.add_argument("--clips-train", "--clips_train", type=int, default=420)
    parser.add_argument("--clips-test", "--clips_test", type=int, default=180)
    parser.add_argument("--num-workers", "--num_workers", type=int, default=os.cpu_count(), help="drawing processes")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(run_command(main))
