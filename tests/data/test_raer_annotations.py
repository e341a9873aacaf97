import pytest

from modeling_clipcaer.data.clip_keys import clip_key
from modeling_clipcaer.data.layouts.raer import check_disjoint, has_person_folder, person_of, read_annotation
from modeling_clipcaer.errors import InputError


@pytest.mark.parametrize(
    "spelling",
    [
        "RAER/images/SelfStudy/Library/P012/003",
        "images/SelfStudy/Library/P012/003/",
        "./images//SelfStudy/Library/P012/003",
        "RAER/RAER/images/SelfStudy/Library/P012/003",
        "/mnt/disk 2/data/RAER/images/SelfStudy/Library/P012/003",
        "/srv/images/RAER/images/SelfStudy/Library/P012/003",
        "D:\\data\\RAER\\images\\SelfStudy\\Library\\P012\\003",
        "../RAER/images/SelfStudy/Library/P012/003",
    ],
)
def test_every_spelling_of_a_clip_folder_has_one_key(spelling):
    assert clip_key(spelling) == "images/SelfStudy/Library/P012/003"


def test_a_path_without_images_has_no_key():
    assert clip_key("RAER/SelfStudy/Library/P012/003") is None
    assert clip_key("RAER/images") is None
    assert clip_key("RAER/my_images/P012/003") is None


def test_a_person_is_the_whole_path_above_the_clip():
    assert person_of("images/Class/Classroom/Class003/P007/001") == "Class/Classroom/Class003/P007"
    assert person_of("images/SelfStudy/Library/P007/001") == "SelfStudy/Library/P007"
    assert has_person_folder("images/SelfStudy/Library/P007/001")
    assert not has_person_folder("images/SelfStudy/Library/P007/001/frames")


def test_lines_with_spaces_in_paths_blank_lines_windows_ends_and_trailing_spaces_are_read(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(
        "\ufeffRAER/images/Study Room/P001/001 30 1\r\n\r\n  \r\n/a/RAER/images/Bücher/P002/clip 2 31 5  \r\n".encode()
    )
    first, second = read_annotation(path)
    assert (first.clip_id, first.listed_frames, first.label) == ("images/Study Room/P001/001", 30, 0)
    assert (second.clip_id, second.listed_frames, second.label) == ("images/Bücher/P002/clip 2", 31, 4)
    assert second.place == f"{path}:4"


def test_a_repeated_line_counts_once_and_stays_countable(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("RAER/images/Lab/P1/1 3 2\nRAER/images/Lab/P1/2 3 2\n/x/RAER/images/Lab/P1/1 3 2\n")
    clips = read_annotation(path)
    assert [(clip.clip_id, clip.num_lines) for clip in clips] == [("images/Lab/P1/1", 2), ("images/Lab/P1/2", 1)]


def test_a_clip_with_two_labels_is_refused_with_both_lines(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("RAER/images/Lab/P1/1 3 2\nRAER/RAER/images/Lab/P1/1 3 4\n")
    with pytest.raises(InputError, match=r"train.txt:2: label 4 .*has label 2 at .*train.txt:1"):
        read_annotation(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("images/Lab/P1/1 3", "expected '<clip dir> <num_frames> <label>', found 'images/Lab/P1/1 3'"),
        ("images/Lab/P1/1 three 2", "expected '<clip dir> <num_frames> <label>'"),
        ("images/Lab/P1/1 3 2.0", "expected '<clip dir> <num_frames> <label>'"),
        ("images/Lab/P1/1 3 0", "unknown label 0, expected one of: 1 Neutrality, 2 Enjoyment"),
        ("images/Lab/P1/1 3 6", "unknown label 6"),
        ("Lab/P1/1 3 2", "clip dir 'Lab/P1/1', expected a path with images/"),
        ("images/1 3 2", "expected a path with images/"),
    ],
)
def test_a_bad_line_is_named_with_file_and_number(tmp_path, line, message):
    path = tmp_path / "train.txt"
    path.write_text(f"images/Lab/P1/7 3 2\n\n{line}\n")
    with pytest.raises(InputError) as error:
        read_annotation(path)
    assert str(error.value).startswith(f"{path}:3: ") and message in str(error.value)


def test_an_empty_list_and_a_binary_list_are_refused(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("\n \n")
    with pytest.raises(InputError, match="found none"):
        read_annotation(path)
    path.write_bytes(b"images/\xff\xfe 3 1\n")
    with pytest.raises(InputError, match=r"cannot be read: it is not UTF-8 \(byte 0xff"):
        read_annotation(path)


def test_a_clip_in_two_lists_is_refused_with_both_places(tmp_path):
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    train.write_text("images/Lab/P1/1 3 2\nimages/Lab/P1/2 3 2\n")
    test.write_text("images/Lab/P1/3 3 2\n/data/RAER/images/Lab/P1/2 3 2\n")
    with pytest.raises(
        InputError, match=r"'images/Lab/P1/2' is in train \(.*train.txt:2\) and in test \(.*test.txt:2\)"
    ):
        check_disjoint({"train": read_annotation(train), "test": read_annotation(test)})
