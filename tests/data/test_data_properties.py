"""What holds of any lists, boxes, labels, times and splits, not only of the examples beside."""

import csv
import io
import json
import math
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.listed_clips import make_clip
from modeling_clipcaer.common.csv_text import FORMULA_STARTS, safe_cell
from modeling_clipcaer.common.files import render_json
from modeling_clipcaer.common.yaml_files import read_yaml
from modeling_clipcaer.data.annotations import read_lines
from modeling_clipcaer.data.boxes import (
    NEAREST_REACH,
    PackedBoxes,
    fill_boxes,
    fit_box,
    parse_box,
    read_face_file,
    scale_box,
)
from modeling_clipcaer.data.frame_names import match_frames
from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.data.layouts.csv import parse_line
from modeling_clipcaer.data.rows import find_stretch
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.data.splits import cut_folds, cut_part
from modeling_clipcaer.data.votes import move_votes, order_votes
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.frame_files import natural_key
from modeling_clipcaer.json_files import describe_json, parse_json
from modeling_clipcaer.names import find_label_fault, identity_key, merge_names, printable, public_name
from modeling_clipcaer.video_frames import continue_times


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COORDINATE = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-1000, 1000)
BOX = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE).map(lambda box: parse_box(list(box), "a box"))
SIDE = st.integers(1, 4000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("properties")


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


LISTED_PATH = TEXT.filter(lambda text: text and text.strip() == text and not set("\n\0\ufeff") & set(text))


@given(lines=st.lists(st.tuples(LISTED_PATH, st.integers(0, 10**6), st.integers(1, 5)), min_size=1, max_size=8))
def test_a_list_is_read_as_it_was_written(folder, lines):
    file = write(folder / "list.txt", "".join(f"{path} {count}\t{label} \n\n" for path, count, label in lines))
    found = read_lines(file, "abcde", 1)
    assert [(line.path, line.listed_frames, line.label + 1) for line in found] == lines
    assert [line.place for line in found] == [f"{file}:{2 * place + 1}" for place in range(len(lines))]


@given(label=st.integers(0, 10**30).filter(lambda label: not 1 <= label <= 5))
def test_a_label_that_the_list_does_not_have_is_refused_whatever_its_number(folder, label):
    with pytest.raises(InputError, match=r"unknown label|expected '<path>"):
        read_lines(write(folder / "list.txt", f"a 3 {label}\n"), "abcde", 1)


@given(box=st.lists(COORDINATE, min_size=4, max_size=4))
def test_a_box_keeps_its_numbers_and_has_its_corners_in_order(box):
    left, top, right, bottom = parse_box(box, "a box")
    assert left <= right and top <= bottom
    assert sorted((left, right)) == sorted(map(float, box[::2])) and sorted((top, bottom)) == sorted(
        map(float, box[1::2])
    )
    assert parse_box([left, top, right, bottom], "a box") == (left, top, right, bottom)


@given(box=BOX, width=SIDE, height=SIDE)
def test_a_fitted_box_is_what_box_and_frame_have_in_common(box, width, height):
    common = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    is_seen = common[2] - common[0] >= 1 and common[3] - common[1] >= 1
    assert fit_box(box, width, height) == (common if is_seen else None)


@given(box=BOX, size=st.tuples(SIDE, SIDE), other=st.tuples(SIDE, SIDE))
def test_a_box_goes_to_another_size_and_back(box, size, other):
    there = scale_box(box, size, other)
    assert scale_box(there, other, size) == pytest.approx(box, rel=1e-9, abs=1e-6)
    assert there[0] * size[0] == pytest.approx(box[0] * other[0], rel=1e-9, abs=1e-6)


@given(boxes=st.lists(st.none() | BOX, min_size=1, max_size=40))
def test_every_frame_has_its_own_box_or_the_nearest_or_the_median(boxes):
    filled, sources = fill_boxes(boxes)
    own = [place for place, box in enumerate(boxes) if box is not None]
    for place, (box, source) in enumerate(zip(filled, sources, strict=True)):
        if not own:
            assert (box, source) == (None, "frame")
            continue
        distance = min(abs(place - other) for other in own)
        nearest = min(other for other in own if abs(place - other) == distance)
        if distance <= NEAREST_REACH:
            assert (box, source) == (boxes[nearest], "nearest" if distance else "annotated")
        else:
            columns = [sorted(boxes[other][side] for other in own) for side in range(4)]
            middle = [(column[(len(own) - 1) // 2] + column[len(own) // 2]) / 2 for column in columns]
            assert source == "median" and box == pytest.approx(middle)


@given(boxes=st.dictionaries(TEXT, BOX, max_size=6), asked=TEXT)
def test_packed_boxes_are_the_mapping_they_were_made_of(boxes, asked):
    packed = PackedBoxes(boxes)
    assert dict(packed) == boxes == packed.unpack() and packed.get(asked) == boxes.get(asked)


@given(clips=st.dictionaries(st.integers(0, 999), st.dictionaries(st.integers(1, 99), BOX, max_size=4), max_size=5))
def test_a_box_file_gives_back_its_boxes_in_every_spelling_of_its_clips(folder, clips):
    spelled = {
        ("RAER/" if clip % 2 else "D:\\x\\") + f"images/a/P001/{clip:03d}": {
            f"{frame:04d}.jpg": list(box) for frame, box in frames.items()
        }
        for clip, frames in clips.items()
    }
    found = read_face_file(write(folder / "face.json", json.dumps(spelled)))
    expected = {
        f"images/a/P001/{clip:03d}": {f"{frame:04d}.jpg": box for frame, box in frames.items()}
        for clip, frames in clips.items()
    }
    assert found == expected


@given(numbers=st.sets(st.integers(0, 10**6), min_size=1, max_size=8), padding=st.integers(1, 8))
def test_boxes_find_their_frames_whatever_the_padding_and_frames_stand_in_order(numbers, padding):
    names = [f"{number:0{padding}d}.jpg" for number in sorted(numbers)]
    assert sorted(sorted(names), key=natural_key) == names
    values = {f"{number}.png": number for number in numbers}
    assert list(match_frames(values, names).values()) == sorted(numbers)


LABEL = st.builds("{}{}".format, st.sampled_from("abÄß教"), TEXT).map(lambda text: printable(text).strip())
LABELS = st.lists(LABEL, min_size=2, max_size=5, unique_by=identity_key).filter(
    lambda names: not find_label_fault(names)
)


@given(labels=LABELS)
def test_labels_that_are_taken_come_back_from_every_kind_of_file(folder, labels):
    entries = {label: {"soft": f"soft {place}", "descriptive": [f"{place}"]} for place, label in enumerate(labels)}
    file = write(folder / "labels.yaml", yaml.safe_dump({"labels": entries}, allow_unicode=True, sort_keys=False))
    assert read_labels_file(str(file), labels)["label_prompts"] == [[f"soft {place}"] for place in range(len(labels))]
    table = io.StringIO(newline="")
    csv.writer(table).writerow(map(safe_cell, labels))
    assert next(csv.reader(io.StringIO(table.getvalue(), newline=""))) == labels
    assert parse_json(render_json(labels), "labels") == labels


@given(names=st.lists(TEXT, max_size=6))
def test_one_name_has_one_spelling_and_another_name_another(names):
    merged = merge_names(names)
    assert merged.keys() == set(names) and all(merged[spelling] == spelling for spelling in merged.values())
    for name in names:
        key = identity_key(name)
        assert identity_key(merged[name]) == key == identity_key(key)
        assert identity_key(unicodedata.normalize("NFD", name)) == key
        assert identity_key(f"  {name} ") == key
    assert len(set(merged.values())) == len(set(map(identity_key, names)))


@given(text=st.text(max_size=40))
def test_what_is_printed_is_one_line_without_control_characters(text):
    shown = printable(text)
    assert len(shown) >= len(text) and len(shown.splitlines()) <= 1 and printable(shown) == shown
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in shown)


@given(first=TEXT, second=TEXT)
def test_no_cell_is_a_formula_and_no_two_texts_are_one_cell(first, second):
    cells = safe_cell(first), safe_cell(second)
    assert (cells[0] == cells[1]) == (first == second)
    assert not cells[0].startswith(FORMULA_STARTS)


FOLDERS = st.lists(st.text("abcXYZ 09_.-é", min_size=1).filter(lambda name: name.strip(" .")), min_size=2, max_size=5)


@given(parts=FOLDERS)
def test_a_published_name_has_no_folder_in_it(parts):
    assume(not parts[-1].startswith("~"))
    assert public_name("/" + "/".join(parts)) == parts[-1] == public_name("C:\\" + "\\".join(parts))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(content=JSON)
def test_json_comes_back_as_it_was_and_is_told_in_sixty_characters(content):
    assert parse_json(render_json(content), "a file") == content
    assert len(describe_json(content)) <= 60 and "\n" not in describe_json(content)


WORDS = TEXT.filter(lambda text: text.isprintable() or text.isalnum())


NESTED = st.recursive(WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))


@given(content=st.dictionaries(WORDS, NESTED, min_size=1, max_size=4))
def test_yaml_gives_back_every_word_as_it_was_written(folder, content):
    text = yaml.safe_dump(content, allow_unicode=True, default_style='"')
    found, lines = read_yaml(write(folder / "words.yaml", text))
    assert found == content and lines.keys() == content.keys()


SECOND = st.floats(0, 1e5).map(lambda second: round(second, 3))


@given(start=SECOND, length=st.floats(0.001, 1e4), spelled=st.sampled_from(["{}", " {:.6f} ", "{:e}"]))
def test_times_of_a_table_are_read_to_the_digit(start, length, spelled):
    texts = spelled.format(start).strip(), spelled.format(start + length).strip()
    assume(float(texts[0]) < float(texts[1]))
    clip = parse_line({"video": "a.mp4", "label": "x", "start": texts[0], "end": texts[1]}, "t.csv:2", Path("/data"))
    assert (clip.start, clip.end) == tuple(map(float, texts))


@given(
    cuts=st.lists(st.integers(0, 400), min_size=2, max_size=6, unique=True), rate=st.sampled_from([5, 24, 29.97, 30])
)
def test_stretches_that_follow_each_other_share_no_frame_and_leave_none_out(cuts, rate):
    times, cuts = [place / rate for place in range(401)], sorted(cuts)
    found = []
    for first, last in pairwise(cuts):
        clip = SourceClip("a.mp4", "a.mp4", "x", "t.csv:2", start=round(times[first], 5), end=round(times[last], 5))
        begin, stop = find_stretch(clip, times)
        found += range(begin, stop)
    assert len(found) == len(set(found)) and abs(len(found) - (cuts[-1] - cuts[0])) <= 1
    assert found == list(range(found[0], found[-1] + 1))


STAMPS = st.lists(st.none() | st.floats(0, 1e5), min_size=1, max_size=30)


@given(stamps=STAMPS)
def test_times_never_run_backwards_whatever_a_file_states(stamps):
    times, joins, slips = continue_times(stamps, 0.04)
    assert len(times) == len(stamps) and all(before <= after for before, after in pairwise(times))
    assert all(map(math.isfinite, times)) and 0 <= slips <= len(stamps) and len(joins) < len(stamps)


@given(steps=st.lists(st.floats(0.01, 100), min_size=1, max_size=30))
def test_times_in_order_stay_as_they_are(steps):
    stamps = np.cumsum(steps).tolist()
    assert continue_times(stamps, 0.04) == (stamps, [], 0)


CLIPS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=4, max_size=60).map(
    lambda pairs: [make_clip(person, number, label) for number, (person, label) in enumerate(pairs)]
)
SHARE = st.floats(0.05, 0.6)


@given(clips=CLIPS, share=SHARE, seed=st.integers(0, 99))
def test_a_cut_by_person_puts_nobody_on_both_sides_and_leaves_every_label_to_train_on(clips, share, seed):
    try:
        rest, part = cut_part(clips, share, "person", seed)
    except InputError:
        # Rightly: whoever is taken out takes a label with them.
        holders = Counter(label for _, label in {(clip.person_id, clip.label) for clip in clips})
        persons = {clip.person_id for clip in clips}
        alone = {clip.person_id for clip in clips if holders[clip.label] == 1}
        assert alone == persons or len(persons) == 1 or all(count == 1 for count in holders.values())
        return
    assert [clip for clip in clips if clip in rest] == rest and [clip for clip in clips if clip in part] == part
    assert len(rest) + len(part) == len(clips) and part
    if len({clip.person_id for clip in clips}) < len(clips):
        assert not {clip.person_id for clip in rest} & {clip.person_id for clip in part}
    assert {clip.label for clip in rest} == {clip.label for clip in clips}


@given(clips=CLIPS, share=SHARE, seed=st.integers(0, 99))
def test_a_cut_by_clip_takes_the_share_of_every_label(clips, share, seed):
    totals = Counter(clip.label for clip in clips)
    expected = {label: min(total - 1, max(1, round(total * share))) for label, total in totals.items() if total > 1}
    if not expected:
        return
    rest, part = cut_part(clips, share, "clip", seed)
    assert Counter(clip.label for clip in part) == expected
    assert sorted([*rest, *part], key=clips.index) == clips


@given(persons=st.integers(6, 15), folds=st.integers(2, 4), seed=st.integers(0, 99))
def test_folds_hold_every_clip_once_and_every_person_in_one(persons, folds, seed):
    clips = [make_clip(person, 10 * person + label, label) for person in range(persons) for label in range(3)]
    parts = cut_folds(clips, folds, seed)
    assert sorted(clip.clip_id for part in parts for clip in part) == sorted(clip.clip_id for clip in clips)
    people = [{clip.person_id for clip in part} for part in parts]
    assert len(parts) == folds and sum(map(len, people)) == persons == len(set().union(*people))
    assert max(map(len, people)) - min(map(len, people)) <= 1


@given(counts=st.lists(st.integers(0, 9), min_size=2, max_size=6), data=st.data())
def test_votes_go_with_their_labels(counts, data):
    labels = [f"label {place}" for place in range(len(counts))]
    votes = {label: count for label, count in zip(labels, counts, strict=True) if count}
    assert order_votes(votes, labels, "a clip") == counts
    places = data.draw(st.permutations(range(len(counts))))
    moved = move_votes(counts, places)
    assert [moved[place] for place in places] == counts
