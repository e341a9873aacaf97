import hashlib
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from modeling_clipcaer.data.data_collator import ClipCaerCollator, seed_generator
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.raer_labels import RAER_LABELS


FEATURES = datasets.Features(
    {
        "clip_id": datasets.Value("string"),
        "frame_dir": datasets.Value("string"),
        "frame_names": datasets.List(datasets.Value("string")),
        "face_boxes": datasets.List(datasets.List(datasets.Value("float32"))),
        "body_boxes": datasets.List(datasets.List(datasets.Value("float32"))),
        "label": datasets.ClassLabel(names=list(RAER_LABELS)),
    }
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Six clips of eleven frames with boxes, two frames without."""
    root, rows = tmp_path_factory.mktemp("clips"), []
    for number in range(6):
        folder = root / f"{number:03d}"
        folder.mkdir()
        for frame in range(1, 12):
            pixels = np.random.default_rng([number, frame]).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{frame}.png")
        rows.append(
            {
                "clip_id": f"images/{number:03d}",
                "frame_dir": str(folder),
                "frame_names": [f"{frame}.png" for frame in range(1, 12)],
                "face_boxes": [[] if frame in (3, 7) else [20.5, 10.0, 30.25, 22.0] for frame in range(1, 12)],
                "body_boxes": [] if number == 5 else [[5.0, 0.0, 50.0, 48.0]],
                "label": number % 5,
            }
        )
    return datasets.Dataset.from_list(rows, features=FEATURES)


def collator(**arguments):
    return ClipCaerCollator(ClipCaerVideoProcessor(num_frames=4, image_size=32), **arguments)


def same(first, second):
    return all(first[name].equal(second[name]) for name in first) and list(first) == list(second)


def test_votes_are_of_training_batches_alone_and_of_rows_that_all_have_them(dataset):
    votes = [[5, 0, 1, 0, 0], [0, 2, 2, 0, 0]]
    rows = [{**dataset[number], "votes": votes[number]} for number in range(2)]
    assert collator()(rows)["votes"].tolist() == votes
    assert "votes" not in collator(mode="eval")(rows) and "votes" not in collator()([rows[0], dataset[1]])


def rows_of(dataset, *numbers):
    return [dataset[number] for number in numbers]


def test_a_batch_holds_both_streams_as_uint8_and_the_labels(dataset):
    batch = collator(mode="eval")(rows_of(dataset, 0, 3, 5))
    assert list(batch) == ["pixel_values", "face_pixel_values", "labels"]
    assert batch["pixel_values"].shape == batch["face_pixel_values"].shape == (3, 4, 3, 32, 32)
    assert batch["pixel_values"].dtype == batch["face_pixel_values"].dtype == torch.uint8
    assert batch["labels"].dtype == torch.long and batch["labels"].tolist() == [0, 3, 0]


def test_a_batch_is_what_the_processor_gives_for_its_clips(dataset):
    collate = collator(mode="eval")
    batch = collate(rows_of(dataset, 2, 5))
    for place, row in enumerate(rows_of(dataset, 2, 5)):
        context, face = collate.processor.process_clip(row["frame_dir"], row["face_boxes"], row["body_boxes"])
        assert batch["pixel_values"][place].equal(context) and batch["face_pixel_values"][place].equal(face)


def test_every_sampled_frame_is_decoded_once(dataset, monkeypatch):
    opened, real_open = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path, **_: opened.append(str(path)) or real_open(path))
    collator(mode="train")(rows_of(dataset, 0, 1))
    assert len(opened) == len(set(opened)) == 8


def test_training_draws_are_a_function_of_seed_epoch_and_clip_in_any_batches(dataset):
    rows = rows_of(dataset, 0, 1, 2)

    def draw(seed=0, epoch=0, rows=rows):
        collate = collator(mode="train", seed=seed)
        collate.epoch = epoch
        torch.rand(7)  # the global state has no say
        return collate(rows)

    assert same(draw(), draw()) and same(draw(3, 5), draw(3, 5))
    for other in (draw(seed=1), draw(epoch=1)):
        assert not any(draw()["pixel_values"][place].equal(other["pixel_values"][place]) for place in range(3))
    one_by_one = [draw(rows=[row])["pixel_values"] for row in rows]
    assert torch.cat(one_by_one).equal(draw()["pixel_values"])


def test_a_clip_drawn_twice_in_a_batch_is_seen_twice_differently(dataset):
    collate = collator(mode="train")
    batch = collate(rows_of(dataset, 1, 1))["pixel_values"]
    assert not batch[0].equal(batch[1])
    for times in (0, 1):  # as of two batches of an epoch, drawn with replacement
        assert collate([{**dataset[1], "drawn_before": times}])["pixel_values"][0].equal(batch[times])


def test_evaluation_is_the_same_in_every_epoch_and_place(dataset):
    collate = collator(mode="eval", seed=1)
    first = collate(rows_of(dataset, 0, 1))
    collate.epoch = 3
    second = collate(rows_of(dataset, 1, 0))
    assert first["pixel_values"].equal(second["pixel_values"].flip(0))


@pytest.mark.slow
def test_workers_do_not_change_the_draws_and_lasting_ones_learn_of_a_new_epoch(dataset):
    def epochs(**arguments):
        collate = collator(mode="train")
        loader = DataLoader(dataset, batch_size=2, collate_fn=collate, **arguments)
        batches = []
        for epoch in range(2):
            collate.epoch = epoch
            batches += list(loader)
        return batches

    alone, helped = epochs(), epochs(num_workers=2, persistent_workers=True)
    assert all(same(one, other) for one, other in zip(alone, helped, strict=True))
    assert not any(same(one, other) for one, other in zip(alone[:3], alone[3:], strict=True))


@pytest.mark.parametrize(("streams", "present"), [("face", "face_pixel_values"), ("context", "pixel_values")])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_stream_the_model_ignores_is_left_out_and_the_other_is_unchanged(dataset, streams, present, mode):
    rows = rows_of(dataset, 0, 1)
    one, both = collator(mode=mode, streams=streams)(rows), collator(mode=mode)(rows)
    assert list(one) == [present, "labels"] and one[present].equal(both[present])


def test_evaluation_takes_rows_without_labels_and_training_does_not(dataset):
    unlabelled = [{name: value for name, value in dataset[0].items() if name != "label"}]
    assert list(collator(mode="eval")(unlabelled)) == ["pixel_values", "face_pixel_values"]
    for mode, rows in (("train", unlabelled), ("eval", [dataset[1], *unlabelled])):
        with pytest.raises(InputError, match="clip images/000: expected a label"):
            collator(mode=mode)(rows)


def test_errors_name_the_clip(dataset, tmp_path):
    row = dataset[4]
    (tmp_path / "1.png").write_bytes(Path(row["frame_dir"], "1.png").read_bytes()[:200])
    broken = [
        ({**row, "frame_names": ["1.png", "12.png"], "face_boxes": [[]] * 2}, "12.png: expected an image file"),
        ({**row, "frame_dir": str(tmp_path), "frame_names": ["1.png"], "face_boxes": [[]]}, "1.png: cannot be read"),
        ({**row, "face_boxes": [[]] * 3}, "3 frames.*11 frames"),
        ({**row, "body_boxes": [[70.0, 0.0, 80.0, 9.0]]}, "frame 1: box .70.0, 0.0, 80.0, 9.0. in a frame of 64x48"),
        ({**row, "frame_names": [], "face_boxes": []}, "found none"),
    ]
    for bad, complaint in broken:
        with pytest.raises(InputError, match=f"^clip images/004: .*{complaint}") as refusal:
            collator(mode="eval")([dataset[0], bad])
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("arguments", [{"mode": "test"}, {"streams": "body"}])
def test_unknown_modes_and_streams_are_refused(arguments):
    with pytest.raises(InputError, match=f"`{next(iter(arguments))}`"):
        collator(**arguments)


def test_faces_drop_out_by_clip_and_epoch_and_nothing_else_changes(dataset):
    rows = [{**dataset[number % 6], "clip_id": f"images/{number:03d}"} for number in range(200)]
    for row in rows:
        row["frame_names"], row["face_boxes"] = row["frame_names"][:1], row["face_boxes"][:1]
    dropping, plain = collator(seed=3, face_dropout=0.3), collator(seed=3)
    whole, expected = dropping(rows), plain(rows)
    present = whole.pop("face_present")
    assert same(whole, expected)
    # Of 200 draws at 0.7 the count lies within 4 deviations of 6.5.
    assert present.dtype == torch.bool and 114 < present.sum() < 166
    other_batches = torch.cat([dropping(rows[start : start + 7])["face_present"] for start in range(0, 200, 7)])
    assert other_batches.equal(present)
    dropping.epoch = 1
    assert not dropping(rows)["face_present"].equal(present)
    twice = [dropping([rows[0]] * 40)["face_present"] for _ in range(2)]
    assert twice[0].equal(twice[1]) and 0 < twice[0].sum() < 40


@pytest.mark.parametrize("arguments", [{"mode": "eval"}, {"streams": "face"}, {"streams": "context"}])
def test_no_face_drops_out_in_evaluation_or_of_one_stream(dataset, arguments):
    assert "face_present" not in collator(face_dropout=0.9, **arguments)(rows_of(dataset, 0, 1))


def test_a_generator_is_seeded_by_seven_bytes_of_its_keys_digest():
    digest = hashlib.sha256(b"(1, 'a', 2)").digest()
    assert seed_generator(1, "a", 2).initial_seed() == int.from_bytes(digest[:7], "big")
