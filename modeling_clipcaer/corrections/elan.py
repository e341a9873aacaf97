"""ELAN's documents, as ELAN saves them: a tier for each person, annotations between slots of time."""

from collections.abc import Mapping
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree

from modeling_clipcaer.corrections.readers import Corrected
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_text


def read_elan(path: str) -> list[Corrected]:
    """The annotations of all tiers that stand for themselves. Tiers below another one, which are about its
    annotations, are passed over.

    Raises:
        InputError: it is no document of ELAN, or an annotation has no text or ends at no time.
    """
    try:
        root = ElementTree.fromstring(read_text(path))
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: is no document of ELAN ({error}); save it in ELAN once more") from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(f"{path}: expected a document of ELAN, found one of the kind {root.tag}")
    source = find_source(root, path)
    times = {slot.get("TIME_SLOT_ID", ""): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    return [
        read_annotation(annotation, times, source, tier.get("TIER_ID", ""), path)
        for tier in root.findall("TIER")
        if tier.get("PARENT_REF") is None
        for annotation in tier.iter("ALIGNABLE_ANNOTATION")
    ]


def find_source(root: ElementTree.Element, path: str) -> str:
    """The recording that a document is of, as our property of its header names it, or else by its link.

    Raises:
        InputError: it names none, or is linked to another one than it was written for.
    """
    media = [unquote(urlparse(entry.get("MEDIA_URL", "")).path) for entry in root.iter("MEDIA_DESCRIPTOR")]
    written = next((entry.text for entry in root.iter("PROPERTY") if entry.get("NAME") == "source"), None)
    if written is None and not media:
        raise InputError(f"{path}: names no recording; link it to its video in ELAN (Edit, Linked Files)")
    if written is not None and media and own_name(written) not in map(own_name, media):
        raise InputError(
            f"{path}: is linked to {' and '.join(media)}, and its segments are of {written}; link it to that video"
        )
    return media[0] if written is None else written


def own_name(path: str) -> str:
    """The last part of a path or an address."""
    return path.replace("\\", "/").rpartition("/")[2]


def read_annotation(
    annotation: ElementTree.Element, times: Mapping[str, str | None], source: str, tier: str, path: str
) -> Corrected:
    """One annotation, with its times in seconds."""
    place = f"{path}: tier '{tier}', annotation {annotation.get('ANNOTATION_ID')}"
    label = (annotation.findtext("ANNOTATION_VALUE") or "").strip()
    if not label:
        raise InputError(f"{place}: has no text; expected a label")
    slots = [times.get(annotation.get(f"TIME_SLOT_REF{end}", "")) for end in (1, 2)]
    if not all(value is not None and value.isdecimal() for value in slots):
        raise InputError(f"{place}: {slots[0]} to {slots[1]} are no times in milliseconds; align both ends in ELAN")
    start, end = (int(value or 0) / 1000 for value in slots)
    return Corrected(source, tier, start, end, label, place)
