"""Train a tiny CLIP on drawings of students and captions of single frames: no pretrained CLIP, only shaped like one.

    clipcaer pretrain-tiny-clip --output tiny_clip --seed 0 --steps 1500

draws pictures in memory, from seeds that no drawn data set uses, and writes a checkpoint as CLIP checkpoints on the
Hub are: config.json, model.safetensors, tokenizer files, preprocessor_config.json, and a README.md with the figures on
drawings it has not seen. Captions name what a frame shows (closed eyes, holding a phone), never a label.
"""

import argparse
import os
import sys
from pathlib import Path

from modeling_clipcaer.common.flags import OUTPUTS, CommandParser
from modeling_clipcaer.common.locks import locked_name
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.errors import InputError


def main() -> None:
    args = parse_args()
    output_dir = Path(args.output_dir)
    for name in ("steps", "num_clips", "batch_size", "num_workers"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name}: expected at least 1, found {getattr(args, name)}")
    with locked_name(output_dir):
        if output_dir.exists():
            raise InputError(f"--output_dir {output_dir}: exists; expected the name of a folder to be made")
        tell(f"drawing {args.num_clips} clips")
        from modeling_clipcaer.synthetic.tiny_clip import pretrain

        pretrain(args, output_dir, sys.argv[1:])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument(*OUTPUTS, dest="output_dir", required=True, metavar="DIR", help="folder to be made")
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawings and of training")
    parser.add_argument("--steps", type=int, default=1500, help="steps of training")
    parser.add_argument("--num_clips", "--num-clips", type=int, default=5000, help="drawn clips, 3 frames of each")
    parser.add_argument(
        "--batch_size", "--batch-size", type=int, default=64, help="frames; each is a face and a context"
    )
    parser.add_argument(
        "--learning_rate", "--learning-rate", type=float, default=1.5e-3, help="greatest learning rate"
    )
    parser.add_argument("--num_workers", "--num-workers", type=int, default=os.cpu_count(), help="drawing processes")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
