"""Which of the flags that were given have no effect in a run, by rules on its settings.

A flag that belongs to something which is switched off in a run is named, once and by its reason, and the run goes on,
so that a preset stays usable with a few flags changed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace


@dataclass(frozen=True)
class Rule:
    """The flags `names` have an effect in a run for whose arguments `works` holds, and otherwise none, by `reason`."""

    names: tuple[str, ...]
    works: Callable[[SimpleNamespace], bool]
    reason: str


def find_unused(rules: Iterable[Rule], given: Iterable[str], run: SimpleNamespace) -> dict[str, str]:
    """The flags in `given` that have no effect in `run`, each with the reason that the first of the `rules` gives."""
    reasons: dict[str, str] = {}
    for rule in rules:
        if not rule.works(run):
            reasons = dict.fromkeys(rule.names, rule.reason) | reasons
    return {name: reasons[name] for name in sorted(given) if name in reasons}


def describe_unused(unused: Mapping[str, str]) -> str:
    """One line on the flags without an effect; empty if there are none."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in unused.items():
        by_reason.setdefault(reason, []).append(f"`{name}`")
    told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
    return f"not used in this run: {told}" if told else ""
