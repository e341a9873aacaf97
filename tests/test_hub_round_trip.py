"""From a dataset to the Hub, to training on it there, to a model on the Hub, to its evaluation: by commands in another
process, which speak HTTP with a Hub on this machine."""

import json
import os
import subprocess
import sys
from threading import Thread

import pytest

from helpers.hub_server import make_server, read_state
from helpers.places import ROOT
from helpers.small_run import train_small


EMBEDDED = ("--embed", "frames", "--i-may-share-these-images")
SCRIPT = """
import json, sys
from modeling_clipcaer.commands.main import start

for words in json.loads(sys.argv[1]):
    print(f"$ {words[0]}", flush=True)
    if start(words[0], words=words[1:]) != 0:
        raise SystemExit(1)
"""


@pytest.fixture
def hub(tmp_path):
    """A Hub on this machine: its folder, and its address."""
    (tmp_path / "hub").mkdir()
    server = make_server(tmp_path / "hub")
    Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path / "hub", f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.slow
def test_clips_and_models_go_to_the_hub_and_work_from_there_as_from_disk(hub, material, tmp_path_factory, tmp_path):
    folder, address = hub
    expected = train_small(tmp_path_factory.getbasetemp())
    shards, run, again = (tmp_path / name for name in ("shards", "run", "again"))
    flags = [words if str(words) != str(material.dataset) else "me/clips" for words in material.flags]
    commands = [
        ("parquet", material.dataset, *EMBEDDED, "--output", shards),
        ("push", shards, "--repo", "me/clips", "--yes", "--i-may-share-this"),
        ("train", *flags, "--epochs", 1, "--dataloader_num_workers", 2, "--no_baselines", "--output", run),
        ("push", run, "--repo", "me/emotions", "--yes", "--benchmark", "me/clips"),
        ("evaluate", "--model", "me/emotions", "--dataset", "me/clips", "--no_baselines", "--output", again),
    ]
    words = json.dumps([list(map(str, command)) for command in commands])
    known = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    known |= {"HF_ENDPOINT": address, "HF_TOKEN": "hf_x", "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-c", SCRIPT, words]
    done = subprocess.run(program, env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (run / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    reports = [json.loads((place / "report.json").read_text()) for place in (expected, run, again)]
    for name in ("uar", "war", "confusion_matrix", "clips", "split_protocol", "reliability"):
        assert reports[0][name] == reports[1][name] == reports[2][name], name
    commit = read_state(folder / "datasets" / "me" / "clips")["sha"]
    for report in reports[1:]:
        assert report["dataset"] == "me/clips"
        assert (report["origin"]["hub_id"], report["origin"]["commit"]) == ("me/clips", commit)
    result = (folder / "models" / "me" / "emotions" / ".eval_results" / "clipcaer.yaml").read_text()
    assert "id: me/clips" in result and f"revision: {commit}" in result
    for kind, name in (("datasets", "clips"), ("models", "emotions")):
        state = read_state(folder / kind / "me" / name)
        assert state["private"] and len(state["commits"]) == 1
    # Of the shards what is needed was asked for, and none of them was fetched whole or kept.
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    asked = [entry for entry in log if entry["method"] == "GET" and entry["path"].endswith(".parquet")]
    assert asked and all(entry["range"] for entry in asked)
    assert not [path for path in (tmp_path / "home").rglob("*") if path.suffix in (".parquet", ".arrow", ".jpg")]
