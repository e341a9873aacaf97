"""The naive path computes what ours computes, and every benchmark writes its table."""

import json
import subprocess
import sys

import cv2
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from helpers.places import ROOT, YUNET, needs_yunet
from helpers.small_material import run_main
from helpers.tiny import BOS, CLIP, EOS, lively_model, tiny_config, tiny_model, tiny_pixels
from modeling_clipcaer import ClipCaerCollator, ClipCaerVideoProcessor
from modeling_clipcaer.commands import zero_shot
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.losses.functions import dc_loss, mi_loss, smoothed_cross_entropy
from modeling_clipcaer.models.checkpoints import save_checkpoint
from modeling_clipcaer.synthetic.data_set import draw_dataset, plan_dataset


sys.path.insert(0, str(ROOT / "benchmarks"))

import building
import evaluation
import explanations
import faces
import frozen
import gpu
import loading
import machine
import material
import naive
import prediction
import scaling
import text_bound
import training


DESCRIPTIVE_IDS = [[[BOS, 20 + label, *range(30, 30 + label), EOS]] for label in range(5)]
SHALLOW_CLIP = CLIP | {"vision_config": CLIP["vision_config"] | {"num_hidden_layers": 1}}
LABELS = torch.tensor([0, 3, 1])
SMALL = (
    *("--layers", 1, "--image_size", 32, "--num_frames", 2, "--batch_size", 2, "--frame_width", 160),
    *("--clip_frames", 4, "--rounds", 1),
)


def described_model():
    """A tiny model with a descriptive view of its own."""
    model = tiny_model(descriptive_token_ids=DESCRIPTIVE_IDS)
    model.model.encode_descriptive_prompts(DESCRIPTIVE_IDS)
    return model


def our_loss(outputs, labels):
    views = outputs.soft_text_embeds, outputs.descriptive_text_embeds
    return smoothed_cross_entropy(outputs.logits, labels) + 0.5 * mi_loss(*views) + 0.1 * dc_loss(views[0])


def gradients(model, loss) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_the_naive_path_computes_the_same_logits_loss_and_gradients():
    model, pixels = described_model(), tiny_pixels(batch_size=3)
    model.model.clip.text_model.requires_grad_(False)  # which the naive path encodes the descriptive view with
    model.model.clip.text_projection.requires_grad_(False)
    ours, plain = model(**pixels), naive.NaiveClipCaer(model)(**pixels)
    torch.testing.assert_close(plain[0], ours.logits, rtol=0, atol=1e-4)
    losses = our_loss(ours, LABELS), naive.compute_loss(plain, LABELS)
    torch.testing.assert_close(*losses, rtol=0, atol=1e-5)
    expected, found = (gradients(model, loss) for loss in losses)
    assert "model.prompt_learner.context_tokens" in expected and len(expected) > 20
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_the_naive_loop_lowers_its_loss_and_moves_the_tower_only_when_asked_to():
    clips = [
        {name: values[0] for name, values in tiny_pixels(1).items()} | {"labels": label} for label in LABELS.tolist()
    ]
    for train_tower in (False, True):
        torch.manual_seed(0)
        model = described_model()
        before = {name: weight.clone() for name, weight in model.named_parameters()}
        losses = [
            next(naive.NaiveTrainer(model, DataLoader(clips, 3), train_tower).steps()) for _ in range(1 + train_tower)
        ]
        moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
        assert any(name.startswith("model.clip.vision_model") for name in moved) == train_tower
        assert not any(name.startswith("model.clip.text_model") for name in moved)
        assert {"model.fusion.weight", "model.prompt_learner.context_tokens"} <= moved
        assert all(torch.isfinite(torch.tensor(losses)))


@pytest.fixture
def small(monkeypatch):
    """A CLIP of a few weights, clips of a few frames, and everything in this process."""
    monkeypatch.setitem(material.CLIP_SIZES, "ViT-B/32", (16, 32, 1, 2, 16, 16, 2, 24))
    monkeypatch.setattr(machine, "run_apart", lambda function, *args: machine._run_with_peak(function, args))
    monkeypatch.setattr(machine.measure_matmul_peaks, "__defaults__", (64, 1))


def test_both_loaders_make_the_same_pixels_of_the_same_files(small, tmp_path):
    sizes = material.SizeArguments(num_frames=3, clip_frames=5, image_size=32, frame_width=320)
    rows = material.write_clips(tmp_path, 2, sizes)
    processor = material.build_processor(sizes)
    ours = ClipCaerCollator(processor, mode="eval")(list(rows))
    plain = next(iter(DataLoader(naive.NaiveClips(rows, 3, 32, train=False), 2)))
    assert plain["labels"].tolist() == ours["labels"].tolist()
    level = 1 / 255 / min(processor.image_std)
    for name in ("pixel_values", "face_pixel_values"):
        difference = (plain[name] - processor.normalize(ours[name])).abs()
        assert difference.max() < 3 * level and difference.mean() < 0.2 * level


def table_rows(output: str) -> dict[str, list[str]]:
    """Cells of each row of the tables in `output`, by the words before the first number."""
    lines = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")]
    return {cells[0]: cells for cells in lines if cells[0] != "---"}


def run(benchmark, capsys, *flags) -> dict[str, list[str]]:
    assert run_main(benchmark.main, *SMALL, *flags) == 0
    output = capsys.readouterr().out
    assert output.startswith("```\npython ") and "load average" in output and "torch 2" in output
    return table_rows(output)


def test_the_training_benchmark_writes_its_table(small, capsys):
    names = [name for name in training.VARIANTS if name != "frozen-compiled"]  # which takes a minute to compile
    flags = ("--steps", 1, "--cached_steps", 2, "--cached_clips", 8, "--encoded_clips", 2)
    rows = run(training, capsys, *flags, "--only", *names, training.ENCODING)
    assert {training.VARIANTS[name].title for name in names} < set(rows)
    assert rows["naive, tower frozen"][4] == rows["naive, tower trained"][4] == "1.00×"
    assert rows["ours, cached embeddings"][1] == "16"  # the larger batch stands last
    assert float(rows["encoding pass, 4 frames a clip"][3]) > 0


def test_batch_sizes_share_one_table_and_a_variant_without_memory_is_named(small, capsys, monkeypatch):
    done = []

    def time_some(name, sizes, folder):
        done.append((name, sizes.batch_size))
        if done[-1] == ("naive-trained", 4):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2.0 / sizes.batch_size

    monkeypatch.setattr(training, "time_variant", time_some)
    names = ("--only", "trained", "naive-trained", "--batch_sizes", 2, 4, "--rounds", 2)
    assert run_main(training.main, *SMALL, *names) == 0
    output = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ")[:5] for line in output.splitlines() if "tower trained" in line]
    ours = training.VARIANTS["trained"].title
    assert rows == [
        ["naive, tower trained", "2", "1000", "2.00", "1.00×"],
        [ours, "2", "1000", "2.00", "1.00×"],
        [ours, "4", "500", "8.00", ""],
    ]
    assert "Out of memory: naive-trained at 4." in output and len(done) == 7


def test_parts_of_a_batch_are_accumulated_to_the_batch(small, tmp_path, monkeypatch):
    sizes, asked = training.TrainingBenchmarkArguments(batch_size=6), {}
    monkeypatch.setattr(training, "load_model", lambda *args: None)
    monkeypatch.setattr(training, "load_rows", lambda *args: None)
    monkeypatch.setattr(training, "time_our_training", lambda *args, **flags: asked.update(flags))
    training.time_variant("trained-parts", sizes, tmp_path)
    assert asked["per_device_train_batch_size"] * asked["gradient_accumulation_steps"] == 6


def test_the_evaluation_benchmark_writes_its_table(small, capsys):
    rows = run(evaluation, capsys, "--num_clips", 3, "--single_clips", 1)
    assert {"naive, evaluation", "ours, evaluation", "naive, one clip", "ours, one clip"} < set(rows)
    assert rows["naive, one clip"][3] == "1.00×" and float(rows["ours, one clip"][1]) > 0


def test_the_benchmark_of_frozen_parts_writes_its_tables(small, capsys):
    rows = run(frozen, capsys)
    assert list(rows)[:2] == ["tower", "the tower in float32"] and list(rows)[-1] == "prompts encoded once"
    assert len(rows) == 9 and all(float(cells[1]) > 0 for cells in rows.values() if "ms" not in cells[1])


def test_the_loading_benchmark_writes_its_table():
    # Keep: in a process of its own. Its loaders fork, and copies of one in which hundreds of tests ran may crash.
    flags = ("--num_clips", 2, "--num_videos", 1, "--video_seconds", 0.2, "--large_width", 320)
    command = [sys.executable, loading.__file__, *map(str, (*SMALL, *flags))]
    rows = table_rows(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert {"160x90 jpg", "320x180 jpg", "160x90 mp4, 0.2 s"} < set(rows)
    assert all(cells[1] == "evaluation" and len(cells) >= 5 for name, cells in rows.items() if name != "clips")


def test_the_prediction_benchmark_writes_its_tables(small, capsys, monkeypatch):
    monkeypatch.setattr(prediction, "run_apart", machine.run_apart)
    flags = ("--video_seconds", 3, "--face_detector", "haar", "--long_seconds", 2, 3)
    rows = run(prediction, capsys, *flags)
    lengths = ["minutes of video", "0.0333", "0.05"]
    assert list(rows) == ["seconds a minute of video", *prediction.STAGES, "all", *lengths]
    assert all(float(cell) > 0 for length in lengths[1:] for cell in rows[length])
    for column in (1, 2):
        stages = [float(rows[stage][column]) for stage in prediction.STAGES]
        assert min(stages) >= 0 and sum(stages) == pytest.approx(float(rows["all"][column]), abs=0.05)


def test_the_scaling_benchmark_writes_its_table_and_plot(small, capsys, tmp_path):
    flags = ("--batch_sizes", 1, 2, "--frame_counts", 2, 3, "--image_sizes", 32, 48, "--clips", "ViT-B/32")
    cached = ("--cached_counts", 2, 5, "--cached_batch_size", 2, "--plot", tmp_path / "scaling.png")
    assert run_main(scaling.main, *SMALL[:-2], *flags, *cached) == 0
    rows = table_rows(capsys.readouterr().out)
    assert {"batch 1", "batch 2", "frames 3", "image size 48", "CLIP ViT-B/32", "cached clips 5"} < set(rows)
    assert rows["batch 2"][1:] == rows["frames 2"][1:]  # measured once
    with Image.open(tmp_path / "scaling.png") as plot:
        assert plot.width > plot.height > 400


@needs_yunet
def test_the_face_benchmark_writes_its_tables(capsys, monkeypatch):
    monkeypatch.setattr(faces, "NAMES", ("cat", "coffee"))
    flags = ("--face_detector_weights", YUNET, "--num_faces", 2, "--repeats", 1)
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        assert run_main(faces.main, *flags) == 0
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    rows = table_rows(capsys.readouterr().out)
    assert {view.name for view in faces.VIEWS} | {"640x360", "3840x2160"} < set(rows)
    assert rows["96 pixels wide"][1:4] == ["yes", "2", "0"]
    assert rows["2 pictures in 3 sizes"][1:] == ["6", "0", "0"]
    assert rows["8 pixels wide"][1] == "no" and all(float(cell) > 0 for cell in rows["1280x720"][1:])


def test_the_building_benchmark_writes_its_table(small, capsys):
    assert run_main(building.main, "--num_clips", 50, 100, "--clip_frames", 2, "--num_proc", 1) == 0
    rows = table_rows(capsys.readouterr().out)
    assert list(rows) == ["clips", "50", "100"]
    assert min(float(cell) for name in ("50", "100") for cell in rows[name][1:]) > 0


@pytest.mark.slow
def test_the_export_benchmark_writes_its_table(capsys, monkeypatch):
    pytest.importorskip("onnxscript", reason="onnxscript is in the extras `export` and `test`")
    import export

    monkeypatch.setattr(export, "ClipCaerConfig", lambda: tiny_config(clip_config=SHALLOW_CLIP))
    assert run_main(export.main, "--repeats", 1, "--batch_sizes", 1, 2) == 0
    rows = table_rows(capsys.readouterr().out)
    assert len(rows) == 1 + 5 and all(len(cells) == 5 for cells in rows.values())
    differences = {name: float(cells[-1]) for name, cells in rows.items() if name != "variant"}
    assert differences["PyTorch fp32"] == 0 and differences["PyTorch bf16"] > 0
    assert differences["torch.export fp32"] < 1e-4 and differences["ONNX Runtime fp32"] < 1e-4
    assert all("(1.00×)" in cell for cell in rows["PyTorch fp32"][2:4])


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own():
    result, peak = machine.run_apart(eval, "len(b'x' * 400_000_000)")
    assert result == 400_000_000
    small_peak = machine.run_apart(eval, "1")[1]
    assert 390 < peak - small_peak < 450  # and what this process holds is in neither


def test_the_benchmark_of_explanations_writes_its_tables(small, capsys, tmp_path):
    draw_dataset(plan_dataset(6, "none", 5, 10), tmp_path / "drawn" / "RAER", num_workers=1)
    build_dataset(str(tmp_path / "drawn"), tmp_path / "dataset")
    save_checkpoint(lively_model(), ClipCaerVideoProcessor(4, image_size=32), tmp_path / "model")
    flags = ("--model", tmp_path / "model", "--dataset", tmp_path / "dataset", "--drawn", tmp_path / "drawn")
    assert run_main(explanations.main, *flags, "--shuffled_clips", 2) == 0
    rows = table_rows(capsys.readouterr().out)
    assert list(rows)[1:5] == [*explanations.CUES] and list(rows)[-1] == "patch embedding"
    for cue in explanations.CUES:
        own, chance, middle, other = map(float, rows[cue][4:8])
        assert 0 <= own <= 100 and 0 < chance < 40 and middle > 0 and other >= 0
    assert all(-1 <= float(cell) <= 1 for cell in rows["patch embedding"][1:])


def test_the_benchmark_of_the_texts_bound_begins_with_what_zero_shot_reports(capsys, tmp_path):
    draw_dataset(plan_dataset(6, "none", 25, 10), tmp_path / "drawn" / "RAER", num_workers=1)
    build_dataset(str(tmp_path / "drawn"), tmp_path / "dataset")
    model = ("--clip_model", "tiny_clip", "--labels_file", "demo_labels", "--num_frames", 2, "--face_margin", 4)
    assert run_main(zero_shot.main, *model, "--dataset", tmp_path / "dataset", "--output", tmp_path / "report") == 0
    reported = json.loads((tmp_path / "report" / "report.json").read_text())["uar"]
    capsys.readouterr()
    flags = ("--drawn", tmp_path / "drawn", "--dataset", tmp_path / "dataset", "--num_frames", 2)
    assert run_main(text_bound.main, *flags) == 0
    rows = table_rows(capsys.readouterr().out)
    assert float(rows["the labels' sentences"][1]) == pytest.approx(reported, abs=0.06)
    for name in ("captions of the label's training frames", "the label's training frames themselves"):
        assert all(20 < float(cell) <= 100 for cell in rows[name][1:3])


def test_what_a_gpu_is_asked_runs_at_small_sizes_without_one(small, tmp_path, capsys):
    sizes = ("--layers", 1, "--image-size", 32, "--num-frames", 2, "--clip-frames", 3, "--frame-width", 160)
    words = ("--batch-sizes", 2, "--steps", 1, "--loaded-clips", 3, "--output", tmp_path / "gpu.json")
    assert run_main(gpu.main, "--device", "cpu", *sizes, *words) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["frozen", "cached", "LoRA", "trained", "encoding pass, 3 frames a clip"]
    for row in rows.values():
        assert row["clips_per_second"] == pytest.approx(1000 * row["batch"] / row["ms"]) and not row["why_not"]
    config = material.build_model(gpu.GpuArguments(layers=1, image_size=32, num_frames=2, device="cpu")).config
    for kind, passes in gpu.PASSES.items():  # of 2 streams, 2 frames and 2 clips
        operations = machine.count_step_flops(config, 8, passes)
        rate = operations / (rows[kind]["ms"] / 1000) / 1e9
        assert rows[kind]["share"] == pytest.approx(rate / found["peaks_gflops"][rows[kind]["precision"]])
    assert found["loader_clips_per_second"]["1"] > 0 and found["tests"] == "not run: a GPU is absent"
    assert "| trained | 2 |" in capsys.readouterr().out


def test_a_gpu_step_has_the_operations_that_it_needs(small):
    args = gpu.GpuArguments(layers=1, image_size=32, num_frames=2, device="cpu")
    config = material.build_model(args).config
    flops = {kind: machine.count_step_flops(config, 16, passes) for kind, passes in gpu.PASSES.items()}
    image = machine.count_image_flops(config.clip_config)
    # Of 2 streams, 2 frames and 4 clips.
    assert [flops[kind] - flops["cached"] for kind in ("frozen", "LoRA", "trained")] == [
        16 * image,
        32 * image,
        48 * image,
    ]


def test_a_row_without_memory_time_or_a_package_says_so():
    args = gpu.GpuArguments(device="cpu")

    def fail(error):
        raise error

    for error, words in (
        (torch.OutOfMemoryError(), "out of memory"),
        (ImportError(name="peft"), "peft is absent"),
    ):
        assert gpu.measure("a", 8, float("inf"), args, lambda error=error: fail(error)).why_not == words
    assert gpu.measure("a", 8, 0.0, args, lambda: fail(AssertionError)).why_not == "the time was over"
    assert gpu.render([gpu.Row("a", 8, why_not="out of memory")]).endswith("| a | 8 | out of memory |  |  |  |")
