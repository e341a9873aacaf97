"""Which clips train, validate and test: as they are listed, or by one of the protocols that cut them anew."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modeling_clipcaer.data.settings import SEED, VAL_SHARE, BuildSettings
from modeling_clipcaer.data.source_clips import SPLITS, SourceClip
from modeling_clipcaer.data.splits import Clips, cut_folds, cut_part
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import identity_key, merge_names


if TYPE_CHECKING:
    from modeling_clipcaer.data.layouts.raer import Settings as RaerSettings

# The protocols, and the settings that mean something with one of them alone.
OPTIONS_OF = {
    "official": ("val_split",),
    "person": ("test_share",),
    "kfold": ("folds", "fold"),
    "leave-one-place-out": ("place",),
}


def cut_listed(
    clips: Sequence[SourceClip], labels: Sequence[str], settings: BuildSettings, lists: str
) -> tuple[dict[str, Clips], dict[str, Any]]:
    """Clips of every split, as listed or cut from training so that nobody is in two, and the record of that."""
    splits = {split: [clip for clip in clips if clip.split == split] for split in SPLITS}
    seed, shares = SEED if settings.seed is None else settings.seed, {}
    for split, name, default in (("test", "test_share", None), ("validation", "val_share", VAL_SHARE)):
        given, is_listed = getattr(settings, name), bool(splits[split])
        if is_listed and given is not None:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} has no effect, the source lists its {split} clips; expected one of the two")
        if is_listed:
            continue
        share = default if given is None else given
        if share is None:
            raise InputError("the source lists no test clips; --test-share 0.2 cuts a fifth of training, by person")
        shares[name] = share
        splits["train"], splits[split] = cut_part(splits["train"], share, "person", seed, "split", labels)
    if not splits["train"]:
        raise InputError("the source lists no training clips; expected some in the split `train`")
    if not shares and settings.seed is not None:
        raise InputError("--seed has no effect, the source lists the clips of every split")
    if "test_share" in shares:
        protocol, name = "person", f"person, test share {shares['test_share']:g}, seed {seed}"
    else:
        protocol, name = lists, f"{lists}, validation {f'by person, seed {seed}' if shares else 'list'}"
    cut = {**shares, "seed": seed} if shares else {}
    persons_from = describe_persons(clips, settings.person_pattern)
    about = {
        "person_pattern": settings.person_pattern,
        "persons_from": persons_from,
        "persons_known": settings.person_pattern is not None or any(clip.person is not None for clip in clips),
    }
    return splits, {"protocol": protocol, "name": name, **cut, **about}


def describe_persons(clips: Sequence[SourceClip], pattern: str | None) -> str:
    """Where the persons are from, in words."""
    if all(clip.person is not None for clip in clips):
        return "the table's"
    if pattern is not None:
        return f"by the pattern {pattern}"
    return f"each {'folder' if clips[0].is_folder else 'video'} counts as one"


def cut_by_protocol(clips: Sequence[SourceClip], settings: "RaerSettings") -> dict[str, Clips]:
    """The splits train, validation and test by the protocol of `settings`."""
    lists = {split: [clip for clip in clips if clip.split == split] for split in SPLITS}
    if settings.split == "official" and settings.val_annotation is not None:
        return lists
    rest, test = (lists["train"], lists["test"]) if settings.split == "official" else cut_test(list(clips), settings)
    by = settings.val_split if settings.split == "official" else "person"
    if by == "person":
        settings.check_persons(rest)
    train, validation = cut_part(rest, settings.val_share, by, settings.seed)
    return {"train": train, "validation": validation, "test": test}


def cut_test(clips: Clips, settings: "RaerSettings") -> tuple[Clips, Clips]:
    """All clips without the test split, and the test split."""
    if settings.split == "leave-one-place-out":
        return leave_place_out(clips, settings)
    settings.check_persons(clips)
    if settings.split == "person":
        return cut_part(clips, settings.test_share, "person", settings.seed, "test split")
    folds = enumerate(cut_folds(clips, settings.folds, settings.seed), start=1)
    test = next(fold for number, fold in folds if number == settings.fold)
    chosen = {clip.clip_id for clip in test}
    return [clip for clip in clips if clip.clip_id not in chosen], test


def leave_place_out(clips: Clips, settings: "RaerSettings") -> tuple[Clips, Clips]:
    """All clips of other places, and those of the place that is left out."""
    place, place_of = settings.place or "", {}
    for clip in clips:
        found = settings.find_place(clip)
        if found is None:
            raise InputError(
                f"{clip.place}: clip '{clip.clip_id}', expected images/<session>/<place>/<person>/<clip>; "
                "--place-pattern tells places in other layouts"
            )
        place_of[clip.clip_id] = found
    # Keep: places in one spelling, as persons are. One that is spelled in two ways would be trained and tested on.
    spelling = merge_names(place_of.values())
    places = Counter(spelling[name] for name in place_of.values())
    place = next((name for name in places if identity_key(name) == identity_key(place)), place)
    if place not in places:
        known = ", ".join(f"{name} ({count} clips)" for name, count in sorted(places.items()))
        raise InputError(f"--place '{place}': no clip was taken there; expected one of: {known}")
    if len(places) == 1:
        raise InputError(f"--place '{place}': all {len(clips)} clips were taken there, which leaves none for training")
    test = [clip for clip in clips if spelling[place_of[clip.clip_id]] == place]
    return [clip for clip in clips if spelling[place_of[clip.clip_id]] != place], test


def name_protocol(settings: "RaerSettings") -> str:
    """The protocol in a few words, as reports print it."""
    seed = f"seed {settings.seed}"
    if settings.split == "official":
        cut = "list" if settings.val_annotation is not None else f"by {settings.val_split}, {seed}"
        return f"official, validation {cut}"
    if settings.split == "person":
        return f"person, test share {settings.test_share:g}, {seed}"
    if settings.split == "kfold":
        return f"kfold {settings.fold} of {settings.folds} by person, {seed}"
    return f"leave-one-place-out {settings.place}, {seed}"


def record_protocol(settings: "RaerSettings", splits: Mapping[str, Clips]) -> dict[str, Any]:
    """What build.json says of the split: protocol, parameters, and persons and clips by place in each part."""
    own = {name: getattr(settings, name) for name in OPTIONS_OF[settings.split]}
    cut = {**own, "val_share": settings.val_share, "seed": settings.seed}
    is_listed = settings.split == "official" and settings.val_annotation is not None
    return {
        "protocol": settings.split,
        "name": name_protocol(settings),
        **({"val_annotation": settings.val_annotation} if is_listed else cut),
        "person_pattern": settings.person_pattern,
        "place_pattern": settings.place_pattern,
        "persons": {split: len({clip.person_id for clip in clips}) for split, clips in splits.items()},
        "places": {split: count_places(clips, settings) for split, clips in splits.items()},
    }


def count_places(clips: Clips, settings: "RaerSettings") -> dict[str, int]:
    """Clips of each place; those whose path names none are of `unknown`."""
    return dict(sorted(Counter(settings.find_place(clip) or "unknown" for clip in clips).items()))
