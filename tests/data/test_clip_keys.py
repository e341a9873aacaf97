"""Keys of clips, the persons and places in their paths, and names as a disk spells them."""

import re
import unicodedata

import pytest

from modeling_clipcaer.data.clip_keys import PathPatterns, clip_key, find_folder, find_spelled
from modeling_clipcaer.errors import InputError


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("images/a/1", "images/a/1"),
        (" RAER/images/a/1/ ", "images/a/1"),
        ("/m/images/RAER/images/a/1", "images/a/1"),
        ("D:\\RAER\\images\\a\\1", "images/a/1"),
        ("RAER/./images/b/../a/1", "images/a/1"),
        ("images/A\u0308/1", "images/\xc4/1"),
        ("images", None),
        ("a/images", None),
        ("my-images/a", None),
        ("", None),
    ],
)
def test_a_clips_key_is_its_path_from_its_last_images_on(spelling, key):
    assert clip_key(spelling) == key


def test_persons_and_places_are_what_a_pattern_finds():
    patterns = PathPatterns(r"/(P\d)/", r"/(x)?(?P<place>room)/(\d)")
    assert (patterns.find_person("a/P1/P2/"), patterns.find_place("a/room/5")) == ("P1", "room")
    assert (patterns.find_person("a/Q1/"), patterns.find_place("a/P1/")) == (None, None)
    assert PathPatterns(r"(a)(?P<place>b)(?P<person>c)", r"(a)(?P<person>b)").find_person("abc") == "c"
    assert PathPatterns(None, r"(a)(?P<person>b)").find_place("ab") == "a"  # of another name: the first group
    nothing = PathPatterns()
    assert nothing.find_person("a") is None and nothing.find_place("a") is None
    nothing.check("a", "x:1")
    patterns.check("/P1/room/5", "x:1")
    for path, name, pattern in (("/room/5", "person", r"/(P\d)/"), ("/P1/", "place", r"/(x)?(?P<place>room)/(\d)")):
        said = f"x:1: --{name}-pattern '{pattern}' finds no {name} in '{path}'; expected one in every path"
        with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
            patterns.check(path, "x:1")


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        (("(", None), "--person-pattern '(': no regular expression: "),
        ((None, "[a"), "--place-pattern '[a': no regular expression: "),
        (("abc", None), "--person-pattern 'abc': expected a group, as in '/(?P<person>[^/]+)/'"),
        (("(a)", "(?:b)"), "--place-pattern '(?:b)': expected a group, as in '/(?P<place>[^/]+)/'"),
    ],
)
def test_a_pattern_without_a_group_or_sense_is_refused(patterns, said):
    with pytest.raises(InputError, match=f"^{re.escape(said)}"):
        PathPatterns(*patterns)


def test_folders_are_found_however_the_disk_writes_their_accents(tmp_path):
    split, whole = (unicodedata.normalize(form, "J\xfcrgen") for form in ("NFD", "NFC"))
    (tmp_path / "images" / split / "1").mkdir(parents=True)
    assert find_folder(tmp_path, f"images/{whole}/1") == tmp_path / "images" / split / "1"
    assert find_folder(tmp_path, f"images/{whole}/2") is None and find_folder(tmp_path, "none/1") is None
    (tmp_path / "file").touch()
    assert find_folder(tmp_path, "file") is None
    (tmp_path / "images" / whole / "1").mkdir(parents=True)
    with pytest.raises(
        InputError, match=r"images: 'Ju\\u0308rgen' and 'J\\xfcrgen' are one name; expected one folder"
    ):
        find_folder(tmp_path, f"images/{whole}/1")


def test_a_path_is_spelled_as_the_disk_spells_it(tmp_path):
    split, whole = (unicodedata.normalize(form, "\xdcbung") for form in ("NFD", "NFC"))
    (tmp_path / split).mkdir()
    (tmp_path / split / "a.mp4").touch()
    assert find_spelled(tmp_path / whole / "a.mp4") == tmp_path / split / "a.mp4"
    assert find_spelled(tmp_path / whole / "none.mp4") == tmp_path / split / "none.mp4"
    (tmp_path / whole).mkdir()
    for name in (split, whole):  # both are there, and each is meant by its own spelling
        assert find_spelled(tmp_path / name) == tmp_path / name


def test_on_a_disk_without_capitals_a_path_is_spelled_as_the_folder_lists_it(tmp_path, monkeypatch):
    (tmp_path / "Lesson.mp4").touch()
    asked = tmp_path / "lesson.MP4"
    assert find_spelled(asked) == asked
    monkeypatch.setattr("modeling_clipcaer.data.clip_keys.os.path.exists", lambda path: True)  # as such a disk says
    assert find_spelled(asked) == tmp_path / "Lesson.mp4" and find_spelled(tmp_path / "other") == tmp_path / "other"
