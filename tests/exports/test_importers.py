"""Other programs' own readers on our files: `pip install -e .[importers]`. What is not installed is skipped."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.hostile_names import HOSTILE, KEPT, check_tables, write_tables
from helpers.places import ROOT
from helpers.timelines import LABELS, PERSONS, as_milliseconds, make_timeline
from helpers.videos import stairs, write_video
from modeling_clipcaer.exports.elan import write_elan
from modeling_clipcaer.exports.fiftyone import write_fiftyone
from modeling_clipcaer.exports.label_studio import render_label_studio_config, write_label_studio
from modeling_clipcaer.exports.vtt import write_vtt
from modeling_clipcaer.names import printable
from modeling_clipcaer.prediction.clips import write_predictions
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN
from modeling_clipcaer.reports import evaluation as reporting


@pytest.fixture(params=[False, True], ids=["usual", "hostile"])
def timeline(request):
    made = make_timeline()
    if request.param:
        labels = {LABELS[1]: HOSTILE, UNCERTAIN: UNCERTAIN}
        made.segments = [replace(segment, label=labels[segment.label]) for segment in made.segments]
        made.labels, made.source = [*LABELS, HOSTILE], f"{HOSTILE}.mp4"
    return made


def test_elan_documents_are_read_by_pympi(timeline, tmp_path):
    elan = pytest.importorskip("pympi").Elan
    write_elan(timeline, tmp_path / "a.eaf")
    read = elan.Eaf(tmp_path / "a.eaf")
    assert list(read.get_tier_names()) == PERSONS and dict(read.properties)["schema_version"]
    for person in PERSONS:
        found = sorted(read.get_annotation_data_for_tier(person))
        expected = [segment for segment in timeline.segments if segment.person == person]
        assert [span[:2] for span in found] == [as_milliseconds(segment) for segment in expected]
        assert [span[2][:8] for span in found] == [segment.label[:8] for segment in expected]
    assert read.get_linked_files()[0]["MIME_TYPE"] == "video/mp4"


def test_subtitles_are_read_by_webvtt(timeline, tmp_path):
    webvtt = pytest.importorskip("webvtt")
    write_vtt(timeline, tmp_path / "a.vtt")
    cues = list(webvtt.read(tmp_path / "a.vtt"))
    found = sorted((round(1000 * cue.start_in_seconds), cue.voice) for cue in cues)  # whole seconds alone
    expected = sorted((as_milliseconds(s)[0] // 1000 * 1000, s.person) for s in timeline.segments)
    assert found == expected
    for cue in cues:
        assert "\n" not in cue.text and cue.text.startswith(f"{cue.voice}: ")
    assert sum(printable(timeline.segments[0].label)[:7].strip("<") in cue.raw_text for cue in cues) == 3


def test_label_studio_takes_configuration_tasks_and_predictions(timeline, tmp_path):
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    persons = write_label_studio([timeline], tmp_path / "a.json", Path("/"))
    project = interface.LabelInterface(render_label_studio_config(persons, [*timeline.labels, UNCERTAIN]))
    project.validate()
    assert [control.name for control in project.controls] == persons
    for task in json.loads((tmp_path / "a.json").read_text(encoding="utf-8")):
        assert project.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert project.validate_prediction(prediction, return_errors=True) == []


def test_the_pages_call_of_fiftyone_reads_the_folder(tmp_path, monkeypatch):
    """The importers that `from_dir` and `merge_dir` make of their arguments; a dataset itself needs MongoDB."""
    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
    fiftyone = pytest.importorskip("fiftyone")
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    timeline = make_timeline(str(write_video(tmp_path / "a b.mp4", stairs(40))), persons=1)
    timeline.segments = [replace(s, start=s.start / 3000, end=s.end / 3000) for s in timeline.segments]
    (tmp_path / "outputs" / "predict").mkdir(parents=True)
    write_fiftyone([timeline], tmp_path / "outputs" / "predict" / "fiftyone", [*LABELS, UNCERTAIN])
    found = {}

    def read(folder, dataset_type, label_field, **flags):
        importer, *_ = importers.build_dataset_importer(dataset_type, dataset_dir=folder, **flags)
        with importer:
            for path, _, detections, *_ in importer:
                found[label_field] = (path, [detection.label for detection in detections.detections])
        return Dataset

    class Dataset:
        from_dir = staticmethod(read)
        merge_dir = staticmethod(read)

    monkeypatch.setattr(fiftyone, "Dataset", Dataset)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "howto" / "other_programs.md").read_text(encoding="utf-8")
    (call,) = re.findall(r"```python\n(import fiftyone\n.*?)```", page, re.S)
    exec(call)
    assert found == dict.fromkeys((ROOM, "person_1"), (timeline.source, [LABELS[1], UNCERTAIN]))


def test_every_label_that_is_taken_comes_back_to_duckdb(tmp_path, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    for name in ("draw_confusion_matrix", "draw_reliability"):
        monkeypatch.setattr(reporting, name, lambda report, path: path.touch())
    write_tables(tmp_path)

    def read(path):
        table = duckdb.read_csv(str(path))
        return {
            name: list(cells) for name, cells in zip(table.columns, zip(*table.fetchall(), strict=True), strict=True)
        }

    check_tables(read, tmp_path)
    for label in KEPT:  # also where no other tells what its column holds
        answer = {"clip": "a.mp4", "label": label, "score": 0.5, "scores": {label: 0.5}}
        write_predictions([answer] * 2, {}, [label], "model", tmp_path)
        assert read(tmp_path / "predictions.csv")["label"] == [label] * 2
