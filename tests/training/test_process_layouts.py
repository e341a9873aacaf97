"""However processes, batches and accumulation share out the clips of a step, it is the same step: real processes."""

import itertools
import json
import math

import pytest

from helpers.layout_runs import run_all
from helpers.train_command import LAUNCH, finish, start


LAYOUTS = ((1, 2, 4), (2, 4, 1), (2, 2, 2))  # processes, clips of a batch, batches of a step
LOSSES = {
    "cross_entropy": {},
    "smoothed": {"label_smoothing_factor": 0.2, "label_smoothing_distribution": [1.0, 0.5, 2.0, 0.0, 3.0]},
    "focal": {"classification_loss": "focal", "focal_alpha": 0.5},
    "ldam": {"classification_loss": "ldam"},
    "distribution": {"classification_loss": "distribution"},
    "near": {"classification_loss": "near"},
}
WEIGHTINGS = {
    "plain": {},
    "balanced": {"class_balanced_loss": True},
    "adjusted": {"logit_adj": True},
    "both": {"class_balanced_loss": True, "logit_adj": True},
}
SAMPLERS = {
    "random": {},
    "weighted": {"weighted_sampler": True},
    "sequential": {"train_sampling_strategy": "sequential"},
}
RAMPS = {
    "": {},
    "late": {"mi_warmup_epochs": 1, "dc_loss_weight": 0.3, "dc_ramp_epochs": 2},
    "alone": {"mi_loss_weight": 0, "dc_loss_weight": 0, "lr_prompt_learner": 0},
}
MIXUPS = {"": {}, "mixed": {"mixup_alpha": 0.4}}
CACHES = {
    "": {},
    "embeds": {"cache_frame_embeds": True, "cache_views": 2},
    "crops": {"cache_crops": True},
}
CLIPS = (21, 17, 24)  # a last step of 5 clips; of 1; of all 8
KINDS = (LOSSES, WEIGHTINGS, SAMPLERS, RAMPS, MIXUPS, CACHES)
FEW = (
    ("smoothed", "balanced", "weighted", "late", "mixed", ""),
    ("ldam", "balanced", "random", "", "mixed", ""),
    ("near", "adjusted", "random", "alone", "", "embeds"),
)


def can_be_run(names) -> bool:
    """Whether no two of these are refused together."""
    loss, weighting, *_, mixup, cache = names
    return not (loss == "ldam" and weighting in ("adjusted", "both")) and not (cache == "embeds" and mixup)


def cover_pairs():
    """Rows of names of each of `KINDS` in which every two of them that can be run together are together."""
    rows = [row for row in itertools.product(*KINDS) if can_be_run(row)]
    left = set().union(*(pairs_of(row) for row in rows))
    while left:
        best = max(rows, key=lambda row: len(pairs_of(row) & left))
        left -= pairs_of(best)
        yield best


def pairs_of(row):
    return set(itertools.combinations(enumerate(row), 2))


def as_runs(rows):
    """The runs of such rows, with 21 clips, 17 and 24 in turn."""
    runs = {}
    for row, clips in zip(rows, itertools.cycle(CLIPS), strict=False):
        *options, cache = (kind[name] for kind, name in zip(KINDS, row, strict=True))
        args = {name: value for option in options for name, value in option.items()}
        votes = args.get("classification_loss") == "distribution"
        runs[f"{' '.join(filter(None, row))} {clips}"] = {"clips": clips, "args": args, "cache": cache, "votes": votes}
    return runs


def launch(material, folder, layout, runs):
    """What the runs log and end with; several processes are launched."""
    processes, batch_size, accumulation = layout
    folder.mkdir(parents=True)
    wanted = {
        "material": [str(material.clip), str(material.dataset), str(material.raer)],
        "output": str(folder / "found.json"),
        "batch_size": batch_size,
        "accumulation": accumulation,
        "runs": runs,
    }
    if processes == 1:
        return json.loads(json.dumps(run_all(wanted)))
    (folder / "wanted.json").write_text(json.dumps(wanted))
    finish(start(*LAUNCH[:-1], processes, "tests/helpers/layout_runs.py", folder / "wanted.json"))
    return json.loads((folder / "found.json").read_text())


def compare(expected, found, runs, clips_per_step=8):
    """Each run is the same in every step, in its last weights and in what these are measured at: to 1e-6.

    Returns:
        The farthest of all.
    """
    farthest = []
    for name, run in runs.items():
        one, other = expected[name], found[name]
        assert len(one["steps"]) == len(other["steps"]) == 2 * math.ceil(run["clips"] / clips_per_step), name
        assert {"loss", "grad_norm", "loss_classification"} <= one["steps"][0].keys()
        pairs = list(zip(list_numbers(one, name), list_numbers(other, name), strict=True))
        assert len(pairs) > 500 and all(place == there for (place, _), (there, _) in pairs)
        gaps = [(abs(before - after) / max(abs(before), 1), place) for (place, before), (_, after) in pairs]
        farthest.append(max(gaps))
    assert max(farthest)[0] < 1e-6, sorted(farthest)[::-1][:5]
    return max(farthest)


def list_numbers(content, place):
    """Every number in nested lists and mappings, each with its place."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from list_numbers(value, f"{place} {key}")
    else:
        yield place, content


@pytest.mark.slow
def test_a_few_runs_are_the_same_in_one_process_and_in_two_that_accumulate(material, tmp_path):
    runs = as_runs(FEW)
    one, other = (launch(material, tmp_path / str(layout[0]), layout, runs) for layout in ((1, 8, 1), (2, 2, 2)))
    compare(one, other, runs)


@pytest.mark.reliability
def test_every_loss_weighting_sampler_ramp_mixup_and_cache_is_the_same_in_every_layout(material, tmp_path):
    runs = as_runs(cover_pairs())
    expected = launch(material, tmp_path / "one", (1, 8, 1), runs)
    for layout in LAYOUTS:
        found = launch(material, tmp_path / "-".join(map(str, layout)), layout, runs)
        print(
            f"{len(runs)} runs, {' x '.join(map(str, layout))}: farthest {compare(expected, found, runs)}", flush=True
        )


@pytest.mark.reliability
def test_one_two_and_three_processes_train_and_evaluate_alike(material, tmp_path):
    """Steps of 6 clips, and 10 that are measured in batches of 3: of three processes two have none in the end."""
    runs = as_runs(FEW)
    one, *others = (launch(material, tmp_path / str(n), (n, 6 // n, 1), runs) for n in (1, 2, 3))
    for other in others:
        print(f"{len(runs)} runs: farthest {compare(one, other, runs, clips_per_step=6)}")
