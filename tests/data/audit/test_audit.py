"""Every check of the audit, on data that has the fault and on data that has not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value, load_from_disk
from PIL import Image

from helpers import videos
from modeling_clipcaer.data.audit.dataset import audit_dataset, format_audit
from modeling_clipcaer.data.audit.plots import MAX_FINDINGS, list_lines
from modeling_clipcaer.data.audit.thresholds import AuditThresholds
from modeling_clipcaer.data.boxes import BOX_SOURCES
from modeling_clipcaer.data.features import FEATURES
from modeling_clipcaer.errors import InputError


WIDTH, HEIGHT, LENGTH = 320, 240, 8
FACE, BODY = [100.0, 40.0, 150.0, 90.0], [60.0, 20.0, 220.0, 230.0]
ANNOTATED, NEAREST, FRAME = (BOX_SOURCES.index(name) for name in ("annotated", "nearest", "frame"))


def draw_picture(seed, size=(WIDTH, HEIGHT)):
    """A picture of its own for each seed: smooth patches of random brightness."""
    patches = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def write_clip(folder, seed, length=LENGTH, quality=90, size=(WIDTH, HEIGHT)):
    """A clip that shows one picture all along."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number}.jpg" for number in range(1, length + 1)]
    for name in names:
        draw_picture(seed, size).save(folder / name, quality=quality)
    return {"frame_dir": str(folder), "frame_names": names}


def make_row(clip_id, label, **columns):
    boxes = {"face_boxes": [FACE] * LENGTH, "face_box_sources": [ANNOTATED] * LENGTH, "body_boxes": [BODY]}
    return {"clip_id": clip_id, "person_id": clip_id.split("/")[0], **boxes, "label": label, **columns}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders of the clips of three splits, written once: two labels each, one person a split."""
    root = tmp_path_factory.mktemp("pictures")
    clips = {split: [f"{split}/{label}" for label in range(5)] for split in ("train", "validation", "test")}
    for number, clip_id in enumerate(clip_id for split in clips.values() for clip_id in split):
        write_clip(root / clip_id, number)
    return root, clips


@pytest.fixture
def rows(pictures, tmp_path):
    """Rows of a faultless dataset, by split, with files that a test may spoil."""
    root, clips = pictures
    shutil.copytree(root, tmp_path / "frames")
    names = [f"{number}.jpg" for number in range(1, LENGTH + 1)]
    return {
        split: [
            make_row(clip_id, label, frame_dir=str(tmp_path / "frames" / clip_id), frame_names=list(names))
            for label, clip_id in enumerate(split_clips)
        ]
        for split, split_clips in clips.items()
    }


def save(rows, folder, features=FEATURES):
    columns = {split: {name: [row[name] for row in part] for name in features} for split, part in rows.items()}
    parts = {split: Dataset.from_dict(part, features=features) for split, part in columns.items()}
    DatasetDict(parts).save_to_disk(folder)
    return folder


@pytest.fixture
def audit(rows, tmp_path):
    """Saves the rows as they are by now and audits them."""

    def audit_rows(decode=False, num_proc=1, features=FEATURES, record=None, **thresholds):
        folder = save(rows, tmp_path / "dataset", features)
        if record is not None:
            (folder / "build.json").write_text(record if isinstance(record, str) else json.dumps(record))
        return audit_dataset(folder, AuditThresholds(**thresholds), decode, num_proc)

    return audit_rows


def found(report, check, split=None):
    """Severity and count of a check's one finding; `None` without one."""
    findings = [f for f in report["findings"] if f["check"] == check and split in (None, f["split"])]
    assert len(findings) <= 1, findings
    return (findings[0]["severity"], findings[0]["count"]) if findings else None


@pytest.mark.parametrize("decode", (False, True))
def test_faultless_data_has_no_findings(audit, decode):
    report = audit(decode=decode)
    assert report["findings"] == [] and report["severities"] == {"error": 0, "warning": 0, "info": 0}
    train = report["splits"]["train"]
    assert train["num_clips"] == 5 and train["num_frames"] == 5 * LENGTH and train["imbalance"] == 1.0
    assert train["face_boxes"]["frame_share"] == train["body_boxes"]["clip_share"] == 1.0
    assert sum(train["face_boxes"]["side_histogram"]) == 5 * LENGTH
    side = int((50 * 50 / (WIDTH * HEIGHT)) ** 0.5 * 20)
    assert train["face_boxes"]["side_histogram"][side] == 5 * LENGTH


def test_the_report_keeps_its_schema(audit, rows):
    rows["test"][0]["frame_names"][0] = "gone.jpg"
    report = audit()
    assert list(report) == [
        *("dataset", "decoded", "split", "severities", "findings", "splits", "thresholds", "versions"),
    ]
    (finding,) = report["findings"]
    assert finding["message"].startswith("1 of 40 frames (2.5%) have no file; first: ")
    assert {name: value for name, value in finding.items() if name != "message"} == {
        **{"check": "missing_files", "severity": "error", "split": "test", "count": 1, "share": 0.025},
        "examples": ["test/0"],
    }
    assert set(report["splits"]["train"]) == {
        *("num_clips", "num_frames", "labels", "absent_labels", "imbalance", "num_persons", "frames_per_clip"),
        *("persons_by_label", "face_boxes", "body_boxes"),
    }
    assert json.loads(json.dumps(report)) == report
    table = "\n".join(format_audit(report))
    assert "error    test: 1 of 40 frames" in table and "found: 1 error, no warnings" in table


def test_the_page_says_the_worst_findings_first_and_how_many_boxes_are_missing(audit, rows):
    rows["test"][0]["frame_names"][0] = "gone.jpg"
    report = audit()
    lines = list_lines(report)
    assert lines[0] == ("error", "test: 1 of 40 frames (2.5%) have no file")  # and no path
    assert lines[-1] == ("boxes", "every frame has a face box of its own; every frame has a body box of its own")
    many = report | {"findings": report["findings"] * 20}
    assert len(list_lines(many)) == MAX_FINDINGS + 2 and list_lines(many)[-2][1].startswith("and ")


def test_a_person_counts_for_every_label_that_is_shown(audit, rows):
    rows["train"][0]["person_id"] = "another"
    split = audit()["splits"]["train"]  # of five labels with a clip each
    assert split["num_persons"] == 2 and list(split["persons_by_label"].values()) == [1] * 5


def test_imbalance_beyond_the_limit_is_a_warning(audit, rows):
    rows["train"] += [make_row(f"train/{n}", 0, frame_dir="", frame_names=["x"]) for n in range(10, 13)]
    assert found(audit(max_imbalance=3.9), "imbalance") == ("warning", 1)
    assert found(audit(max_imbalance=4), "imbalance") is None


def test_splits_with_other_label_names_are_an_error_and_with_another_order_are_told(rows, tmp_path):
    folder = save(rows, tmp_path / "dataset")
    names = FEATURES["label"].names
    for labels, check, severity in (
        (names[::-1], "label_order", "info"),
        ([*names[:-1], "x"], "label_names", "error"),
    ):
        parts = load_from_disk(folder)
        label = ClassLabel(names=labels)
        parts["test"] = (
            parts["test"].remove_columns("label").add_column("label", [0] * len(parts["test"]), feature=label)
        )
        parts.save_to_disk(tmp_path / check)
        report = audit_dataset(tmp_path / check)
        assert found(report, check, "test")[0] == severity


def test_an_absent_label_is_an_error_in_training_alone(audit, rows):
    rows["train"].pop()
    rows["test"].pop(0)
    report = audit()
    assert found(report, "absent_labels", "train") == ("error", 1)
    assert found(report, "absent_labels", "test") == ("warning", 1)


def test_a_clip_without_a_label_is_an_error(audit, rows):
    rows["train"][0]["label"] = None
    assert found(audit(), "unknown_labels") == ("error", 1)


def test_boxes_that_stand_in_are_not_counted_as_boxes(audit, rows):
    for row in rows["train"][:3]:
        row["face_box_sources"] = [NEAREST] * LENGTH
    rows["train"][3]["face_box_sources"] = [ANNOTATED, *[FRAME] * (LENGTH - 1)]
    rows["train"][0]["body_boxes"] = []
    report = audit()
    assert found(report, "few_face_boxes") == ("warning", 2) and found(report, "few_body_boxes") is None
    assert report["splits"]["train"]["face_boxes"]["frames"] == LENGTH + 1
    assert report["splits"]["train"]["body_boxes"]["clips"] == 4
    assert found(audit(min_face_share=0.4, min_body_share=0.9), "few_face_boxes") is None
    assert found(audit(min_body_share=0.9), "few_body_boxes") == ("warning", 4)


def test_one_box_for_all_frames_counts_for_each(audit, rows):
    rows["train"][0] |= {"face_boxes": [FACE], "face_box_sources": [ANNOTATED]}
    report = audit()
    assert report["findings"] == [] and report["splits"]["train"]["face_boxes"]["frames"] == 5 * LENGTH


@pytest.mark.parametrize(
    ("box", "check", "severity"),
    (
        ([400.0, 40.0, 450.0, 90.0], "outside_face_boxes", "error"),
        ([-30.0, 40.0, 150.0, 90.0], "reaching_face_boxes", "info"),
        ([100.0, 40.0, 112.0, 90.0], "tiny_face_boxes", "warning"),
        ([150.0, 40.0, 100.0, 90.0], "broken_face_boxes", "error"),
        ([float("nan"), 40.0, 150.0, 90.0], "broken_face_boxes", "error"),
        ([100.0, 40.0, 150.0], "broken_face_boxes", "error"),
        ([-0.5, 40.0, 150.0, 90.0], None, None),
        ([], None, None),
    ),
)
def test_a_box_that_cannot_be_right_is_found(audit, rows, box, check, severity):
    rows["train"][0]["face_boxes"][2] = box
    report = audit()
    assert [(f["check"], f["severity"]) for f in report["findings"]] == ([(check, severity)] if check else [])
    assert all(f["examples"] == ["train/0"] and f["count"] == 1 for f in report["findings"])


def test_boxes_of_another_number_than_frames_are_found(audit, rows):
    rows["train"][0]["body_boxes"] = [BODY] * 3
    rows["train"][1]["face_box_sources"] = [ANNOTATED] * 3
    report = audit()
    assert found(report, "broken_body_boxes") == found(report, "broken_face_boxes") == ("error", 1)


def test_few_tiny_boxes_are_told_and_many_warned_of(audit, rows):
    rows["train"][0]["face_boxes"][0] = [100.0, 40.0, 110.0, 50.0]
    assert found(audit(), "tiny_face_boxes") == ("warning", 1)
    assert found(audit(max_tiny_share=0.025), "tiny_face_boxes") == ("info", 1)
    assert found(audit(min_face_side=10), "tiny_face_boxes") is None


def test_what_the_build_repaired_is_told(audit):
    nested = {"face_boxes": {"clamped": 2, "outside": 0}, "body_boxes": {"outside": 1}}
    report = audit(record={"splits": {"train": nested, "test": {"face_boxes_clamped": 3}}})
    assert found(report, "clamped_face_boxes_of_build", "train") == ("info", 2)
    assert found(report, "clamped_face_boxes_of_build", "test") == ("info", 3)
    assert found(report, "outside_body_boxes_of_build") == ("warning", 1)
    assert found(report, "outside_face_boxes_of_build") is None


def test_a_broken_record_of_the_build_is_a_warning(audit):
    assert found(audit(record="{"), "broken_record") == ("warning", 1)
    assert found(audit(record="[]"), "broken_record") == ("warning", 1)


def test_short_clips_and_clips_without_frames_are_found(audit, rows):
    rows["train"][0] |= {"frame_names": [], "face_boxes": [], "face_box_sources": [], "body_boxes": []}
    report = audit(min_frames=9)
    assert found(report, "no_frames") == ("error", 1)
    assert found(report, "short_clips", "train") == ("warning", 4)
    assert found(audit(), "short_clips") is None
    assert report["splits"]["train"]["frames_per_clip"]["histogram"] == {"0": 1, str(LENGTH): 4}


def test_missing_and_empty_files_are_found_without_decoding(audit, rows):
    rows["train"][0]["frame_names"][:2] = ["gone.jpg", "too.jpg"]
    Path(rows["train"][0]["frame_dir"], "5.jpg").write_bytes(b"")
    for decode in (False, True):
        report = audit(decode=decode)
        assert found(report, "missing_files") == ("error", 2) and found(report, "empty_files") == ("error", 1)
        assert found(report, "unreadable_frames") is None
    report = audit(max_missing_share=0.1)
    assert found(report, "missing_files") == ("warning", 2) and found(report, "empty_files") == ("warning", 1)


def test_a_truncated_picture_is_found_by_decoding_alone(audit, rows):
    for name in ("1.jpg", "4.jpg"):
        path = Path(rows["train"][1]["frame_dir"], name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert found(audit(), "unreadable_frames") is None
    report = audit(decode=True)
    assert found(report, "unreadable_frames") == ("error", 2)
    assert "train/1/1.jpg: cannot be read as an image" in report["findings"][0]["message"]


def test_a_first_frame_that_is_no_image_is_found_without_decoding(audit, rows):
    Path(rows["train"][1]["frame_dir"], "1.jpg").write_text("not a picture")
    assert found(audit(), "unreadable_frames") == ("error", 1)


@pytest.mark.parametrize("decode", [False, True])
def test_frames_of_different_sizes_are_found_in_their_headers(audit, rows, decode):
    draw_picture(0, (200, 100)).save(f"{rows['train'][0]['frame_dir']}/3.jpg")
    report = audit(decode=decode)
    assert found(report, "differing_sizes") == ("warning", 1)
    # The body box, one for all, does not fit that frame: it reaches out of it.
    assert found(report, "reaching_body_boxes") == ("info", 1)


def test_a_jpeg_damaged_in_its_middle_is_found_by_decoding(audit, rows):
    path = Path(rows["train"][1]["frame_dir"], "3.jpg")
    whole = path.read_bytes()
    middle = len(whole) * 2 // 3
    path.write_bytes(whole[:middle] + b"\xff" * 8 + whole[middle + 8 :])
    report = audit(decode=True)
    assert found(report, "unreadable_frames") == ("error", 1)
    assert "train/1/3.jpg" in report["findings"][0]["message"]


def test_clips_that_show_nothing_are_found_and_look_like_no_other(audit, rows):
    for number, split in enumerate(("train", "test")):
        for name in rows[split][0]["frame_names"]:
            Image.new("RGB", (WIDTH, HEIGHT), (number, 0, 0)).save(f"{rows[split][0]['frame_dir']}/{name}")
    report = audit(decode=True)
    assert found(report, "blank_clips", "train") == found(report, "blank_clips", "test") == ("warning", 1)
    assert found(report, "near_duplicates") is None


def test_persons_in_two_splits_are_expected_of_the_official_protocol_alone(audit, rows):
    for row in [*rows["train"], *rows["test"]]:
        row["person_id"] = "P001"
    assert found(audit(), "shared_persons") == ("info", 1)
    assert found(audit(record={"split": {"protocol": "official"}}), "shared_persons") == ("info", 1)
    report = audit(record={"split": {"protocol": "person"}})
    assert found(report, "shared_persons", "train/test") == ("warning", 1)
    assert report["split"] == {"protocol": "person"}


def test_clips_of_nobody_are_told(audit, rows):
    rows["train"][0]["person_id"] = rows["test"][0]["person_id"] = ""
    report = audit()
    assert found(report, "unknown_persons", "train") == ("info", 1) and found(report, "shared_persons") is None


def test_an_id_that_occurs_twice_is_an_error(audit, rows):
    rows["test"][0]["clip_id"] = "train/3"
    rows["train"][1]["clip_id"] = "train/0"
    report = audit()
    assert found(report, "repeated_ids", "train/test") == found(report, "repeated_ids", "train") == ("error", 1)


def test_the_same_files_in_two_places_are_found_without_decoding(audit, rows):
    for split, source in (("test", rows["train"][2]), ("train", rows["train"][3])):
        shutil.rmtree(rows[split][0]["frame_dir"])
        shutil.copytree(source["frame_dir"], rows[split][0]["frame_dir"])
    report = audit()
    assert found(report, "repeated_files", "train/test") == ("error", 1)
    assert found(report, "repeated_files", "train") == ("warning", 1)
    (across,) = (f for f in report["findings"] if f["split"] == "train/test")
    assert across["examples"] == ["test/0 (train: train/2)"]


@pytest.mark.parametrize("change", ({"quality": 40}, {"quality": 75, "size": (200, 150)}, {"length": 5}))
def test_a_clip_encoded_anew_is_a_near_duplicate(audit, rows, tmp_path, change):
    row, picture_of_another = rows["test"][1], 3
    row |= write_clip(tmp_path / "anew", picture_of_another, **change)
    row |= {"face_boxes": [], "face_box_sources": [], "body_boxes": []}
    report = audit(decode=True)
    assert found(report, "near_duplicates", "train/test") == ("warning", 1)
    (finding,) = (f for f in report["findings"] if f["check"] == "near_duplicates")
    assert finding["examples"] == ["test/1 (train: train/3)"]
    assert found(audit(), "near_duplicates") is None


def test_pictures_that_differ_by_more_than_the_limit_are_no_near_duplicates(audit, rows):
    assert found(audit(decode=True, max_hash_distance=30), "near_duplicates") is None
    assert found(audit(decode=True, max_hash_distance=192), "near_duplicates", "train/test") == ("warning", 5)


def test_empty_and_missing_splits_are_errors(audit, rows):
    rows["validation"] = []
    del rows["test"]
    report = audit()
    assert found(report, "empty_split", "validation") == found(report, "missing_split", "test") == ("error", 1)
    assert format_audit(report)


def test_rows_of_bytes_are_audited_like_files(audit, rows):
    for row in (row for part in rows.values() for row in part):
        row["frames"] = [Path(row["frame_dir"], name).read_bytes() for name in row["frame_names"]]
    features = Features(
        {name: kind for name, kind in FEATURES.items() if name != "frame_dir"} | {"frames": List(Value("binary"))}
    )
    assert audit(decode=True, features=features)["findings"] == []
    rows["train"][0]["frames"][3] = rows["train"][0]["frames"][3][:2000]
    rows["train"][1]["frames"][0] = b""
    rows["train"][2]["frames"].pop()
    rows["test"][0]["frames"] = rows["train"][4]["frames"]
    report = audit(decode=True, features=features)
    assert found(report, "unreadable_frames") == found(report, "empty_files") == ("error", 1)
    assert found(report, "broken_rows") == ("error", 1)
    assert found(report, "repeated_files") == ("error", 1) and found(report, "near_duplicates") == ("warning", 1)


VIDEO_FEATURES = Features(
    {name: kind for name, kind in FEATURES.items() if name not in ("frame_dir", "frame_names")}
    | {"video": Value("string"), "first_frame": Value("int64"), "num_frames": Value("int64")}
)


def test_stretches_of_videos_are_audited(audit, rows, tmp_path):
    lessons = [tmp_path / f"{number}.mp4" for number in range(2)]
    for number, lesson in enumerate(lessons):
        videos.write_video(lesson, (np.asarray(draw_picture(100 * number + place // LENGTH)) for place in range(64)))
    shutil.copy(lessons[0], tmp_path / "copy.mp4")
    for row, place in zip((row for part in rows.values() for row in part), range(15), strict=True):
        row |= {"video": str(lessons[place // 8]), "first_frame": place % 8 * LENGTH, "num_frames": LENGTH}
    assert audit(decode=True, features=VIDEO_FEATURES)["findings"] == []
    rows["train"][0]["first_frame"] = 60
    rows["train"][1]["video"] = str(tmp_path / "gone.mp4")
    rows["test"][0] |= {"video": str(tmp_path / "copy.mp4"), "first_frame": 2 * LENGTH + 4}
    report = audit(features=VIDEO_FEATURES)
    assert found(report, "missing_files") == ("error", LENGTH) and found(report, "unreadable_frames") is None
    # A copy of the lesson, four frames into one clip of training and four into the next.
    assert found(report, "overlapping_stretches", "train/test") == ("error", 1)
    report = audit(decode=True, features=VIDEO_FEATURES)
    assert found(report, "unreadable_frames") == ("error", LENGTH)
    assert "expected 8 frames from number 60 on, the video has 64" in str(report["findings"])


@pytest.mark.slow
def test_several_processes_find_the_same(audit, rows, monkeypatch):
    monkeypatch.setattr("modeling_clipcaer.data.audit.dataset.CHUNK", 2)
    monkeypatch.setattr("modeling_clipcaer.data.audit.dataset.WORTH", {True: 2, False: 2})
    rows["train"][0]["frame_names"][0] = "gone.jpg"
    rows["test"][0]["face_boxes"][0] = [1.0, 1.0, 0.0, 0.0]
    shutil.rmtree(rows["test"][1]["frame_dir"])
    shutil.copytree(rows["train"][2]["frame_dir"], rows["test"][1]["frame_dir"])
    alone = audit(decode=True)
    assert len(alone["findings"]) == 4
    assert audit(decode=True, num_proc=2) == alone


def test_columns_that_name_no_frames_are_not_taken_for_them(rows, audit):
    for row in (row for part in rows.values() for row in part):
        row |= {"video": "the lesson it was cut from", "num_frames": 1000}
    extra = {"video": Value("string"), "num_frames": Value("int64")}
    assert audit(decode=True, features=Features({**FEATURES, **extra}))["findings"] == []


@pytest.mark.parametrize(
    ("limit", "value"),
    (("max_imbalance", 0.5), ("min_face_share", 1.1), ("min_frames", 0), ("max_hash_distance", 193)),
)
def test_a_threshold_out_of_range_is_refused(limit, value):
    with pytest.raises(InputError, match=f"`{limit}` must lie in .* got {value}"):
        AuditThresholds(**{limit: value})
    with pytest.raises(InputError, match="got nan"):
        AuditThresholds(**{limit: float("nan")})


def test_what_is_no_dataset_is_refused(rows, tmp_path):
    with pytest.raises(InputError, match="expected a dataset with splits"):
        audit_dataset(tmp_path / "nothing")
    save(rows, tmp_path / "dataset")
    with pytest.raises(InputError, match="written by save_to_disk"):
        audit_dataset(tmp_path / "dataset" / "train")
    with pytest.raises(InputError, match="`num_proc` is 0"):
        audit_dataset(tmp_path / "dataset", num_proc=0)
    del rows["train"], rows["validation"]
    features = Features({name: kind for name, kind in FEATURES.items() if name != "body_boxes"})
    with pytest.raises(InputError, match="split `test` has no column `body_boxes`"):
        audit_dataset(save(rows, tmp_path / "other", features))
