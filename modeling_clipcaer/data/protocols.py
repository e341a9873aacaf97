"""Which clips train, validate and test: the official lists, or one of the protocols that cut them anew."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from modeling_clipcaer.data.annotations import AnnotatedClip
from modeling_clipcaer.data.raer_config import PROTOCOL_OF, RaerConfig
from modeling_clipcaer.data.splits import Clips, cut_folds, cut_part
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import identity_key, merge_names


Lists = Mapping[str, Clips]


def split_lists(lists: Lists, config: RaerConfig) -> dict[str, Clips]:
    """The splits train, validation and test, by the configuration's protocol, of lists of these names."""
    if config.split == "official" and "validation" in lists:
        return {split: lists[split] for split in ("train", "validation", "test")}
    if config.split == "official":
        rest, test = lists["train"], lists["test"]
    else:
        rest, test = cut_test([clip for clips in lists.values() for clip in clips], config)
    by = config.val_split if config.split == "official" else "person"
    train, validation = cut_part(rest, config.val_share, by, config.seed)
    return {"train": train, "validation": validation, "test": test}


def cut_test(clips: Clips, config: RaerConfig) -> tuple[Clips, Clips]:
    """All clips without the test split, and the test split."""
    if config.split == "person":
        return cut_part(clips, config.test_share, "person", config.seed, "test")
    if config.split == "leave-one-place-out":
        return leave_place_out(clips, config.place)
    test = cut_folds(clips, config.folds, config.seed)[config.fold - 1]
    chosen = {clip.clip_id for clip in test}
    return [clip for clip in clips if clip.clip_id not in chosen], test


def leave_place_out(clips: Clips, place: str) -> tuple[Clips, Clips]:
    """All clips of other places, and those of `place`."""
    for clip in clips:
        if clip.place_name is None:
            raise InputError(
                f"{clip.place}: clip '{clip.clip_id}', expected images/<session>/<place>/<person>/<clip>; "
                "--place-pattern tells places in other layouts"
            )
    # Keep: places in one spelling, as persons are. One that is spelled in two ways would be trained and tested on.
    spelling = merge_names(clip.place_name for clip in clips)
    places = Counter(spelling[clip.place_name] for clip in clips)
    place = next((name for name in places if identity_key(name) == identity_key(place)), place)
    if place not in places:
        known = ", ".join(f"{name} ({count} clips)" for name, count in sorted(places.items()))
        raise InputError(f"--place '{place}': no clip was taken there; expected one of: {known}")
    if len(places) == 1:
        raise InputError(f"--place '{place}': all {len(clips)} clips were taken there, which leaves none for training")
    test = [clip for clip in clips if spelling[clip.place_name] == place]
    return [clip for clip in clips if spelling[clip.place_name] != place], test


def name_protocol(config: RaerConfig) -> str:
    """The protocol in a few words, as reports print it."""
    seed = f"seed {config.seed}"
    if config.split == "official":
        cut = "list" if config.val_annotation is not None else f"by {config.val_split}, {seed}"
        return f"official, validation {cut}"
    if config.split == "person":
        return f"person, test share {config.test_share:g}, {seed}"
    if config.split == "kfold":
        return f"kfold {config.fold} of {config.folds} by person, {seed}"
    return f"leave-one-place-out {config.place}, {seed}"


def record_split(config: RaerConfig, splits: Mapping[str, list[AnnotatedClip]]) -> dict[str, Any]:
    """What build.json says of the split: protocol, parameters, and persons and clips by place in each part."""
    own = {name: getattr(config, name) for name, protocol in PROTOCOL_OF.items() if protocol == config.split}
    cut = {**own, "val_share": config.val_share, "seed": config.seed}
    is_listed = config.split == "official" and config.val_annotation is not None
    return {
        "protocol": config.split,
        "name": name_protocol(config),
        **({"val_annotation": config.val_annotation} if is_listed else cut),
        "person_pattern": config.person_pattern,
        "place_pattern": config.place_pattern,
        "persons": {split: len({clip.person_id for clip in clips}) for split, clips in splits.items()},
        "places": {split: count_places(clips) for split, clips in splits.items()},
    }


def count_places(clips: Clips) -> dict[str, int]:
    """Clips of each place; those whose path names none are of `unknown`."""
    return dict(sorted(Counter(clip.place_name or "unknown" for clip in clips).items()))
