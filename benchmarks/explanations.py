"""Whether the maps of `clipcaer explain` tell of the model and of the picture, on drawings whose cues are known.

python benchmarks/explanations.py --model OUT/model --dataset OUT/dataset --drawn OUT/drawn

with OUT the folder of `clipcaer demo`. The first table has the share of a map's mass on a cue, beside the cue's share
of the area (chance), the mass of a map that is brightest in the middle, and that of another clip's maps. The second
has how much of the maps' order is left as the weights are shuffled from the head down (Adebayo et al., 2018).
"""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from pathlib import Path

import numpy as np
import torch
from machine import print_report, render_table

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.explanations.attention import PIXELS_OF, attend_patches
from modeling_clipcaer.explanations.samples import read_clips
from modeling_clipcaer.explanations.sanity import centre_prior, mass_within, rank_correlation, shuffle_weights
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.models.frozen_parts import FrozenParts


# Of each cue the stream that shows it, and words of a caption of which it is: eyes and mouths that say something.
CUES = {
    "phone": ("context", ("holding a phone",)),
    "book": ("context", ("",)),
    "mouth": ("face", ("a wide open mouth", "a smile")),
    "eyes": ("face", ("closed eyes", "looking to the")),
}
MAPS = ("map", "chance", "middle", "another clip's map")


@dataclass
class ExplanationBenchmarkArguments:
    """What is measured on what."""

    model: str = option(MISSING, "Checkpoint.")
    dataset: str = option(MISSING, "Dataset that was built of the drawings.")
    drawn: str = option(MISSING, "Folder that holds the drawings' RAER.")
    split: str = option("test", "Split whose clips are looked at.")
    shuffled_clips: int = option(40, "Clips whose maps are made again of shuffled weights.", least=1)
    seed: int = option(0, "Of the shuffles, of the other clips and of the bootstrap.", least=0)


def main() -> None:
    (args,) = parse_arguments((ExplanationBenchmarkArguments,), sys.argv[1:], __doc__)
    load_before = os.getloadavg()[0]
    model, processor = load_checkpoint(args.model)
    labels = [model.config.id2label[number] for number in range(model.config.num_labels)]
    rows = load_clips(args.dataset, (args.split,), labels)[args.split]
    samples = list(read_clips(rows, range(len(rows)), processor, model.config.streams))
    parts = FrozenParts(model)
    inputs = [build_inputs(model, processor, parts, sample.pixels) for sample in samples]
    maps = [attend_patches(model, given) for given in inputs]
    cues = list(read_cues(rows, processor, read_captions(Path(args.drawn))))
    tables = measure_cues(maps, cues, rows["person_id"][:], args.seed), shuffle(model, maps, inputs, args)
    print_report(load_before, f"{len(rows)} clips of the split {args.split}.", *tables, device="cpu")


def build_inputs(model, processor, parts: FrozenParts, pixels: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the model is given of a clip, with the prompts encoded once."""
    given = {PIXELS_OF[stream]: processor.normalize(squares[None]) for stream, squares in pixels.items()}
    soft = parts.soft_prompt_embeds if model.config.soft_prompts_classify else None
    return given | {"soft_prompt_embeds": soft, "use_soft_prompts": soft is not None}


def read_captions(drawn: Path) -> dict[str, dict]:
    """What is drawn in each frame, by the frame's path."""
    lines = (drawn / "RAER" / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    return {caption["frame"]: caption for caption in map(json.loads, lines)}


def read_cues(rows, processor, captions: dict[str, dict]) -> Iterator[dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Of each clip and cue: where it is on the sampled frames of its stream, (num_frames, size, size) in [0, 1], and
    on which of them it is to be counted, (num_frames,)."""
    for row in rows:
        told = [captions[f"RAER/{row['clip_id']}/{name}"] for name in row["frame_names"]]
        found = {}
        for cue, (stream, words) in CUES.items():
            frames = [draw_mask(caption["cues"].get(cue)) for caption in told]
            squares = processor.process_clip(frames, row["face_boxes"], row["body_boxes"])
            mask = dict(zip(PIXELS_OF, squares, strict=True))[stream][:, 0] / 255
            indices = processor.frame_indices(frames).tolist()
            says = [any(word in told[index][stream] for word in words) for index in indices]
            found[cue] = mask, torch.tensor(says) & (mask.sum(dim=(1, 2)) > 0)
        yield found


def draw_mask(box: list[float] | None, size: tuple[int, int] = (180, 320)) -> np.ndarray:
    """A frame, uint8 (height, width, 3), that is white in the box and black elsewhere."""
    frame = np.zeros((*size, 3), np.uint8)
    if box is not None:
        left, top, right, bottom = (max(round(side), 0) for side in box)
        frame[top:bottom, left:right] = 255
    return frame


def measure_cues(maps: list[dict], cues: list[dict], persons: list[str], seed: int) -> str:
    """A table of the mass on each cue, in percent, and its lead over the map of the middle with its 95 % interval."""
    others = np.random.default_rng(seed).permutation(len(maps))
    others = np.where(others == np.arange(len(maps)), np.roll(others, 1), others)
    lines = []
    for cue, (stream, _) in CUES.items():
        clips: dict[str, list[np.ndarray]] = defaultdict(list)
        num_frames = num_clips = 0
        for number, found in enumerate(cues):
            mask, counted = found[cue]
            if not counted.any():
                continue
            own, other = maps[number][stream], maps[others[number]][stream]
            middle = centre_prior(own.shape[-1]).expand_as(own)
            even = torch.full_like(own, 1 / own[0].numel())
            masses = [mass_within(heat, mask)[counted].mean() for heat in (own, even, middle, other)]
            clips[persons[number]].append(np.array(masses))
            num_frames, num_clips = num_frames + int(counted.sum()), num_clips + 1
        if not clips:
            continue  # of few clips none may show it
        means = np.mean([values for group in clips.values() for values in group], axis=0)
        low, high = bootstrap_lead(clips, seed)
        shares = [f"{100 * value:.1f}" for value in means]
        lead = f"{100 * (means[0] - means[2]):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        lines.append([cue, stream, str(num_clips), str(num_frames), *shares, f"{means[0] / means[1]:.2f}", lead])
    header = ["cue", "stream", "clips", "frames", *(f"{name}, %" for name in MAPS), "map / chance", "map − middle"]
    return render_table(header, lines)


def bootstrap_lead(clips: dict[str, list[np.ndarray]], seed: int) -> tuple[float, float]:
    """The 95 % interval of the lead of the maps over the middle, by draws of persons."""
    rng, groups = np.random.default_rng(seed), [np.array(group) for group in clips.values()]
    leads = []
    for _ in range(1000):
        drawn = np.concatenate([groups[place] for place in rng.integers(len(groups), size=len(groups))])
        leads.append((drawn[:, 0] - drawn[:, 2]).mean())
    low, high = np.quantile(leads, (0.025, 0.975))
    return float(low), float(high)


def shuffle(model, maps: list[dict], inputs: list[dict], args: ExplanationBenchmarkArguments) -> str:
    """A table of the mean rank correlation of the maps with those before, part by part. The label stays that which was
    explained before."""
    some = range(min(args.shuffled_clips, len(maps)))
    with torch.no_grad():
        answers = [int(model(**inputs[number]).logits.argmax()) for number in some]
    lines = []
    for part in shuffle_weights(model, args.seed):
        kept = defaultdict(list)
        for number in some:
            for stream, after in attend_patches(model, inputs[number], answers[number]).items():
                pairs = zip(maps[number][stream].numpy(), after.numpy(), strict=True)
                kept[stream] += [rank_correlation(*pair) for pair in pairs]
        lines.append([part, *(f"{np.nanmean(values):.2f}" for values in kept.values())])
    return render_table(["shuffled down to", *(f"{stream}, rank correlation" for stream in maps[0])], lines)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
