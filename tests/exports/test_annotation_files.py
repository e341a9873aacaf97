"""Files for players and annotation programs: read back, they hold every segment, to the millisecond."""

import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from helpers.timelines import LABELS, PERSONS, SOURCE, as_milliseconds, blank_window, make_timeline
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.elan import write_elan
from modeling_clipcaer.exports.fiftyone import write_fiftyone
from modeling_clipcaer.exports.label_studio import (
    LABEL_STUDIO_FRAME_RATE,
    find_label_studio_root,
    render_label_studio_config,
    write_label_studio,
)
from modeling_clipcaer.exports.vtt import write_vtt
from modeling_clipcaer.recordings.timeline import ROOM, UNCERTAIN


@pytest.fixture
def timeline():
    return make_timeline()


# WebVTT


def read_cues(text):
    """(start, end) in milliseconds and the text of every cue, read by WebVTT's own grammar."""
    blocks = text.removesuffix("\n").split("\n\n")
    assert blocks.pop(0) == "WEBVTT"
    cues = []
    for block in blocks:
        if block.startswith("NOTE "):
            assert "-->" not in block
            continue
        times, *lines = block.split("\n")
        match = re.fullmatch(r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})", times)
        hours = [int(number) for number in match.groups()]
        begin, end = (((h * 60 + m) * 60 + s) * 1000 + ms for h, m, s, ms in (hours[:4], hours[4:]))
        (line,) = lines
        assert "-->" not in line
        cues.append((begin, end, line))
    return cues


def test_the_subtitles_hold_a_cue_for_every_segment_in_order_of_time(timeline, tmp_path):
    write_vtt(timeline, tmp_path / "timeline.vtt")
    cues = read_cues((tmp_path / "timeline.vtt").read_text(encoding="utf-8"))
    assert sorted(cue[:2] for cue in cues) == sorted(map(as_milliseconds, timeline.segments))
    assert [cue[0] for cue in cues] == sorted(cue[0] for cue in cues)
    assert cues[0] == (0, 3_661_000, '<v room>room: bored, "tense" 67%')
    assert {line.split(">")[0] for *_, line in cues} == {"<v room", "<v person-1", "<v person-2"}


def test_the_subtitles_begin_with_notice_marks_and_recording(timeline, tmp_path):
    write_vtt(timeline, tmp_path / "timeline.vtt")
    text = (tmp_path / "timeline.vtt").read_text(encoding="utf-8")
    assert f"NOTE {RESPONSIBLE_USE}\n\n" in text and "zero-shot" in text and "uncalibrated" in text
    assert 'NOTE recording: Übung "3", Säle &lt;a&amp;b&gt; --&gt; 教室.mp4\n\n' in text


# ELAN


def read_elan(path):
    """Segments of each tier as (start, end, label), with times in milliseconds."""
    root = ElementTree.parse(path).getroot()
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.find("TIME_ORDER")}
    assert list(slots.values()) == sorted(slots.values())
    names = [annotation.get("ANNOTATION_ID") for annotation in root.iter("ALIGNABLE_ANNOTATION")]
    assert len(set(names)) == len(names)
    return root, {
        tier.get("TIER_ID"): [
            (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")], a.findtext("ANNOTATION_VALUE"))
            for a in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        for tier in root.findall("TIER")
    }


def test_an_elan_document_has_a_tier_for_everybody(timeline, tmp_path):
    write_elan(timeline, tmp_path / "timeline.eaf")
    root, tiers = read_elan(tmp_path / "timeline.eaf")
    assert list(tiers) == PERSONS
    for person, annotations in tiers.items():
        segments = [segment for segment in timeline.segments if segment.person == person]
        assert annotations == [(*as_milliseconds(segment), segment.label) for segment in segments]
    assert [child.tag for child in root] == ["HEADER", "TIME_ORDER", *["TIER"] * 3, "LINGUISTIC_TYPE"]
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in root.findall("TIER")} == {
        root.find("LINGUISTIC_TYPE").get("LINGUISTIC_TYPE_ID")
    }


def test_an_elan_document_names_its_format_its_recording_and_the_notice(timeline, tmp_path):
    (tmp_path / "out").mkdir()
    timeline.source = str(tmp_path / "Säle & co" / "a b.mp4")
    write_elan(timeline, tmp_path / "out" / "timeline.eaf")
    root, _ = read_elan(tmp_path / "out" / "timeline.eaf")
    assert root.get("FORMAT") == "3.0" and "EAFv3.0.xsd" in str(root.attrib)
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert unquote(media.get("MEDIA_URL")) == f"file://{tmp_path}/Säle & co/a b.mp4"
    assert (media.get("MIME_TYPE"), media.get("RELATIVE_MEDIA_URL")) == ("video/mp4", "./../Säle & co/a b.mp4")
    properties = {entry.get("NAME"): entry.text for entry in root.iter("PROPERTY")}
    assert properties["notice"] == RESPONSIBLE_USE and "uncalibrated" in properties["scores"]


def test_an_elan_document_of_a_folder_of_frames_or_of_an_address_is_sound_too(timeline, tmp_path):
    timeline.source = str(tmp_path)
    write_elan(timeline, tmp_path / "timeline.eaf")
    assert read_elan(tmp_path / "timeline.eaf")[0].find("HEADER/MEDIA_DESCRIPTOR") is None
    timeline.source = "https://example.org/a.webm?x=1&y=2"
    write_elan(timeline, tmp_path / "timeline.eaf")
    media = read_elan(tmp_path / "timeline.eaf")[0].find("HEADER/MEDIA_DESCRIPTOR")
    assert media.get("MEDIA_URL") == timeline.source and media.get("RELATIVE_MEDIA_URL") is None


# Label Studio


def test_label_studio_gets_a_task_for_each_recording_and_a_region_for_each_segment(timeline, tmp_path):
    other = make_timeline("https://example.org/other.mp4", persons=3)
    persons = write_label_studio([timeline, other], tmp_path / "label_studio.json", Path("/"))
    assert persons == [*PERSONS, "person-3"]
    tasks = json.loads((tmp_path / "label_studio.json").read_text(encoding="utf-8"))
    assert [task["data"]["source"] for task in tasks] == [SOURCE, other.source]
    assert tasks[1]["data"]["video"] == other.source
    assert unquote(tasks[0]["data"]["video"]).endswith(f"/{SOURCE}")
    for task, source in zip(tasks, (timeline, other), strict=True):
        assert task["data"]["notice"] == RESPONSIBLE_USE and "zero-shot" in task["data"]["scores"]
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "a/model"
        assert len({region["id"] for region in prediction["result"]}) == len(source.segments)
        for region, segment in zip(prediction["result"], source.segments, strict=True):
            assert (region["type"], region["to_name"]) == ("timelinelabels", "video")
            assert region["from_name"] == segment.person
            assert region["value"]["timelinelabels"] == [f"{segment.person}: {segment.label}"]
            (span,) = region["value"]["ranges"]
            assert abs((span["start"] - 1) / LABEL_STUDIO_FRAME_RATE - segment.start) <= 1 / LABEL_STUDIO_FRAME_RATE
            assert abs(span["end"] / LABEL_STUDIO_FRAME_RATE - segment.end) <= 1 / LABEL_STUDIO_FRAME_RATE
            assert f"{segment.start:.3f} s to {segment.end:.3f} s" in region["meta"]["text"][0]


def test_regions_that_follow_one_another_share_no_frame(timeline, tmp_path):
    write_label_studio([timeline], tmp_path / "label_studio.json", Path("/"))
    (task,) = json.loads((tmp_path / "label_studio.json").read_text(encoding="utf-8"))
    first, second = [r["value"]["ranges"][0] for r in task["predictions"][0]["result"] if r["from_name"] == ROOM]
    assert second["start"] == first["end"] + 1


def test_the_labelling_configuration_has_every_control_that_the_regions_name(timeline, tmp_path):
    persons = write_label_studio([timeline], tmp_path / "label_studio.json", Path("/"))
    root = ElementTree.fromstring(render_label_studio_config(persons, LABELS))
    assert root.find("Video").get("frameRate") == str(LABEL_STUDIO_FRAME_RATE)
    controls = {control.get("name"): control for control in root.iter("TimelineLabels")}
    assert set(controls) == set(PERSONS)
    assert [label.get("value") for label in controls["person-1"]] == [f"person-1: {label}" for label in LABELS]
    assert {control.get("toName") for control in controls.values()} == {root.find("Video").get("name")}


def test_no_recording_is_an_empty_list_of_tasks(tmp_path):
    write_label_studio([], tmp_path / "label_studio.json", Path("/"))
    assert json.loads((tmp_path / "label_studio.json").read_text()) == []


# FiftyOne


def test_fiftyone_gets_the_videos_and_a_file_of_detections_for_everybody(timeline, tmp_path):
    other = make_timeline("https://example.org/a.b.mp4", persons=1)
    classes = [*LABELS, UNCERTAIN]
    write_fiftyone([timeline, other], tmp_path / "fiftyone", classes)
    videos = json.loads((tmp_path / "fiftyone" / "data.json").read_text(encoding="utf-8"))
    assert list(videos.values())[1] == other.source and next(iter(videos.values())).endswith(f"/{SOURCE}")
    assert not [name for name in videos if "." in name]
    files = {path.name for path in (tmp_path / "fiftyone").iterdir()}
    assert files == {"data.json", "labels.json", "labels_person-1.json", "labels_person-2.json"}
    for person, name in zip(PERSONS, ["labels", "labels_person-1", "labels_person-2"], strict=True):
        content = json.loads((tmp_path / "fiftyone" / f"{name}.json").read_text(encoding="utf-8"))
        assert content["classes"] == classes and set(content["labels"]) <= set(videos)
        assert content["info"]["notice"] == RESPONSIBLE_USE and "uncalibrated" in content["info"]["scores"]
        for key, source in zip(videos, (timeline, other), strict=True):
            segments = [segment for segment in source.segments if segment.person == person]
            found = content["labels"].get(key, [])
            assert [entry["timestamps"] for entry in found] == [
                [milliseconds / 1000 for milliseconds in as_milliseconds(segment)] for segment in segments
            ]
            assert [(content["classes"][entry["label"]], entry["confidence"]) for entry in found] == [
                (segment.label, segment.score) for segment in segments
            ]


# All of them


def write_all(timelines, folder, root):
    """Every file, and the tasks of Label Studio and the videos of FiftyOne."""
    for number, timeline in enumerate(timelines):
        write_vtt(timeline, folder / f"{number}.vtt")
        write_elan(timeline, folder / f"{number}.eaf")
    write_label_studio(timelines, folder / "label_studio.json", root)
    write_fiftyone(timelines, folder / "fiftyone", [*LABELS, UNCERTAIN])
    return json.loads((folder / "label_studio.json").read_text()), json.loads(
        (folder / "fiftyone/data.json").read_text()
    )


def test_the_room_is_not_listed_a_second_time_where_one_person_is_followed(tmp_path):
    for persons, expected in ((1, {"person-1"}), (2, {ROOM, "person-1", "person-2"}), (0, {ROOM})):
        write_label_studio([make_timeline(persons=persons)], tmp_path / "tasks.json", Path("/"))
        (task,) = json.loads((tmp_path / "tasks.json").read_text())
        assert {region["from_name"] for region in task["predictions"][0]["result"]} == expected
    alone = make_timeline(persons=1)  # the room's where nobody is seen stay
    alone.segments.append(replace(alone.segments[0], start=4000.0, end=4010.0))
    write_label_studio([alone], tmp_path / "tasks.json", Path("/"))
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert [r["from_name"] for r in task["predictions"][0]["result"]].count(ROOM) == 1


def test_label_studio_finds_recordings_below_its_document_root(tmp_path):
    (tmp_path / "data" / "monday").mkdir(parents=True)
    sources = [str(tmp_path / "data" / name) for name in ("a 1.mp4", "monday/../b.mp4", "monday/c.mp4")]
    assert find_label_studio_root(sources, None) == tmp_path
    assert find_label_studio_root([*sources, "https://example.org/x.mp4"], str(tmp_path)) == tmp_path
    assert find_label_studio_root(["https://example.org/x.mp4"], None) == Path("/")
    for wanted in (tmp_path / "data", tmp_path / "elsewhere"):  # Label Studio refuses a storage that is the root
        with pytest.raises(InputError, match=r"--label-studio-root .*a 1\.mp4 in a folder below it"):
            find_label_studio_root(sources, str(wanted))
    tasks, videos = write_all([make_timeline(source) for source in sources], tmp_path, tmp_path)
    found = [unquote(task["data"]["video"].removeprefix("/data/local-files/?d=")) for task in tasks]
    assert found == ["data/a 1.mp4", "data/b.mp4", "data/monday/c.mp4"]
    assert list(videos.values()) == [str(tmp_path / name) for name in found]


def test_no_path_of_a_recording_holds_two_dots(tmp_path, monkeypatch):
    for folder in ("data/monday", "elsewhere/deep", "out"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "elsewhere" / "b.mp4").touch()  # what the system finds behind the link
    monkeypatch.chdir(tmp_path / "data")
    for source, expected in (("monday/../a.mp4", "data/a.mp4"), ("link/../b.mp4", "elsewhere/b.mp4")):
        write_elan(make_timeline(source), tmp_path / "out" / "timeline.eaf")
        media = ElementTree.parse(tmp_path / "out" / "timeline.eaf").getroot().find("HEADER/MEDIA_DESCRIPTOR")
        assert media.get("MEDIA_URL") == (tmp_path / expected).as_uri()
        assert media.get("RELATIVE_MEDIA_URL") == f"./../{expected}"


def test_the_models_name_tells_nothing_of_this_machine(timeline, tmp_path, monkeypatch):
    (tmp_path / "runs" / "best").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for model, name in ((tmp_path / "ana" / "best", "best"), ("runs/best/", "best"), ("a/model", "a/model")):
        timeline.settings["model"] = str(model)
        write_label_studio([timeline], tmp_path / "tasks.json", Path("/"))
        (task,) = json.loads((tmp_path / "tasks.json").read_text())
        assert task["predictions"][0]["model_version"] == name


def test_a_stretch_without_a_picture_is_a_gap_everywhere(timeline, tmp_path):
    before = [*timeline.segments]
    timeline.windows.append(blank_window(3, 3670.2, 7670.2))
    tasks, _ = write_all([timeline], tmp_path, Path("/"))
    assert len(read_cues((tmp_path / "0.vtt").read_text(encoding="utf-8"))) == len(before)
    assert {name: len(found) for name, found in read_elan(tmp_path / "0.eaf")[1].items()} == dict.fromkeys(PERSONS, 2)
    assert len(tasks[0]["predictions"][0]["result"]) == len(before)
    only = replace(timeline, windows=[blank_window(0, 0.0, 9.0)], segments=[])
    (tmp_path / "only").mkdir()
    tasks, _ = write_all([only], tmp_path / "only", Path("/"))
    assert tasks[0]["predictions"][0]["result"] == []


def test_names_with_markup_and_line_ends_stay_text(timeline, tmp_path):
    bad = 'a\n\n00:01.000 --> 00:02.000\n<b>"&\x00]]>'
    named = replace(timeline, source=f"{bad}.mp4")
    named.segments[:] = [replace(segment, label=bad) for segment in named.segments]
    write_vtt(named, tmp_path / "0.vtt")
    write_elan(named, tmp_path / "0.eaf")
    cues = read_cues((tmp_path / "0.vtt").read_text(encoding="utf-8"))
    assert len(cues) == len(named.segments) and not [text for *_, text in cues if "<b>" in text]
    assert {label for tier in read_elan(tmp_path / "0.eaf")[1].values() for *_, label in tier} == {
        bad.replace("\x00", "\ufffd")
    }
    assert ElementTree.fromstring(render_label_studio_config([ROOM], [bad])) is not None
