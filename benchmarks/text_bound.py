"""How much of a clip's label any text can tell an untrained CLIP, on drawings whose captions are known.

python benchmarks/text_bound.py --drawn DRAWN --dataset DATASET

Zero-shot, a clip is the mean of its frames. The labels' sentences classify it, then what no sentences can better:
the mean of the captions of a label's own training frames, and the mean of the frames themselves. Each is asked with
both streams added into one, as `clipcaer zero-shot` does, and with a prototype for each stream.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path

import torch
from explanations import read_captions
from machine import print_report, render_table
from torch.nn.functional import one_hot

from modeling_clipcaer.clip_loading import load_tokenizer
from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.loading import get_labels, load_clips
from modeling_clipcaer.metrics import unweighted_average_recall
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.zero_shot import ZeroShotModel, embed_clips, to_unit
from modeling_clipcaer.settings_clipcaer import PixelSettings


STREAMS = ("face", "context")


@dataclass
class TextBoundArguments:
    """What is measured on what."""

    drawn: str = option(MISSING, "Folder that holds the drawings' RAER.")
    dataset: str = option(MISSING, "Dataset that was built of the drawings.")
    clip_model: str = option("tiny_clip", "The CLIP that is asked.")
    labels_file: str = option("demo_labels", "Labels file whose sentences are asked.")
    num_frames: int = option(8, "Frames of a clip.", least=1)
    batch_size: int = option(32, "Clips a step.", least=1)


def main() -> None:
    (args,) = parse_arguments((TextBoundArguments,), sys.argv[1:], __doc__)
    load_before = os.getloadavg()[0]
    clips = load_clips(args.dataset, ("train", "test"))
    names = ModelArguments(clip_model=args.clip_model, labels_file=args.labels_file, num_frames=args.num_frames)
    model = build_model(names, get_labels(clips), ZeroShotModel).eval()
    processor = build_processor(model, PixelSettings(face_margin=4, flip_prob=0, rotation_degrees=0))
    frames = {split: average_frames(model, processor, rows, args.batch_size) for split, rows in clips.items()}
    label = {split: torch.tensor(rows["label"][:]) for split, rows in clips.items()}
    tokenizer = load_tokenizer(names.resolve_clip(), model.config.clip_config.text_config)
    captions = average_captions(model, tokenizer, args.drawn)
    told = {stream: torch.stack([captions[stream][clip] for clip in clips["train"]["clip_id"]]) for stream in STREAMS}

    def ask(prototypes: dict[str, torch.Tensor]) -> list[str]:
        one = to_unit(sum(frames["test"].values())) @ to_unit(sum(prototypes.values())).T
        own = sum(to_unit(frames["test"][stream]) @ to_unit(prototypes[stream]).T for stream in STREAMS)
        return [f"{100 * unweighted_average_recall(label['test'], logits.argmax(-1)):.1f}" for logits in (one, own)]

    def by_label(embeds: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        members = one_hot(label["train"]).float()
        return {stream: members.T @ embeds[stream] / members.sum(0)[:, None] for stream in STREAMS}

    sentences = to_unit(model.model.descriptive_text_embeds)
    lines = [
        ["the labels' sentences", *ask(dict.fromkeys(STREAMS, sentences))],
        ["captions of the label's training frames", *ask(by_label(told))],
        ["the label's training frames themselves", *ask(by_label(frames["train"]))],
    ]
    table = render_table(["what classifies", "streams added, UAR %", "a prototype a stream, UAR %"], lines)
    print_report(load_before, f"{len(label['test'])} clips of the split test.", table, device="cpu")


@torch.no_grad()
def average_frames(model, processor, rows, batch_size: int) -> dict[str, torch.Tensor]:
    """Of each stream the means of the clips' unit frame embeddings: (num_clips, projection_dim)."""
    batches = list(embed_clips(model, processor, rows, batch_size, num_workers=0))
    return {
        stream: torch.cat([to_unit(batch[f"{stream}_embeds"]).mean(dim=1) for batch in batches]) for stream in STREAMS
    }


@torch.no_grad()
def average_captions(model, tokenizer, drawn: str) -> dict[str, dict[str, torch.Tensor]]:
    """Of each stream and clip the mean of the unit text embeddings of its frames' captions: (projection_dim,)."""
    captions = read_captions(Path(drawn))
    embeds = embed_texts(model, tokenizer, sorted({told[stream] for told in captions.values() for stream in STREAMS}))
    groups: dict[str, dict[str, list[torch.Tensor]]] = {stream: {} for stream in STREAMS}
    for frame, told in captions.items():
        clip = Path(frame).parent.relative_to("RAER").as_posix()
        for stream in STREAMS:
            groups[stream].setdefault(clip, []).append(embeds[told[stream]])
    return {stream: {clip: torch.stack(own).mean(0) for clip, own in of.items()} for stream, of in groups.items()}


def embed_texts(model, tokenizer, texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """Each text's unit embedding, (projection_dim,)."""
    length = model.config.clip_config.text_config.max_position_embeddings
    tokens = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return dict(zip(texts, to_unit(model.model.clip.get_text_features(**tokens).pooler_output), strict=True))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
