"""How the commands here understand their flags, and refuse them in one line. Standard library only."""

import argparse
from typing import NoReturn

from modeling_clipcaer.errors import InputError


class CommandParser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as those of every command here."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def spell_flag(argument: str) -> str:
    """`--val_share=0.2` as `--val-share=0.2`; other arguments as they are."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if argument.startswith("--") else argument
