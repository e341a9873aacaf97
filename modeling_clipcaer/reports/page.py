"""`report.html`: a report as one page to look at, without scripts or the network; its only pictures are those of
explanations."""

from pathlib import Path
from typing import Any, NamedTuple

from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.pages import page_templates
from modeling_clipcaer.explanations import page as explanations
from modeling_clipcaer.reports.reliability import read_reliability


FACTS = ("checkpoint", "model_revision", "dataset", "split", "split_protocol", "clips", "seed", "tower_dtype")
BREAKDOWNS = {
    "by_person": "By person",
    "by_place": "By place",
    "by_length": "By length of the clip",
    "by_boxes": "By what is known of the face",
}
EPOCHS = {"last_epoch": "last", "selected": "selected"}
EXPLAINED = 600_000  # bytes for what answers rest on
CHART = 300  # width and height of a square chart, in its own units


class Row(NamedTuple):
    """A line of a table with a bar: percent, and bounds of a 95 % interval where it has one."""

    name: str
    value: float | None
    interval: tuple[float, float] | list[float] | None = None
    note: str = ""
    is_small: bool = False


def best_interval(result: dict[str, Any], name: str) -> list[float] | None:
    """The interval of `uar` or `war`: by person where it is known, else by clip."""
    return result.get(f"{name}_ci95_by_person") or result.get(f"{name}_ci95")


def order_epochs(report: dict[str, Any]) -> tuple[str, str]:
    """Where in a training's report the epoch is that it is of, and where the other one that was tested."""
    other = "selected" if report["result"] == "last_epoch" else "last_epoch"
    return report["result"], other


def compare_models(report: dict[str, Any], name: str) -> list[Row]:
    """The model's `uar` or `war`, those of the other epoch that training tested, and what baselines reach."""
    rows = [Row("this model", report[name], best_interval(report, name))]
    if "result" in report:
        for key in order_epochs(report):
            found = report[key]
            rows.append(Row(f"its {EPOCHS[key]} epoch, {found['epoch']:g}", found[name], best_interval(found, name)))
        rows[:2] = [rows[1]._replace(name=f"this model: {rows[1].name}")]
    baselines = report.get("baselines") or [{"name": "majority", **report["majority_baseline"]}]
    return rows + [Row(found["name"], found[name], best_interval(found, name)) for found in baselines]


def draw_line(points: list[tuple[float, float]]) -> str:
    """Path through points from (0, 0), below left, to (1, 1), above right, of a square chart."""
    return "M" + " L".join(f"{CHART * x:.1f} {CHART * (1 - y):.1f}" for x, y in points)


def render_page(
    report: dict[str, Any], caveats: list[str], meaning: str, calibration: str, explained: Path | None = None
) -> str:
    """The page of a report. It names persons and places: it is for the folder, not for others.

    Args:
        report: as in `report.json`.
        caveats: what makes its figures doubtful.
        meaning: what its figures are.
        calibration: whether its probabilities are calibrated.
        explained: a folder that says what some of its answers rest on.
    """
    curve = report["abstention"]["curve"]
    section = explained and explanations.render_section(
        explained,
        link=f"{explained.name}/{explanations.PAGE}",
        room=EXPLAINED,
        lead="Of each label the surest mistake and a typical right answer, then the next surest mistakes.",
        name="explained",
    )
    templates = page_templates(Path(__file__).parent / "templates", explanations.TEMPLATES)
    return templates.get_template("evaluation.html.j2").render(
        report=report,
        caveats=caveats,
        meaning=meaning,
        calibration=calibration,
        models={name: compare_models(report, name) for name in ("uar", "war")},
        recalls=[
            Row(label, report["per_class"][label]["recall"], report["recall_ci95"][label])
            for label in report["labels"]
        ],
        breakdowns=[(title, report[name]) for name, title in BREAKDOWNS.items() if report.get(name)],
        reliability=read_reliability(report),
        coverage=draw_line([(place / (len(curve) - 1), value / 100) for place, value in enumerate(curve)]),
        chart=CHART,
        facts={name: report[name] for name in FACTS if report.get(name) is not None},
        notice=RESPONSIBLE_USE,
        Row=Row,
        section=section,
        shows_people=explained is not None and explanations.shows_people(explained),
    )
