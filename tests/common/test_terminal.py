"""What a command says: plain lines in files, colours and whole words on a terminal."""

import io
import logging
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from rich.text import Text

from modeling_clipcaer.common.progress import ProgressBar, show_clock, track
from modeling_clipcaer.common.terminal import add_path, complain, run_command, tell, tell_findings
from modeling_clipcaer.errors import InputError


ESCAPE = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
WORDS = "a sentence that is too long for the eighty columns of a terminal is broken between two of its words"


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


@pytest.fixture
def show(monkeypatch):
    """Calls functions where standard output and standard error are one terminal of 80 columns, with colours."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)

    def call(*functions):
        made = Screen()
        with redirect_stdout(made), redirect_stderr(made):
            for function in functions:
                function()
        assert not any(isinstance(stream, Screen) for stream in (sys.stdout, sys.stderr))
        return made.getvalue()

    return call


def fail():
    logging.getLogger("modeling_clipcaer.somewhere").warning("%s clips", 3)
    raise InputError("a.mp4: expected a video")


def test_a_file_gets_plain_lines_of_any_length(capsys):
    tell(add_path(Text("result", "result"), f"/{'long/' * 40}report.md"))
    tell(WORDS)
    tell_findings(["warning  train has few clips", "found: 1 warning"])
    list(track(range(3), "counting", 3))
    assert run_command(fail) == 2
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        f"result: /{'long/' * 40}report.md",
        *(WORDS, "warning  train has few clips", "found: 1 warning"),
    ]
    assert told.err == "warning: 3 clips\nerror: a.mp4: expected a video\n"


def test_the_cell_of_a_notebook_gets_what_a_file_gets(show, monkeypatch):
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert show(lambda: tell(WORDS), lambda: list(track(range(3), "counting", 3))) == f"{WORDS}\n"


def test_on_a_terminal_a_path_stands_whole_on_its_own_line_where_the_sentence_would_wrap(show):
    words, path = "nine words that say what is to be found there", f"/{'long/' * 20}report.md"
    shown = show(lambda: tell(add_path("short", "/a/b.md")), lambda: tell(add_path(words, path)))
    assert ESCAPE.sub("", shown).splitlines() == ["short: /a/b.md", f"{words}:", f"  {path}"]
    assert "\x1b[2m/a/b.md" in shown  # dim


def test_on_a_terminal_words_are_whole_and_further_lines_hang(show):
    first, second = ESCAPE.sub("", show(lambda: tell_findings([f"warning  {WORDS}"]))).splitlines()
    assert first.startswith("warning  a sentence") and second.startswith(" " * 9) and second[9] != " "
    assert f"{first[9:]} {second[9:]}" == WORDS and max(len(first), len(second)) <= 80


def test_errors_are_red_warnings_yellow_and_results_bold_unless_no_color_says_not(show, monkeypatch):
    calls = (lambda: run_command(fail), lambda: tell(Text("result", "result")), lambda: complain("note", "this"))
    shown = show(*calls)
    assert "\x1b[33mwarning:\x1b[0m 3 clips" in shown and "\x1b[1mresult" in shown and "note: this\n" in shown
    assert "\x1b[1;31merror:\x1b[0m a.mp4: expected a video" in shown
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[\d;]*3\d", show(*calls)) and ESCAPE.sub("", show(*calls)) == ESCAPE.sub("", shown)


def test_a_bar_has_its_name_lets_lines_pass_above_it_and_goes(show):
    def count():
        with ProgressBar("counting clips", 4) as bar:
            bar.move(1.0, "still counting")
            tell("a line")
            bar.advance(3.0)

    shown = show(count)
    assert "counting clips" in shown and "still counting" in shown and " 25%" in shown
    (line,) = [line for line in ESCAPE.sub("", shown).replace("\r", "\n").splitlines() if "a line" in line]
    assert line.strip() == "a line" and "still counting" in shown.partition("a line")[2]
    assert re.search(r"\x1b\[2K$", shown)  # its line is erased


@pytest.mark.parametrize(("seconds", "clock"), [(6.6, "0:07"), (750, "12:30"), (7390, "2:03:10")])
def test_a_clock_is_as_people_say_it(seconds, clock):
    assert show_clock(seconds) == clock


SPEAKER = """
import sys, tempfile
from modeling_clipcaer.common.terminal import complain, run_command, tell
def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[1]):
        try:
            {speak}
        except Exception:
            open(f"{{sys.argv[1]}}/caught", "w")
raise SystemExit(run_command(main))
"""


@pytest.mark.parametrize(
    ("speak", "stream"),
    [("tell('a line')", "stdout"), ("complain('warning', 'a line')", "stderr"), ("1 / 0", None)],
)
def test_where_nobody_reads_on_a_command_ends_quietly_and_leaves_nothing(tmp_path, speak, stream):
    reads, writes = os.pipe()
    os.close(reads)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | ({stream: writes} if stream else {})
    command = [sys.executable, "-c", SPEAKER.format(speak=speak), tmp_path]
    done = subprocess.run(command, **streams, text=True)
    os.close(writes)
    assert not done.stdout and not done.stderr
    assert done.returncode == (141 if stream else 0)
    assert [path.name for path in tmp_path.iterdir()] == ([] if stream else ["caught"])
