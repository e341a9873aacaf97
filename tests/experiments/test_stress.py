import json
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from datasets import load_from_disk
from torch import testing

from helpers.small_material import run_main
from helpers.tiny import tiny_model, tiny_pixels
from modeling_clipcaer.commands import stress as command
from modeling_clipcaer.data.data_collator import ClipCaerCollator, seed_generator
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.corruptions import CORRUPTIONS, UNTOUCHED, Corruption, Look, leave
from modeling_clipcaer.experiments.stress import (
    StressCollator,
    answer_conditions,
    list_conditions,
    measure_conditions,
)
from modeling_clipcaer.frames import ArrayFrames
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.models.streams import keep_stream
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments
from modeling_clipcaer.training.trainer import ClipCaerTrainer


TABLE = {corruption.name: corruption for corruption in CORRUPTIONS}
DRAW = partial(seed_generator, 42, "test", "clip")


def make_look(total: int = 16) -> Look:
    frames = torch.randint(0, 256, (total, 3, 60, 80), dtype=torch.uint8)
    return Look(ArrayFrames(frames), [(10, 20, 30, 50)] * total, [(0, 0, 80, 60)] * total, torch.arange(total))


def corrupt(name: str, strength: float, look: Look) -> Look:
    return TABLE[name].function(look, strength, DRAW)


def read(look: Look) -> torch.Tensor:
    return torch.stack(list(look.frames.read(look.indices.tolist()))).int()


@pytest.fixture(scope="module")
def loaded(trained, material):
    return (*load_checkpoint(str(trained)), load_from_disk(str(material.dataset))["test"])


@pytest.mark.parametrize("strength", TABLE["frames reversed"].strengths)
def test_reversing_twice_is_the_clip_as_it_was(strength):
    look = make_look()
    once = corrupt("frames reversed", strength, look)
    assert not torch.equal(once.indices, look.indices)
    assert torch.equal(corrupt("frames reversed", strength, once).indices, look.indices)
    assert corrupt("frames reversed", 1, make_look(4)).indices.tolist() == [3, 2, 1, 0]
    assert corrupt("frames reversed", 0.5, make_look(4)).indices.tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize(("strength", "moved"), [(0.25, 4), (0.5, 8), (1, 16)])
def test_shuffled_frames_are_the_same_frames_in_other_places(strength, moved):
    look = make_look()
    indices = corrupt("frames shuffled", strength, look).indices
    assert sorted(indices.tolist()) == look.indices.tolist()
    assert int((indices != look.indices).sum()) == moved


def test_of_few_frames_each_is_repeated_as_often():
    assert corrupt("fewer frames", 4, make_look(8)).indices.tolist() == [1, 1, 3, 3, 5, 5, 7, 7]
    assert corrupt("fewer frames", 1, make_look(8)).indices.tolist() == [4] * 8
    assert corrupt("fewer frames", 4, make_look(3)).indices.tolist() == [0, 1, 2]


def test_a_lost_frame_shows_the_one_before_and_more_are_lost_with_strength():
    look = make_look(200)
    stood_still = []
    for strength in TABLE["frames lost"].strengths:
        indices = corrupt("frames lost", strength, look).indices
        lost = indices != look.indices
        assert torch.equal(indices[1:][lost[1:]], indices[:-1][lost[1:]])
        assert abs(float(lost.float().mean()) - strength) < 0.1
        stood_still.append(set(lost.nonzero().flatten().tolist()))
    assert all(few < more for few, more in pairwise(stood_still))
    assert torch.equal(corrupt("frames lost", 0, look).indices, look.indices)


def test_noise_has_the_deviation_it_says():
    grey = replace(make_look(), frames=ArrayFrames(torch.full((16, 3, 60, 80), 128, dtype=torch.uint8)))
    noise = (read(corrupt("noise", 10, grey)) - 128).float()
    assert abs(float(noise.std()) - 10) < 0.1 and abs(float(noise.mean())) < 0.1
    assert not torch.equal(noise[0], noise[1])


def test_darkness_takes_its_share_of_every_pixel():
    look = make_look()
    testing.assert_close(read(corrupt("darkness", 0.75, look)).float(), read(look) / 4, atol=0.5, rtol=0)


def test_blur_and_compression_leave_one_colour_as_it_is_and_take_detail():
    plain = replace(make_look(), frames=ArrayFrames(torch.full((16, 3, 60, 80), 90, dtype=torch.uint8)))
    look = make_look()
    for name in ("blur", "JPEG"):
        detail = [float(read(corrupt(name, strength, look)).float().std()) for strength in TABLE[name].strengths]
        assert detail == sorted(detail, reverse=True) and detail[0] < float(read(look).float().std())
    for name, strength in (("blur", 4), ("JPEG", 30)):
        testing.assert_close(read(corrupt(name, strength, plain)), read(plain), atol=2, rtol=0)


def test_boxes_are_scaled_about_their_middle_and_shifted_by_their_sides():
    look = make_look()
    assert corrupt("face box too large", 2, look).face_boxes[0] == (0, 5, 40, 65)
    assert corrupt("face box too small", 0.5, look).face_boxes[3] == (15, 27.5, 25, 42.5)
    left, top, right, bottom = corrupt("face box shifted", 0.25, look).face_boxes[0]
    assert ((left - 10) / 20) ** 2 + ((top - 20) / 30) ** 2 == pytest.approx(0.25**2)
    assert (right - left, bottom - top) == pytest.approx((20, 30))
    assert corrupt("face box shifted", 0.25, look).body_boxes is look.body_boxes


def test_a_box_that_would_leave_the_frame_stays_at_its_edge():
    look = replace(make_look(), face_boxes=[(75, 2, 79, 6)] * 16)
    for index in range(20):
        boxes = TABLE["face box shifted"].function(look, 5, partial(seed_generator, index)).face_boxes
        left, top, right, bottom = boxes[0]
        assert left <= 79 and top <= 59 and right >= 1 and bottom >= 1


def test_missing_boxes_are_filled_as_the_build_fills_them():
    look = make_look()
    assert corrupt("body box missing", 1, look).body_boxes == [None] * 16
    faces = corrupt("face box missing", 1, look).face_boxes
    assert len(set(faces)) == 1 and faces[0] != look.face_boxes[0]  # of the body
    assert corrupt("face box missing", 0.33, look).face_boxes == look.face_boxes  # of the frames beside it
    bare = replace(look, body_boxes=[None] * 16)
    assert corrupt("face box missing", 1, bare).face_boxes == [None] * 16


@pytest.mark.parametrize("fusion", ["linear", "gated", "cross_attention"])
@torch.no_grad()
def test_a_removed_face_is_the_models_own_missing_face_and_a_removed_context_counts_as_zero(fusion):
    model, pixels = tiny_model(fusion=fusion), tiny_pixels()
    before = model(**pixels).logits
    context, face = keep_stream(model, "context"), keep_stream(model, "face")
    absent = model(**pixels, face_present=torch.tensor([False, False])).logits
    testing.assert_close(context(pixel_values=pixels["pixel_values"]).logits, absent)
    hook = model.model.context_temporal_encoder.register_forward_hook(lambda *call: _zeroed(call[-1]))
    testing.assert_close(face(face_pixel_values=pixels["face_pixel_values"]).logits, model(**pixels).logits)
    hook.remove()
    assert torch.equal(model(**pixels).logits, before) and not torch.allclose(absent, before)
    with pytest.raises(InputError, match="the face stream alone"):
        keep_stream(face, "face")


def _zeroed(output):
    output.pooler_output = torch.zeros_like(output.pooler_output)
    return output


def test_the_untouched_answer_is_evaluations_and_what_changes_nothing_is_equal_to_the_last_bit(loaded, tmp_path):
    model, processor, rows = loaded
    twice = Corruption("twice", lambda look, strength, draw: leave(look, strength, draw), (1,), "")
    mirrored = TABLE["frames reversed"]
    back = Corruption("back", lambda *look: mirrored.function(mirrored.function(*look), *look[1:]), (1,), "")
    conditions = [(UNTOUCHED, 0), (twice, 1), (back, 1), *((row, 1) for row in CORRUPTIONS if row.needs_both)]
    logits = answer_conditions(model, processor, rows, conditions, num_workers=0)
    assert np.array_equal(logits[0], logits[1]) and np.array_equal(logits[0], logits[2])
    flags = {"dataloader_num_workers": 0, "tower_dtype": "float32", "disable_tqdm": True, "eval_strategy": "no"}
    args = ClipCaerTrainingArguments(str(tmp_path), **flags)
    trainer = ClipCaerTrainer(model, args, processing_class=processor)
    testing.assert_close(logits[0], trainer.predict(rows).predictions, atol=1e-5, rtol=1e-5)
    batch = ClipCaerCollator(processor, mode="eval")(list(rows))
    batch.pop("labels")
    pixels = {name: processor.normalize(value) for name, value in batch.items()}
    with torch.no_grad():
        absent = model(**pixels, face_present=torch.zeros(len(rows), dtype=torch.bool)).logits
    testing.assert_close(torch.from_numpy(logits[3]), absent, atol=1e-5, rtol=1e-5)


def test_what_is_drawn_for_a_clip_is_the_same_in_any_batch_and_other_for_another_clip_and_seed(loaded):
    _, processor, rows = loaded
    rows, conditions = list(rows)[:3], [(TABLE["noise"], 25), (TABLE["face box shifted"], 0.25)]
    see = StressCollator(processor, conditions, seed=1)
    together, alone = see(rows), [see([row])[0] for row in reversed(rows)][::-1]
    for (squares, places), (own, own_places) in zip(together, alone, strict=True):
        assert torch.equal(squares, own) and torch.equal(places, own_places)
    other = StressCollator(processor, conditions, seed=2)(rows)
    assert not torch.equal(together[0][0], other[0][0])
    renamed = see([{**rows[0], "clip_id": "another"}])[0]
    assert not torch.equal(together[0][0], renamed[0])


def test_a_square_is_encoded_once_however_many_conditions_show_it(loaded):
    _, processor, rows = loaded
    row, total = rows[0], processor.num_frames
    order = [(UNTOUCHED, 0), (TABLE["frames reversed"], 1), (TABLE["face removed"], 1)]
    ((squares, places),) = StressCollator(processor, order, seed=1)([row])
    assert len(squares) == 2 * total
    assert torch.equal(places[1], places[0].flip(1))
    assert places[2].tolist() == [places[0, 0].tolist(), [-1] * total]


def test_of_one_stream_nothing_is_removed():
    assert not any(corruption.needs_both for corruption, _ in list_conditions("face"))
    assert len(list_conditions("both")) == len(list_conditions("context")) + 2


def test_figures_are_those_of_the_answers_and_changes_are_paired():
    references = [0, 0, 1, 1]
    right, half = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 0, 1, 0]]
    conditions = [(UNTOUCHED, 0), (TABLE["noise"], 10), (TABLE["noise"], 25)]
    rows = measure_conditions(conditions, np.stack([right, right, half]), references, None, seed=0)
    assert [row["uar"] for row in rows] == [100, 100, 75]
    assert [row.get("war_change") for row in rows] == [None, 0, -25]
    assert [row["answers_changed"] for row in rows] == [0, 0, 25]
    low, high = rows[2]["uar_change_ci95"]
    assert low < -25 < high


@pytest.mark.slow
def test_the_command_writes_one_table_and_one_plot(trained, material, tmp_path, capsys):
    flags = ["--model", trained, "--dataset", material.dataset, "--num_workers", 0, "--tower_dtype", "float32"]
    for name in ("first", "second"):
        assert run_main(command.main, *flags, "--output_dir", tmp_path / name) == 0
    report, again = (json.loads((tmp_path / name / "stress.json").read_text()) for name in ("first", "second"))
    assert report["rows"] == again["rows"] and len(report["rows"]) == len(list_conditions("both"))
    assert {"command", "model_revision", "clips", "seed", "versions"} <= set(report)
    assert {path.name for path in (tmp_path / "first").iterdir()} >= {"stress.csv", "stress.md", "stress.png"}
    table = (tmp_path / "first" / "stress.csv").read_text().splitlines()
    assert len(table) == 1 + len(report["rows"]) and len({line.count(",") for line in table[2:]}) >= 1
    assert all(corruption.name in (tmp_path / "first" / "stress.md").read_text() for corruption in CORRUPTIONS)
    assert "untouched" in capsys.readouterr().out
