"""Reference pages, from what the program says of itself: a page a command, and a page a room of the library."""

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import modeling_clipcaer
from modeling_clipcaer.commands.main import COMMANDS
from modeling_clipcaer.common.flags import CommandParser
from modeling_clipcaer.data.layouts import LAYOUTS


PACKAGE = Path(modeling_clipcaer.__file__).parent
# Rooms that serve the commands alone; the others are for whoever imports them.
INNER = {"commands", "common", "experiments", "prediction", "reports", "research_code", "synthetic"}
TOCTREE = "```{toctree}\n:hidden:\n"


# Commands


class _Asked(Exception):
    """A command was asked for its help; `args` has its parser."""


def read_parser(name: str, *words: str) -> CommandParser:
    """The parser of a command, with every flag, as the command makes it."""

    def answer(parser: CommandParser) -> None:
        raise _Asked(parser)

    command = import_module(f"modeling_clipcaer.commands.{name.replace('-', '_')}")
    argv = [" ".join(["clipcaer", name]), *words, "--help-all"]
    try:
        with patch.object(sys, "argv", argv), patch.object(CommandParser, "print_help", answer):
            command.main()
    except _Asked as asked:
        return asked.args[0]
    raise LookupError(f"clipcaer {name} has no --help-all")


def list_commands() -> Iterator[tuple[str, ...]]:
    """The words that stand before the flags of each command."""
    for name in COMMANDS:
        yield from (("build", layout) for layout in LAYOUTS) if name == "build" else [(name,)]


def write_commands(folder: Path) -> None:
    """A page for each command, and one that lists them."""
    folder.mkdir(parents=True)
    pages = {"-".join(words): words for words in list_commands()}
    for page, words in pages.items():
        (folder / f"{page}.md").write_text(describe_command(words), encoding="utf-8")
    contents = "".join(f"{' '.join(words)} <{page}>\n" for page, words in pages.items())
    rows = "".join(
        f"| [`clipcaer {' '.join(words)}`]({page}.md) | {COMMANDS[words[0]]} |\n" for page, words in pages.items()
    )
    lines = ["# Commands", "", "Each is `clipcaer NAME`, and a test of the site holds that this list is whole.", ""]
    lines += ["| command | does |", "|---|---|", rows, f"{TOCTREE}{contents}```", ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")


def describe_command(words: tuple[str, ...]) -> str:
    """The page of a command: what its docstring says, then its flags in groups."""
    parser = read_parser(*words)
    name = f"clipcaer {' '.join(words)}"
    lines = [f"# {name}", "", f"```{{program}} {name}\n```", "", show_usage(parser.description), ""]
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if actions:
            lines += ["", f"## {escape(group.title)}", ""]
        # Those that `--help` shows come first.
        for action in sorted(actions, key=lambda action: getattr(action, "rare", False) and not action.required):
            lines += describe_flag(parser, action)
    return "\n".join(lines)


def show_usage(text: str) -> str:
    """A command's docstring, in which lines that are commands are code, also where no other line is indented."""
    return re.sub(r"(?m)^(?=clipcaer )", "    ", escape(text.strip()))


def describe_flag(parser: CommandParser, action: argparse.Action) -> list[str]:
    """A flag as the site's directive for it, so that it can be linked to and found."""
    formatter = parser._get_formatter()
    form = re.sub(r"--\[no-\](\S+)", r"--\1, --no-\1", formatter._format_action_invocation(action))
    return [f"````{{option}} {form}", escape(formatter._expand_help(action)), "````", ""]


def escape(text: str) -> str:
    """A plain text as Markdown that shows it; code stays code, in a line or as a block."""
    signs = r"(^ {4}[^\n]*|`[^`]*`)|([*_<>\[\]$|\\])"
    return re.sub(signs, lambda found: found[1] or f"\\{found[2]}", text, flags=re.M)


# The library


def write_api(folder: Path) -> None:
    """A page for each room and one for the flat files, and one that lists them with what the package itself gives."""
    folder.mkdir(parents=True)
    rooms = sorted(path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py"))
    shown = [room for room in rooms if not INNER & {*room.parts}]
    pages = {".".join(["modeling_clipcaer", *room.parts]): PACKAGE / room for room in shown}
    for page, room in pages.items():
        (folder / f"{page}.md").write_text(describe_room(page, room), encoding="utf-8")
    lines = ["# Python API", "", "What `from modeling_clipcaer import …` gives:", ""]
    for name, module in modeling_clipcaer._MODULES.items():
        lines.append(
            f"- {{py:obj}}`~modeling_clipcaer.{module}.{name}`: {tell_first(getattr(modeling_clipcaer, name))}"
        )
    lines += ["", "The rooms of the library:", ""]
    lines += [f"- [`{page}`]({page}.md): {tell_first(import_module(page))}" for page in pages]
    contents = "".join(f"{page.partition('.')[2] or 'flat files'} <{page}>\n" for page in pages)
    (folder / "index.md").write_text("\n".join([*lines, "", f"{TOCTREE}{contents}```", ""]), encoding="utf-8")


def tell_first(thing: object) -> str:
    """The first sentence of a docstring."""
    text = " ".join((inspect.getdoc(thing) or "").split())
    return re.sub(r"\[(`[^`]+`)\]", r"\1", re.split(r"(?<=\.) |: ", text)[0].rstrip(".") + ".")


def describe_room(page: str, room: Path) -> str:
    """What a room says of itself, and its modules."""
    lines = [f"# {page}", "", inspect.getdoc(import_module(page)) or ""]
    for path in sorted(room.glob("*.py")):
        if path.stem != "__init__":
            directive = ["```{eval-rst}", f".. automodule:: {page}.{path.stem}", "   :members:", "```"]
            lines += ["", f"## {path.stem}", "", *directive]
    return "\n".join([*lines, ""])
