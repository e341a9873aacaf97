"""What pip installs is the whole program: one package, one command, presets by name, and nothing of the clone."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest

from helpers.places import ROOT


SOURCES = (
    *("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "accelerate_config.yaml"),
    *("modeling_clipcaer", "recipes", "metrics", "tests/fixtures/tiny_clip"),
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's files in a folder of their own, and a way to run Python on them in a folder without the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / "src" / name)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, "./src"]
    done = subprocess.run(pip, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()

    def run(*words, status=0):
        environment = {**os.environ, "PYTHONPATH": str(folder / "site")}
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return SimpleNamespace(site=folder / "site", run=run, elsewhere=elsewhere)


def test_one_package_and_one_command(installed):
    tops = {path.name for path in installed.site.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"modeling_clipcaer"}
    (points,) = installed.site.glob("*.dist-info/entry_points.txt")
    assert points.read_text().split() == ["[console_scripts]", "clipcaer", "=", "modeling_clipcaer.commands.main:main"]


def test_presets_and_labels_are_known_by_name(installed):
    script = (
        "import json; from modeling_clipcaer.common.presets import find_preset\n"
        "from modeling_clipcaer.data.labels_file import read_label_entries\n"
        "print(json.dumps([find_preset('raer_advanced'), [*read_label_entries('demo_labels')]]))"
    )
    path, labels = json.loads(installed.run("-c", script))
    shipped = (installed.site / "modeling_clipcaer" / "presets").glob("*.yaml")
    presets = {path.stem for path in shipped if not path.stem.endswith(("_labels", "_config"))}
    recipes = {path.stem for path in (ROOT / "recipes").glob("*.yaml") if not path.stem.endswith("_labels")}
    assert presets == recipes and path.startswith(str(installed.site)) and len(labels) == 5


@pytest.mark.slow
def test_the_whole_way_without_the_clone(installed):
    """Draws, builds, trains by a preset on the tiny CLIP, and measures by the metric that was shipped."""
    clipcaer = ("-m", "modeling_clipcaer.commands.main")
    installed.run(
        *clipcaer,
        *["synthetic", "--output", "drawn", "--clips-train", "20", "--clips-test", "10", "--num-workers", "1"],
    )
    installed.run(*clipcaer, *["build", "raer", "--root", "drawn", "--output", "data", "--val-share", "0.2"])
    flags = "--config demo --dataset data --output_dir run --max_steps 1 --cache_frame_embeds false --cache_views 1"
    installed.run("-m", "modeling_clipcaer.commands.train", *flags.split())
    assert (installed.elsewhere / "run" / "LICENSE").read_text().strip()
    script = (
        "import evaluate, modeling_clipcaer.metrics as m, pathlib\n"
        "metric = evaluate.load(str(pathlib.Path(m.__file__).parent / 'uar_war'))\n"
        "print(metric.compute(references=[0, 0, 0, 1], predictions=[0, 0, 0, 0]))"
    )
    assert installed.run("-c", script).strip() == "{'uar': 0.5, 'war': 0.75}"
