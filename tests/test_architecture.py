"""The import law: arrows point one way, and the model's files survive a move to the Hub."""

import ast
import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT


PACKAGE = ROOT / "modeling_clipcaer"
# What each file may import beside the standard library, `errors`, `frame_files`, `json_files` and `names`.
ALLOWED = {
    "errors": {"huggingface_hub", "tqdm"},
    "clip_rows": {"torch", ".frames", ".video_frames"},
    "frame_files": set(),
    "json_files": set(),
    "label_texts": set(),
    "strict_loading": {"torch", "huggingface_hub", "safetensors"},
    "names": set(),
    "raer_labels": set(),
    "configuration_clipcaer": {"transformers", "huggingface_hub", ".raer_labels", ".label_texts", ".strict_loading"},
    "face_adapter": {"torch"},
    "input_checks": {"torch"},
    "clip_loading": {"torch", "transformers", ".label_texts", ".strict_loading"},
    "frozen_parts": {"torch", "transformers", ".modeling_clipcaer"},
    "model_output": {"torch", "transformers"},
    "temporal_encoder": {"torch", "transformers", ".configuration_clipcaer"},
    "prototypes": {"torch"},
    "prompt_learner": {"torch", "transformers", ".configuration_clipcaer"},
    "pixels": {"torch"},
    "scene_cuts": {"torch", "numpy", ".pixels"},
    "frame_fitting": {"torch", "numpy", "av", ".scene_cuts"},
    "video_frames": {"torch", "numpy", "av", ".frame_fitting", ".scene_cuts"},
    "fitted_frames": {"torch", "numpy", "PIL", ".frame_fitting", ".frames", ".image_files", ".pixels", ".scene_cuts"},
    "image_files": {"torch", "numpy", "PIL", "cv2"},
    "frames": {"torch", "numpy", "PIL", ".image_files", ".video_frames"},
    "modeling_clipcaer": {
        *("torch", "transformers", ".clip_loading", ".configuration_clipcaer", ".face_adapter"),
        *(".input_checks", ".model_output", ".temporal_encoder", ".prompt_learner", ".prototypes", ".raer_labels"),
        *(".label_texts", ".strict_loading", ".video_classification"),
    },
    "processing_clipcaer": {"torch", "numpy", "transformers", ".frames", ".pixels", ".strict_loading"},
    "pipeline_clipcaer": {
        *("torch", "transformers", ".frames", ".frozen_parts", ".recording_analysis", ".recordings", ".timeline"),
        ".video_classification",
    },
    "peft_adapter": {"torch", "safetensors", "peft", ".common", ".face_adapter", ".strict_loading"},
    "video_classification": {"torch", "transformers"},
    "losses": {"torch"},
    "metrics": {"numpy", "scipy"},
    "data_collator": {"torch", ".clip_rows", ".processing_clipcaer"},
    "cached_clips": {"torch", "numpy", ".clip_rows", ".data_collator", ".frames", ".processing_clipcaer"},
    "clip_labels": {"datasets"},
    "measured_clips": {"numpy", "datasets", "transformers", ".metrics"},
    "training_arguments": {"torch", "transformers", ".frozen_parts"},
    "parameter_groups": {"transformers", ".losses", ".training_arguments"},
    "training_checkpoints": {".common"},
    "run_comparison": {"numpy", "pyarrow", "transformers"},
    "resumable_trainer": {
        *("torch", "accelerate", "transformers", ".common", ".frozen_parts", ".run_comparison"),
        ".training_checkpoints",
    },
    "trainer": {
        *("torch", "numpy", "transformers", ".cached_clips", ".data_collator", ".losses", ".parameter_groups"),
        *(".clip_labels", ".frozen_parts", ".measured_clips", ".prototypes", ".resumable_trainer"),
        ".training_arguments",
    },
    # From recordings to timelines.
    "timeline": set(),
    "timeline_windows": {"numpy", ".timeline"},
    "stage_clock": set(),
    "tracking": {"numpy", "scipy"},
    "face_detection": {"torch", "numpy", "cv2", "huggingface_hub", "transformers", "facenet_pytorch"},
    "recordings": {
        *("torch", "numpy", "av", ".fitted_frames", ".frame_fitting", ".frames", ".processing_clipcaer"),
        *(".scene_cuts", ".timeline", ".timeline_windows", ".video_frames"),
    },
    "crops": {".pixels", ".processing_clipcaer", "torch"},
    "people": {
        *("torch", "numpy", ".crops", ".face_detection", ".frames", ".recordings", ".scene_cuts", ".stage_clock"),
        *(".timeline", ".tracking"),
    },
    "window_scoring": {
        *("torch", "numpy", ".crops", ".frozen_parts", ".people", ".processing_clipcaer", ".stage_clock"),
    },
    "recording_analysis": {
        *("numpy", ".crops", ".face_detection", ".modeling_clipcaer", ".people", ".processing_clipcaer"),
        *(".recordings", ".stage_clock", ".timeline", ".timeline_windows", ".frame_fitting", ".window_scoring"),
        ".frozen_parts",
    },
    "__init__": {
        *("transformers", ".configuration_clipcaer", ".frozen_parts", ".modeling_clipcaer", ".pipeline_clipcaer"),
        *(".processing_clipcaer", ".peft_adapter", ".video_classification"),
    },
}


def find_imports(path: Path) -> set[str]:
    """Top-level packages that a file imports, and `.module` for its siblings."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            package, _, rest = (node.module or "").partition(".")
            # Keep: what travels imports its neighbours alone, one level deep; of the folders only those that stay do.
            assert node.level == 1 and package and (not rest or package == "common"), f"{path.name}: {node.lineno}"
            found.add(f".{package}")
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names)


def test_the_law_knows_every_file():
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ALLOWED)


@pytest.mark.parametrize("name", ALLOWED)
def test_a_file_of_the_package_imports_only_what_it_may(name):
    assert find_imports(PACKAGE / f"{name}.py") - {".errors", ".frame_files", ".json_files", ".names"} <= ALLOWED[name]


@pytest.mark.parametrize("path", sorted((PACKAGE / "common").glob("*.py")), ids=lambda path: path.stem)
def test_what_all_commands_share_needs_the_standard_library_alone(path):
    readers = {"yaml_files": {"yaml"}}
    imported = {
        node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("modeling_clipcaer")
    }
    assert find_imports(path) <= {"modeling_clipcaer"} | readers.get(path.stem, set())
    assert {name for name in imported if not name.startswith("modeling_clipcaer.common.")} <= {
        "modeling_clipcaer.errors",
        "modeling_clipcaer.json_files",
    }


def find_by_hand(pattern: str) -> set[str]:
    """Files of the project in which a pattern occurs."""
    folders = ("modeling_clipcaer", "recipes", "data_scripts")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix() for path in files if re.search(pattern, path.read_text("utf-8"))}


def test_json_and_yaml_are_read_by_one_reader_each():
    """What a user may have torn, nested or spoilt is told in one line; a reader by hand ends in a traceback."""
    found = find_by_hand(r"json\.loads?\(|yaml\.(safe_|full_)?(load|compose|parse)|JSONDecoder")
    assert found <= {
        *("modeling_clipcaer/json_files.py", "modeling_clipcaer/common/yaml_files.py"),
        # What the program has written itself a moment before.
        *(
            "recipes/demo_summary.py",
            "recipes/pretrain_tiny_clip.py",
            "modeling_clipcaer/resumable_trainer.py",
            "data_scripts/detection_files.py",
        ),
    }


def test_files_are_written_by_one_writer():
    """Temporary names, renames and locks of files stand in one place; a second one would forget what it knows."""
    found = find_by_hand(r"os\.replace|os\.rename|mkstemp|mkdtemp|NamedTemporaryFile|fcntl|fsync")
    assert found <= {"modeling_clipcaer/common/files.py", "modeling_clipcaer/common/locks.py"}


@pytest.mark.parametrize("path", sorted((ROOT / "data_scripts").glob("*.py")), ids=lambda path: path.stem)
def test_data_scripts_know_pixels_and_no_model(path):
    assert find_imports(path) <= {
        "datasets",
        "numpy",
        "PIL",
        "av",
        "tqdm",
        "matplotlib",
        "data_scripts",
        "modeling_clipcaer",
    }
    used = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "modeling_clipcaer":
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("modeling_clipcaer."):
            used.add(node.module.removeprefix("modeling_clipcaer."))
    pixels = {"clip_rows", "frames", "image_files", "video_frames", "processing_clipcaer", "pixels", "face_detection"}
    used = {name.partition(".")[0] for name in used}
    assert used <= {"common", "errors", "frame_files", "json_files", "names", "raer_labels", "tracking"} | pixels


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.py")), ids=lambda path: path.stem)
def test_recipes_build_no_layers(path):
    assert not re.search(r"import torch\.nn|from torch\.nn|from torch import nn", path.read_text(encoding="utf-8"))


def test_no_file_prints_from_the_package_or_imports_by_star():
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"), path.name
            assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"), path.name


def test_files_stay_small_enough_to_read():
    for folder in ("modeling_clipcaer", "recipes", "data_scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 450, path.name
