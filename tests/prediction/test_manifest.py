"""What a prediction's folders and its manifest say, and when a recording counts as done."""

from pathlib import Path
from types import SimpleNamespace

from modeling_clipcaer.prediction.manifest import describe_checkpoint


def test_a_checkpoint_of_the_hub_is_known_by_its_revision(tmp_path):
    config = SimpleNamespace(_commit_hash="0" * 40)
    assert describe_checkpoint("someone/model", config) == {"name": "someone/model", "revision": "0" * 40}
    assert describe_checkpoint("someone/model", SimpleNamespace()) == {"name": "someone/model", "revision": None}


def test_a_checkpoint_on_disk_is_known_by_the_state_of_its_weights_and_settings(tmp_path):
    for name in ("model.safetensors", "config.json", "README.md"):
        (tmp_path / name).write_text("before")
    config = SimpleNamespace(_commit_hash="0" * 40)
    before = describe_checkpoint(str(tmp_path), config)
    assert before["name"] == str(tmp_path) and set(before) == {"name", "files"}
    assert list(before["files"]) == ["config.json", "model.safetensors"]
    Path(tmp_path, "README.md").write_text("other words")
    assert describe_checkpoint(str(tmp_path), config) == before
    Path(tmp_path, "model.safetensors").write_text("other weights")
    assert describe_checkpoint(str(tmp_path), config) != before
