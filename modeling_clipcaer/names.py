"""Names: when two are one, which may be a label's, and how those of models, data and files are told to others."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit


# `org/name` or `name`, as the Hub spells a repository.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# A dataset on the Hub as file systems address it, perhaps with its revision.
_HUB_ADDRESS = re.compile(r"hf://(?:datasets/)?(?P<id>[\w.-]+/[\w.-]+)(?:@[^/]*)?/?", re.ASCII)
# A repository in the Hub's cache, and what is in it: `models--org--name/snapshots/REVISION/model.safetensors`.
_HUB_CACHE = re.compile(r"(?:^|/)(?:models|datasets|spaces)--(?P<id>[^/]+)/snapshots/[^/]+(?P<rest>/.*)?$")


def is_hub_id(name: str) -> bool:
    """Whether `name` may be a repository on the Hub: it is spelt like one, and there is nothing of that name here."""
    return _HUB_ID.fullmatch(name) is not None and not os.path.exists(name)


def is_repository(name: str) -> bool:
    """Whether `name` is spelt as somebody's repository on the Hub is, `org/name`."""
    return _HUB_ID.fullmatch(name) is not None and "/" in name


def public_name(path_or_id: str | os.PathLike | None) -> str:
    """
    What may be told to others of a path, an address or an id on the Hub: nothing that shows whose machine it is.

    Args:
        path_or_id: a path of this machine or of another (absolute or relative, POSIX or Windows, `file://`), an
            address, or an id on the Hub.

    Returns:
        An id on the Hub as it is, unless it is the path of something here; of an address or a place in the Hub's cache
        the id it is of; of every other path and address the last part. The empty string for none.

    Example:

    ```python
    >>> public_name("/home/somebody/models/raer"), public_name("openai/clip-vit-base-patch32")
    ('raer', 'openai/clip-vit-base-patch32')

    ```
    """
    name = os.fspath(path_or_id) if path_or_id is not None else ""
    if is_hub_id(name):
        return name
    if addressed := _HUB_ADDRESS.fullmatch(name):
        return addressed["id"]
    if "://" in name:
        address = urlsplit(name)
        name = unquote(address.path) if address.path.strip("/") else (address.hostname or "")
    parts = name.replace("\\", "/")
    if cached := _HUB_CACHE.search(parts):
        return cached["id"].replace("--", "/") + (cached["rest"] or "").rstrip("/")
    if PurePosixPath(parts).name in ("", ".", "..") and parts:
        # Keep: `.` and `runs/..` have no name of their own.
        parts = os.path.abspath(parts).replace("\\", "/")
    last = PurePosixPath(parts).name
    # `~`, `~somebody` and a bare drive are places without a name.
    return "" if last.startswith("~") or re.fullmatch(r"[A-Za-z]:", last) else last


# Signs without width that are of no format category: joiners and fillers of some scripts, variants of a sign.
_WITHOUT_WIDTH = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
# What people and spreadsheets write for one another: an empty cell of Braille is a space, quotes are an apostrophe.
_ONE_FOR_ANOTHER = str.maketrans("\u2800\u2018\u2019\u201b\u02bc\u2032", " '''''")


def identity_key(name: str) -> str:
    """
    The one form in which names of persons, labels, splits and files are compared: two that a reader takes for one have
    the same key.

    Composed and decomposed accents, capitals, wide and other compatibility forms, signs without width, spaces around
    and between words, dashes and apostrophes make no difference.

    Example:

    ```python
    >>> identity_key("Zoe\\u0308  ANN\\u200b") == identity_key("Zo\\xeb Ann ")
    True

    ```
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", name).casefold()).casefold()
    kept = []
    for sign in _WITHOUT_WIDTH.sub("", folded).translate(_ONE_FOR_ANOTHER):
        category = unicodedata.category(sign)
        if category not in ("Cf", "Cc") or sign.isspace():
            kept.append("-" if category == "Pd" else sign)
    return " ".join(unicodedata.normalize("NFKC", "".join(kept)).split())


def merge_names(names: Iterable[str]) -> dict[str, str]:
    """Of each spelling in `names` the one that all of its key go by: the commonest, of equals one with its accents
    composed, then the first by alphabet."""

    counts = Counter(names)

    def rank(name: str) -> tuple[int, bool, str]:
        return -counts[name], not unicodedata.is_normalized("NFC", name), name

    spellings = defaultdict(list)
    for name in counts:
        spellings[identity_key(name)].append(name)
    return {name: min(of_one, key=rank) for of_one in spellings.values() for name in of_one}


def describe_merged(names: Sequence[str], merged: Mapping[str, str], kind: str) -> str | None:
    """In a line, which of `names`, one for each clip, go by another spelling, as `merged` has it; `None` if none."""
    counts = Counter(names)
    others = [name for name in merged if merged[name] != name]
    if not others:
        return None
    # Keep: as ASCII. Two spellings of one name mostly look the same.
    shown = [f"{merged[name]!a} as {name!a} in {counts[name]} clips" for name in sorted(others)]
    more = f"; and {len(shown) - 5} more spellings" if len(shown) > 5 else ""
    people = len({merged[name] for name in others})
    return (
        f"{people} {kind if people == 1 else kind + 's'} spelled in several ways, which mean one: "
        f"{'; '.join(shown[:5])}{more}"
    )


# Marks of timelines, and columns of tables that a label has one beside.
_RESERVED = {"uncertain", "no_picture", "clip", "label", "score", "reference"}
# What pandas, R or DuckDB reads as a missing value, a truth value, a number or a date, quoted or not.
_NO_TEXT = {
    *("na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "none", "null", "1.#ind", "1.#qnan"),
    *("true", "false", "t", "f", "yes", "no", "inf", "infinity", "epoch"),
}
_DIGITS = r"[\d\s:./,+_-]*\d[\d\s:./,+_-]*"
_NUMBER_OR_DATE = re.compile(rf"{_DIGITS}([et]{_DIGITS})?[zi]?|0[xb][\da-f]+|nan\(.*\)")
# What a spreadsheet would run (OWASP, CSV Injection), in its wide forms too.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
LABEL_LENGTH = 200
# A label's colour that is no hue: slate.
NEUTRAL = "neutral"


def find_colour_fault(colour: object) -> str | None:
    """What is wrong with a label's colour, in words; `None` if it is one: `#RRGGBB`, or "neutral"."""
    if isinstance(colour, str) and (colour == NEUTRAL or re.fullmatch("#[0-9A-Fa-f]{6}", colour)):
        return None
    return f'expected `"#RRGGBB"`, in quotes, or {NEUTRAL}, found {colour!r}'


def find_label_fault(labels: Iterable[str]) -> str | None:
    """
    What is wrong with the names of labels, in a line: one that files and pages could not tell from their own marks,
    or that a table would not give back as it is, and two that are one name. `None` where nothing is.
    """
    seen: dict[str, str] = {}
    for label in labels:
        if not isinstance(label, str):
            return f"the label {label!r} is no text"
        key = identity_key(label)
        if not key:
            return f"the label {label!a} is empty"
        shown = f"the label {label!r}" if len(label) <= LABEL_LENGTH else f"the label {label[:40]!r}..."
        if len(label) > LABEL_LENGTH:
            return f"{shown} has {len(label)} characters; expected at most {LABEL_LENGTH}"
        if label != label.strip() or printable(label) != label:
            return f"the label {label!a} has spaces around it, line breaks or other characters without a sign"
        if label.lstrip("'").startswith(_FORMULA):
            return f"{shown} begins as what spreadsheets run as a formula"
        if key in _RESERVED:
            return f"{shown} is a name that timelines and tables give to something else"
        if key in _NO_TEXT or _NUMBER_OR_DATE.fullmatch(key):
            return f"{shown} is no text to programs that read tables (missing value, truth value, number or date)"
        earlier = seen.setdefault(key, label)
        if earlier != label:
            return f"the labels {earlier!a} and {label!a} are one name, spelled in two ways"
    return None


_NO_SIGN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")


def printable(text: str) -> str:
    """
    `text` on one line, for a terminal, a log or a page: characters that have no sign but move the cursor, turn the
    direction of what follows, or cannot be written in UTF-8 are told by their number, as `\\x1b`.
    """
    return _NO_SIGN.sub(_tell_number, text)


def _tell_number(match: re.Match[str]) -> str:
    sign = match[0]
    # Keep: a byte of a file's name that is not UTF-8 is told as that byte.
    return f"\\x{ord(sign) - 0xDC00:02x}" if "\udc80" <= sign <= "\udcff" else sign.encode("unicode_escape").decode()
