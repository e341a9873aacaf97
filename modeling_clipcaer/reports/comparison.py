"""Runs on the same clips against the first of them: comparison.json and .md, the clips they disagree on, one plot."""

import csv
import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from modeling_clipcaer.common.csv_text import safe_row
from modeling_clipcaer.common.files import staged_folder, write_json
from modeling_clipcaer.common.markdown_text import markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.versions import list_versions
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics import (
    Difference,
    clips_for_interval,
    clips_to_see,
    mcnemar_test,
    paired_differences,
    predict_labels,
    unweighted_average_recall,
    weighted_average_recall,
)
from modeling_clipcaer.names import printable
from modeling_clipcaer.reports.evaluation import PACKAGES
from modeling_clipcaer.reports.plots import draw_differences
from modeling_clipcaer.reports.predictions import Predictions


METHOD = (
    "Differences are paired: the second run's figure less the first's on the same clips, with 95 % intervals by a "
    "Bayesian bootstrap that draws the same weights for both, of persons where they are known, else of clips. "
    "McNemar's test is exact and takes clips as independent. The clips that would be needed are those with which the "
    "measured difference, if it is the true one, is found with a probability of 80 %. For McNemar's test they are, by "
    "Connor (1987), (1.96 √ψ + 0.84 √(ψ - δ²))² / δ² of the difference δ and the share ψ of clips that one run alone "
    "answers "
    "rightly. For the interval they are n (2.80 s / δ)² of these n clips and the bootstrap's standard deviation s, if "
    "there are as many persons more. Nothing is corrected for comparing several pairs."
)


def match_clips(
    runs: Sequence[Predictions], names: Sequence[str], common_only: bool = False
) -> tuple[list[Predictions], int]:
    """The answers of all runs to the same clips, in the first one's order, and how many clips of any run are left out.

    Raises:
        InputError: labels or references differ, or clips do and `common_only` does not allow it, or none is common.
    """
    first = runs[0]
    places = [{clip: place for place, clip in enumerate(run.clip_ids)} for run in runs]
    for run, name, place in zip(runs, names, places, strict=True):
        if run.labels != first.labels:
            listed = " and ".join(
                f"{owner} has {', '.join(own.labels)}" for owner, own in ((names[0], first), (name, run))
            )
            raise InputError(f"runs must have the same labels in the same order: {listed}")
        if len(place) < len(run.clip_ids):
            raise InputError(f"{name}: {len(run.clip_ids) - len(place)} clips occur twice; expected each once")
    common = [clip for clip in first.clip_ids if all(clip in place for place in places)]
    every = set().union(*places)
    if not common:
        raise InputError(f"{names[0]} and {names[-1]}: no clip is answered by all runs, nothing can be compared")
    if len(common) < len(every) and not common_only:
        example = min(every - set(common))
        lacking = next(name for name, place in zip(names, places, strict=True) if example not in place)
        raise InputError(
            f"{lacking}: has no answer to {len(every) - len(common)} clips of the others, {example} for one; "
            f"--common-only compares on the {len(common)} clips that all have"
        )
    taken = [_take(run, [place[clip] for clip in common]) for run, place in zip(runs, places, strict=True)]
    for run, name in zip(taken, names, strict=True):
        differing = np.flatnonzero(run.references != taken[0].references)
        if len(differing):
            clip, labels = common[differing[0]], run.labels
            raise InputError(
                f"{len(differing)} clips have another true label in {name} than in {names[0]}: {clip} is "
                f"{labels[run.references[differing[0]]]} and {labels[taken[0].references[differing[0]]]}"
            )
    return taken, len(every) - len(common)


def _take(run: Predictions, places: list[int]) -> Predictions:
    return Predictions(
        run.labels,
        [run.clip_ids[place] for place in places],
        [run.person_ids[place] for place in places],
        run.references[places],
        run.logits[places],
    )


def compare_runs(runs: Sequence[Predictions], names: Sequence[str], seed: int = 42) -> dict[str, Any]:
    """`comparison.json`: `runs` with their UAR and WAR, and `pairs` of them with differences in points.

    Args:
        runs: answers to the same clips in the same order, of [`match_clips`].
        names: of the runs, one each.
        seed (`int`): of the bootstrap.
    """
    answers = [predict_labels(run.logits) for run in runs]
    references, num_labels, persons = runs[0].references, len(runs[0].labels), runs[0].persons
    pairs = [
        {
            "first": names[a],
            "second": names[b],
            **_compare_pair(references, answers[a], answers[b], num_labels, persons, seed),
        }
        for a, b in combinations(range(len(runs)), 2)
    ]
    return {
        "num_clips": len(references),
        "num_persons": None if persons is None else len(set(persons)),
        "labels": runs[0].labels,
        "runs": [
            {
                "name": name,
                "uar": _percent(unweighted_average_recall(references, found, num_labels)),
                "war": _percent(weighted_average_recall(references, found, num_labels)),
            }
            for name, found in zip(names, answers, strict=True)
        ],
        "pairs": pairs,
        "seed": seed,
        "method": METHOD,
        "versions": list_versions(PACKAGES),
    }


def _compare_pair(
    references: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    num_labels: int,
    persons: list[str] | None,
    seed: int,
) -> dict[str, Any]:
    groups = persons if persons is not None and len(set(persons)) > 1 else None
    found = paired_differences(references, first, second, num_labels, groups, seed=seed)
    test, count = mcnemar_test(references, first, second), len(references)
    disagreement = (test["only_first"] + test["only_second"]) / count
    return {
        **{name: _describe(difference, count) for name, difference in found.items()},
        "mcnemar": {**test, "p_value": float(f"{test['p_value']:.6g}")},
        "clips_needed_by_mcnemar": clips_to_see(found["war"].measured, disagreement),
        "differing_answers": int(np.count_nonzero(first != second)),
        "by": "clip" if groups is None else "person",
    }


def _describe(found: Difference, num_clips: int) -> dict[str, Any]:
    return {
        "difference": _percent(found.measured),
        "ci95": [_percent(found.low), _percent(found.high)],
        "is_within_noise": found.is_within_noise,
        "clips_needed": clips_for_interval(found.measured, found.deviation, num_clips),
    }


def _percent(fraction: float) -> float:
    return round(100 * fraction, 6)


def tell_pair(pair: dict[str, Any], num_clips: int) -> str:
    """What a comparison found, in a sentence for each of UAR and WAR."""
    parts = []
    for name in ("uar", "war"):
        found = pair[name]
        low, high = found["ci95"]
        figures = f"{name.upper()} {found['difference']:+.1f} points [{low:+.1f}, {high:+.1f}]"
        if not found["is_within_noise"]:
            better = pair["second"] if found["difference"] > 0 else pair["first"]
            parts.append(f"{figures}: more than noise, {printable(better)} is better")
        elif found["clips_needed"] is None:
            parts.append(f"{figures}: no difference at all on these {num_clips} clips")
        else:
            wanted = f"{found['clips_needed']:,} clips would be needed to see it, there are {num_clips:,}"
            parts.append(f"{figures}: within noise; if it is real, about {wanted}")
    return ". ".join(parts) + "."


def render_comparison(comparison: dict[str, Any]) -> str:
    """`comparison.md`."""
    count, persons = comparison["num_clips"], comparison["num_persons"]
    runs = [f"| {markdown_text(run['name'])} | {run['uar']:.1f} | {run['war']:.1f} |" for run in comparison["runs"]]
    parts = [
        f"# {len(comparison['runs'])} runs on the same {count} clips" + (f" of {persons} persons" if persons else ""),
        "\n".join(["| run | UAR, % | WAR, % |", "| --- | ---: | ---: |", *runs]),
        "![Differences](comparison.png)",
    ]
    for pair in comparison["pairs"]:
        test, needed = pair["mcnemar"], pair["clips_needed_by_mcnemar"]
        words = (
            f"McNemar: {test['only_first']} clips are right in the first alone, {test['only_second']} in the second "
            f"alone, p = {test['p_value']:.3g}."
        )
        if needed is not None:
            words += f" At this rate of disagreement the test needs {needed:,} clips to find a WAR so far apart."
        parts += [
            f"## {markdown_text(pair['second'])} less {markdown_text(pair['first'])}",
            f"**{markdown_text(tell_pair(pair, count))}**",
            f"{words} They answer {pair['differing_answers']} clips differently.",
        ]
    return "\n\n".join([*parts, "## How it was measured", comparison["method"], RESPONSIBLE_USE]) + "\n"


def write_comparison(comparison: dict[str, Any], runs: Sequence[Predictions], output_dir: str | os.PathLike) -> None:
    """Write comparison.md, .png and disagreements.csv into `output_dir`, and last comparison.json."""
    names = [run["name"] for run in comparison["runs"]]
    with staged_folder(output_dir, last="comparison.json") as folder:
        _write_disagreements(runs, names, folder / "disagreements.csv")
        draw_differences(comparison, folder / "comparison.png")
        (folder / "comparison.md").write_text(render_comparison(comparison), encoding="utf-8")
        write_json(comparison, folder / "comparison.json")


def _write_disagreements(runs: Sequence[Predictions], names: Sequence[str], path: Path) -> None:
    """A line for each clip that not all runs answer alike."""
    labels, answers = runs[0].labels, np.stack([predict_labels(run.logits) for run in runs])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(safe_row(["clip_id", "person_id", "label", *names]))
        for place in np.flatnonzero((answers != answers[0]).any(axis=0)):
            clip, person = runs[0].clip_ids[place], runs[0].person_ids[place]
            answered = [labels[answer] for answer in answers[:, place]]
            writer.writerow(safe_row([clip, person, labels[runs[0].references[place]], *answered]))
