"""What a part of the method is worth: the same runs with and without it, paired by clips and seed.

A recipe is a YAML file: settings of `clipcaer ablate`, and `tables` of cells. A cell is a name and what it changes of
the table's flags, in flags of `train`, or `baseline`, one of those that results are held against; the cell `default`
changes nothing and is there in every table.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modeling_clipcaer.common.flags import parse_arguments, spell_flags, split_configs
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.common.yaml_files import read_nested_yaml
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.baselines import LINEAR, MAJORITY, MLP, ZERO_SHOT
from modeling_clipcaer.experiments.runs import FLAG_TYPES
from modeling_clipcaer.experiments.settings import AblationArguments


DEFAULT = "default"
BASELINES = (MAJORITY, ZERO_SHOT, LINEAR, MLP)
SHARES = ("raer", "mild", "none")  # of the labels in a drawing


@dataclass(frozen=True)
class Cell:
    """A row of a table.

    Args:
        name: as people read it.
        folder: as its runs' folder is called.
        changes: the flags that it changes, as the recipe has them.
        words: all flags of its runs, as words of a command line.
        baseline: that stands in the place of its runs, such as an MLP on the same embeddings, without any text.
    """

    name: str
    folder: str
    changes: Mapping[str, Any]
    words: tuple[str, ...]
    baseline: str | None = None


@dataclass(frozen=True)
class Table:
    """Cells that are compared with the default of their table.

    Args:
        name: in the recipe, and of its files.
        about: what it asks, in a sentence.
        imbalance: the shares of the labels in its drawings.
        cells: the first is the default.
    """

    name: str
    about: str
    imbalance: str
    cells: tuple[Cell, ...]


def read_recipe(argv: Sequence[str], description: str) -> tuple[AblationArguments, list[Table], str]:
    """The settings on a command line and in its `--config` file, by default that of the code, the tables of that file,
    and its path.

    Raises:
        InputError: a key is unknown, or a value is none of its flag's; the message names file and line.
    """
    configs, words = split_configs(list(argv))
    if len(configs) > 1:
        raise InputError("--config: expected one recipe")
    path = find_preset(configs[0] if configs else "ablation")
    content, lines = read_nested_yaml(path)
    places = {place: f"{path}:{line}" for place, line in lines.items()}
    tables = _as_mapping(content, path).pop("tables", None)
    own = spell_flags((AblationArguments,), content, {key: places[(key,)] for key in content})
    (args,) = parse_arguments((AblationArguments,), [*own, *words], description)
    base = [word for config in args.train_config for word in ("--config", config)]
    found = [
        _read_table(name, _as_mapping(table, places["tables", name]), places, base)
        for name, table in _as_mapping(tables, f"{path}: `tables`").items()
    ]
    known = [table.name for table in found]
    for name in args.tables or ():
        if name not in known:
            raise InputError(f"`tables` {name}: the recipe has {', '.join(known)}")
    return args, [table for table in found if args.tables is None or table.name in args.tables], path


def _as_mapping(content: Any, place: str) -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        raise InputError(f"{place}: expected `name: …` lines, found {'nothing' if not content else 'something else'}")
    return content


def _read_table(name: str, content: dict[str, Any], places: Mapping[tuple, str], base: Sequence[str]) -> Table:
    place = ("tables", name)
    for key in content:
        if key not in ("about", "imbalance", "flags", "cells"):
            raise InputError(f"{places[*place, key]}: unknown key `{key}`; expected about, imbalance, flags or cells")
    if name != name_folder(name):
        raise InputError(f"{places[place]}: `{name}` names files: expected letters, digits, dots and dashes")
    imbalance = content.get("imbalance") or "mild"
    if imbalance not in SHARES:
        raise InputError(f"{places[*place, 'imbalance']}: `imbalance` must be one of {', '.join(SHARES)}")

    def spell(flags: dict[str, Any], *keys: str) -> list[str]:
        here = (*place, *keys)
        return spell_flags(FLAG_TYPES, flags, {key: places[*here, key] for key in flags})

    flags = content.get("flags")
    base = [*base, *spell({} if flags is None else _as_mapping(flags, places[*place, "flags"]), "flags")]
    cells = [Cell(DEFAULT, f"{name}/{DEFAULT}", {}, tuple(base))]
    for title, changes in _as_mapping(content.get("cells"), places[place]).items():
        folder = f"{name}/{name_folder(title)}"
        if folder in {cell.folder for cell in cells}:
            raise InputError(f"{places[*place, 'cells', title]}: `{title}` has the folder of another cell, {folder}")
        changes = {} if changes is None else _as_mapping(changes, places[*place, "cells", title])
        baseline = changes.get("baseline")
        if baseline not in (None, *BASELINES):
            raise InputError(
                f"{places[*place, 'cells', title, 'baseline']}: `baseline` must be one of {', '.join(BASELINES)}"
            )
        flags = {name: value for name, value in changes.items() if name != "baseline"}
        cells.append(Cell(title, folder, changes, (*base, *spell(flags, "cells", title)), baseline))
    return Table(name, content.get("about") or "", imbalance, tuple(cells))


def name_folder(title: str) -> str:
    """What a cell's folder is called."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", title).strip("_.") or "_"
