"""How the commands here understand their flags, and refuse them in one line. Standard library only."""

import argparse
from dataclasses import MISSING, field, fields
from typing import Any, NoReturn

from modeling_clipcaer.errors import InputError


class CommandParser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as those of every command here."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def spell_flag(argument: str) -> str:
    """`--val_share=0.2` as `--val-share=0.2`; other arguments as they are."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if argument.startswith("--") else argument


def flag(default: Any = MISSING, **words: Any) -> Any:
    """A field of settings that is a flag: its default, without one it is required, and words of `add_argument`."""
    return field(default=default, metadata={"flag": words})


def add_flags(parser: argparse.ArgumentParser, settings: type) -> None:
    """The flags of a dataclass, its own before those that it inherits.

    One that is not given is not in the namespace: its default is the field's.
    """
    own = parser.add_argument_group("of this layout")
    shared = parser.add_argument_group("of every layout")
    by_name = {setting.name: setting for setting in fields(settings)}
    for name in dict.fromkeys((*settings.__annotations__, *by_name)):
        words, default = dict(by_name[name].metadata.get("flag", ())), by_name[name].default
        if not words:
            continue
        if default is MISSING:
            words["required"] = True
        elif default not in (None, False):
            shown = " ".join(default) if isinstance(default, tuple) else str(default)
            words["help"] += f" (default {shown})".replace("%", "%%")
        group = own if name in settings.__annotations__ else shared
        group.add_argument(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, **words)
