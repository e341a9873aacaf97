"""Nothing is fetched unless somebody names an address or an id on the Hub: every socket of a process that runs the
commands is watched."""

import json
import os
import subprocess
import sys

import pytest

from helpers.places import ROOT
from helpers.small_run import write_clip


SCRIPT = """
import json, socket, sys

asked, connect = [], socket.socket.connect


def refuse(self, address, *rest):
    if self is not None and self.family == socket.AF_UNIX:  # between processes of this machine
        return connect(self, address)
    asked.append(str(address))
    raise OSError("no network in this test")


socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = lambda *address, **more: refuse(None, address)

from modeling_clipcaer.commands.main import start

statuses = {}
for words in json.loads(sys.argv[1]):
    before = len(asked)
    try:
        status = start(words[0], words=words[1:])
    except SystemExit as error:
        status = error.code
    statuses[words[0]] = [status, asked[before:]]
print(json.dumps(statuses))
"""


@pytest.mark.slow
def test_no_command_opens_a_connection_on_files_of_this_machine(material, trained, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    on = ("--model", trained, "--dataset", material.dataset)
    commands = [
        ("build", "raer", "--root", material.raer, "--output", tmp_path / "built"),
        ("audit", tmp_path / "built", "--output", tmp_path / "audit"),
        ("train", *material.flags, "--max_steps", 1, "--dataloader_num_workers", 0, "--output", tmp_path / "run"),
        ("evaluate", *on, "--split", "test", "--output", tmp_path / "evaluation"),
        ("predict", clip, "--model", trained, "--face-detector", "haar", "--output", tmp_path / "prediction"),
        ("explain", clip, "--model", trained, "--face-detector", "haar", "--output", tmp_path / "explanation"),
        ("parquet", material.dataset, "--embed", "none", "--output", tmp_path / "shards"),
        ("zero-shot", "--clip_model", material.clip, "--dataset", material.dataset, "--output", tmp_path / "zero"),
    ]
    words = json.dumps([list(map(str, command)) for command in commands])
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment |= {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "home")}
    script = [sys.executable, "-c", SCRIPT, words]
    done = subprocess.run(script, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {command[0]: [0, []] for command in commands}, done.stderr[-3000:]
