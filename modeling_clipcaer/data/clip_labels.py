"""What the numbers in a split's column `label` mean. Names decide, never the order in which somebody listed them."""

import logging
from collections.abc import Sequence
from typing import TypeVar

from datasets import ClassLabel, Dataset, Features, IterableDataset, Value

from modeling_clipcaer.data.votes import move_votes
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import identity_key


logger = logging.getLogger(__name__)

Rows = TypeVar("Rows", Dataset, IterableDataset)


def name_labels(rows: Dataset | IterableDataset) -> list[str] | None:
    """Names of the labels of `rows`, in the order of their numbers, or of strings in alphabetical order; `None` where
    they are plain numbers, or are not known."""
    feature = _find_feature(rows)
    if isinstance(feature, ClassLabel):
        return list(feature.names)
    if _is_text(feature) and isinstance(rows, Dataset):
        return sorted({name for name in rows.unique("label") if name is not None})
    return None


def align_labels(rows: Rows, labels: Sequence[str], place: str, reference: str) -> Rows:
    """
    `rows` whose column `label` holds the numbers of `labels`: as they are where the names agree in their order, and
    mapped by name where they stand in another order, are spelled in another way or are strings. Plain numbers have no
    names and are left alone. Counts in `votes` go with their labels.

    Args:
        rows (`datasets.Dataset` or `datasets.IterableDataset`): Clips.
        labels (sequence of `str`): The names to number by.
        place (`str`): Whose `rows` are, for messages.
        reference (`str`): Whose `labels` are, for messages.

    Raises:
        InputError: the names are not those of `labels`, two of them are one name in two spellings, or a clip of a
            `datasets.Dataset` has a label that is none.
    """
    names, labels = name_labels(rows), list(labels)
    is_numbered = not _is_text(_find_feature(rows))
    numbers = {identity_key(label): number for number, label in enumerate(labels)}
    spelled: dict[str, str] = {}
    for name in names or ():
        if (other := spelled.setdefault(identity_key(name), name)) != name:
            raise InputError(f"{place}: its labels {other!a} and {name!a} are one name, spelled in two ways")
    # Keep: of strings those that occur are known alone; a list of names has to be the whole list.
    is_listed = names is not None and is_numbered
    missing = [labels[number] for key, number in numbers.items() if key not in spelled] if is_listed else []
    unknown = [name for key, name in spelled.items() if key not in numbers]
    if missing or unknown:
        parts = [f"{verb} {_quote(found)}" for verb, found in (("lack", missing), ("have", unknown)) if found]
        raise InputError(f"{place}: its labels must be {reference}, {_quote(labels)}, but {' and '.join(parts)}")
    if isinstance(rows, Dataset) and "label" in rows.column_names:
        _check_present(rows, range(len(labels)) if is_numbered else names or [], place)
    if is_numbered and names in (None, labels):
        return rows
    names = names or []
    meant = [numbers[key] for key in spelled]
    if respelled := {name: labels[n] for name, n in zip(names, meant, strict=True) if name != labels[n]}:
        listed = ", ".join(f"{name!a} is {label!a}" for name, label in respelled.items())
        logger.warning(f"{place}: its labels are spelled in another way than {reference}: {listed}")
    if is_numbered and meant != sorted(meant):
        logger.warning(f"{place}: its labels stand in another order than {reference}; they are mapped by name")
    number = dict(zip(range(len(names)) if is_numbered else names, meant, strict=True))
    feature = ClassLabel(names=labels)
    has_votes = "votes" in (rows.column_names or ())
    if has_votes and not is_numbered:
        raise InputError(f"{place}: `votes` are in the order of the labels, which a `label` of texts has not")
    if isinstance(rows, IterableDataset):

        def renumber(row: dict) -> dict[str, int | list[int]]:
            found = row["label"]
            meant_number = number.get(found) if is_numbered else numbers.get(identity_key(str(found)))
            if meant_number is None:
                raise InputError(f"{place}: {found!r} is no label; expected {reference}, {_quote(labels)}")
            return {"label": meant_number, **({"votes": move_votes(row["votes"], meant)} if has_votes else {})}

        return rows.map(renumber, features=Features({**rows.features, "label": feature}))
    # Keep: another column beside the rows. `map` would write every clip again, pixels and all.
    if has_votes:
        votes, kind = [move_votes(counts, meant) for counts in rows["votes"]], rows.features["votes"]
        rows = rows.remove_columns("votes").add_column("votes", votes, feature=kind)
    return rows.remove_columns("label").add_column(
        "label", [number[found] for found in rows["label"]], feature=feature
    )


def _find_feature(rows: Dataset | IterableDataset) -> object:
    return (getattr(rows, "features", None) or {}).get("label")


def _is_text(feature: object) -> bool:
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")


def _check_present(rows: Dataset, values: range | list[str], place: str) -> None:
    found = rows["label"][:]
    wrong = [index for index, value in enumerate(found) if value not in values]
    if wrong and set(found) != {None}:  # which is the way of clips that nobody has labelled yet
        clip = rows[wrong[0]]["clip_id"] if "clip_id" in rows.column_names else wrong[0]
        expected = f"0 to {values[-1]}" if isinstance(values, range) else "a name"
        raise InputError(
            f"{place}: {len(wrong)} labels are none: {found[wrong[0]]} of clip {clip}, expected {expected}"
        )


def _quote(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
