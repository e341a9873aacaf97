"""Files of this version stay readable: `tests/fixtures/0.1.0` has one of each kind, written once. Newer ones are
refused, and the message says which version they are of."""

import json
import shutil

import pytest
import torch

from helpers.format_files import ANSWERS, fill_cache, make_rows
from helpers.places import ROOT
from helpers.timelines import make_timeline
from modeling_clipcaer.data.loading import load_clips, read_split_protocol
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.timeline_json import load_timeline
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.reports.predictions import read_predictions
from modeling_clipcaer.training import clip_cache
from modeling_clipcaer.training.checkpoints import check_whole, read_record


KEPT = ROOT / "tests" / "fixtures" / "0.1.0"


@pytest.fixture
def kept(tmp_path):
    return shutil.copytree(KEPT, tmp_path / "kept")


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_kept_checkpoint_gives_its_logits_and_a_newer_one_is_refused(kept):
    values = torch.arange(2 * 4 * 3 * 32 * 32, dtype=torch.float32).sin().view(2, 4, 3, 32, 32)
    model, processor = load_checkpoint(str(kept / "checkpoint"))
    with torch.no_grad():
        logits = model(pixel_values=values, face_pixel_values=values.flip(0)).logits
    expected = torch.tensor(json.loads((kept / "expected.json").read_text())["logits"])
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    assert (processor.image_size, processor.num_frames) == (32, 4)
    change(kept / "checkpoint" / "config.json", format_version=7)
    with pytest.raises(InputError, match="`format_version` is 7, this version of ClipCaer reads up to 1"):
        load_checkpoint(str(kept / "checkpoint"))


def test_a_kept_dataset_has_its_clips_and_a_newer_one_is_refused(kept):
    clips = load_clips(kept / "dataset")
    assert {split: rows[:] for split, rows in clips.items()} == {split: rows[:] for split, rows in make_rows().items()}
    assert read_split_protocol(kept / "dataset") == "person"
    record = kept / "dataset" / "build.json"
    for version in (2, "later", None):
        change(record, format_version=version)
        with pytest.raises(InputError, match=f"`format_version` is {version!r}, this version .* reads up to 1"):
            load_clips(kept / "dataset")
    record.write_text("{}")
    assert load_clips(kept / "dataset")  # of before datasets said their version


def test_a_kept_cache_is_taken_as_it_is_and_one_of_another_version_is_made_anew(kept, monkeypatch):
    made = []
    write = clip_cache._write_file
    monkeypatch.setattr(clip_cache, "_write_file", lambda *args: made.append(args) or write(*args))
    clips = load_clips(kept / "dataset")
    found = fill_cache(clips, kept / "cache")
    assert not made and found["train"]["clip_id"][:] == clips["train"]["clip_id"][:]
    again = fill_cache(clips, kept / "fresh")
    assert len(made) == 2
    assert [row for rows in found.values() for row in rows] == [row for rows in again.values() for row in rows]
    monkeypatch.setattr(clip_cache, "CACHE_VERSION", clip_cache.CACHE_VERSION + 1)
    fill_cache(clips, kept / "cache")
    assert len(made) == 4


def test_a_kept_timeline_is_whole_and_one_of_another_schema_is_refused(kept):
    assert load_timeline(kept / "recording.json") == make_timeline()
    change(kept / "recording.json", schema_version="3.0")
    with pytest.raises(InputError, match=r"expected schema 2.0, found 3.0"):
        load_timeline(kept / "recording.json")


def test_kept_answers_and_a_kept_record_are_read_and_newer_ones_refused(kept):
    found = read_predictions(kept / "predictions.parquet")
    assert (found.labels, found.clip_ids, found.person_ids) == (ANSWERS.labels, ANSWERS.clip_ids, ANSWERS.person_ids)
    assert found.logits.tolist() == ANSWERS.logits.tolist()
    assert check_whole(kept / "run", optimizer=False)["step"] == 3
    change(kept / "run" / "resume.json", format_version=2)
    with pytest.raises(InputError, match="`format_version` is 2, this version of ClipCaer reads up to 1"):
        read_record(kept / "run")


def test_what_is_kept_is_small_and_names_no_place_of_a_machine():
    files = [path for path in KEPT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2**20
    for path in files:
        content = path.read_bytes()
        assert not [place for place in (b"/tmp", b"/home", b"/root", b"/work") if place in content], path
