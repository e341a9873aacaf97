"""One reader of YAML: words and lists, bounded in time and size, every refusal one line."""

import pytest

from modeling_clipcaer.common.flags import parse_arguments
from modeling_clipcaer.common.yaml_files import read_yaml
from modeling_clipcaer.data.labels_file import read_label_entries
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.arguments import ModelArguments


BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)
HOSTILE = {
    "tag of a type": ("labels: !!timestamp 2020-13-45", ":1: the tag `tag:yaml.org,2002:timestamp`"),
    "tag of code": ("labels: !!python/object/apply:os.system [x]", ":1: the tag `tag:yaml.org,2002:python/object/"),
    "deep list": ("[" * 20_000, ":1: nested too deep"),
    "deep mapping": ("{a: " * 20_000, ":1: nested too deep"),
    "deep dashes": ("- " * 20_000, ":1: nested too deep"),
    "alias bomb": (BOMB, ":1: `a` is an anchor or an alias"),
    "list as a key": ("? [a]\n: b", ":1: expected a word as a key"),
    "wide": ("a: [" + "x," * 400_000 + "]", ":1: more than 20,000 values"),
    "long": ("a: " + "x" * 2**20, ": is longer than 1,048,576 bytes"),
    "two documents": ("a: 1\n---\nb: 2\n", ":2: a second document"),
    "key twice": ("a: {b: 1,\n b: 2}", ":2: `b` is also on line 1"),
    "torn": ("a: [1", ":1: is not valid YAML"),
    "no character": ('a: "\\U00110000"', ": is not valid YAML"),
    "zero byte": ("a\0", ": cannot be read: it is no text (byte 0x0 at 1)"),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    for read in (read_label_entries, lambda path: parse_arguments((ModelArguments,), ["--config", path], "")):
        with pytest.raises(InputError) as caught:
            read(str(path))
        assert str(caught.value).startswith(f"{path}{message}") and "\n" not in str(caught.value)


def test_every_scalar_is_the_word_that_it_is_written_as(tmp_path):
    path = tmp_path / "words.yaml"
    path.write_text("no: [yes, 1:30, 2020-13-45, 0x10, '', 'null']\n3: {null: ~, on: }\n")
    content, lines = read_yaml(path)
    words = ["yes", "1:30", "2020-13-45", "0x10", "", "null"]
    assert content == {"no": words, "3": {"null": None, "on": None}} and lines == {"no": 1, "3": 2}


def test_a_number_of_thousands_of_digits_is_told_in_a_short_line(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"num_frames: {'9' * 5000}")
    with pytest.raises(InputError, match="argument --num-frames") as caught:
        parse_arguments((ModelArguments,), ["--config", str(path)], "")
    assert len(str(caught.value)) < 700
