"""Train a tiny CLIP on drawings of students and captions of single frames: no pretrained CLIP, only shaped like one.

    clipcaer pretrain-tiny-clip --output tiny_clip --seed 0 --steps 1500

draws pictures in memory, from seeds that no drawn data set uses, and writes a checkpoint as CLIP checkpoints on the
Hub are: config.json, model.safetensors, tokenizer files, preprocessor_config.json, and a README.md with the figures on
drawings it has not seen. Captions name what a frame shows (closed eyes, holding a phone), never a label.
"""

import os
import sys
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.locks import locked_name
from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.errors import InputError


@dataclass
class PretrainingArguments:
    """What is drawn, and how it is trained on."""

    output: str = option(MISSING, "Folder to be made.")
    seed: int = option(0, "Seed of the drawings and of training.", least=0)
    steps: int = option(1500, "Steps of training.", least=1)
    num_clips: int = option(5000, "Drawn clips, 3 frames of each.", least=1)
    batch_size: int = option(64, "Frames of a step; each is a face and a context.", least=1)
    learning_rate: float = option(1.5e-3, "Greatest learning rate.", above=0)
    num_workers: int = option(lambda: os.cpu_count() or 1, "Processes that draw.", least=1)


def main() -> None:
    (args,) = parse_arguments((PretrainingArguments,), sys.argv[1:], __doc__)
    output = Path(args.output)
    with locked_name(output):
        if output.exists():
            raise InputError(f"--output {output}: exists; expected the name of a folder to be made")
        tell(f"drawing {args.num_clips} clips")
        from modeling_clipcaer.synthetic.tiny_clip import pretrain

        pretrain(**asdict(args) | {"output": output, "words_given": sys.argv[1:]})


if __name__ == "__main__":
    raise SystemExit(run_command(main))
