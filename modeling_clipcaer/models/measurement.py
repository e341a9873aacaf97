"""How well a checkpoint was measured to answer: what its own `report.json` says, for those who read its answers."""

import logging
import math
from collections.abc import Sequence
from typing import Any

from transformers.utils import cached_file

from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.models.checkpoints import weights_revision


logger = logging.getLogger(__name__)

REPORT = "report.json"
# Of a report that is larger nobody knows what it is.
LARGEST_REPORT = 10_000_000


def find_measurement(checkpoint: str, config: ClipCaerConfig) -> dict[str, Any] | None:
    """What the report beside a checkpoint, in its folder or its repository on the Hub, says of it; `None` where it has
    none, or one that is not about it, which is told.

    Returns:
        `uar` and its 95 % interval `uar_ci95` in percent, `num_clips`, `num_labels` that occur, the names of `split`
        and `dataset`, and `baseline`: `name` and `uar` of the best baseline on the same clips, `None` where none was
        measured.
    """
    path = cached_file(
        *(checkpoint, REPORT),
        revision=getattr(config, "_commit_hash", None),
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is None:
        return None
    try:
        report = read_object(path, LARGEST_REPORT)
        if (revision := weights_revision(checkpoint)) and report.get("model_revision") != revision:
            raise InputError(f"it is about weights {report.get('model_revision')}, and these are {revision}")
        return read_measurement(report, [config.id2label[index] for index in range(config.num_labels)])
    except InputError as error:
        logger.warning(
            f"{checkpoint}: its {REPORT} is left aside, so that it counts as not measured: {first_line(error)}"
        )
        return None


def read_measurement(report: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """The measurement in a report.

    Raises:
        InputError: it is no report, or one on other `labels`.
    """
    if report.get("labels") != list(labels):
        raise InputError("it is about other labels than the checkpoint's")
    interval, clips = report.get("uar_ci95"), report.get("num_clips")
    bounds = interval if isinstance(interval, list) and len(interval) == 2 else [math.nan] * 2
    low, uar, high = percents = (bounds[0], report.get("uar", math.nan), bounds[1])
    if not all(_is_number(value) and 0 <= value <= 100 for value in percents) or not low <= uar <= high:
        raise InputError("expected `uar` and `uar_ci95` in percent, the one within the other")
    if not isinstance(clips, int) or isinstance(clips, bool) or clips < 1:
        raise InputError("expected `num_clips` above 0")
    absent = report.get("absent_labels")
    if not isinstance(absent, list) or not set(map(str, absent)) < set(labels):
        raise InputError("expected some of the labels as `absent_labels`")
    origin = report.get("origin")
    told = origin.get("name") if isinstance(origin, dict) else None
    names = {"split": report.get("split"), "dataset": told or report.get("dataset")}
    if not all(isinstance(name, str) and 0 < len(name) < 200 for name in names.values()):
        raise InputError("expected names as `split` and `dataset`")
    baselines = report.get("baselines", [])
    if not isinstance(baselines, list) or not all(map(_is_baseline, baselines)):
        raise InputError("expected `name` and `uar` in percent of each of `baselines`")
    best = max(baselines, key=lambda rival: rival["uar"], default=None)
    return {
        "uar": float(uar),
        "uar_ci95": [float(low), float(high)],
        "num_clips": clips,
        "num_labels": len(labels) - len(set(absent)),
        **names,
        "baseline": best and {"name": best["name"], "uar": float(best["uar"])},
    }


def tell_measurement(measured: dict[str, Any] | None) -> str:
    """`UAR 44.4 % [25.1, 66.0] on 9 clips (test split of raer); guessing has 20.0 %, the best baseline (MLP) 42.0 %`,
    or that it is not measured."""
    if measured is None:
        return "not yet measured"
    low, high = measured["uar_ci95"]
    clips = f"{measured['num_clips']} {'clip' if measured['num_clips'] == 1 else 'clips'}"
    place = f"{measured['split']} split of {measured['dataset']}"
    guessing = 100 / measured["num_labels"]
    rival = measured.get("baseline")
    beaten = f", the best baseline ({rival['name']}) {rival['uar']:.1f} %" if rival else ""
    result = f"UAR {measured['uar']:.1f} % [{low:.1f}, {high:.1f}]"
    return f"{result} on {clips} ({place}); guessing has {guessing:.1f} %{beaten}"


def is_trustworthy(measured: dict[str, Any] | None) -> bool:
    """Whether a checkpoint was measured well enough to tell that it does better than guessing: the whole interval lies
    above that, and within 20 points; and no baseline does as well."""
    if measured is None:
        return False
    low, high = measured["uar_ci95"]
    rival: dict[str, Any] | None = measured.get("baseline")
    if rival is not None and rival["uar"] >= measured["uar"]:
        return False
    return low > 100 / measured["num_labels"] and high - low <= 20


def _is_baseline(value: Any) -> bool:
    name, uar = (value.get("name"), value.get("uar", math.nan)) if isinstance(value, dict) else (None, math.nan)
    return isinstance(name, str) and 0 < len(name) < 200 and _is_number(uar) and 0 <= uar <= 100


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
