"""Flags and YAML files to typed arguments: everything known, everything checked, in one way."""

import argparse
import difflib
import math
import sys
from dataclasses import field

import datasets
from transformers import HfArgumentParser
from transformers.hf_argparser import string_to_bool
from transformers.utils import logging

from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.common.yaml_files import read_yaml
from modeling_clipcaer.errors import InputError, first_line


LONGEST_MESSAGE = 500  # characters; argparse repeats a value whole


def option(default, text: str, **kwargs):
    """A field of settings that is a flag, with its help."""
    return field(default=default, metadata={"help": text, **kwargs})


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, []) else super()._get_help_string(action)


class _Parser(HfArgumentParser):
    """Tells a bad flag in one line instead of printing hundreds of flags."""

    def error(self, message: str):
        raise InputError(message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}…")


def _add_config(parser: _Parser) -> _Parser:
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="YAML file of flags, or the name of a preset."
    )
    return parser


def parse_arguments(types, argv: list[str], description: str) -> list:
    """Fill the dataclasses `types` from `argv`.

    `--config FILE.yaml`, once or more, holds flags by name, with dashes or underscores; flags on the command line
    override it. The YAML is read as if its entries were flags, so that both are checked by the same rules.

    Raises:
        InputError: an unknown flag or key, or a value of the wrong type.
    """
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
        datasets.disable_progress_bars()
    parser = _build_parser(types, description)
    namespace, unknown = parser.parse_known_args(_all_words(parser, argv))
    if unknown:
        flag = next((word for word in unknown if word.startswith("-")), unknown[0])
        raise InputError(f"unknown argument {flag}{_suggest(flag.split('=')[0], parser)}")
    return _fill(parser, namespace)


def given_flags(types, argv: list[str]) -> dict:
    """What `argv` and its `--config` files set, by name: the content of a `--config` file for the same run."""
    parser = _build_parser(types, "")
    words = _all_words(parser, argv)
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    values = vars(parser.parse_known_args(words)[0])
    return {name: _as_plain(value) for name, value in sorted(values.items()) if name != "config"}


def _as_plain(value):
    """A flag's value as YAML has it: choices by their words."""
    return [_as_plain(entry) for entry in value] if isinstance(value, list) else getattr(value, "value", value)


def _build_parser(types, description: str) -> _Parser:
    return _add_config(_Parser(types, description=description, allow_abbrev=False, formatter_class=_HelpFormatter))


def split_configs(argv: list[str]) -> tuple[list[str], list[str]]:
    """The `--config` files in `argv`, and its other words."""
    config_parser = _add_config(_Parser((), add_help=False, allow_abbrev=False))
    configs, words = config_parser.parse_known_args(argv)
    return configs.config, words


def _all_words(parser: _Parser, argv: list[str]) -> list[str]:
    """The words of the `--config` files in `argv`, then the others."""
    configs, words = split_configs(argv)
    return [flag for path in configs for flag in _read_yaml_flags(path, parser)] + words


def _fill(parser: _Parser, namespace: argparse.Namespace) -> list:
    values = vars(namespace)
    filled = []
    for type_ in parser.dataclass_types:
        names = [name for name, field in type_.__dataclass_fields__.items() if field.init]
        for name in names:
            for number in values[name] if isinstance(values[name], list) else [values[name]]:
                if isinstance(number, float) and not math.isfinite(number):
                    raise InputError(f"`{name}` must be a finite number, got {number}")
        try:
            filled.append(type_(**{name: values[name] for name in names}))
        except (ValueError, TypeError, ImportError) as error:
            raise InputError(first_line(error)) from error
    return filled


def _suggest(flag: str, parser: argparse.ArgumentParser) -> str:
    close = difflib.get_close_matches(flag.replace("-", "_").lstrip("_"), _keys(parser), n=1, cutoff=0.6)
    return f"; did you mean --{close[0]}?" if close else ""


def _keys(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {
        option.lstrip("-").replace("-", "_"): action for action in parser._actions for option in action.option_strings
    }


def _read_yaml_flags(path: str, parser: argparse.ArgumentParser) -> list[str]:
    """The entries of a YAML file as command-line words; a bad one is named with its line."""
    path = find_preset(path)
    values, lines = read_yaml(path)
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `flag: value` lines, found a {type(values).__name__}")
    keys, flags, seen = _keys(parser), [], {}
    for key, value in values.items():
        name = key.replace("-", "_")
        where = f"{path}:{lines[key]}"
        if name not in keys or name in ("config", "help", "h"):
            raise InputError(f"{where}: unknown key `{key}`{_suggest(name, parser)}")
        if keys[name].dest in seen:
            raise InputError(f"{where}: `{key}` and `{seen[keys[name].dest]}` are the same flag")
        seen[keys[name].dest] = key
        words = _as_words(keys[name], value, f"{where}: `{key}`")
        try:
            parser.parse_known_args(words)
        except InputError as error:
            if str(error).startswith("argument "):  # not: a required flag that this one word does not bring
                raise InputError(f"{where}: {error}") from error
        flags += words
    return flags


def _as_words(action: argparse.Action, value, where: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict):
        raise InputError(f"{where}: expected a value, found a mapping")
    if isinstance(value, list) and action.nargs not in ("+", "*"):
        raise InputError(f"{where}: expected one value, found a list")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) for word in values):
        raise InputError(f"{where}: expected a list of values")
    option = max(action.option_strings, key=len)
    if action.nargs == 0:  # the `--no_x` form of a switch that is on by default
        try:
            return [option] if string_to_bool(values[0]) else []
        except argparse.ArgumentTypeError as error:
            raise InputError(f"{where}: {error}") from None
    return [f"{option}={values[0]}"] if len(values) == 1 else [option, *values]
