"""What each trick of `FrozenParts` gives: of the frozen tower's copy, and of prompts that are encoded once.

python benchmarks/frozen.py

Each variant of the tower has one trick more than the one above it. The variants take turns in one process; the table
has the fastest of each, which other work on the machine disturbs least.
"""

import os
import sys
import time
from copy import deepcopy
from dataclasses import dataclass

import torch
from machine import print_report, render_table, synchronize
from sizes import SizeArguments, build_model

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.models.frozen_parts import CPU_CHUNK, FrozenParts


@dataclass
class FrozenBenchmarkArguments(SizeArguments):
    """What is measured, and for how long."""

    rounds: int = option(5, "Turns of each variant; the table has the fastest.")


@torch.no_grad()
def main() -> None:
    (args,) = parse_arguments((FrozenBenchmarkArguments,), sys.argv[1:], __doc__)
    load_before, model = os.getloadavg()[0], build_model(args).to(args.device).eval()
    tables = time_tower(model, args), time_prompts(model, args)
    print_report(load_before, f"Fastest of {args.rounds}.", *tables, device=args.device)


def time_tower(model, args: FrozenBenchmarkArguments) -> str:
    """A table of the tower's variants, by a batch of clips."""
    tower, parts = model.model.clip.vision_model, FrozenParts(model, "bfloat16")
    images = torch.randn(args.batch_size * 2 * args.num_frames, 3, args.image_size, args.image_size)
    images = images.to(args.device)
    cast, folded = deepcopy(tower).to(torch.bfloat16), parts.copy_tower(torch.bfloat16)
    folded.encoder.layers[-1].layer_norm2._forward_pre_hooks.clear()
    variants = {
        "the tower in float32": lambda: tower(images),
        "cast to bfloat16": lambda: cast(images),
        f"in parts of {CPU_CHUNK} images": lambda: [cast(part) for part in images.split(CPU_CHUNK)],
        "activations folded": lambda: [folded(part) for part in images.split(CPU_CHUNK)],
        "last MLP of the class token alone": lambda: parts.encode_frames(images[:, None]),
    }
    return compare("tower", variants, len(images), "image", args)


def time_prompts(model, args: FrozenBenchmarkArguments) -> str:
    """A table of a pass from frame embeddings, by a batch of clips."""
    parts = FrozenParts(model)
    shape = (args.batch_size, args.num_frames, model.config.projection_dim)
    embeds = {f"{name}_embeds": torch.randn(shape, device=args.device) for name in ("context", "face")}
    variants = {
        "prompts encoded in each pass": lambda: model(**embeds),
        "prompts encoded once": lambda: model(**parts(embeds)),
    }
    return compare("pass from frame embeddings", variants, args.batch_size, "clip", args)


def compare(what: str, variants: dict, count: int, unit: str, args: FrozenBenchmarkArguments) -> str:
    """The Markdown table of `variants`, each of which does `count` units of work."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(1 + args.rounds):
        for name, run in variants.items():
            synchronize(args.device)
            start = time.perf_counter()
            run()
            synchronize(args.device)
            seconds[name].append((time.perf_counter() - start) / count)
    fastest = {name: min(turns[1:]) for name, turns in seconds.items()}
    before = [None, *list(fastest.values())[:-1]]
    rows = [
        [name, f"{1000 * found:.2f}", f"{previous / found:.2f}×" if previous else ""]
        for (name, found), previous in zip(fastest.items(), before, strict=True)
    ]
    return render_table([what, f"ms {'an' if unit == 'image' else 'a'} {unit}", "times the row above"], rows)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
