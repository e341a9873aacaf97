"""What pages, notebooks and files for machines name exists: every command, layout and flag; and those files' forms."""

import json
import re
import shlex
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import yaml

from helpers.places import ROOT
from modeling_clipcaer.commands.main import COMMANDS
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.data.layouts import LAYOUTS


# Keep: not by `sys.path`. The folder has a `build.py`, and there is a package of that name.
SPEC = spec_from_file_location("reference", ROOT / "docs" / "site" / "reference.py")
reference = module_from_spec(SPEC)
SPEC.loader.exec_module(reference)

SKILL, LLMS = ROOT / "SKILL.md", ROOT / "llms.txt"
PAGES = [*ROOT.glob("*.md"), LLMS, *ROOT.glob("docs/**/*.md"), *ROOT.glob("[a-z]*/README.md")]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
# Of accelerate, which starts our scripts.
LAUNCHER = {"--config_file", "--num_processes", "--machine_rank", "--main_process_ip"}


def read_text(path):
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8").replace("\\\n", " ")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]).replace("\\\n", " ") for cell in cells)


def find_commands(text):
    """The words behind `clipcaer`, or behind the script that starts a command, of each line of code that has them."""
    for line in (*text.splitlines(), *re.findall(r"`([^`\n]+)`", text)):
        found = re.match(r"\s*!?(?:\$ )?(?:clipcaer|accelerate launch .*?recipes/(\w+)\.py)(?: |$)(.*)", line)
        if found:
            words = re.split(r" (?:#|&&|\|\|?|>) ", found[2])[0].rstrip("`.,;:")
            yield [*filter(None, [found[1]]), *split(words)]


def split(words):
    try:
        return shlex.split(words)
    except ValueError:  # a sentence that begins with the name, and has an apostrophe
        return words.split()


@cache
def known_flags(*names):
    flags = {flag for action in reference.read_parser(*names)._actions for flag in action.option_strings}
    return {flag.replace("_", "-") for flag in flags} | {"--output-dir", "--output", "--help", "--help-all", "-h"}


def check(words):
    """What is wrong with a command as it is written, if anything."""
    name, *rest = words or ["COMMAND"]
    if not re.fullmatch(r"[a-z][a-z-]*", name) or name not in COMMANDS:
        return None if name.isupper() or name.startswith(("-", "…")) else f"no command {name}"
    names = [name]
    if name == "build" and rest and not rest[0].startswith("-"):
        if rest[0].isupper():
            return None
        names.append(rest[0])
        if rest[0] not in LAYOUTS:
            return f"no layout {rest[0]}"
    if names == ["build"]:
        return None
    flags = [word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)]
    unknown = [flag for flag in flags if flag.replace("_", "-") not in known_flags(*names)]
    presets = [rest[place + 1] for place, word in enumerate(rest[:-1]) if word == "--config"]
    for preset in presets:
        if re.fullmatch(r"[a-z_0-9]+", preset):
            find_preset(preset)
    return f"{name} has no {unknown}" if unknown else None


def test_a_wrong_command_layout_or_flag_would_be_found():
    lines = (
        "clipcaer trian",
        "  clipcaer train --dataste x \\",
        " --output y",
        "`clipcaer build csvs --csv a`, `clipcaer NAME`",
    )
    text = "\n".join(lines)
    found = [check(words) for words in find_commands(text.replace("\\\n", " "))]
    assert found == ["no command trian", "train has no ['--dataste']", "no layout csvs", None]


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_and_flag_that_is_named_exists(path):
    faults = {" ".join(words): fault for words in find_commands(read_text(path)) if (fault := check(words))}
    assert faults == {}


def test_the_pages_name_every_command():
    named = {name for path in PAGES for name, *_ in filter(None, find_commands(read_text(path)))}
    assert set(COMMANDS) - named == set()


def test_the_skill_has_the_form_of_agent_skills():
    front, body = SKILL.read_text(encoding="utf-8").removeprefix("---\n").split("\n---\n", 1)
    about = yaml.safe_load(front)
    assert about["name"] == "clipcaer" and about["license"] == "Apache-2.0"
    assert 0 < len(about["description"]) <= 1024 and "Use it when" in about["description"]
    assert len(about["compatibility"]) <= 500 and len(body.splitlines()) < 500
    assert about.keys() <= {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
    assert [*find_commands(read_text(SKILL))] and "Art. 5(1)(f)" in body


def test_llms_txt_has_its_form_and_lists_the_pages_of_the_contents():
    title, blank, summary, *rest = LLMS.read_text(encoding="utf-8").splitlines()
    assert title == "# ClipCaer" and not blank and summary.startswith("> ")
    lists = "\n".join(rest).split("\n## ")[1:]
    entries = [line for part in lists for line in part.splitlines()[1:] if line]
    links = [re.fullmatch(r"- \[.+?\]\((\S+?)\)(: .+)?", entry)[1] for entry in entries]
    assert [link for link in links if not (ROOT / link).is_file()] == [] and len({*links}) == len(links)
    contents = (ROOT / "docs" / "README.md").read_text(encoding="utf-8").split("\n## Glossary")[0]
    pages = re.findall(r"^\| .* \| \[.*?\]\(([^)]+\.md)\) \|$", contents, re.M)
    assert {(ROOT / "docs" / page).resolve().relative_to(ROOT).as_posix() for page in pages} <= {*links}
    assert [part.splitlines()[0] for part in lists] == ["Start", "Tutorials", "How-to", "Reference", "Optional"]
