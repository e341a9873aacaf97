"""README's way from folders of videos to a timeline, as it stands there, with the tiny CLIP in ViT-B/32's place."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest

from helpers.places import ROOT, TINY_CLIP
from helpers.videos import moving_face, write_video


def read_commands() -> list[list[str]]:
    """The commands below README's heading."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Your recordings, your clips\n")[1]
    block = section.split("```bash\n")[1].split("```")[0].replace("\\\n", " ")
    return [shlex.split(line) for line in block.splitlines() if not line.startswith("#")]


@pytest.fixture
def hub(tmp_path):
    """A cache of the Hub in which OpenAI's ViT-B/32 is the tiny CLIP."""
    repo = tmp_path / "hub" / "models--openai--clip-vit-base-patch32"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("tiny")
    shutil.copytree(TINY_CLIP, repo / "snapshots" / "tiny")
    return tmp_path / "hub"


@pytest.mark.slow
def test_readmes_commands_lead_from_folders_to_a_timeline(hub, tmp_path):
    for label, brightness in (("bored", 0.4), ("curious", 1.0)):
        (tmp_path / "videos" / label).mkdir(parents=True)
        for person in ("anna", "ben", "cleo", "dan"):
            frames = [(frame * brightness).astype("uint8") for frame in moving_face(6)]
            write_video(tmp_path / "videos" / label / f"{person}_1.mp4", frames)
    write_video(tmp_path / "lecture.mp4", moving_face(60))
    commands = read_commands()
    assert [words[1] for words in commands] == ["build", "new", "train", "evaluate", "predict"]
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_CACHE": str(hub),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    for program, *words in commands:
        assert program == "clipcaer"
        # As it stands, but for its length: 50 epochs are for more clips than these.
        short = ["--num-train-epochs", "1"] if words[0] == "train" else []
        command = [sys.executable, "-m", "modeling_clipcaer.commands.main", *words, *short]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs" / "mine_test" / "report.html").is_file()
    assert list(tmp_path.rglob("timeline.csv"))
