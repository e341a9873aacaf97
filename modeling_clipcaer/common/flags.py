"""Flags and YAML files to settings: everything known, everything checked, in one way.

A settings dataclass is the flags: [`option`] gives each field its default, range and help. Imports nothing heavy, so
that a command's `--help`, and what is wrong with its flags, are told at once.
"""

import argparse
import difflib
import math
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.common.yaml_files import read_yaml
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.settings_clipcaer import check_ranges as check_ranges
from modeling_clipcaer.settings_clipcaer import option as option
from modeling_clipcaer.settings_clipcaer import rare_option as rare_option


LONGEST_MESSAGE = 500  # characters; argparse repeats a value whole
# Of a field's metadata, what argparse takes.
_ARGPARSE_KEYS = ("help", "choices", "nargs", "const", "metavar")
_METAVARS: dict[Any, str] = {int: "N", float: "X", str: "TEXT"}
_SWITCHES = {
    **dict.fromkeys(("yes", "true", "t", "y", "1"), True),
    **dict.fromkeys(("no", "false", "f", "n", "0"), False),
}
# What a command writes: the first name is shown, each is taken, whatever the setting is called.
OUTPUTS = ("--output", "--output_dir", "--output-dir")
HELP_COLUMN = 33
HELP_END = "Dashes and underscores in flags are the same."
Types = Sequence[type] | Mapping[str, Sequence[type]]  # of settings; in groups by title, else each is a group


class CommandParser(argparse.ArgumentParser):
    """A parser whose refusals are one line, and which knows what it writes by either name."""

    def parse_known_args(self, args=None, namespace=None):
        """As the base class does."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._name_output(word) for word in words], namespace)

    def _name_output(self, word: str) -> str:
        name, equals, value = word.partition("=")
        own = [known for known in OUTPUTS if known in self._option_string_actions]
        return f"{own[0]}{equals}{value}" if own and name in OUTPUTS else word

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, add_help=False, formatter_class=_HelpFormatter, **kwargs)

    def format_help(self) -> str:
        """With a usage that names what is needed alone."""
        self._set_usage()
        return super().format_help()

    def _set_usage(self) -> None:
        if self.usage is None:
            positionals = self._get_positional_actions()
            shown = [_shown_flag(action) if action.required else f"[{_shown_flag(action)}]" for action in positionals]
            shown += [_shown_form(action) for action in self._get_optional_actions() if action.required]
            self.usage = " ".join(["%(prog)s", *shown, "[FLAGS]"])

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"^argument (--[^/:\s]+)[^:]*:", lambda found: f"argument {spell_flag(found[1])}:", message)
        raise InputError(message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}…")

    def parse_args(self, args=None, namespace=None):
        """All of the words, or of the command line."""
        found, unknown, missing = self.read_known(args, self.parse_known_intermixed_args)
        if unknown:
            self.refuse(next((word for word in unknown if word.startswith("-")), unknown[0]))
        self.check_missing(missing)
        return found

    def read_known(self, words: list[str] | None, parse: Callable) -> tuple[argparse.Namespace, list[str], list[str]]:
        """What is known of the words, the others, and what is missing.

        Keep: the last is told after the others. A misspelled flag is a missing one, too.
        """
        self._set_usage()
        needed = [action for action in self._actions if action.required]
        for action in needed:
            action.required = False
        found, unknown = parse(words)
        return found, unknown, [_shown_flag(action) for action in needed if getattr(found, action.dest, None) is None]

    def refuse(self, word: str) -> NoReturn:
        """Name a word that is none of the flags."""
        raise InputError(f"unknown argument {word}{_suggest(word, self)}")

    def check_missing(self, missing: list[str]) -> None:
        """Refuse a command without what it needs."""
        if missing:
            raise InputError(f"the following arguments are required: {', '.join(missing)}")


def spell_flag(argument: str) -> str:
    """`--val_share=0.2` as `--val-share=0.2`; other arguments as they are."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if argument.startswith("--") else argument


def parse_arguments(types: Sequence[type], argv: list[str], description: str) -> list:
    """Fill the dataclasses `types` from `argv`.

    `--config FILE.yaml`, once or more, holds flags by name, with dashes or underscores; flags on the command line
    override it. The YAML is read as if its entries were flags, so that both are checked by the same rules.

    `--help` shows the flags that are used most, in groups, each of which is a dataclass; `--help-all` shows all.

    Raises:
        InputError: an unknown flag or key, or a value of the wrong type or out of range.
    """
    parser = _build_parser(types, description)
    namespace = parser.parse_args(_all_words(parser, argv))
    return [_fill(type_, vars(namespace)) for type_ in types]


def parse_own_arguments(types: Sequence[type], argv: list[str], description: str) -> tuple[list, list[str]]:
    """Fill the dataclasses `types` from `argv`, and leave the `--config` files and the words that are none of theirs
    for others to parse."""
    configs, words = split_configs(argv)
    parser = _build_parser(types, description)
    namespace, others, missing = parser.read_known(words, parser.parse_known_args)
    for word in others if missing else ():
        if _suggest(word, parser):
            parser.refuse(word)
    parser.check_missing(missing)
    return [_fill(type_, vars(namespace)) for type_ in types], [*(f"--config={path}" for path in configs), *others]


def show_help(types: Types, argv: list[str], description: str) -> None:
    """Answer `--help` from `types` that are light to import, where the rest of a command's flags are not."""
    if {"--help", "-h"} & set(argv):
        _build_parser(types, description).parse_known_args(["--help"])


def given_flags(types: Sequence[type], argv: list[str]) -> dict[str, Any]:
    """What `argv` and its `--config` files set, by name: the content of a `--config` file for the same run."""
    parser = _build_parser(types, "")
    words = _all_words(parser, argv)
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    values = vars(parser.parse_known_intermixed_args(words)[0])
    return {name: _as_plain(value) for name, value in sorted(values.items()) if name != "config"}


def spell_flags(types: Sequence[type], values: Mapping[str, Any], places: Mapping[str, str]) -> list[str]:
    """The words of a command line that a mapping of flags in a file means; `places` says where each key stands.

    Raises:
        InputError: an unknown key, or a value that its flag does not take.
    """
    return _as_flags(values, places, _build_parser(types, ""))


def flags_with_choices(types: Sequence[type]) -> set[str]:
    """Names of the flags whose values are words of a known vocabulary."""
    return {action.dest for action in _build_parser(types, "")._actions if action.choices}


def differ_from_defaults(types: Sequence[type], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the flags' values, by name, that are not their flags' defaults."""
    defaults = {action.dest: _as_plain(action.default) for action in _build_parser(types, "")._actions}
    return {name: value for name, value in values.items() if value != defaults.get(name)}


def split_configs(argv: list[str]) -> tuple[list[str], list[str]]:
    """The `--config` files in `argv`, and its other words."""
    config_parser = CommandParser()
    _add_config(config_parser)
    configs, words = config_parser.parse_known_args(argv)
    return configs.config, words


def split_flags(names: Iterable[str], words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The flags of these `names` in `words` with their values, "True" where a flag has none, and the other words."""
    parser = CommandParser()
    for name in names:
        parser.add_argument(*_spell(f"--{name}"), dest=name, nargs="?", const="True", default=argparse.SUPPRESS)
    values, others = parser.parse_known_args(words)
    return vars(values), others


def _as_plain(value):
    """A flag's value as YAML has it: choices by their words."""
    return [_as_plain(entry) for entry in value] if isinstance(value, list) else getattr(value, "value", value)


def _fill(type_: type, values: dict[str, Any]) -> Any:
    names = [setting.name for setting in fields(type_) if setting.init]
    for name in names:
        for number in values[name] if isinstance(values[name], list) else [values[name]]:
            if isinstance(number, float) and not math.isfinite(number):
                raise InputError(f"`{name}` must be a finite number, got {number}")
    try:
        filled = type_(**{name: values[name] for name in names})
        check_ranges(filled)
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(first_line(error)) from error
    return filled


# The parser, and its help


def _build_parser(types: Types, description: str) -> CommandParser:
    parser = CommandParser(description=description, epilog=HELP_END)
    group = parser.add_argument_group("First")
    _add_config(group)
    group.add_argument("--help", "-h", nargs=0, action=_Help, const=False, help="Show the flags that are used most.")
    group.add_argument(*_spell("--help_all"), nargs=0, action=_Help, const=True, help="Show all flags.")
    groups = types.items() if isinstance(types, Mapping) else ((None, [type_]) for type_ in types)
    for title, members in groups:
        shared = None if title is None else parser.add_argument_group(title)
        for type_ in members:
            hints, by_name = get_type_hints(type_), {setting.name: setting for setting in fields(type_)}
            for own_title, names in _group(type_):
                group = shared or parser.add_argument_group(own_title)
                for name in names:
                    if name in by_name and by_name[name].init:
                        _add_flag(group, by_name.pop(name), hints[name])
    return parser


def _add_config(parser: argparse._ActionsContainer) -> None:
    text = "YAML file of flags, or a preset's name; once or more, and flags override it."
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help=text)


def _group(type_: type) -> Iterator[tuple[str, list[str]]]:
    """The classes that a settings dataclass is made of: what our docstrings begin with, and the fields of each."""
    for kind in type_.__mro__:
        if "__dataclass_fields__" in vars(kind):
            package, title = kind.__module__.partition(".")[0], kind.__doc__ or ""
            is_ours = title and package == __name__.partition(".")[0]
            title = " ".join(re.split("[.:]", title)[0].split()) if is_ours else f"{kind.__name__} of {package}"
            yield title, list(vars(kind).get("__annotations__", ()))


def _add_flag(group: argparse._ArgumentGroup, setting: Field, hint: Any) -> None:
    """A flag of a field, in all its spellings. A switch that is on has another, `--no_NAME`."""
    kind, is_optional = _read_kind(hint)
    settings = {name: setting.metadata[name] for name in _ARGPARSE_KEYS if name in setting.metadata}
    default = setting.default if setting.default_factory is MISSING else setting.default_factory()
    settings |= {"required": True} if default is MISSING else {"default": default}
    if kind is bool:
        settings = {**settings, "type": _read_switch, "required": False, "metavar": "BOOL"}
        if not is_optional or default not in (None, MISSING):
            settings |= {"default": default is not MISSING and default, "nargs": "?", "const": True, "metavar": ""}
    elif get_origin(kind) is Literal:
        settings |= {"choices": list(get_args(kind))}
    elif isinstance(kind, type) and issubclass(kind, Enum):
        settings |= {"choices": [member.value for member in kind]}
    elif get_origin(kind) is list:
        settings = {"nargs": "+", **settings, "type": get_args(kind)[0]}
        settings["default"] = default if isinstance(default, list) else None
    else:
        settings["type"] = kind
    if "choices" in settings:
        settings.setdefault("metavar", f"{{{','.join(map(str, settings['choices']))}}}")
    names = _spell(f"--{setting.name}")
    settings.setdefault("metavar", "DIR" if names[0] in OUTPUTS else _METAVARS.get(settings.get("type"), "TEXT"))
    if setting.metadata.get("positional"):
        counts = ("+", "*") if get_origin(kind) is list else (None, "?")
        words = {"nargs": counts[0]} if default is MISSING else {"nargs": counts[1], "default": default}
        group.add_argument(setting.name, metavar=setting.name.upper(), help=setting.metadata["help"], **words)
        group.add_argument(*names, nargs=0, action=_Nothing, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return
    action = group.add_argument(*names, *setting.metadata.get("aliases", ()), **settings)
    # Keep: fields without our mark, as those of the Trainer's own arguments, are for the long help.
    action.rare = setting.metadata.get("rare", True)  # type: ignore[attr-defined]
    if kind is bool and default is True:
        names = _spell(f"--no_{setting.name}")
        group.add_argument(*names, action="store_false", dest=setting.name, default=True, help=argparse.SUPPRESS)


def _spell(flag: str) -> list[str]:
    return list(dict.fromkeys((flag, spell_flag(flag))))


def _read_kind(hint: Any) -> tuple[Any, bool]:
    """The one type that a value is read as, of `X | None`, `X | str` and `int | float`; and whether it may be none."""
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    first, second, *_ = get_args(hint)
    is_optional = NoneType in get_args(hint)
    return (first if second is NoneType or (second is str and not is_optional) else second), is_optional


def _read_switch(word: str | bool) -> bool:
    if isinstance(word, bool):
        return word
    if word.lower() not in _SWITCHES:
        raise argparse.ArgumentTypeError(f"expected one of yes/no, true/false, t/f, y/n, 1/0, got {word}")
    return _SWITCHES[word.lower()]


class _Nothing(argparse.Action):
    """The name of a positional, which may stand before its words as a flag does."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        pass


class _Help(argparse.Action):
    """Prints the flags that are used most, in a few words, or all, and ends the command."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        hidden = [action for action in parser._actions if getattr(action, "rare", False) and not action.required]
        if hidden and not self.const:
            parser.formatter_class = _BriefFormatter
            parser.epilog = f"{HELP_END}\nDefaults are in brackets. --help-all explains all flags."
            for action in hidden:
                action.help = argparse.SUPPRESS
        parser.print_help()
        parser.exit()


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Says each flag once, in one spelling, with its default where there is one. Sentences are broken between words,
    and indented lines left as they are."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=HELP_COLUMN)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(part if "\n " in f"\n{part}" else _wrap(part, width) for part in paragraphs)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrap(text, width).splitlines()

    def _format_usage(self, *args) -> str:
        return _wrap(super()._format_usage(*args), self._width, indent="    ") + "\n\n"

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return _shown_form(action)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default, choices = _shown_default(action), _hidden_choices(action)
        notes = [f"one of {choices}"] * bool(choices) + [f"default: {default}"] * bool(default)
        return f"{action.help} ({'; '.join(notes)})" if notes else action.help


class _BriefFormatter(_HelpFormatter):
    """The first thing that is said of each flag, and no line to spare, so that all is on a screen."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = (action.help or "").replace("(default: ", "(")
        first = ": ".join(filter(None, (re.split(r"[;:.] |\.$", text)[0], _hidden_choices(action))))
        default = _shown_default(action)
        return f"{first} ({default})" if default not in ("", "on", "off") else first

    def format_help(self) -> str:
        about, title, flags = super().format_help().partition("\nFirst:\n")
        return about + title + re.sub(r"\n\n(?=\S.*:\n  \S)", "\n", flags)


def _wrap(text: str, width: int, indent: str = "") -> str:
    words = " ".join(text.split())
    return textwrap.fill(words, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _shown_flag(action: argparse.Action) -> str:
    """Its one spelling in help: the first that leaves room beside it."""
    spelled = (OUTPUTS[0] if flag in OUTPUTS else spell_flag(flag) for flag in action.option_strings)
    flags = list(dict.fromkeys(spelled)) or [str(action.metavar)]
    return next((flag for flag in flags if len(flag) < HELP_COLUMN - 3 - len(_shown_value(action))), flags[0])


def _shown_default(action: argparse.Action) -> str:
    """Its default, as it would be given; nothing where it has none."""
    default = action.default
    if default in (None, [], "", argparse.SUPPRESS):
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, float):
        return f"{default:g}"
    return " ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)


def _hidden_choices(action: argparse.Action) -> str:
    """Its choices, where they do not stand beside its name."""
    is_shown = not action.choices or _shown_value(action) == action.metavar
    return "" if is_shown else ", ".join(map(str, action.choices or ()))


def _shown_value(action: argparse.Action) -> str:
    """What stands for its value: its choices, if they are few."""
    metavar = str(action.metavar or "")
    return metavar if len(metavar) < HELP_COLUMN // 2 or not action.choices else "NAME"


def _shown_form(action: argparse.Action) -> str:
    """The flag with its value. One that is on tells how to turn it off, too."""
    flag = _shown_flag(action)
    if not action.option_strings:
        return flag
    if action.nargs == "?" and action.default is True:
        flag = f"--[no-]{flag.removeprefix('--')}"
    return f"{flag} {_shown_value(action)}".rstrip()


# YAML files


def _all_words(parser: CommandParser, argv: list[str]) -> list[str]:
    """The words of the `--config` files in `argv`, then the others."""
    configs, words = split_configs(argv)
    return [flag for path in configs for flag in _read_yaml_flags(path, parser)] + list(_part_words(parser, words))


def _part_words(parser: CommandParser, words: list[str]) -> Iterator[str]:
    """`words` with the name of the positional, if there is one, before each that a switch or a list of choices would
    take and does not know. A file whose name begins like a flag, as `*.mp4` spells it, is no flag."""
    name = next((f"--{action.dest}" for action in parser._get_positional_actions()), None)
    flag, is_first = None, True
    for word in words:
        if name and word.startswith("-") and os.path.lexists(word):
            flag, word = None, f"./{word}"
        elif word.startswith("-"):
            flag, is_first = parser._option_string_actions.get(word), True
        else:
            if name and flag and not _is_value(flag, word, is_first):
                yield name
                flag = None
            is_first = False
        yield word


def _is_value(flag: argparse.Action, word: str, is_first: bool) -> bool:
    if flag.nargs == "?":
        return is_first and word.lower() in ("true", "false")
    return is_first or flag.choices is None or word in flag.choices  # a first one that is none is told as such


def _suggest(flag: str, parser: argparse.ArgumentParser) -> str:
    name = flag.partition("=")[0].replace("-", "_").lstrip("_")
    close = difflib.get_close_matches(name, _keys(parser), n=1, cutoff=0.6)
    return f"; did you mean {spell_flag(f'--{close[0]}')}?" if close else ""


def _keys(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The flags that are settings, by their names with underscores."""
    return {
        option.lstrip("-").replace("-", "_"): action
        for action in parser._actions
        for option in action.option_strings or [action.dest]
        if not isinstance(action, _Help | _Nothing)
    }


def _read_yaml_flags(path: str, parser: CommandParser) -> list[str]:
    """The entries of a YAML file as command-line words; a bad one is named with its line."""
    path = find_preset(path)
    values, lines = read_yaml(path)
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `flag: value` lines, found a {type(values).__name__}")
    return _as_flags(values, {key: f"{path}:{line}" for key, line in lines.items()}, parser)


def _as_flags(values: Mapping[str, Any], places: Mapping[str, str], parser: CommandParser) -> list[str]:
    keys, flags = _keys(parser), []
    seen: dict[str, str] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        where = places[key]
        if name not in keys or name == "config":
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
    if not action.option_strings:
        return [f"--{action.dest}", *values]
    option = max(action.option_strings, key=len)
    if action.nargs == 0:  # the `--no_x` form of a switch that is on by default
        try:
            return [option] if _read_switch(values[0]) else []
        except argparse.ArgumentTypeError as error:
            raise InputError(f"{where}: {error}") from None
    return [f"{option}={values[0]}"] if len(values) == 1 else [option, *values]
