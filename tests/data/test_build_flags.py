"""Every flag of a build, in every layout, becomes the setting of its name: no other, and none is only in the help."""

from dataclasses import fields

import pytest

from modeling_clipcaer.commands.build import load_layout, read_flags
from modeling_clipcaer.data.layouts import LAYOUTS
from modeling_clipcaer.data.settings import BuildSettings


NEEDED = {
    "folders": ["--root", "a"],
    "cremad": ["--root", "a"],
    "csv": ["--csv", "a.csv"],
    "daisee": ["--root", "a"],
    "engagenet": ["--root", "a"],
    "frame-lists": ["--frames-root", "a", "--train-annotation", "b", "--labels", "x", "y"],
    "raer": ["--root", "a"],
    "ravdess": ["--root", "a"],
}
FLAGS = {
    "person_pattern": (["--person-pattern", "(q)"], "(q)"),
    "val_share": (["--val-share", "0.31"], 0.31),
    "test_share": (["--test-share", "0.27"], 0.27),
    "seed": (["--seed", "5"], 5),
    "bounding_box_face": (["--bounding-box-face", "f.json"], "f.json"),
    "bounding_box_body": (["--bounding-box-body", "b.json"], "b.json"),
    "outside_boxes": (["--outside-boxes", "missing"], "missing"),
    "check_frames": (["--check-frames"], True),
    "skip_unreadable": (["--skip-unreadable"], True),
    "clips_per_label": (["--clips-per-label", "3"], 3),
    "label_noise": (["--label-noise", "0.2"], 0.2),
    "unseen_label": (["--unseen-label", "y"], "y"),
    "data_name": (["--data-name", "mine"], "mine"),
    "allow_outside_root": (["--allow-outside-root"], True),
}


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("layout", NEEDED)
def test_a_flag_is_the_setting_of_its_name_alone(layout, name):
    module, words = load_layout(layout), NEEDED[layout]
    flag, value = FLAGS[name]
    others = ["--split", "person"] if (layout, name) == ("raer", "test_share") else []
    _, plain = read_flags(module, [*words, "--output", "out", *others])
    args, given = read_flags(module, [*words, "--output", "out", *others, *flag])
    changed = {field.name for field in fields(given) if getattr(given, field.name) != getattr(plain, field.name)}
    assert changed == {name} and getattr(given, name) == value and args.output == "out"


def test_no_layout_and_no_flag_is_left_out():
    assert NEEDED.keys() == LAYOUTS.keys()
    assert FLAGS.keys() == {field.name for field in fields(BuildSettings)}


def test_how_fast_it_is_read_is_no_setting_of_the_clips():
    args, _ = read_flags(load_layout("csv"), [*NEEDED["csv"], "--output", "out", "--num-proc", "3"])
    assert args.num_proc == 3 and read_flags(load_layout("csv"), [*NEEDED["csv"], "--output", "o"])[0].num_proc == 1
