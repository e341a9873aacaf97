"""A sample of `tests/fuzz.py`, the same in every run, and that its watchdog sees what it is there for."""

import re
import time

import pytest
from fuzz import Target, fuzz, make_input, share_out

from helpers.fuzz_targets import GROUPS
from modeling_clipcaer.errors import InputError


@pytest.mark.parametrize("group, count", [("parsers", 300), ("media", 60), ("checkpoints", 20)])
def test_no_reader_gives_a_traceback_hangs_or_takes_all_memory(tmp_path, group, count):
    inputs = share_out(GROUPS[group](tmp_path / group), count)
    assert [str(find) for find in fuzz(inputs, keep=tmp_path / "finds")] == []


def misbehave(path):
    """Read a file as badly as its content says."""
    content = path.read_bytes()
    if b"hang" in content:
        time.sleep(60)
    if b"memory" in content:
        return [bytes(2**20) for _ in range(500)]
    if b"die" in content:
        import os

        os._exit(3)
    if b"refuse" in content:
        raise InputError("refused")
    return content.decode()[99]


@pytest.mark.parametrize(
    "content, found",
    [
        (b"fail", "IndexError: string index out of range"),
        (b"hang", r"still reading after 1 s"),
        (b"memory", "MemoryError|took .* MB"),
        (b"die", "the process ended with 3"),
        (b"refuse", None),
    ],
)
def test_a_reader_that_misbehaves_is_found_and_the_next_input_is_read(tmp_path, monkeypatch, content, found):
    monkeypatch.setattr("fuzz.make_input", lambda target, number, seed: content if number == 1 else b"refuse")
    target = Target("bad", [b"x"], ".txt", misbehave)
    finds = list(fuzz([(target, number) for number in range(3)], seconds=1, megabytes=100, keep=tmp_path))
    assert [find.number for find in finds] == ([] if found is None else [1])
    assert all(re.match(found, find.happened) for find in finds)
    assert found is None or (tmp_path / "bad-1.txt").exists()


def test_an_input_is_the_same_every_time_and_another_for_another_number_or_seed():
    target = Target("words", [b"one two three\nfour 5 6\n" * 20], ".txt", bytes)
    made = [make_input(target, number, 0) for number in range(50)]
    assert made == [make_input(target, number, 0) for number in range(50)]
    assert len(set(made)) > 40 and made != [make_input(target, number, 1) for number in range(50)]
