"""Names that look alike: persons, labels, splits, places, clips and keys of box files are compared in one form."""

import csv
import json
import os
import unicodedata
from types import SimpleNamespace

import pytest
from datasets import Dataset

from helpers.builders import builder
from helpers.miniatures import write_clip
from helpers.raer_tree import FACE_BOX, Clip, make_tree, write_frames
from modeling_clipcaer.data.audit.dataset import audit_dataset
from modeling_clipcaer.data.clip_boxes import ClipBoxes, read_boxes
from modeling_clipcaer.data.clip_keys import find_spelled
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.data.record import count_shared_persons
from modeling_clipcaer.data.source_clips import check_labels
from modeling_clipcaer.data.views.samples import choose_clips
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import describe_merged, identity_key, merge_names, printable
from modeling_clipcaer.prediction.inputs import find_recordings, name_folders
from modeling_clipcaer.prediction.manifest import plan_jobs, write_manifest


build_raer, build_caer, build_csv, build_frame_lists = map(builder, ("raer", "folders", "csv", "frame-lists"))
COMPOSED, DECOMPOSED = "Zo\xeb", "Zoe\u0308"
ONE_PERSON = (
    "Zo\xeb",
    "Zoe\u0308",
    "ZO\xcb",
    " zo\xeb ",
    "Zo\xeb\u200b",
    "\ufeffZo\xeb",
    "\uff3ao\xeb",
    "Z\u00ado\xeb",
)


@pytest.fixture
def make_table(tmp_path):
    """A table of stretches of one video of 6 s, by label, person and split."""
    write_clip(tmp_path / "v.mp4", 60)

    def write(rows, header=("video", "start", "end", "label", "person", "split")):
        with (tmp_path / "clips.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return ["--csv", tmp_path / "clips.csv", "--output", tmp_path / "out"]

    return write


@pytest.mark.parametrize("name", [*ONE_PERSON, "zoe\u0308\ufe0f", "Zo\xeb\u3000", "Zo\xeb\n"], ids=ascii)
def test_spellings_of_one_name_have_one_key(name):
    assert identity_key(name) == "zo\xeb" == identity_key(identity_key(name))


def test_words_are_apart_and_dashes_quotes_and_wide_forms_are_one():
    assert identity_key("a  b") == identity_key("a\u2003b\t") == "a b" != identity_key("ab")
    assert identity_key("O\u2019Brien \u2013 x") == identity_key("o'brien - X")
    assert identity_key("\uff30\uff11") == identity_key("p1") and identity_key("stra\xdfe") == identity_key("STRASSE")
    assert len({identity_key(name) for name in ("Ann", "Anna", "Anne", "\u00c4nn", "P1", "P2", "P 1", "")}) == 8


def test_one_spelling_stands_for_all_whatever_their_order():
    names = ["ann", "Ann", "Ann", "ANN", "bo"]
    assert merge_names(names) == merge_names(names[::-1]) == {"ann": "Ann", "Ann": "Ann", "ANN": "Ann", "bo": "bo"}
    assert merge_names(["b", "B"]) == {"b": "B", "B": "B"}
    assert set(merge_names([DECOMPOSED, COMPOSED]).values()) == {COMPOSED}
    line = describe_merged(names, merge_names(names), "person")
    assert line.startswith("1 person spelled in several ways") and "'Ann' as 'ann' in 1 clips" in line
    assert describe_merged(["a", "b"], merge_names(["a", "b"]), "person") is None


# Builders


def test_persons_spelled_in_several_ways_are_cut_into_one_split_and_counted(run, make_table, tmp_path):
    rows = []
    for number, person in enumerate([*ONE_PERSON, *"abcdefgh"]):
        start = 0.3 * number
        rows += [
            ["v.mp4", start, start + 0.1, "x", person, "train"],
            ["v.mp4", start + 0.1, start + 0.2, "y", person, "train"],
        ]
    status, printed, error = run(build_csv, *make_table(rows), "--val-share", "0.3", "--test-share", "0.3")
    assert status == 0, error
    clips = load_clips(tmp_path / "out")
    splits = {split: {identity_key(person) for person in clips[split]["person_id"]} for split in clips}
    assert sum(map(len, splits.values())) == 9 and [sum("zo\xeb" in found for found in splits.values())] == [1]
    everybody = {person for split in clips for person in clips[split]["person_id"]}
    assert len(everybody) == 9
    assert "1 person spelled in several ways, which mean one: " in printed and ascii(DECOMPOSED) in printed
    record = json.loads((tmp_path / "out" / "build.json").read_text(encoding="utf-8"))
    assert "1 person spelled" in record["split"]["persons_merged"]
    assert set(record["shared_persons"].values()) == {0}


def test_a_person_in_two_listed_splits_is_counted_however_it_is_spelled(run, make_table, tmp_path):
    lists = zip(("train", "Train ", "validation", "TEST"), (COMPOSED, "bo", DECOMPOSED, "zo\xeb"), strict=True)
    rows = [["v.mp4", n, n + 0.5, "xy"[n % 2], person, split] for n, (split, person) in enumerate(lists)]
    rows += [["v.mp4", 5, 5.5, "y", "cy", "train"]]
    status, _, error = run(build_csv, *make_table(rows))
    assert status == 0, error
    record = json.loads((tmp_path / "out" / "build.json").read_text(encoding="utf-8"))
    assert record["shared_persons"] == {"train/validation": 1, "train/test": 1, "validation/test": 1}
    assert count_shared_persons({"train": ["Ann"], "test": ["ann "]}) == {"train/test": 1}


def test_an_audit_counts_a_person_once_however_an_older_build_spelled_it(run, make_table, tmp_path):
    rows = [
        ["v.mp4", n, n + 1, "xy"[n % 2], f"p{n}", split]
        for n, split in enumerate(["train"] * 2 + ["validation", "test"])
    ]
    assert run(build_csv, *make_table(rows))[0] == 0
    clips = load_clips(tmp_path / "out")
    names = iter((COMPOSED, "Bo", DECOMPOSED, "bo"))
    older = clips.map(lambda row: {"person_id": next(names)}, load_from_cache_file=False)
    older.save_to_disk(tmp_path / "older")
    found = audit_dataset(tmp_path / "older")["findings"]
    assert [entry["split"] for entry in found if entry["check"] == "shared_persons"] == [
        "train/validation",
        "train/test",
    ]


def test_one_stretch_of_one_person_is_one_clip_and_not_two(run, make_table, tmp_path):
    rows = [["v.mp4", 0, 1, "x", COMPOSED, "train"], ["v.mp4", 0, 1, "x", DECOMPOSED, "test"]]
    rows += [["v.mp4", n, n + 1, "y", "bo", split] for n, split in ((1, "train"), (2, "test"), (3, "validation"))]
    status, _, error = run(build_csv, *make_table(rows))
    assert status == 2 and "has split 'test'" in error and "expected one" in error


def test_labels_that_look_alike_are_refused_with_their_counts(run, make_table):
    for pair in (("\xe4rger", "a\u0308rger"), ("very low", "very  low"), ("Joy", "\uff2aoy")):
        rows = [["v.mp4", n, n + 1, label, "ann", "train"] for n, label in enumerate((*pair, pair[0], "calm"))]
        status, _, error = run(build_csv, *make_table(rows))
        assert (
            status == 2 and error.count("\n") == 1 and "different beyond their capitals, accents and spaces" in error
        )
        assert f"{pair[0]!a} as {pair[1]!a} in 1 clips" in error


@pytest.mark.parametrize("label", ["uncertain", "NA", "1", "=1+1", "a\nb", "x" * 1000], ids=lambda label: label[:9])
def test_builders_refuse_labels_that_no_table_holds(run, make_table, tmp_path, label):
    rows = [["v.mp4", n, n + 1, name, "ann", "train"] for n, name in enumerate((label, "calm"))]
    status, _, error = run(build_csv, *make_table(rows))
    assert status == 2 and error.startswith("error: the label ") and error.count("\n") == 1 and len(error) < 300
    tree = make_tree(tmp_path)
    words = ["--root", tree.raer, "--output", tmp_path / "raer", "--labels", "a", "b", "c", "d", label]
    status, _, error = run(build_raer, *words)
    assert status == 2 and "`labels`: the label " in error and error.count("\n") == 1


def test_given_labels_say_which_spelling_was_meant():
    clip = SimpleNamespace(label="a\u0308rger", place="clips.csv:2")
    with pytest.raises(InputError, match=r"clips.csv:2: unknown label .* \('a\\u0308rger' is '\\xe4rger' in another"):
        check_labels([clip], ["\xe4rger", "calm"])


def test_two_files_of_one_name_are_two_clips_and_one_file_listed_in_two_ways_is_one(run, make_table, tmp_path):
    header = ("video", "label", "split")
    for name in (COMPOSED, DECOMPOSED, "A", "a"):
        write_clip(tmp_path / f"{name}.mp4")
    listed = zip((COMPOSED, DECOMPOSED, "A", "a"), "xyxy", ("train", "train", "test", "validation"), strict=True)
    status, _, error = run(build_csv, *make_table([[f"{name}.mp4", *rest] for name, *rest in listed], header))
    assert status == 0, error
    clips = load_clips(tmp_path / "out")
    assert set(clips["train"]["clip_id"]) == {f"{COMPOSED}.mp4", f"{DECOMPOSED}.mp4"}
    assert clips["test"]["clip_id"][:] == ["A.mp4"] and clips["validation"]["clip_id"][:] == ["a.mp4"]
    os.remove(tmp_path / f"{COMPOSED}.mp4")
    listed = zip((COMPOSED, DECOMPOSED, "A"), "xxy", ("train", "test", "train"), strict=True)
    status, _, error = run(build_csv, *make_table([[f"{name}.mp4", *rest] for name, *rest in listed], header))
    assert status == 2 and "has split 'test'" in error and f"clip '{DECOMPOSED}.mp4'" in error


def test_a_path_is_found_as_the_disk_spells_it(tmp_path):
    (tmp_path / DECOMPOSED / "b").mkdir(parents=True)
    assert (
        find_spelled(tmp_path / COMPOSED / "b")
        == find_spelled(tmp_path / DECOMPOSED / "b")
        == tmp_path / DECOMPOSED / "b"
    )
    assert find_spelled(tmp_path / COMPOSED / "none") == tmp_path / DECOMPOSED / "none"
    (tmp_path / COMPOSED).mkdir()
    assert find_spelled(tmp_path / COMPOSED) == tmp_path / COMPOSED


def test_folders_of_splits_and_labels(run, tmp_path):
    for split in ("Train", "validation", "TEST"):
        for label in ("calm", "glad"):
            write_clip(tmp_path / "CAER" / split / label / "1.avi")
    assert run(build_caer, "--root", tmp_path / "CAER", "--output", tmp_path / "out")[0] == 0
    assert [len(rows) for rows in load_clips(tmp_path / "out").values()] == [2, 2, 2]
    write_clip(tmp_path / "CAER" / "TEST" / "Calm" / "1.avi")
    status, _, error = run(build_caer, "--root", tmp_path / "CAER", "--output", tmp_path / "out")
    assert status == 2 and "'calm' as 'Calm' in 1 clips" in error


def test_lists_and_folders_of_frames_in_either_form(run, tmp_path):
    names = (COMPOSED, "bo", "cy")
    for name in (DECOMPOSED, "bo", "cy"):
        for number in (1, 2):
            write_frames(tmp_path / "frames" / name / str(number), ["1.jpg", "2.jpg"])
    lists = []
    for split, name in zip(("train", "val", "test"), names, strict=True):
        lines = [f"/else/{name}/{number} 2 {number}\n" for number in (1, 2)]
        (tmp_path / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
        lists += [f"--{split}-annotation", tmp_path / f"{split}.txt"]
    flags = [*lists, "--frames-root", tmp_path / "frames", "--labels", "x", "y", "--output", tmp_path / "out"]
    status, _, error = run(build_frame_lists, *flags)
    assert status == 0, error
    assert load_clips(tmp_path / "out")["train"]["clip_id"][:] == [f"{DECOMPOSED}/1", f"{DECOMPOSED}/2"]


def test_a_cut_that_leaves_a_split_without_clips_is_one_line(run, tmp_path):
    for name in ("a", "b", "c"):
        write_clip(tmp_path / f"{name}.mp4")
    (tmp_path / "clips.csv").write_text("video,label,split\na.mp4,x,train\nb.mp4,y,train\nc.mp4,y,test\n")
    status, _, error = run(build_csv, "--csv", tmp_path / "clips.csv", "--output", tmp_path / "out")
    assert status == 2 and "no split by person that leaves training every label" in error and error.count("\n") == 1


def test_raer_counts_a_person_once_and_refuses_two_folders_of_one_name(tmp_path, run):
    tree = make_tree(tmp_path)
    twin = "images/SelfStudy/lab/p005/001"
    write_frames(tree.raer / twin, ["1.jpg", "2.jpg", "3.jpg"])
    tree.train.append(Clip(twin, 1))
    tree.write_files()
    status, printed, error = run(build_raer, "--root", tree.raer, "--output", tmp_path / "out")
    assert status == 0, error
    assert "1 person spelled in several ways, which mean one: 'SelfStudy/Lab/P005' as 'SelfStudy/lab/p005'" in printed
    record = json.loads((tmp_path / "out" / "build.json").read_text())
    assert sum(count for pair, count in record["shared_persons"].items() if pair.endswith("/test")) == 1
    flags = ["--root", tree.raer, "--output", tmp_path / "out", "--split", "leave-one-place-out", "--place", "LAB"]
    assert run(build_raer, *flags)[0] == 0
    assert {row["clip_id"].split("/")[2] for row in load_clips(tmp_path / "out")["test"]} == {"Lab", "lab"}
    os.symlink(tree.raer / "images/SelfStudy/Lab", tree.raer / "images/SelfStudy/LAB")
    tree.train.append(Clip("images/SelfStudy/LAB/P005/002", 2))
    tree.write_files()
    status, _, error = run(build_raer, "--root", tree.raer, "--output", tmp_path / "out")
    assert status == 2 and "'images/SelfStudy/Lab/P005/002' is 'images/SelfStudy/LAB/P005/002' of " in error
    del tree.train[-1]
    for form in ("NFC", "NFD"):
        write_frames(tree.raer / unicodedata.normalize(form, "images/SelfStudy/Caf\xe9/P9/1"), ["1.jpg"])
    tree.train.append(Clip("images/SelfStudy/Caf\xe9/P9/1", 1, 1))
    tree.write_files()
    status, _, error = run(build_raer, "--root", tree.raer, "--output", tmp_path / "out")
    assert status == 2 and "'Cafe\\u0301' and 'Caf\\xe9' are one name; expected one folder of it" in error


def test_names_that_are_not_utf8_are_one_clips_failure(run, tmp_path):
    for split in ("train", "validation", "test"):
        for label in ("calm", "glad"):
            write_clip(tmp_path / "CAER" / split / label / "1.avi")
    os.rename(tmp_path / "CAER/train/calm/1.avi", os.fsencode(tmp_path) + b"/CAER/train/calm/caf\xe9.avi")
    write_clip(tmp_path / "CAER/train/calm/2.avi")
    flags = ["--root", tmp_path / "CAER", "--output", tmp_path / "out"]
    status, _, error = run(build_caer, *flags)
    assert status == 2 and "caf\\xe9.avi: expected a name in UTF-8" in error
    status, printed, error = run(build_caer, *flags, "--skip-unreadable")
    assert status == 0 and "1 clips cannot be read" in printed, error
    assert json.loads((tmp_path / "out" / "build.json").read_text(encoding="utf-8"))["unreadable_clips_left_out"]


def test_a_clip_is_shown_by_its_name_in_either_form():
    rows = Dataset.from_dict({"clip_id": [f"{DECOMPOSED}.mp4", "A.mp4", "a.mp4"]})
    assert choose_clips(rows, [f"{COMPOSED}.mp4", "a.mp4", "1"], 0, 0) == [0, 2, 1]


# Boxes of single recordings


def test_boxes_find_a_recording_and_its_frames_in_either_form(tmp_path):
    (tmp_path / "face.json").write_text(json.dumps({f"{COMPOSED}.mp4": FACE_BOX}), encoding="utf-8")
    boxes = read_boxes(str(tmp_path / "face.json"), None)
    for name in (COMPOSED, DECOMPOSED):
        assert boxes.find_given(str(tmp_path / f"{name}.mp4"), ["0", "1"])[0] == [tuple(FACE_BOX)] * 2
    by_frame = ClipBoxes({"a": {f"{COMPOSED}1.jpg": tuple(FACE_BOX)}}, {})
    assert by_frame.find_given("a", [f"{DECOMPOSED}1.jpg", "2.jpg"])[0] == [tuple(FACE_BOX), None]
    with pytest.raises(InputError, match="has no frame"):
        by_frame.find_given("a", ["2.jpg"])


def test_a_key_that_means_two_recordings_is_refused(tmp_path):
    boxes = ClipBoxes({f"{COMPOSED}.mp4": tuple(FACE_BOX), "b/a.mp4": tuple(FACE_BOX)}, {})
    boxes.check(["x.mp4", f"{DECOMPOSED}.mp4", "b/a.mp4"])
    for pair in ([f"{COMPOSED}.mp4", f"{DECOMPOSED}.mp4"], [f"x/{COMPOSED}.mp4", f"y/{COMPOSED}.mp4"]):
        with pytest.raises(InputError, match=r"means .* expected more of the path"):
            boxes.check(pair)


# Folders of recordings


def test_recordings_of_one_name_get_folders_that_no_disk_takes_for_one(tmp_path):
    names = [COMPOSED, DECOMPOSED, "A", "a", "x y", "x\u200b y", "\uff21"]
    for name in names:
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    sources = find_recordings([str(tmp_path)], tmp_path / "out")
    assert len(sources) == len(names)
    folders = name_folders(sources, lambda name, source: True)
    assert len({identity_key(name) for name in folders.values()}) == len(names)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in folders.values()}) == len(names)


def test_a_recording_whose_name_is_not_utf8_fails_alone(tmp_path):
    bad = os.fsencode(tmp_path) + b"/videos/caf\xe9\x1b[31m.mp4"
    os.makedirs(tmp_path / "videos")
    for path in (bad, tmp_path / "videos" / "good.mp4"):
        with open(path, "wb") as file:
            file.write(b"0")
    sources = find_recordings([str(tmp_path / "videos")], tmp_path / "out")
    jobs = plan_jobs(sources, tmp_path / "out", {}, [])
    assert [job.error is None for job in jobs] == [False, True]
    assert (
        jobs[0].error
        == f"{tmp_path}/videos/caf\\xe9\\x1b[31m.mp4: expected a name in UTF-8, as all that is written; rename it"
    )
    (tmp_path / "out").mkdir()
    write_manifest(jobs[:1], tmp_path / "out")
    (entry,) = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["recordings"]
    assert entry == {"source": printable(os.fsdecode(bad)), "status": "failed", "error": jobs[0].error}


@pytest.mark.parametrize(
    "content", ['{"made_from": []}', '{"made_from": "x"}', '{"made_from": null}', "[]", "1", "[" * 100_000, "{"]
)
def test_a_record_that_is_not_ours_is_no_recordings_own(tmp_path, content):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "recording.json").write_text(content)
    (job,) = plan_jobs([str(tmp_path / "a.mp4")], tmp_path / "out", {}, [])
    assert job.folder.name != "a" and job.load_done() is None and not job.is_written()
