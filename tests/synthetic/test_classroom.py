"""The drawn recording and the sheet of scenes: students who move, whole, in wide pictures."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from modeling_clipcaer.commands.draw import main
from modeling_clipcaer.data.clip_boxes import read_boxes
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.synthetic import classroom
from modeling_clipcaer.synthetic.classroom import LESSON, SIZE, draw_lesson, move
from modeling_clipcaer.synthetic.scenes import draw_scenes
from modeling_clipcaer.synthetic.world import SCENES, Moment


def test_students_tell_scenes_for_equally_long_and_sit_apart_in_the_picture():
    known = {scene for scenes in SCENES.values() for scene in scenes}
    assert {(face, context) for story in LESSON for face, context, _ in story} <= known
    assert len({sum(seconds for _, _, seconds in story) for story in LESSON}) == 1
    views = draw_lesson(seed=1, fps=2)
    first, *_, last = (next(views) for _ in range(20))
    assert first.picture.size == SIZE == (960, 540)
    assert (np.asarray(first.picture)[[0, -1]].sum(axis=2) > 0).all()  # no black bars
    for view in (first, last):
        assert len(view.faces) == len(view.bodies) == 3
        for face, body in zip(view.faces, view.bodies, strict=True):
            assert 0 < body[0] < face[0] < face[2] < body[2] < SIZE[0] and 0 < body[1] < face[1] < body[3] < SIZE[1]
        assert all(left[2] <= right[0] + 15 for left, right in zip(view.bodies, view.bodies[1:], strict=False))
    assert all(np.abs(np.subtract(*faces)).max() > 1 for faces in zip(first.faces, last.faces, strict=True))


def test_moments_become_frames_that_go_slowly_but_for_the_hands():
    moments = [Moment(slouch=float(number >= 8), phone=number >= 8) for number in range(16)]
    told = move(moments, fps=8)
    assert len(told) == 32
    steps = np.diff([moment.slouch for moment in told])
    assert steps.min() >= 0 and steps.max() < 0.2
    assert [bool(moment.phone) for moment in told] == [False] * 16 + [True] * 16


def test_the_command_writes_a_video_and_boxes_that_predict_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(classroom, "LESSON", ((("reading", "phone", 4),), (("smiling", "studying", 4),)))
    output = tmp_path / "new" / "lesson.mp4"
    monkeypatch.setattr("sys.argv", ["clipcaer draw", "--output", str(output), "--fps", "8"])
    main()
    with av.open(str(output)) as container:
        (stream,) = container.streams.video
        assert (stream.width, stream.height, stream.frames, stream.average_rate) == (960, 540, 32, 8)
    names = [str(number) for number in range(32)]
    boxes = read_boxes(str(output.with_suffix(".face.json")), str(output.with_suffix(".body.json")))
    faces, bodies = boxes.find_given(str(output), names)
    assert faces.keys() == bodies.keys() == {"person-1", "person-2"} and len(faces["person-1"]) == 32
    assert all(len(box) == 4 for box in [*faces["person-2"], *bodies.values()])
    with pytest.raises(InputError, match="expected the boxes of one person, found those of several"):
        boxes.find(str(output), names)
    stranger = json.loads(output.with_suffix(".body.json").read_text())
    stranger["lesson.mp4"]["person-9"] = [0, 0, 9, 9]
    output.with_suffix(".body.json").write_text(json.dumps(stranger))
    boxes = read_boxes(str(output.with_suffix(".face.json")), str(output.with_suffix(".body.json")))
    with pytest.raises(InputError, match="expected one body box"):
        boxes.find_given(str(output), names)


def test_the_sheet_has_a_column_for_each_label_under_its_name(tmp_path, monkeypatch, capsys):
    output = tmp_path / "scenes.png"
    monkeypatch.setattr("sys.argv", ["clipcaer draw", "--output", str(output)])
    main()
    assert capsys.readouterr().out == f"{output}\n"
    with Image.open(output) as sheet:
        pixels = np.asarray(sheet)
        assert np.array_equal(pixels, np.asarray(draw_scenes(1)))
    column = pixels.shape[1] // len(SCENES)
    heads = [pixels[:50, place * column : (place + 1) * column] for place in range(len(SCENES))]
    assert all((head < 100).any() for head in heads)
    monkeypatch.setattr("sys.argv", ["clipcaer draw", "--output", "scenes.gif"])
    with pytest.raises(InputError, match=r"expected a name that ends in \.mp4, \.jpg or \.png"):
        main()
