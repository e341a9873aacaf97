import numpy as np
import pytest
import torch
from PIL import Image
from small_run import train_small, write_clip
from transformers import pipeline

from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerPipeline, ClipCaerVideoProcessor
from modeling_clipcaer.errors import InputError


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return train_small(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    return str(write_clip(tmp_path_factory.mktemp("video") / "lesson.mp4"))


@pytest.fixture(scope="session")
def pipe(trained):
    return pipeline("academic-emotion-recognition", model=str(trained))


def test_the_task_finds_pipeline_model_and_processor(pipe):
    assert isinstance(pipe, ClipCaerPipeline)
    assert isinstance(pipe.model, ClipCaerForVideoClassification)
    assert isinstance(pipe.video_processor, ClipCaerVideoProcessor)


def test_labels_come_likeliest_first_with_probabilities(pipe, video):
    ranking = pipe(video)
    scores = [entry["score"] for entry in ranking]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)
    assert {entry["label"] for entry in ranking} == set(pipe.model.config.id2label.values())
    with torch.no_grad():
        logits = pipe.model(**pipe.video_processor([video])).logits[0]
    assert scores == pytest.approx(logits.softmax(-1).sort(descending=True).values.tolist())


def test_top_k_cuts_the_ranking(pipe, video):
    assert pipe(video, top_k=2) == pipe(video)[:2]


def test_boxes_change_what_is_seen(pipe, video):
    boxes = {"face_boxes": [8, 8, 40, 40], "body_box": [4, 4, 60, 44]}
    with torch.no_grad():
        pixels = pipe.video_processor([video], face_boxes=[boxes["face_boxes"]], body_boxes=[boxes["body_box"]])
        expected = pipe.model(**pixels).logits[0].softmax(-1).max().item()
    assert pipe({"video": video, **boxes})[0]["score"] == pytest.approx(expected)
    assert pipe({"video": video, **boxes}) != pipe(video)


def test_a_list_gives_a_ranking_for_each_clip(pipe, video):
    boxed = {"video": video, "face_boxes": [8, 8, 40, 40]}
    together = pipe([video, boxed], batch_size=1)
    for ranking, alone in zip(together, [pipe(video), pipe(boxed)], strict=True):
        assert [entry["label"] for entry in ranking] == [entry["label"] for entry in alone]
        assert [entry["score"] for entry in ranking] == pytest.approx([entry["score"] for entry in alone])


def assert_same(rankings, others):
    for ranking, other in zip(rankings, others, strict=True):
        scores, other_scores = ({entry["label"]: entry["score"] for entry in entries} for entries in (ranking, other))
        assert scores == pytest.approx(other_scores, abs=1e-5)


def test_batches_give_each_clip_the_ranking_that_it_has_alone(pipe, video):
    noise = np.random.default_rng(1).integers(0, 256, (7, 40, 50, 3), dtype=np.uint8)
    boxed = {"video": video, "face_boxes": [8, 8, 40, 40], "body_box": [4, 4, 60, 44]}
    clips, sizes = [video, boxed, noise, {"video": list(noise[:3])}, noise[::-1], video], []
    alone = pipe(clips)
    assert alone[0] != alone[1] != alone[2] != alone[3]
    hook = pipe.model.register_forward_pre_hook(
        lambda model, args, kwargs: sizes.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    together = pipe(clips, batch_size=4)
    hook.remove()
    assert sizes == [4, 2]
    assert_same(together, alone)
    assert_same(pipe((clip for clip in clips), batch_size=4, num_workers=2), alone)
    assert_same(pipe(clips, batch_size=4, num_workers=2), alone)
    assert [len(ranking) for ranking in pipe(clips, batch_size=3, top_k=2)] == [2] * 6


def test_frames_in_a_list_are_a_clip_only_in_a_mapping(pipe):
    frames = [Image.new("RGB", (50, 40), (40 * number, 0, 0)) for number in range(5)]
    assert_same([pipe({"video": frames})], [pipe(np.stack(frames))])
    for wrong, name in ((frames, "Image"), ([np.array(frame) for frame in frames], "ndarray"), (["1.png"], r"1\.png")):
        with pytest.raises(InputError, match=f"{name}: .*found one frame"):
            pipe(wrong)


def test_an_unknown_argument_and_a_clip_that_is_none_are_refused(pipe, video, tmp_path):
    with pytest.raises(ValueError, match="unknown argument `top_n`"):
        pipe(video, top_n=1)
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        pipe(str(tmp_path / "nowhere.mp4"))


def test_an_unknown_key_beside_the_clip_is_refused(pipe, video):
    with pytest.raises(InputError, match="unknown key `face_box`"):
        pipe({"video": video, "face_box": [8, 8, 40, 40]})
    with pytest.raises(InputError, match="no key `video`"):
        pipe({"face_boxes": [8, 8, 40, 40]})
