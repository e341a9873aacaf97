"""Labels and prompts from a YAML file, so that new classes need no code."""

import logging
from typing import Any

from modeling_clipcaer.common.palette import colour_labels, find_alike
from modeling_clipcaer.common.presets import find_preset
from modeling_clipcaer.common.yaml_files import read_yaml
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.label_texts import check_distinct
from modeling_clipcaer.names import find_colour_fault, find_label_fault, identity_key


logger = logging.getLogger(__name__)


def read_label_entries(path: str) -> dict[str, dict]:
    """Entries by label, in the file's order, of a file of the form

    ```yaml
    labels:
      Neutrality:
        soft: a text, or a list of texts for an ensemble
        descriptive: [a sentence, another]
        colour: neutral
    ```

    Args:
        path: the file, or the name of one that comes with the code, as "demo_labels".

    Raises:
        InputError: the file has another form.
    """
    path = find_preset(path)
    content, lines = read_yaml(path)
    entries = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries or not all(isinstance(entry, dict) for entry in entries.values()):
        raise InputError(f"{path}: expected `labels:` with an entry `soft` and `descriptive` for each label")
    if others := sorted(set(lines) - {"labels"}):
        raise InputError(f"{path}:{lines[others[0]]}: unknown key `{others[0]}`; expected `labels` alone")
    if fault := find_label_fault(entries):
        raise InputError(f"{path}: {fault}")
    for label, entry in entries.items():
        unknown = sorted(set(entry) - {"soft", "descriptive", "colour"})
        if unknown:
            raise InputError(
                f"{path}: `{label}`: unknown key `{unknown[0]}`; expected `soft`, `descriptive` and perhaps `colour`"
            )
        if "colour" in entry and (fault := find_colour_fault(entry["colour"])):
            raise InputError(f"{path}: `{label}`: `colour`: {fault}")
    return entries


def read_labels_file(path: str, labels: list[str]) -> dict[str, Any]:
    """`label_prompts` and `descriptive_prompts` for `labels`, in their order, however the file spells them, and
    `label_colours` where it names one: fields of [`ClipCaerConfig`].

    Raises:
        InputError: the file has another form, or its labels are not the dataset's.
    """
    entries = read_label_entries(path)
    by_key = {identity_key(label): entry for label, entry in entries.items()}
    keys = [identity_key(label) for label in labels]
    if by_key.keys() != set(keys):
        raise InputError(
            f"{path}: its labels are {list(entries)}, the dataset's are {labels}; expected an entry for each of these"
        )
    fields: dict[str, Any] = {}
    for kind, field in (("soft", "label_prompts"), ("descriptive", "descriptive_prompts")):
        fields[field] = [
            _texts(by_key[key].get(kind), f"{path}: `{label}`: `{kind}`")
            for key, label in zip(keys, labels, strict=True)
        ]
        check_distinct(fields[field], labels, f"{path}: `{kind}`")
    colours = {label: by_key[key].get("colour") for key, label in zip(keys, labels, strict=True)}
    named = {label: colour for label, colour in colours.items() if colour is not None}
    _warn_of_alike(colour_labels([*named], named), path)
    return fields | ({"label_colours": named} if named else {})


def _warn_of_alike(colours: dict[str, str], path: str) -> None:
    """Say which of the colours that were chosen a reader may take for each other."""
    seen: dict[str, str] = {}
    for label, colour in colours.items():
        if like := find_alike(colour, seen):
            logger.warning("%s: the colours of `%s` and `%s` look alike to some readers", path, seen[like], label)
        seen[colour] = label


def _texts(value, where: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(f"{where}: expected a text or a list of texts, found {value!r}")
    return texts
