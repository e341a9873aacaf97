"""What the tests of training need, small enough for seconds: a CLIP with its tokenizer, and a dataset on disk."""

import functools
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, set_seed

from helpers.raer_tree import BODY_BOX, FACE_BOX, HEIGHT, WIDTH, Clip, RaerTree
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.layouts.raer import build_dataset


TRAIN_COUNTS = (8, 5, 4, 4, 3)  # clips of each label; 24 fill three steps of 8
NUM_FRAMES = 3
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200))

# The smallest sizes a command's flags allow; what a run of them learns is beside the point.
SMALL_MODEL = (
    *("--num_frames", str(NUM_FRAMES), "--num_context_tokens", "2"),
    *("--temporal_heads", "2", "--temporal_head_dim", "8", "--temporal_mlp_dim", "16"),
)


@dataclass(frozen=True)
class Material:
    """Folders of the CLIP checkpoint, the built dataset and the RAER tree it was built from."""

    clip: Path
    dataset: Path
    raer: Path

    @property
    def flags(self) -> list[str]:
        """Flags of a training run on it."""
        return ["--clip_model", str(self.clip), "--dataset", str(self.dataset), *SMALL_MODEL]


@functools.cache
def make_material(session_folder: Path) -> Material:
    """The material, made once in `tmp_path_factory.getbasetemp()` for all modules of a session."""
    parent = session_folder / "material"
    make_clip(parent / "clip")
    tree = _make_raer(parent)
    build_dataset(tree.raer, parent / "dataset", val_annotation=str(tree.raer / "annotation" / "validation.txt"))
    return Material(parent / "clip", parent / "dataset", tree.raer)


def make_clip(folder: Path) -> None:
    """A CLIP checkpoint of random weights whose tokenizer knows single bytes."""
    set_seed(1)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[])
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": len(words), "max_position_embeddings": 256, **ids},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=24,
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _make_raer(parent: Path) -> RaerTree:
    splits = {"train": TRAIN_COUNTS, "validation": (2,) * 5, "test": (2,) * 5}
    clips = {
        split: [
            Clip(f"images/SelfStudy/Lab/P{person:03d}/{label}{number:02d}", label, NUM_FRAMES)
            for label, count in enumerate(counts, start=1)
            for number in range(count)
        ]
        for person, (split, counts) in enumerate(splits.items())
    }
    tree = RaerTree(parent / "RAER", clips["train"], clips["test"])
    rng = np.random.default_rng(0)
    for clip in itertools.chain(*clips.values()):
        draw_frames(tree.raer / clip.clip_id, clip.label - 1, clip.num_frames, rng)
        tree.faces[f"RAER/{clip.clip_id}"] = {f"{n}.jpg": FACE_BOX for n in range(1, clip.num_frames + 1)}
        tree.bodies[f"RAER/{clip.clip_id}"] = BODY_BOX
    tree.write_files()
    lines = "".join(f"RAER/{clip.clip_id} {clip.num_frames} {clip.label}\n" for clip in clips["validation"])
    (tree.raer / "annotation" / "validation.txt").write_text(lines)
    return tree


def draw_frames(folder: Path, label: int, num_frames: int, rng: np.random.Generator) -> None:
    """Noise around the label's colour."""
    folder.mkdir(parents=True)
    for number in range(1, num_frames + 1):
        pixels = rng.normal(COLOURS[label], 60, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")


def run_main(main, *flags: object) -> int:
    """Exit status of a command's `main`, run in this process."""
    with mock.patch.object(sys, "argv", ["command", *map(str, flags)]):
        return run_command(main)
