"""The drawn data set: RAER's layout, repeatable, and hard for one stream alone."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.places import ROOT
from modeling_clipcaer.commands.synthetic import main
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.synthetic.canvas import FRAME_SIZE, Canvas
from modeling_clipcaer.synthetic.data_set import LABEL_SHARES, draw_dataset, plan_dataset, share_out
from modeling_clipcaer.synthetic.drawing import STYLES, Stage, draw_moment
from modeling_clipcaer.synthetic.student import draw_phone
from modeling_clipcaer.synthetic.words import describe_context, describe_face
from modeling_clipcaer.synthetic.world import SCENES, Moment, make_person, plan_clip, tell_dozing, tell_reading


COMMAND = [sys.executable, str(ROOT / "data_scripts" / "make_synthetic_raer.py")]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "RAER"
    draw_dataset(plan_dataset(3, "mild", 30, 10), root, num_workers=2)
    return root


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(tmp_path):
    plans = plan_dataset(5, "mild", 3, 2)
    for num_workers in (1, 2):
        draw_dataset(plans, tmp_path / str(num_workers), num_workers)
    files = [path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file()]
    assert len(files) > 50
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes(), file


def test_another_seed_gives_other_persons_and_labels():
    assert plan_dataset(0, "mild", 20, 5) != plan_dataset(1, "mild", 20, 5)


def test_every_annotated_clip_has_its_frames_boxes_and_captions(drawn):
    faces = json.loads((drawn / "bounding_box" / "face.json").read_text())
    bodies = json.loads((drawn / "bounding_box" / "body.json").read_text())
    captions = [json.loads(line) for line in (drawn / "captions.jsonl").read_text().splitlines()]
    captioned = Counter(caption["frame"].rsplit("/", 1)[0] for caption in captions)
    lines = [
        line for split in ("train", "test") for line in (drawn / f"annotation/{split}.txt").read_text().splitlines()
    ]
    assert len(lines) == 40
    for clip_dir, num_frames, label in (line.split(" ") for line in lines):
        names = {path.name for path in (drawn.parent / clip_dir).iterdir()}
        assert names == {f"{number}.jpg" for number in range(1, int(num_frames) + 1)}
        assert label in "12345"
        assert set(faces[clip_dir]) <= names
        assert len(bodies[f"RAER/{clip_dir}"]) == 4
        assert captioned[clip_dir] == int(num_frames)


def test_cues_are_told_where_the_captions_tell_of_them(drawn):
    captions = [json.loads(line) for line in (drawn / "captions.jsonl").read_text().splitlines()]
    faces = json.loads((drawn / "bounding_box" / "face.json").read_text())
    assert {name for caption in captions for name in caption["cues"]} == {"eyes", "mouth", "phone", "book"}
    for caption in captions:
        assert ("phone" in caption["cues"]) == ("holding a phone" in caption["context"])
        assert caption["cues"].keys() >= {"eyes", "mouth"}
        eyes, mouth = caption["cues"]["eyes"], caption["cues"]["mouth"]
        assert eyes[0] < mouth[2] and mouth[0] < eyes[2] and eyes[1] < mouth[1]  # the eyes are above the mouth
        folder, name = caption["frame"].rsplit("/", 1)
        if name in faces[folder]:
            left, top, right, bottom = faces[folder][name]
            assert left < eyes[0] and eyes[2] < right and top < eyes[1] and mouth[3] < bottom + 3
    opened = [c["cues"]["mouth"] for c in captions if "wide open mouth" in c["face"]]
    closed = [c["cues"]["mouth"] for c in captions if "relaxed mouth" in c["face"]]
    assert min(bottom - top for _, top, _, bottom in opened) > max(bottom - top for _, top, _, bottom in closed)


def test_a_cue_is_where_its_colour_is():
    canvas = Canvas(Image.new("RGB", (2 * FRAME_SIZE[0], 2 * FRAME_SIZE[1])), zoom=1.1, shift=(7.0, -3.0))
    rng = np.random.default_rng(0)
    setting, _ = plan_clip(rng, make_person(rng), ("reading", "phone"), 3)
    draw_phone(canvas, replace(setting, side=1, screen=(255, 0, 0)), np.array((200, 90)))
    pixels = np.asarray(canvas.image.reduce(2)).any(axis=-1)
    rows, columns = np.nonzero(pixels.any(axis=1))[0], np.nonzero(pixels.any(axis=0))[0]
    drawn = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert canvas.cues["phone"] == pytest.approx(drawn, abs=1)


def test_frames_have_the_camera_s_size(drawn):
    with Image.open(next(drawn.rglob("1.jpg"))) as picture:
        assert picture.size == FRAME_SIZE


def test_some_face_boxes_are_missing_and_some_begin_above_the_frame(drawn):
    faces = json.loads((drawn / "bounding_box" / "face.json").read_text())
    boxes = [box for clip in faces.values() for box in clip.values()]
    frames = len((drawn / "captions.jsonl").read_text().splitlines())
    assert 0.9 * frames < len(boxes) < frames
    assert any(top < 0 for _, top, _, _ in boxes)
    assert all(left < right and top < bottom for left, top, right, bottom in boxes)


def test_persons_of_the_test_split_are_unseen_in_training():
    plans = plan_dataset(0, "mild", 360, 180)
    persons = {split: {plan.person for plan in plans if plan.split == split} for split in ("train", "test")}
    folders = {split: {plan.clip_dir.rsplit("/", 1)[0] for plan in plans if plan.split == split} for split in persons}
    assert persons["train"] and persons["train"].isdisjoint(persons["test"])
    assert folders["train"].isdisjoint(folders["test"])
    assert len({plan.clip_dir for plan in plans}) == len(plans)


@pytest.mark.parametrize("imbalance", LABEL_SHARES)
def test_the_test_split_has_thirty_clips_of_every_label_whatever_training_has(imbalance):
    plans = plan_dataset(0, imbalance, 360, 180)
    counts = {split: Counter(plan.label for plan in plans if plan.split == split) for split in ("train", "test")}
    assert sum(counts["train"].values()) == 360 and sum(counts["test"].values()) == 180
    assert len(counts["test"]) == 5 and min(counts["test"].values()) >= 30
    shares = np.array(LABEL_SHARES[imbalance]) / sum(LABEL_SHARES[imbalance])
    assert np.allclose([counts["train"][label] / 360 for label in range(5)], shares, atol=1 / 360)


def test_shared_out_numbers_keep_their_sum_and_differ_from_the_exact_by_less_than_one():
    for total in (0, 1, 7, 100):
        counts = share_out(total, np.array([5.0, 3.0, 1.0]))
        assert counts.sum() == total
        assert np.all(np.abs(counts - total * np.array([5, 3, 1]) / 9) < 1)


@pytest.mark.parametrize("stream", [0, 1])
def test_one_stream_s_story_alone_names_less_than_seventy_percent_of_the_labels(stream):
    """The best that any model of one stream can reach, if it reads that stream's story without error."""
    likelihood: dict[str, list[float]] = {}
    for position, label in enumerate(RAER_LABELS):
        total = sum(SCENES[label].values())
        for scene, weight in SCENES[label].items():
            likelihood.setdefault(scene[stream], [0.0] * len(RAER_LABELS))[position] += weight / total
    ceiling = sum(max(row) for row in likelihood.values()) / len(RAER_LABELS)
    assert 0.5 < ceiling < 0.7


def test_both_stories_together_name_the_label():
    scenes = [scene for label in RAER_LABELS for scene in SCENES[label]]
    assert len(scenes) == len(set(scenes))


def test_eyes_that_close_and_eyes_that_open_again_differ_in_order_only():
    blank = [Moment() for _ in range(12)]
    dozing = [moment.openness for moment in tell_dozing(np.random.default_rng(0), blank)]
    assert dozing[0] == 1 and dozing[-1] == 0 and dozing == sorted(dozing, reverse=True)
    rests = [[moment.openness for moment in tell_reading(np.random.default_rng(seed), blank)] for seed in range(40)]
    assert any(eyes[:3] == [0, 0, 0] and sum(eyes) >= 5 for eyes in rests)


def test_captions_say_what_is_drawn_and_never_name_a_label():
    rng = np.random.default_rng(0)
    person = make_person(rng, "library")
    setting, moments = plan_clip(rng, person, ("smiling", "phone"), 12)
    face, context = describe_face(moments[-1]), describe_context(person, setting, moments[-1])
    assert face["mouth"] == "a smile"
    assert context["hands"] == "holding a phone" and context["place"] == "in a library"
    words = " ".join([*face.values(), *context.values()]).lower()
    assert not any(label.lower() in words for label in RAER_LABELS)


def test_the_face_box_holds_the_face_and_the_body_box_the_face_box():
    rng = np.random.default_rng(1)
    person = make_person(rng)
    setting, moments = plan_clip(rng, person, ("reading", "studying"), 4)
    pale, dark = (
        draw_moment(Stage(replace(person, skin=skin), setting), moments[0], np.random.default_rng(0))
        for skin in ((230, 190, 160), (70, 50, 40))
    )
    assert pale[1:] == dark[1:]
    _, face, body, _ = pale
    assert body[0] < face[0] < face[2] < body[2] and body[1] < face[1] < face[3] < body[3]
    changed = np.abs(np.asarray(pale[0], int) - np.asarray(dark[0], int)).max(axis=2) > 30
    rows, columns = np.nonzero(changed[: int(face[3]) - 3])  # above neck and hands
    assert len(rows) > 200
    assert face[0] - 5 <= columns.min() and columns.max() <= face[2] + 5 and face[1] <= rows.min()  # 5: the ears


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--clips-train", "0"], "`clips_train` must be at least 1, got 0"),
        (["--num_workers", "0"], "`num_workers` must be at least 1, got 0"),
        (["--seed", "-1"], "`seed` must be at least 0, got -1"),
        (["--missing-faces", "1"], "`missing_faces` must lie in [0, 1), got 1.0"),
    ],
)
def test_bad_numbers_give_one_line_and_leave_nothing(tmp_path, monkeypatch, capsys, flags, found):
    monkeypatch.setattr(sys, "argv", ["make_synthetic_raer.py", "--output", str(tmp_path / "out"), *flags])
    assert run_command(main) == 2
    assert capsys.readouterr().err == f"error: {found}\n"
    assert not (tmp_path / "out").exists()


def test_faces_are_missed_in_the_share_that_is_asked_for(tmp_path):
    shares, files = {}, {}
    for share in (0.0, 0.5):
        root = tmp_path / str(share)
        draw_dataset(plan_dataset(4, "none", 6, 3, missing_faces=share), root, num_workers=1)
        faces = json.loads((root / "bounding_box" / "face.json").read_text())
        found = sum(map(len, faces.values()))
        shares[share] = 1 - found / len((root / "captions.jsonl").read_text().splitlines())
        files[share] = (root / "annotation" / "test.txt").read_bytes()
    assert shares[0.0] == 0 and 0.3 < shares[0.5] < 0.7 and files[0.0] == files[0.5]


@pytest.mark.parametrize("style", STYLES)
def test_a_style_of_the_test_clips_alone_changes_their_pixels_and_nothing_else(style):
    plans, styled = plan_dataset(4, "none", 6, 3), plan_dataset(4, "none", 6, 3, test_style=style)
    assert [plan.style for plan in styled] == [None] * 6 + [style] * 3
    assert [replace(plan, style=None) for plan in styled] == plans
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (18, 32, 3), dtype=np.uint8))
    other = STYLES[style](picture)
    assert (other.mode, other.size) == (picture.mode, picture.size) and other.tobytes() != picture.tobytes()


def test_an_existing_data_set_is_not_overwritten(tmp_path, monkeypatch, capsys):
    (tmp_path / "RAER").mkdir()
    monkeypatch.setattr(sys, "argv", ["make_synthetic_raer.py", "--output", str(tmp_path)])
    assert run_command(main) == 2
    assert str(tmp_path / "RAER") in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["RAER"]


@pytest.mark.slow
def test_the_command_draws_a_data_set_and_leaves_nothing_else(tmp_path):
    flags = ["--output", str(tmp_path), "--seed", "1", "--clips_train", "2", "--clips-test", "1"]
    run = subprocess.run([*COMMAND, *flags], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["RAER"]
    assert len((tmp_path / "RAER/annotation/train.txt").read_text().splitlines()) == 2
