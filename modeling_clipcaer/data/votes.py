"""Raters' votes: of a clip, how many said each label, in the labels' order; the column `votes`.

Standard library only.
"""

from collections.abc import Mapping, Sequence

from modeling_clipcaer.errors import InputError


def order_votes(votes: Mapping[str, int], labels: Sequence[str], place: str) -> list[int]:
    """The counts of `votes` in the order of `labels`; a label that nobody said has 0.

    Raises:
        InputError: a vote is for none of the labels.
    """
    unknown = next((name for name in votes if name not in labels), None)
    if unknown is not None:
        raise InputError(f"{place}: votes for '{unknown}', expected some for {', '.join(labels)} alone")
    return [votes.get(label, 0) for label in labels]


def move_votes(votes: Sequence[int], places: Sequence[int]) -> list[int]:
    """The counts of `votes` each at its label's new place."""
    return [count for _, count in sorted(zip(places, votes, strict=True))]


def find_favourites(votes: Mapping[str, int]) -> list[str]:
    """The labels that most raters said: one, several in a tie, none without a vote."""
    most = max(votes.values(), default=0)
    return [label for label, count in votes.items() if count == most > 0]


def find_vote_fault(votes: Sequence[int | None] | None, num_labels: int) -> str | None:
    """Why a row's votes are no counts for each of `num_labels` labels, or `None`."""
    if votes is None or len(votes) != num_labels:
        found = "none" if votes is None else len(votes)
        return f"`votes` are {found}, expected one count for each of {num_labels} labels"
    wrong = next((count for count in votes if count is None or count < 0), 0)
    return None if wrong == 0 else f"`votes` hold {wrong}, expected counts from 0 up"
