"""`recipes/export.py`: the exported file answers as the model does, where nothing of ours is installed."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.export import Dim

from helpers.places import ROOT
from helpers.small_material import run_main
from helpers.tiny import CLIP, TOKEN_IDS, tiny_model, tiny_pixels
from helpers.videos import noise, write_video
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.commands import export
from modeling_clipcaer.models import visual_export
from modeling_clipcaer.models.checkpoints import save_checkpoint
from modeling_clipcaer.models.visual_export import VisualPath, dynamic_axes, export_program, load_exported, save_onnx


onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is in the extras `export` and `test`")
onnx = pytest.importorskip("onnx", reason="onnx is in the extras `export` and `test`")
pytest.importorskip("onnxscript", reason="onnxscript is in the extras `export` and `test`")


SHALLOW_CLIP = CLIP | {"vision_config": CLIP["vision_config"] | {"num_hidden_layers": 1}}
ENSEMBLE_IDS = [[*sentences, [97, 30 + label, 98]] for label, sentences in enumerate(TOKEN_IDS)]


def lively_model(**fields):
    """A tiny model whose descriptive view is none of the axes that it starts with."""
    model = tiny_model(**{"clip_config": SHALLOW_CLIP} | fields)
    model.model.descriptive_prompts.text_embeds.normal_()
    return model


def pixels_of(model, *sizes):
    pixels = tiny_pixels(*sizes)
    return {name: pixels[name] for name in dynamic_axes(model)}


@torch.no_grad()
def assert_same_answers(model, run, frame_counts=(4,)):
    for batch_size in (1, 2, 7):
        for num_frames in frame_counts:
            pixels = pixels_of(model, batch_size, num_frames)
            expected, logits = model(**pixels).logits, run(**pixels)
            torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
            assert torch.equal(logits.argmax(-1), expected.argmax(-1))


def export_with_torch(model, clips):
    shapes = {name: {0: Dim("batch_size")} for name in clips}
    return torch.export.export(model, (), clips, dynamic_shapes=shapes).module()


def export_with_transformers(model, clips):
    exporter = pytest.importorskip("transformers.exporters.exporter_dynamo")
    return exporter.DynamoExporter().export(model, clips, config=exporter.DynamoConfig(dynamic=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("export_whole", [export_with_torch, export_with_transformers])
@torch.no_grad()
def test_the_whole_model_is_exported_for_any_number_of_clips(export_whole):
    model = lively_model(prototype_source="mean")
    run = export_whole(model, tiny_pixels(2))
    for batch_size in (2, 5):
        clips = tiny_pixels(batch_size)
        torch.testing.assert_close(run(**clips)["logits"], model(**clips).logits)


@pytest.mark.parametrize("streams", ["both", "face", "context"])
@pytest.mark.parametrize("slerp_weight", [0.0, 0.5])
@pytest.mark.parametrize("source", ["descriptive", "soft", "mean"])
def test_the_visual_path_answers_as_the_whole_model(source, slerp_weight, streams):
    model = lively_model(prototype_source=source, slerp_weight=slerp_weight, streams=streams)
    assert_same_answers(model, VisualPath(model))


@pytest.mark.parametrize(
    ("fields", "frame_counts"),
    [
        ({"streams": "face", "prototype_source": "soft", "slerp_weight": 0.0, "num_frames": 1}, (1,)),
        (
            {
                **{"streams": "context", "prototype_source": "mean", "slerp_weight": 0.5},
                **{"label_token_ids": ENSEMBLE_IDS, "temporal_pooling": "attention"},
            },
            (1, 3, 4),
        ),
    ],
)
def test_graphs_of_one_stream_answer_as_the_model_and_have_one_input(fields, frame_counts, tmp_path):
    model = lively_model(**fields)
    program = export_program(model)
    save_onnx(program, tmp_path / "model.onnx", dynamic_axes(model))
    for run in (program.module(), load_exported(tmp_path / "model.onnx")):
        assert_same_answers(model, run, frame_counts)
    inputs = onnxruntime.InferenceSession(tmp_path / "model.onnx").get_inputs()
    assert [entry.name for entry in inputs] == ["face_pixel_values" if fields["streams"] == "face" else "pixel_values"]


def test_folding_leaves_the_model_as_it_was():
    model, pixels = lively_model(prototype_source="soft"), tiny_pixels()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    VisualPath(model, torch.bfloat16)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert model(**pixels).logits.dtype == torch.float32


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, and the folder of what the command makes of its checkpoint in both formats."""
    torch.manual_seed(0)
    folder, model = tmp_path_factory.mktemp("export"), lively_model(calibration_temperature=2.0)
    save_checkpoint(model, ClipCaerVideoProcessor(num_frames=4, image_size=32), folder / "checkpoint")
    for format_ in ("onnx", "torch_export"):
        flags = ("--model", folder / "checkpoint", "--output_dir", folder / "out", "--format", format_)
        assert run_main(export.main, *flags) == 0
    return model, folder


def test_the_command_writes_one_file_a_format_and_its_description(exported):
    model, folder = exported
    names = {"model.onnx", "model.onnx.json", "model.pt2", "model.pt2.json"}
    assert {path.name for path in (folder / "out").iterdir()} == names
    for name in ("model.onnx", "model.pt2"):
        assert_same_answers(model, load_exported(folder / "out" / name))
        description = json.loads((folder / "out" / f"{name}.json").read_text())
        assert description["labels"] == list(model.config.id2label.values())
        assert description["processor"]["image_size"] == 32 and description["processor"]["do_normalize"] is True
        assert description["calibration_temperature"] == 2.0
        assert description["checkpoint"] == "checkpoint" and description["max_num_frames"] == 4
        assert description["inputs"].keys() == {"pixel_values", "face_pixel_values"}
        assert description["bytes"] == {name: (folder / "out" / name).stat().st_size}
        assert description["versions"]["torch"] == torch.__version__
        assert "prohibits" in description["responsible_use"]
        assert 0 <= description["max_logit_difference"] < 1e-4


def test_the_exported_file_holds_the_visual_path_and_nothing_else(exported):
    model, folder = exported
    graph = onnx.load(folder / "out" / "model.onnx").graph
    shapes = [tuple(tensor.dims) for tensor in graph.initializer]
    assert not any(CLIP["text_config"]["vocab_size"] in shape for shape in shapes)
    count = sum(torch.Size(shape).numel() for shape in shapes)
    text_side = ("text_model", "text_projection", "prompt_learner", "logit_scale")
    numbers = {name: p.numel() for name, p in model.named_parameters()}
    of_text = sum(number for name, number in numbers.items() if any(part in name for part in text_side))
    others = sum(numbers.values()) - of_text
    assert of_text > 5000
    assert abs(count - others) < 1000  # prototypes and constants of the graph more, equal vectors once
    with zipfile.ZipFile(folder / "out" / "model.pt2") as archive:
        sizes = [info.file_size for info in archive.infolist() if "/data/weights/weight_" in info.filename]
    assert 4 * others <= sum(sizes) < 4 * (others + 1000)


def test_exported_files_tell_nothing_of_the_machine_they_were_made_on(exported):
    _, folder = exported
    contents = [path.read_bytes() for path in (folder / "out").iterdir()]
    with zipfile.ZipFile(folder / "out" / "model.pt2") as archive:
        contents += [archive.read(name) for name in archive.namelist()]
    for place in (str(ROOT), sys.prefix, torch.__path__[0], str(folder)):
        assert not any(place.encode() in content for content in contents)


STRANGERS = {
    "model.onnx": """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
(logits,) = session.run(None, dict(numpy.load(sys.argv[2])))
assert not {"torch", "transformers", "modeling_clipcaer"} & set(sys.modules)
print(logits.tolist())
""",
    "model.pt2": """
import sys, numpy, torch
for name in ("transformers", "modeling_clipcaer", "recipes"):
    sys.modules[name] = None  # cannot be imported
pixels = {name: torch.from_numpy(values) for name, values in numpy.load(sys.argv[2]).items()}
print(torch.export.load(sys.argv[1]).module()(**pixels).tolist())
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRANGERS)
def test_an_exported_file_runs_where_nothing_of_ours_is_installed(name, exported, tmp_path):
    import numpy as np

    model, folder = exported
    pixels = tiny_pixels(batch_size=3)
    np.savez(tmp_path / "pixels.npz", **{key: values.numpy() for key, values in pixels.items()})
    words = [sys.executable, "-I", "-c", STRANGERS[name], folder / "out" / name, tmp_path / "pixels.npz"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(json.loads(done.stdout)), model(**pixels).logits, rtol=0, atol=1e-4)


def test_bf16_halves_the_weights_and_stays_near(exported, tmp_path):
    model, folder = exported
    flags = ("--model", folder / "checkpoint", "--output_dir", tmp_path, "--format", "torch_export", "--dtype", "bf16")
    assert run_main(export.main, *flags) == 0
    weights = torch.export.load(tmp_path / "model.pt2").state_dict
    assert {w.dtype for name, w in weights.items() if name != "prototypes"} == {torch.bfloat16}
    pixels = tiny_pixels()
    with torch.no_grad():
        logits, expected = load_exported(tmp_path / "model.pt2")(**pixels), model(**pixels).logits
    assert logits.dtype == torch.float32 and not torch.equal(logits, expected)
    torch.testing.assert_close(logits, expected, rtol=0, atol=0.3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--dtype", "bf16"), "--dtype bf16: ONNX Runtime has no such convolution on the CPU, expected fp32 for onnx"),
        (("--format", "tflite"), "invalid choice: 'tflite'"),
        (("--model", "nowhere"), "nowhere: there is no such folder, and from the Hub no ClipCaer checkpoint"),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_nothing(flags, message, exported, tmp_path, capsys):
    _, folder = exported
    words = ("--model", folder / "checkpoint", "--output_dir", tmp_path / "out", *flags)
    assert run_main(export.main, *words) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named_with_its_extra(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert run_main(export.main, "--model", exported[1] / "checkpoint", "--output_dir", tmp_path / "out") == 2
    assert 'onnx is not installed: pip install "clipcaer[export]"' in capsys.readouterr().err


def test_a_file_that_answers_differently_is_not_left_behind(exported, tmp_path, monkeypatch):
    torch.manual_seed(1)
    other = torch.export.load(exported[1] / "out" / "model.pt2")
    monkeypatch.setattr(visual_export, "export_program", lambda model, dtype: other)
    save_checkpoint(lively_model(), ClipCaerVideoProcessor(num_frames=4, image_size=32), tmp_path / "checkpoint")
    words = ("--model", tmp_path / "checkpoint", "--output_dir", tmp_path / "out", "--format", "torch_export")
    with pytest.raises(RuntimeError, match="differ from PyTorch's"):
        run_main(export.main, *words)
    assert not (tmp_path / "out").exists()


OPTIONS = {"prototype_source": "classifier", "learned_slerp_weight": "per_label", "slerp_target": "prototypes"}


@pytest.mark.parametrize("options", [{"fusion": "gated", **OPTIONS}, {"fusion": "cross_attention"}])
def test_graphs_of_what_goes_beyond_the_method_answer_as_the_model(options, tmp_path):
    model = lively_model(**options)
    for parameter in (*model.model.slerp_weight.parameters(), *model.model.fusion.parameters()):
        torch.nn.init.normal_(parameter)
    program = export_program(model)
    runs = [program.module()]
    if options["fusion"] == "gated":
        save_onnx(program, tmp_path / "model.onnx", dynamic_axes(model))
        runs.append(load_exported(tmp_path / "model.onnx"))
    for run in runs:
        assert_same_answers(model, run)


def without_optout(home):
    """An environment in which what is not refused is kept in the folder `home`."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "HOME": str(home), "TMPDIR": str(home)}


def test_the_makers_of_onnx_runtime_are_told_of_no_session(exported, tmp_path):
    """What it would send it first keeps with an id of the machine, in the user's cache and the temporary folder."""
    script = "import sys; from modeling_clipcaer.models.visual_export import load_exported; load_exported(sys.argv[1])"
    command = [sys.executable, "-c", script, exported[1] / "out" / "model.onnx"]
    subprocess.run(command, env=without_optout(tmp_path), check=True, capture_output=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.fixture(scope="module")
def server(exported):
    """A way to ask the server that docs/howto/deploy.md shows, in a process of its own, of the exported file."""
    _, folder = exported
    page = (ROOT / "docs" / "howto" / "deploy.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (folder / "serve.py").write_text(code, encoding="utf-8")
    # Keep: a folder of its own for temporary files, in which a test looks for what was left.
    (folder / "tmp").mkdir()
    environment = without_optout(folder / "tmp")
    command = [sys.executable, "serve.py", "out/model.onnx", "0"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+", process.stdout.readline())

        def ask(data=None, query=""):
            try:
                with urllib.request.urlopen(f"{address}/{query}", data=data, timeout=60) as reply:
                    return reply.status, json.load(reply)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        yield ask
        process.kill()


@torch.no_grad()
def test_the_server_that_the_docs_show_answers_as_the_model_does(exported, server, tmp_path):
    model, folder = exported
    clip = write_video(tmp_path / "clip.mp4", noise(8))
    processor = ClipCaerVideoProcessor.from_pretrained(folder / "checkpoint")
    for query, boxes in (("", {}), ("?face_boxes=10,10,60,70", {"face_boxes": [10, 10, 60, 70]})):
        status, told = server(clip.read_bytes(), query)
        logits = model(**processor(str(clip), **boxes)).logits[0]
        expected = dict(zip(model.config.id2label.values(), (logits / 2.0).softmax(-1).tolist(), strict=True))
        assert status == 200 and told["calibrated"] and told["scores"] == pytest.approx(expected, abs=1e-5)
        assert [*told["scores"].values()] == sorted(told["scores"].values(), reverse=True)
        assert "prohibits" in told["notice"]


def test_the_server_refuses_in_a_line_serves_several_at_once_and_keeps_nothing(exported, server, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", noise(8)).read_bytes()
    for data, query in ((b"no video", ""), (clip, "?face_boxes=a"), (clip, "?face_boxes=1,2"), (clip, "?window=3")):
        status, told = server(data, query)
        assert status == 400 and told["error"] and "\n" not in told["error"], (query, told)
    assert server(b"")[0] == 413
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(server, [clip] * 8)]
    assert answers == [answers[0]] * 8 and answers[0][0] == 200
    assert server()[1]["labels"] == list(exported[0].config.id2label.values())
    assert [*(exported[1] / "tmp").iterdir()] == []
