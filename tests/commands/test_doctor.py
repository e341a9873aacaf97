"""`clipcaer doctor` tells what is there and what to do, and touches nothing."""

import json

import pytest
import torch

from helpers.small_material import run_main
from modeling_clipcaer.commands import doctor
from modeling_clipcaer.faces.yunet import FILE, REPOSITORY


def cache(folder, repository, name, content):
    """A file as the Hub's client keeps it."""
    repo = folder / f"models--{repository.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True, exist_ok=True)
    (repo / "refs" / "main").write_text("abc")
    (repo / "snapshots" / "abc").mkdir(parents=True, exist_ok=True)
    (repo / "snapshots" / "abc" / name).write_text(content)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def ask(capsys, *words):
    assert run_main(doctor.main, *words) == 0
    return capsys.readouterr().out


def test_it_tells_versions_device_and_what_is_missing(hub, capsys, tmp_path):
    said = ask(capsys, tmp_path / "outputs" / "new")
    assert f"torch {torch.__version__}" in said and f"free in {tmp_path}" in said
    assert "in the Hub's cache: none; tiny_clip comes with the code" in said
    assert f"warning  faces: Haar misses turned and tilted faces; hf download {REPOSITORY} {FILE}" in said
    assert not hub.exists() and list(tmp_path.iterdir()) == []


def test_it_finds_what_the_hub_has_left(hub, capsys):
    cache(hub, "openai/clip-vit-base-patch32", "config.json", json.dumps({"model_type": "clip"}))
    cache(hub, "me/lesson", "config.json", json.dumps({"model_type": "clipcaer"}))
    cache(hub, "someone/bert", "config.json", json.dumps({"model_type": "bert"}))
    cache(hub, "someone/torn", "config.json", '{"model_ty')
    said = ask(capsys)
    assert "in the Hub's cache: me/lesson, openai/clip-vit-base-patch32; tiny_clip" in said


def test_it_finds_yunet(hub, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: f"{repository}/{file}")
    said = ask(capsys)
    assert "YuNet's file is in the Hub's cache" in said and "warning  faces" not in said


def test_a_full_disk_and_a_missing_package_are_told_with_what_to_do(hub, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2**30}))
    found = doctor.list_versions
    monkeypatch.setattr(doctor, "list_versions", lambda names: found(names) | dict.fromkeys({"av"} & {*names}))
    said = ask(capsys)
    assert "warning  disk: below 5 GB" in said and "av missing" in said and "warning  packages: pip install av" in said


def test_a_gpu_is_told_by_its_name(hub, capsys, monkeypatch):
    card = type("Card", (), {"name": "H200", "total_memory": 139 * 2**30})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    said = ask(capsys)
    assert "H200 with 139 GB, H200 with 139 GB; " in said and "warning  device" not in said
