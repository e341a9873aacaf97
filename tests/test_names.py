"""What others may read in place of a path: its last part, and of the Hub the id."""

from pathlib import Path

import pytest

from modeling_clipcaer.names import public_name


@pytest.mark.parametrize(
    "given, expected",
    [
        ("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32"),
        ("bert", "bert"),
        ("/home/mallory/models/raer", "raer"),
        ("/home/mallory/models/raer/", "raer"),
        (Path("/home/mallory/models/raer"), "raer"),
        ("/home/mallory/models/../raer", "raer"),
        ("mallory/models/raer", "raer"),
        ("~/models/raer", "raer"),
        ("~mallory", ""),
        ("./raer", "raer"),
        ("../mallory/raer", "raer"),
        ("C:\\Users\\mallory\\models\\raer", "raer"),
        ("C:/Users/mallory/raer", "raer"),
        ("C:\\", ""),
        ("\\\\server\\mallory\\raer", "raer"),
        ("models\\mallory\\raer", "raer"),
        ("file:///home/mallory/models/raer%20one", "raer one"),
        ("file:///C:/Users/mallory/raer", "raer"),
        ("https://mallory:secret@host.test/lessons/one.mp4?token=1", "one.mp4"),
        ("rtsp://mallory:secret@camera.test", "camera.test"),
        ("/home/mallory/.cache/huggingface/hub/models--openai--clip-vit/snapshots/0123abc", "openai/clip-vit"),
        ("/c/hub/models--openai--clip-vit/snapshots/0123abc/sub/a.json", "openai/clip-vit/sub/a.json"),
        ("C:\\hub\\models--me--raer\\snapshots\\0123abc\\", "me/raer"),
        ("/c/hub/datasets--me--raer/snapshots/0123abc", "me/raer"),
        ("/c/hub/models--gpt2/snapshots/0123abc", "gpt2"),
        ("/home/mallory/Zoë's clips", "Zoë's clips"),
        ("/", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_path_is_told_by_its_last_part_and_an_id_as_it_is(given, expected):
    assert public_name(given) == expected


def test_what_looks_like_an_id_but_is_here_is_a_path(tmp_path, monkeypatch):
    (tmp_path / "mallory" / "raer").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert public_name("mallory/raer") == "raer"
    assert public_name("mallory/elsewhere") == "mallory/elsewhere"


def test_places_without_a_name_are_told_by_the_folder_they_are(tmp_path, monkeypatch):
    (tmp_path / "raer" / "inside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "raer" / "inside")
    assert [public_name(name) for name in (".", "..", "./", "../inside/..")] == ["inside", "raer", "inside", "raer"]


def test_a_link_is_told_by_its_own_name(tmp_path):
    (tmp_path / "mallory").mkdir()
    (tmp_path / "raer").symlink_to(tmp_path / "mallory")
    assert public_name(tmp_path / "raer") == "raer"
