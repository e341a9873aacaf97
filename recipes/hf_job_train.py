# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "torch>=2.11",
#     "transformers>=5.23,<6",
#     "datasets>=5.2,<6",
#     "accelerate>=1.15,<2",
#     "evaluate>=0.4.6",
#     "peft>=0.21,<0.22",
#     "av>=18",
#     "pillow>=11.3",
#     "pyarrow>=24",
#     "matplotlib>=3.9",
#     "numpy>=2",
#     "pyyaml>=6",
#     "rich>=14.1,<16",
#     "opencv-python-headless>=4.10,<5",
#     "scipy>=1.14",
#     "jinja2>=3.1",
# ]
#
# [tool.hf-jobs]
# flavor = "a10g-small"
# timeout = "8h"
# secrets = ["HF_TOKEN"]
# ///
"""`clipcaer train` on a machine of the Hub's, from clips on the Hub to a checkpoint on the Hub.

    pip wheel --no-deps --wheel-dir dist .
    hf jobs uv run recipes/hf_job_train.py dist/clipcaer-*.whl \\
        --config own_data --labels-file data/mine_labels.yaml --dataset ME/CLIPS --bf16 \\
        --output run --push-to-hub --hub-model-id ME/NAME

The first word is the package as a wheel; all others are flags of `clipcaer train`. Files of this machine that a word
names go with the job: the wheel, and YAML files. What a run wrote goes with its machine: without --push-to-hub nothing
is left. `uv run` in the place of `hf jobs uv run` does the same here.
"""

import sys
import tempfile
import zipfile


def main() -> int:
    """Train by the code of the wheel."""
    if len(sys.argv) < 2 or not sys.argv[1].endswith(".whl"):
        raise SystemExit(f"error: expected a wheel of clipcaer first\n{__doc__}")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(sys.argv[1]) as wheel:
            wheel.extractall(folder)
        sys.path.insert(0, folder)
        from modeling_clipcaer.commands.main import start

        return start("train", words=sys.argv[2:])


if __name__ == "__main__":
    raise SystemExit(main())
