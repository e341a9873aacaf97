"""What an audit concludes from its counts, by hand."""

import pytest

from modeling_clipcaer.data.audit.checks import (
    check_boxes,
    check_frames,
    check_label_names,
    check_labels,
    check_persons,
    check_record,
    check_splits,
    check_votes,
    find_all_repeats,
    make_finding,
    say_share,
    summarise_tally,
)
from modeling_clipcaer.data.audit.clips import Tally
from modeling_clipcaer.data.audit.thresholds import AuditThresholds


def told(findings):
    return [(f["check"], f["severity"], f["split"], f["count"], f["share"]) for f in findings]


def make_tally(clips=0, frames=0, labels=(), lengths=(), **counts):
    tally = Tally()
    tally.counts.update({"clips": clips, "frames": frames, **counts})
    tally.labels.update(dict(enumerate(labels)))
    tally.lengths.update(dict(lengths))
    return tally


def test_a_share_is_told_in_numbers_and_in_percent():
    assert say_share(1234, 5000, "frames") == "1,234 of 5,000 frames (24.7%)"
    assert make_finding("x", "info", None, 1, 3, "words", ["a"]) == {
        **{"check": "x", "severity": "info", "split": None, "count": 1, "share": 0.333333},
        **{"message": "words", "examples": ["a"]},
    }
    assert make_finding("x", "info", "test", 1, 0, "words")["share"] is None


def test_a_split_is_summed_up():
    counts = {"face_clips": 3, "face_frames": 7, "body_clips": 1, "body_frames": 2}
    tally = make_tally(4, 14, labels=(1, 0, 3), lengths={5: 1, 2: 2, 6: 1}.items(), **counts)
    tally.persons = {"ann": {0, 2}, "ben": {2}}
    tally.votes.update({(3, 4): 3, (3, 10): 1})
    tally.sides["face"][2] = 7
    summary = summarise_tally(tally, ["calm", "cross", "sad"])
    assert summary["face_boxes"].pop("side_histogram") == tally.sides["face"].tolist()
    assert not any(summary["body_boxes"].pop("side_histogram"))
    assert summary == {
        "num_clips": 4,
        "num_frames": 14,
        "labels": {"calm": 1, "cross": 0, "sad": 3},
        "absent_labels": ["cross"],
        "imbalance": 3.0,
        "num_persons": 2,
        "persons_by_label": {"calm": 1, "cross": 0, "sad": 2},
        "frames_per_clip": {"min": 2, "median": 3.5, "max": 6, "histogram": {"2": 2, "5": 1, "6": 1}},
        "face_boxes": {"clips": 3, "clip_share": 0.75, "frames": 7, "frame_share": 0.5},
        "body_boxes": {"clips": 1, "clip_share": 0.25, "frames": 2, "frame_share": 0.1429},
        "votes_per_clip": {"min": 4, "median": 4.0, "max": 10},
    }


def test_a_split_without_clips_has_no_imbalance_and_no_votes():
    summary = summarise_tally(make_tally(), ["calm", "cross"])
    assert summary["imbalance"] is None and summary["absent_labels"] == ["calm", "cross"]
    assert summary["frames_per_clip"] == {"min": 0, "median": 0.0, "max": 0, "histogram": {}}
    assert summary["face_boxes"]["clip_share"] == summary["face_boxes"]["frame_share"] == 0
    assert "votes_per_clip" not in summary


def test_splits_that_are_not_there_or_empty_are_errors():
    tallies = {"train": make_tally(2), "test": make_tally()}
    assert told(check_splits(tallies)) == [
        ("missing_split", "error", "validation", 1, None),
        ("empty_split", "error", "test", 1, None),
    ]


def labels_of(split="train", limit=10, clips=None, **counts):
    counted = {name: count for name, count in counts.items() if count}
    summary = {
        "num_clips": sum(counts.values()) if clips is None else clips,
        "labels": counts,
        "absent_labels": [name for name, count in counts.items() if not count],
        "imbalance": max(counted.values()) / min(counted.values()) if counted else None,
    }
    return list(check_labels(split, summary, limit))


def test_the_commonest_and_the_rarest_of_the_labels_that_there_are_is_told():
    absent, imbalance = labels_of(calm=30, cross=0, sad=2, glad=7)
    assert told([absent, imbalance]) == [
        ("absent_labels", "error", "train", 1, 0.25),
        ("imbalance", "warning", "train", 2, 0.051282),
    ]
    assert absent["message"] == "no clip of cross"
    assert imbalance["message"] == ("30 clips of calm and 2 of sad, 15 to one; expected at most 10 (--max-imbalance)")
    assert told(labels_of("test", calm=1, cross=0)) == [("absent_labels", "warning", "test", 1, 0.5)]
    assert labels_of(limit=10, calm=20, sad=2) == [] != labels_of(limit=9.9, calm=20, sad=2)
    assert told(labels_of(calm=0, sad=0)) == [("absent_labels", "error", "train", 2, 1.0)]


def test_clips_without_a_label_are_counted():
    (finding,) = labels_of(clips=8, calm=3, sad=3)
    assert told([finding]) == [("unknown_labels", "error", "train", 2, 0.25)]
    assert finding["message"].startswith("2 of 8 clips (25.0%) have no label")


def test_votes_for_another_number_of_labels_are_counted():
    tally = make_tally(10)
    tally.votes.update({(2, 5): 4, (3, 5): 3, (3, 1): 2})
    (finding,) = check_votes("test", {"labels": {"a": 1, "b": 1}, "num_clips": 10}, tally)
    assert told([finding]) == [("broken_votes", "error", "test", 5, 0.5)]
    assert not list(check_votes("test", {"labels": dict.fromkeys("abc"), "num_clips": 4}, make_tally(4)))


def test_labels_of_other_names_are_an_error_and_of_another_order_are_told():
    lists = {"train": "ab", "validation": "ba", "test": "ac", "more": "ab"}
    summaries = {split: {"labels": dict.fromkeys(names)} for split, names in lists.items()}
    assert told(check_label_names(summaries)) == [
        ("label_order", "info", "validation", 2, 1.0),
        ("label_names", "error", "test", 2, 1.0),
    ]
    (message,) = (f["message"] for f in check_label_names(summaries) if f["check"] == "label_names")
    assert "not those of train: b, c;" in message


def boxes_of(face, tiny=0, **thresholds):
    tally = make_tally()
    tally.note("tiny_face_boxes", "clip", tiny)
    counted = {"clips": face, "frames": 100, "frame_share": 0.5}
    summary = {"num_clips": 10, "face_boxes": counted, "body_boxes": {**counted, "clips": 10}}
    return list(check_boxes("test", summary, tally, AuditThresholds(**thresholds)))


def test_few_boxes_and_tiny_ones_are_told():
    assert boxes_of(8, min_face_share=0.8) == []
    (few,) = boxes_of(7, min_face_share=0.8)
    assert told([few]) == [("few_face_boxes", "warning", "test", 7, 0.7)]
    assert few["message"] == (
        "7 of 10 clips (70.0%) and 50.0% of the frames have a face box of their own; "
        "expected 80.0% of the clips (--min-face-share)"
    )
    for tiny, severity in ((20, "info"), (21, "warning")):
        (finding,) = boxes_of(10, tiny, max_tiny_share=0.2, min_face_side=12)
        assert told([finding]) == [("tiny_face_boxes", severity, "test", tiny, tiny / 100)]
        assert (
            finding["examples"] == ["clip"] and "have a side below 12 pixels (--min-face-side)" in finding["message"]
        )


def test_what_was_found_in_clips_is_told_by_its_unit_with_the_first_reason():
    tally = make_tally(4, 100)
    tally.note("missing_files", "a", 1)
    tally.note("unreadable_frames", "b", 1, "torn")
    tally.note("short_clips", "c")
    tally.note("outside_body_boxes", "d", 5)
    summary = {"num_clips": 4, "num_frames": 100}
    for share, severity in ((0.02, "warning"), (0.019, "error")):
        findings = list(check_frames("train", summary, tally, AuditThresholds(max_missing_share=share, min_frames=9)))
        assert told(findings) == [
            ("missing_files", severity, "train", 1, 0.01),
            ("unreadable_frames", severity, "train", 1, 0.01),
            ("outside_body_boxes", "error", "train", 5, 0.05),
            ("short_clips", "warning", "train", 1, 0.25),
        ]
    messages = [finding["message"] for finding in findings]
    assert messages[1] == "1 of 100 frames (1.0%) cannot be read; first: torn"
    assert messages[3] == "1 of 4 clips (25.0%) have fewer than 9 frames (--min-frames)"
    assert findings[2]["examples"] == ["d"]
    nothing = {"num_clips": 0, "num_frames": 0}
    first = next(iter(check_frames("train", nothing, tally, AuditThresholds())))
    assert first["share"] is None and first["message"].startswith("1 of 1 frames (100.0%)")


@pytest.mark.parametrize(("protocol", "severity"), [("official", "info"), ("person", "warning")])
def test_persons_in_two_splits_are_counted_in_the_later_one(protocol, severity):
    tallies = {name: make_tally() for name in ("train", "validation", "test")}
    for split, persons in (("train", "abc"), ("validation", "bcd"), ("test", "xyzc")):
        tallies[split].persons = {person: {0} for person in persons}
    assert told(check_persons(tallies, protocol)) == [
        ("shared_persons", severity, "train/validation", 2, 0.666667),
        ("shared_persons", severity, "train/test", 1, 0.25),
        ("shared_persons", severity, "validation/test", 1, 0.25),
    ]


@pytest.mark.parametrize("decoded", [False, True])
def test_repeats_are_looked_for_within_and_across_splits(decoded):
    first, second = make_tally(), make_tally()
    first.ids.extend([1, 2, 2])
    second.ids.extend([2, 3, 3])
    first.files.extend([7, 8, 8])
    second.files.extend([7, 9, 9])
    first.stretches.extend([5, 0, 10, 6, 0, 5, 5, 30, 40])
    second.stretches.extend([5, 9, 12, 5, 20, 30, 6, 5, 9])
    first.pictures.extend([0xF0F0] * 3 + [0xFF00FF00] * 6)
    second.pictures.extend([0xF0F3] * 3 + [0xF0F1] * 3 + [0xFF0000FF] * 3)
    # Of the pictures one bit differs in each of three frames.
    thresholds = AuditThresholds(max_hash_distance=3)
    found = [
        (check, severity, of, split, list(zip(repeats.places.tolist(), repeats.of.tolist(), strict=True)))
        for check, severity, of, split, repeats, _ in find_all_repeats(
            {"train": first, "test": second}, thresholds, decoded
        )
    ]
    assert found == [
        ("repeated_ids", "error", "train", "train", [(2, 1)]),
        ("repeated_files", "warning", "train", "train", [(2, 1)]),
        ("repeated_ids", "error", "test", "test", [(2, 1)]),
        ("repeated_files", "warning", "test", "test", [(2, 1)]),
        ("repeated_ids", "error", "train", "test", [(0, 1)]),
        ("repeated_files", "error", "train", "test", [(0, 0)]),
        ("overlapping_stretches", "error", "train", "test", [(0, 0)]),
        *([("near_duplicates", "warning", "train", "test", [(1, 0)])] if decoded else []),
    ]


def test_what_the_build_cut_or_left_out_is_told_wherever_it_counted_it():
    record = {
        "splits": {
            "train": {"face_boxes": {"clamped": 3, "outside": 0}, "body_boxes_outside": 2},
            "test": {"face_boxes_clamped": 1200, "body_boxes": {}},
        }
    }
    found = list(check_record(record))
    assert told(found) == [
        ("clamped_face_boxes_of_build", "info", "train", 3, None),
        ("outside_body_boxes_of_build", "warning", "train", 2, None),
        ("clamped_face_boxes_of_build", "info", "test", 1200, None),
    ]
    assert found[2]["message"] == "1,200 face boxes were cut to their frames by the build"
    assert list(check_record({})) == []
