"""The one reader of YAML from users: mappings, lists and words, bounded in size and depth."""

import os
from collections.abc import Iterator
from typing import Any

import yaml

from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.json_files import read_text


LARGEST = 2**20  # bytes
DEEPEST = 8  # the labels' file has three levels
MOST = 20_000  # words, lists and mappings
NOTHING = ("", "~", "null", "Null", "NULL")


def read_yaml(path: str | os.PathLike) -> tuple[Any, dict[str, int]]:
    """The content of a YAML file, and the line of each key of its outermost mapping.

    Every scalar stays the word that it is written as, and an unquoted empty one or `null` is `None`: a label `no` is
    no False, `1:30` no 90 and `2020-13-45` no date.

    Raises:
        InputError: it is no YAML, has a tag, an anchor, an alias, a second document or a key twice, or is too long or
            too deep.
    """
    content, lines = read_nested_yaml(path)
    return content, {place[0]: line for place, line in lines.items() if len(place) == 1}


def read_nested_yaml(path: str | os.PathLike) -> tuple[Any, dict[tuple, int]]:
    """[`read_yaml`] with the line of every key, by the keys and the numbers in lists that lead to it."""
    return _Reader(path, read_text(path, LARGEST)).read()


class _Reader:
    """Builds the content from the parser's events.

    Keep: not by yaml's own loaders. They follow aliases, each of which may double what they build, and their types
    raise errors of their own.
    """

    def __init__(self, path: str | os.PathLike, text: str):
        self.path = path
        self.text = text
        self.lines: dict[tuple, int] = {}
        self.count = 0

    def read(self) -> tuple[Any, dict[tuple, int]]:
        """The one document."""
        try:
            events = yaml.parse(self.text, Loader=yaml.SafeLoader)
            starts = (event for event in events if isinstance(event, yaml.DocumentStartEvent))
            content = self._build(next(events), events, ()) if next(starts, None) else None
            for event in starts:
                raise self._error(event, "a second document; expected one")
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            raise InputError(f"{self.path}{line}: is not valid YAML: {error.problem or error.context}") from None
        except InputError:
            raise
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # an escape of what is no character
            raise InputError(f"{self.path}: is not valid YAML: {first_line(error)}") from None
        return content, self.lines

    def _build(self, event: yaml.Event, events: Iterator[yaml.Event], place: tuple) -> Any:
        self._check(event, len(place))
        if isinstance(event, yaml.ScalarEvent):
            return None if event.style is None and event.value in NOTHING else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            values: list[Any] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                values.append(self._build(event, events, (*place, len(values))))
            return values
        content: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            self._check(event, len(place))
            if not isinstance(event, yaml.ScalarEvent):
                raise self._error(event, "expected a word as a key")
            key = event.value  # Keep: the word, also of `null`. A label may be called so.
            if (*place, key) in self.lines:
                raise self._error(event, f"`{key}` is also on line {self.lines[*place, key]}")
            self.lines[*place, key] = event.start_mark.line + 1
            content[key] = self._build(next(events), events, (*place, key))
        return content

    def _check(self, event: yaml.Event, depth: int) -> None:
        self.count += 1
        if self.count > MOST:
            raise self._error(event, f"more than {MOST:,} values")
        if depth > DEEPEST:
            raise self._error(event, f"nested too deep; expected at most {DEEPEST} levels")
        if event.anchor is not None:  # of an alias, too
            raise self._error(event, f"`{event.anchor}` is an anchor or an alias; expected the values themselves")
        if event.tag is not None:
            raise self._error(event, f"the tag `{event.tag}`; expected plain values")

    def _error(self, event: yaml.Event, message: str) -> InputError:
        return InputError(f"{self.path}:{event.start_mark.line + 1}: {message}")
