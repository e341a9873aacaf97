"""The flags of commands that tell, beside their answers, what these rest on."""

from typing import Any

from modeling_clipcaer.common.flags import option
from modeling_clipcaer.errors import InputError


MOST_EXPLAINED = 64


def explain_option(what: str) -> int:
    """How many are explained; `what` says of what, and which."""
    return option(0, what, least=0, most=MOST_EXPLAINED)


def explain_frames_option() -> bool:
    """Whether their pictures are shown."""
    return option(False, "Draw the maps of --explain over the frames, faces blurred.")


def check_explain_flags(args: Any, others: tuple[str, ...] = ()) -> None:
    """Refuse flags of what is shown where nothing is.

    Args:
        args: has `explain`, `explain_frames` and `show_faces`.
        others: flags beside `explain_frames` that show faces.
    """
    if args.explain_frames and not args.explain:
        raise InputError("--explain-frames has a meaning with --explain alone")
    shown = (*others, "explain_frames")
    if args.show_faces and not any(getattr(args, name) for name in shown):
        flags = " or ".join(f"--{name.replace('_', '-')}" for name in shown)
        raise InputError(f"--show-faces has a meaning with {flags} alone")
