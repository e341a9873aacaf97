"""Send a checkpoint, or a dataset's shards, to the Hub, once what would be sent has been listed.

    clipcaer push outputs/mine --repo ME/NAME

lists every file with its size, what the card says, and what stays on this machine. On a terminal it then asks;
elsewhere it sends nothing without --yes. The repository is private unless --public says otherwise. Pictures of people,
and public weights that were learned from lent data, take --i-may-share-this. The token comes from HF_TOKEN.
"""

import sys
from dataclasses import MISSING, dataclass

from modeling_clipcaer.common.flags import option, parse_arguments, rare_option
from modeling_clipcaer.common.terminal import looks_on, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import is_repository


@dataclass
class PushArguments:
    """What is sent where."""

    folder: str = option(MISSING, "Checkpoint's folder, or shards of `clipcaer parquet`.", positional=True)
    repo: str = option(MISSING, "Repository on the Hub, user/name; made where it is not there.", metavar="ID")
    yes: bool = option(False, "Send without a question.")
    public: bool = option(False, "Let others read the repository, which is private without this.")
    i_may_share_this: bool = option(False, "The licence of the data, and the people in them, allow it.")
    revision: str | None = rare_option(None, "Branch of the repository; main by default.")
    benchmark: str | None = rare_option(
        None,
        "With a model: benchmark on the Hub, user/name, that its result is of, for .eval_results.",
        metavar="ID",
    )
    benchmark_task: str = rare_option("default", "Task of --benchmark, as the eval.yaml there has it.")

    def __post_init__(self):
        for name in ("repo", "benchmark"):
            if getattr(self, name) is not None and not is_repository(getattr(self, name)):
                raise InputError(f"`{name}`: expected user/name, found {getattr(self, name)}")


def main() -> None:
    (args,) = parse_arguments((PushArguments,), sys.argv[1:], __doc__)
    from modeling_clipcaer.reports.hub import check_readers, check_token, make_repository, send
    from modeling_clipcaer.reports.parcel import pack
    from modeling_clipcaer.synthetic.example import draw_example

    benchmark = None if args.benchmark is None else (args.benchmark, args.benchmark_task)
    parcel = pack(args.folder, args.repo, example=draw_example(), benchmark=benchmark)
    parcel.tell(args.repo, "public" if args.public else "private")
    parcel.check_terms(args.public, args.i_may_share_this)
    if not args.yes and not confirm(f"Send this to {args.repo}?"):
        tell("nothing was sent; --yes sends it")
        return
    check_token("a push")
    make_repository(args.repo, parcel.kind, private=not args.public)
    parcel.check_terms(check_readers(args.repo, parcel.kind, args.public), args.i_may_share_this)
    tell(f"pushed: {send(parcel, args.repo, args.revision)}")


def confirm(question: str) -> bool:
    """Whether somebody at a terminal says yes; nobody is asked elsewhere."""
    return looks_on(sys.stdin) and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
