"""Names that mean something to every format, and tables of labels that are told from all else."""

from dataclasses import replace

import numpy as np

from helpers.timelines import make_timeline
from modeling_clipcaer.exports.tables import segment_columns, segment_rows, window_columns, window_rows, write_table
from modeling_clipcaer.prediction.clips import write_predictions
from modeling_clipcaer.reports.evaluation import build_report, write_report


# Markup of HTML, Markdown, Jinja, YAML, XML, WebVTT, matplotlib and LaTeX; a line break, a colour, a turned direction.
MARKUP = (
    """<script>alert("1")</script> & 'q' | `x` ``` {{ 7 * 7 }} {% raw %} ]]> --> $x_1$ $$y$$ ${z} *a* [b](c) --- #"""
)
HOSTILE = f"{MARKUP}\n\n00:01.000 --> 00:02.000\x1b[31m\u202erev\x9b0m"
KEPT = [
    *(
        "calm",
        "unknown",
        "ärger",
        "疲劳",
        "😀",
        "a;b",
        "a|b",
        'say "x"',
        "it's",
        "#tag",
        "`x`",
        "a,b",
        "a\\",
        "5%",
        "1st",
    ),
    *("{{x}}", "$x$", "<b>", "3D", "2e", "10 minutes", "no idea", "room", "on", "می\u200cخواهم"),
]


def write_tables(folder):
    """predictions.csv, timeline.csv, segments.csv and confusion_matrix.csv of a model of the labels `KEPT`."""
    scores = {label: place / 1000 for place, label in enumerate(KEPT)}
    answers = [{"clip": "a.mp4", "label": label, "score": 0.5, "scores": scores} for label in KEPT]
    write_predictions(answers, {}, KEPT, "model", folder)
    timeline = make_timeline("a.mp4")
    timeline.labels = KEPT
    timeline.windows = [replace(timeline.windows[0], label=label, probabilities=scores) for label in KEPT]
    timeline.segments = [replace(timeline.segments[0], label=label) for label in KEPT]
    write_table(window_rows(timeline), window_columns(KEPT), folder / "timeline.csv")
    write_table(segment_rows(timeline), segment_columns(), folder / "segments.csv")
    places = np.arange(len(KEPT))
    report = build_report(np.eye(len(KEPT)), places, KEPT, checkpoint="m", dataset="d", split="test", seed=3)
    write_report(report, folder)


def check_tables(read, folder):
    """`read` gives columns by name."""
    shares = {label: [place / 1000] * len(KEPT) for place, label in enumerate(KEPT)}
    predictions, timeline = read(folder / "predictions.csv"), read(folder / "timeline.csv")
    assert predictions == {"clip": ["a.mp4"] * len(KEPT), "label": KEPT, "score": [0.5] * len(KEPT), **shares}
    assert timeline["label"] == KEPT and {label: timeline[f"p_{label}"] for label in KEPT} == shares
    assert read(folder / "segments.csv")["label"] == KEPT
    matrix = read(folder / "confusion_matrix.csv")
    assert list(matrix) == ["reference", *KEPT] and matrix["reference"] == KEPT
    assert [matrix[label] for label in KEPT] == np.eye(len(KEPT), dtype=int).tolist()
