"""One hostile name through every writer: what a reader sees is the name, and no part of it is obeyed."""

import csv
import json
import logging
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.errors import StrictDataclassError
from markdown_it import MarkdownIt
from PIL import Image

from helpers.hostile_names import HOSTILE, KEPT, MARKUP, check_tables, write_tables
from helpers.timelines import make_timeline
from modeling_clipcaer import ClipCaerConfig
from modeling_clipcaer.common import lettering
from modeling_clipcaer.common.markdown_text import markdown_code, markdown_text
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.data.audit.dataset import format_findings
from modeling_clipcaer.data.audit.plots import draw_audit
from modeling_clipcaer.data.clip_search import name_suffix
from modeling_clipcaer.data.labels_file import read_label_entries
from modeling_clipcaer.data.parquet.card import render_dataset_card
from modeling_clipcaer.data.views.contact_sheet import ClipView, draw_page
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.elan import write_elan
from modeling_clipcaer.exports.fiftyone import write_fiftyone
from modeling_clipcaer.exports.label_studio import render_label_studio_config, write_label_studio
from modeling_clipcaer.exports.overlay_drawing import OverlayPainter
from modeling_clipcaer.exports.page import write_report_page
from modeling_clipcaer.exports.tables import (
    join_tables,
    segment_columns,
    segment_rows,
    window_columns,
    window_rows,
    write_table,
)
from modeling_clipcaer.exports.vtt import write_vtt
from modeling_clipcaer.names import find_label_fault, printable
from modeling_clipcaer.prediction.clips import write_predictions
from modeling_clipcaer.prediction.failures import tell_failure
from modeling_clipcaer.prediction.inputs import own_name
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN
from modeling_clipcaer.reports import evaluation as reporting
from modeling_clipcaer.reports.evaluation import build_report, render_report, write_report
from modeling_clipcaer.reports.model_card import render_model_card
from modeling_clipcaer.research_code.report import render_converted_card


OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def timeline():
    """A recording whose source, labels, persons, model and notes have the one name."""
    made = make_timeline(f"{HOSTILE}.mp4")
    labels = ["calm", HOSTILE]
    made.labels = labels
    made.windows = [
        replace(window, label=HOSTILE, person=HOSTILE if window.person == "person-1" else window.person)
        for window in made.windows
    ]
    made.windows = [
        replace(window, probabilities=dict(zip(labels, (0.4, 0.6), strict=True))) for window in made.windows
    ]
    made.segments = [
        replace(
            segment,
            label=UNCERTAIN if segment.label == UNCERTAIN else HOSTILE,
            person=HOSTILE if segment.person == "person-1" else segment.person,
        )
        for segment in made.segments
    ]
    made.sightings = [replace(seen, person=HOSTILE) for seen in made.sightings]
    made.settings = {**made.settings, "model": HOSTILE}
    made.notes = [HOSTILE]
    return made


@pytest.fixture
def report():
    logits = np.eye(2)[[0, 1, 1]] * 4
    named = {"checkpoint": HOSTILE, "dataset": HOSTILE, "split": HOSTILE, "split_protocol": HOSTILE}
    report = build_report(logits, [0, 1, 0], ["calm", HOSTILE], seed=3, **named)
    return {
        **report,
        "result": "selected",
        "selected": {"epoch": 4.0, "validation_uar": 60.0, "validation_war": 70.0, "uar": 44.4, "war": 55.6},
        "last_epoch": {"epoch": 6.0, "uar": 41.5, "war": 41.5},
        "training_clips": {"calm": 30, HOSTILE: 7},
    }


class Page(HTMLParser):
    """Tags and text of a page, as a browser takes them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def read_markdown(text):
    """What a page shows of Markdown that may hold HTML."""
    return Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def test_a_page_of_recordings(timeline, tmp_path):
    write_report_page([timeline], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert text.count("<script") == 1 and "a" not in page.tags and not OBEYED.search(text)  # the page's own
    assert page.text.count(printable(HOSTILE)) >= 4 and "{{ 7 * 7 }}" in page.text


def test_a_report(report, tmp_path):
    page = read_markdown(render_report(report))
    assert page.tags <= {
        "h1",
        "h2",
        "p",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "img",
        "ul",
        "li",
        "code",
    }
    assert page.text.count(printable(HOSTILE)) >= 6 and not OBEYED.search(render_report(report))
    write_report(report, tmp_path)  # the plots too
    (matrix,) = tmp_path.glob("confusion_matrix.csv")
    table = pandas.read_csv(matrix)
    assert table["reference"].tolist() == ["calm", HOSTILE] and table[HOSTILE].tolist() == [1, 1]
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["labels"][1] == HOSTILE


def test_a_model_card_and_its_front_matter(report):
    card = render_model_card(report, "openai/clip", [HOSTILE], {"clip_model": f"/x/{HOSTILE}".replace("/s", "")})
    assert not OBEYED.search(card)
    read = ModelCard(card)
    assert read.data.license == "other" and read.data.eval_results[0].dataset_split == printable(HOSTILE)
    page = read_markdown(read.text)
    assert "script" not in page.tags and page.text.count(printable(HOSTILE)) >= 4
    fences = [token.content for token in MarkdownIt().parse(read.text) if token.type == "fence"]
    assert len(fences) == 4 and "clip_model: " in fences[2] and "<h2>Licence</h2>" in MarkdownIt().render(read.text)


def test_cards_of_converted_weights_and_of_shards(monkeypatch):
    names = {"calm": 0, HOSTILE: 1}
    config = type("Config", (), {"id2label": dict(enumerate(names))})
    monkeypatch.setattr("modeling_clipcaer.research_code.report.render_flags", lambda config: "")
    card = render_converted_card(config, HOSTILE, "0" * 64)
    for text in (card, render_dataset_card({"train": names}, {}, {}, HOSTILE, "none")):
        page = read_markdown(ModelCard(text).text)
        assert "script" not in page.tags and page.text.count(printable(HOSTILE)) == 2 and not OBEYED.search(text)


@pytest.mark.parametrize(
    "text", [HOSTILE, MARKUP, "a\\*b\\", "1. x", "_x_ __y__ ~~z~~", "&amp; &#65;", "a|b", "`", "``a`"]
)
def test_text_and_code_of_markdown_are_read_as_they_are(text):
    line = (
        MarkdownIt("commonmark")
        .enable("strikethrough")
        .render(f"so {markdown_text(text)} it {markdown_code(text)} is")
    )
    assert Page(line).text == f"so {printable(text)} it {printable(text)} is\n"
    table = MarkdownIt("commonmark").enable("table").render(f"| a |\n| --- |\n| {markdown_text(text)} |")
    assert f"\n{printable(text).strip()}\n" in Page(table).text


def test_subtitles(timeline, tmp_path):
    write_vtt(timeline, tmp_path / "a.vtt")
    text = (tmp_path / "a.vtt").read_text(encoding="utf-8")
    cues = [block.split("\n") for block in text.removesuffix("\n").split("\n\n")[1:] if not block.startswith("NOTE ")]
    assert len(cues) == len(timeline.segments) and {len(cue) for cue in cues} == {2}
    assert not OBEYED.search(text) and text.count("-->") == len(cues) and "<script" not in text


def test_elan(timeline, tmp_path):
    write_elan(timeline, tmp_path / "a.eaf")
    root = ElementTree.parse(tmp_path / "a.eaf").getroot()
    expected = HOSTILE.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd").replace("\x9b", "\x9b")
    assert {value.text for value in root.iter("ANNOTATION_VALUE")} == {expected, UNCERTAIN}
    assert [tier.get("TIER_ID") for tier in root.findall("TIER")] == [ROOM, expected, "person-2"]
    assert len(list(root.iter("TIER"))) == 3 and len(list(root.iter("ALIGNABLE_ANNOTATION"))) == 6


def test_label_studio(timeline, tmp_path):
    timeline.source = "https://example.org/a.mp4"
    persons = write_label_studio([timeline], tmp_path / "a.json", tmp_path)
    (task,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    config = ElementTree.fromstring(render_label_studio_config(persons, ["calm", HOSTILE, UNCERTAIN]))
    controls = {row.get("name"): {label.get("value") for label in row} for row in config.iter("TimelineLabels")}
    for region in task["predictions"][0]["result"]:
        assert set(region["value"]["timelinelabels"]) <= controls[region["from_name"]]


def test_fiftyone(timeline, tmp_path):
    write_fiftyone([timeline], tmp_path / "fiftyone", ["calm", HOSTILE, UNCERTAIN])
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 4 and {path.parent for path in files} == {tmp_path / "fiftyone"}
    content = json.loads((tmp_path / "fiftyone" / "labels.json").read_text(encoding="utf-8"))
    assert content["classes"][content["labels"]["recording-1"][0]["label"]] == HOSTILE


@pytest.mark.parametrize(
    "name", [HOSTILE, "=cmd|' /C calc'!A0", "'=already", "@x", "\t=1", "-2+3", "＝1", 'a"b,c;d', "a\rb"]
)
def test_tables(timeline, tmp_path, name):
    """As pandas reads CSV, and JSON lines and Parquet. An apostrophe stands before a formula, and nowhere else."""
    timeline.windows = [replace(window, source=name) for window in timeline.windows]
    for suffix in ("csv", "jsonl", "parquet"):
        for number in (1, 2):
            write_table(window_rows(timeline), window_columns(timeline.labels), tmp_path / f"{number}.{suffix}")
        write_table(segment_rows(timeline), segment_columns(), tmp_path / f"segments.{suffix}")
        join_tables([tmp_path / f"{number}.{suffix}" for number in (1, 2)], tmp_path / f"all.{suffix}")
    table = pandas.read_csv(tmp_path / "all.csv")
    expected = f"'{name}" if name.lstrip("'")[0] in "=+-@\t＝" else name
    assert set(table["source"]) == {expected} and set(table["label"]) == {HOSTILE} and len(table) == 18
    assert f"p_{HOSTILE}" in table and {HOSTILE, ROOM} < set(table["person"])
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "-", "@", "\t"))]
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert rows == pq.read_table(tmp_path / "all.parquet").to_pylist() and {row["source"] for row in rows} == {name}


def test_answers_for_clips(tmp_path):
    scores = {HOSTILE: 0.75, "calm": 0.25}
    answer = {"clip": f"{HOSTILE}.mp4", "label": HOSTILE, "score": 0.75, "scores": scores}
    write_predictions([answer], {HOSTILE: HOSTILE}, ["calm", HOSTILE], HOSTILE, tmp_path)
    (row,) = pandas.read_csv(tmp_path / "predictions.csv").to_dict("records")
    assert row == {"clip": f"{HOSTILE}.mp4", "label": HOSTILE, "score": 0.75, "calm": 0.25, HOSTILE: 0.75}
    assert json.loads((tmp_path / "predictions.json").read_text(encoding="utf-8"))["predictions"] == [answer]


def test_pictures(timeline, tmp_path, caplog):
    lettering._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        painter = OverlayPainter(timeline, 640, 360, show_faces=False)
        painter.paint(np.zeros((360, 640, 3), np.uint8), 0.3)
        lettering.Lettering([f"{HOSTILE}\u0378"])
    assert caplog.records and not [entry for entry in caplog.messages if OBEYED.search(entry) or "\n" in entry]
    square = np.zeros((2, 64, 64, 3), np.uint8)
    view = ClipView((HOSTILE, HOSTILE), Image.new("RGB", (64, 64)), None, None, square, square)
    assert draw_page([view], HOSTILE).size[0] > 64
    boxes = {"clip_share": 0.5, "frame_share": 0.5, "side_histogram": [1, 2]}
    counts = {"num_clips": 3, "labels": {HOSTILE: 3}, "persons_by_label": {HOSTILE: 1}}
    split = {**counts, "frames_per_clip": {"histogram": {"3": 3}}, "face_boxes": boxes, "body_boxes": boxes}
    audit = {"splits": {"train": split}, "findings": [{"severity": "error", "split": HOSTILE, "message": HOSTILE}]}
    draw_audit({**audit, "split": {"name": HOSTILE, "protocol": "official"}}, tmp_path / "audit.png")


def test_what_a_terminal_shows(tmp_path, capsys, monkeypatch):
    def fail():
        raise InputError(f"{HOSTILE}\udce9.mp4: expected a video")

    assert run_command(fail) == 2
    written = capsys.readouterr().err
    assert written == f"error: {printable(HOSTILE)}\\xe9.mp4: expected a video\n" and not OBEYED.search(written)
    for error in (InputError("no"), RuntimeError(HOSTILE)):
        line = tell_failure(f"{HOSTILE}\udce9", error, tmp_path)
        assert not OBEYED.search(line) and "\n" not in line and line.encode()
    assert not OBEYED.search((tmp_path / "errors.log").read_text(encoding="utf-8"))
    found = {"severity": "error", "check": "x", "split": None, "message": HOSTILE, "examples": [HOSTILE]}
    assert not [line for line in format_findings([found]) if OBEYED.search(line)]
    assert not OBEYED.search(name_suffix("a.\x1b[31m")) and not OBEYED.search(own_name(f"/x/{HOSTILE}\x9b.mp4"))


# Which labels there may be

REFUSED = (
    *("uncertain", "Uncertain ", "none", "None", "no_picture", "clip", "label", "LABEL", "score", "reference"),
    *(
        "NA",
        "n/a",
        "nan",
        "NaN",
        "null",
        "true",
        "FALSE",
        "T",
        "yes",
        "inf",
        "1",
        "-1",
        "1.5",
        "1e5",
        "1i",
        "٣",
        "0x1F",
        "３",
    ),
    *("2020-01-01", "12:30", "2020-01-01T10:00:00Z", "", " ", "\t", "\u200b", "a\nb", "a\r\nb", "a\tb", "a\x1b[31mb"),
    *("a\x00", "a\udce9", "a\u2028b", "a\u202eb", " a", "a ", "=sum(A1)", "'=a", "+a", "-a", "@a", "＝a"),
    "x" * 10_000,
)


@pytest.mark.parametrize("label", REFUSED, ids=ascii)
def test_a_label_that_files_would_not_give_back_is_refused(label):
    fault = find_label_fault(["calm", label])
    assert fault is not None and "\n" not in fault and len(fault) < 300 and fault.isprintable()
    with pytest.raises(StrictDataclassError, match="`id2label`: the label"):
        ClipCaerConfig(id2label={0: "calm", 1: label})


def test_a_file_of_labels_is_held_to_the_same_rule(tmp_path):
    file = tmp_path / "labels.yaml"
    for labels, fault in (
        (["calm", "NA"], "'NA' is no text"),
        (["Joy", "joy "], "has spaces"),
        (["é", "e\u0301"], "one name"),
    ):
        entries = {label: {"soft": "x", "descriptive": "y"} for label in labels}
        file.write_text(yaml.safe_dump({"labels": entries}), encoding="utf-8")
        with pytest.raises(InputError, match=f"labels.yaml: the label.*{fault}"):
            read_label_entries(str(file))


@pytest.mark.parametrize(
    "pair",
    [
        ("ärger", "a\u0308rger"),
        ("Ann", "ann"),
        ("a b", "a  b"),
        ("ab", "a\u200bb"),
        ("Ａ1", "a1"),
        ("straße", "STRASSE"),
    ],
    ids=ascii,
)
def test_two_spellings_of_one_label_are_refused_by_name(pair):
    fault = find_label_fault(pair)
    assert ascii(pair[0]) in fault and ascii(pair[1]) in fault and "one name" in fault


def test_every_label_that_is_taken_comes_back_from_every_table(tmp_path, monkeypatch):
    """The same with DuckDB is in test_importers.py."""
    for name in ("draw_confusion_matrix", "draw_reliability"):
        monkeypatch.setattr(reporting, name, lambda report, path: path.touch())
    ClipCaerConfig(id2label=dict(enumerate(KEPT)))
    write_tables(tmp_path)
    check_tables(lambda path: pandas.read_csv(path).to_dict("list"), tmp_path)


def test_a_single_label_alone_in_a_column_is_a_text_to_pandas(tmp_path):
    for label in KEPT:
        answer = {"clip": "a.mp4", "label": label, "score": 0.5, "scores": {label: 0.5}}
        write_predictions([answer], {}, [label], "model", tmp_path)
        assert pandas.read_csv(tmp_path / "predictions.csv")["label"].tolist() == [label]
