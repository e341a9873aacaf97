"""Compare runs on the same clips: is a difference more than noise?

    clipcaer compare RUN RUN ... --output OUT

A run is a folder that holds predictions.parquet, as evaluate and train write it, or such a file.
"""

import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import add_path, complain, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable, public_name


@dataclass
class CompareArguments:
    """What is compared."""

    runs: list[str] = option(
        MISSING,
        "Folders with predictions.parquet, or such files; the first is what others are held against.",
        positional=True,
    )
    output_dir: str = option("outputs/compare", "Folder for comparison.json, .md and .png, and disagreements.csv.")
    names: list[str] | None = option(None, "Names of the runs, in their order; those of their folders by default.")
    common_only: bool = option(False, "Compare on the clips that all runs have, where they have others too.")
    seed: int = option(42, "Seed of the bootstrap.", least=0)


def main() -> None:
    (args,) = parse_arguments((CompareArguments,), sys.argv[1:], __doc__)
    from modeling_clipcaer.common.locks import locked_folder
    from modeling_clipcaer.common.versions import tell_command
    from modeling_clipcaer.reports.comparison import compare_runs, match_clips, tell_pair, write_comparison
    from modeling_clipcaer.reports.predictions import read_predictions

    names = name_runs(args)
    answers, left_out = match_clips([read_predictions(run) for run in args.runs], names, args.common_only)
    comparison = compare_runs(answers, names, args.seed)
    comparison |= {
        "clips_left_out": left_out,
        "command": tell_command(["clipcaer", "compare", *sys.argv[1:]]),
        "files": list(map(public_name, args.runs)),
    }
    with locked_folder(args.output_dir):
        write_comparison(comparison, answers, args.output_dir)
    if left_out:
        complain("note", f"{left_out} clips that not all runs have are left out")
    for pair in comparison["pairs"]:
        found = tell_pair(pair, comparison["num_clips"])
        tell(f"{printable(pair['second'])} less {printable(pair['first'])}: {found}")
    tell(add_path("", f"{args.output_dir}/comparison.md"))


def name_runs(args: CompareArguments) -> list[str]:
    """A name for each run: those given, else of their folders, with as much of the path as tells them apart."""
    if len(args.runs) < 2:
        raise InputError(f"expected two runs or more to compare, found {len(args.runs)}")
    if args.names is not None:
        names = args.names
        if len(names) != len(args.runs):
            raise InputError(f"`names` must be one for each of the {len(args.runs)} runs, found {len(names)}")
    else:
        paths = [Path(run).absolute() for run in args.runs]
        depth = next(d for d in range(1, 100) if len({path.parts[-d:] for path in paths}) == len(set(paths)))
        names = ["/".join(path.parts[-depth:]) for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f"runs must be told apart by their names, found {', '.join(names)}")
    return names


if __name__ == "__main__":
    raise SystemExit(run_command(main))
