"""Audit a dataset on disk before a model is trained on it.

    python data_scripts/audit_raer.py DATASET [--decode]

prints what every split holds and what is wrong with it, and writes audit.json and audit.png, a page of plots without a
picture of anyone, to DATASET/audit or --output. With --root DIR in place of DATASET, RAER's own files are built into a
temporary folder first, and what the build refuses is a finding.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.common.progress import hide_progress_bars, tell
from modeling_clipcaer.data.audit.thresholds import AuditThresholds
from modeling_clipcaer.errors import InputError, run_command
from modeling_clipcaer.names import printable


# 2 is a wrong command, as everywhere.
STATUS = {"error": 3, "warning": 1}
HELP_END = (
    "Exit status: 0 nothing above info, 1 warnings, 3 errors in the data, 2 a wrong command. By default only errors "
    "make it other than 0; --fail-on warning lets warnings do so too, --fail-on never nothing but a wrong command. "
    "Dashes and underscores in flags are the same."
)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser(description=__doc__.split("\n")[0], allow_abbrev=False, epilog=HELP_END)
    add = parser.add_argument
    add("dataset", nargs="?", metavar="DATASET", help="a dataset on disk, written by a builder of data_scripts")
    add("--root", metavar="DIR", help="instead of DATASET: the RAER folder or its parent, as build_raer.py takes it")
    add("--decode", action="store_true", help="decode every frame: finds unreadable pictures and near-duplicates")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    add("--num-proc", type=int, default=cores, metavar="N", help="processes to look with (default: all cores)")
    output_help = "folder of audit.json and audit.png (default DATASET/audit; with --root nothing is written)"
    add("--output", metavar="DIR", help=output_help)
    fail_help = "the least severity that makes the exit status other than 0 (default error)"
    add("--fail-on", choices=("warning", "error", "never"), default="error", help=fail_help)
    limits = parser.add_argument_group("thresholds")
    for limit in fields(AuditThresholds):
        kind, text = type(limit.default), f"{limit.metadata['help']} (default {limit.default:g})"
        limits.add_argument(
            f"--{limit.name.replace('_', '-')}", type=kind, default=limit.default, metavar="X", help=text
        )
    options = parser.parse_args([spell_flag(argument) for argument in arguments])
    if (options.dataset is None) == (options.root is None):
        parser.error("expected either DATASET or --root DIR")
    if options.num_proc < 1:
        parser.error(f"--num-proc is {options.num_proc}, expected at least 1")
    return options


def audit_root(
    root: str, thresholds: AuditThresholds, decode: bool, num_proc: int, output: str | None
) -> dict[str, Any]:
    """Build RAER into a temporary folder and audit that; a refusal of the build is the one finding."""
    from modeling_clipcaer.data.audit.checks import make_finding
    from modeling_clipcaer.data.audit.dataset import OFFICIAL, audit_dataset, make_report, write_outputs
    from modeling_clipcaer.data.layouts.raer import build_dataset

    with tempfile.TemporaryDirectory(prefix="audit-") as temporary:
        try:
            build_dataset(root, Path(temporary, "dataset"), num_proc=num_proc)
        except InputError as error:
            finding = make_finding("build", "error", None, 1, 0, str(error))
            audit = make_report(root, thresholds, decode, [finding], {}, OFFICIAL)
        else:
            audit = audit_dataset(Path(temporary, "dataset"), thresholds, decode, num_proc) | {"dataset": root}
    if output is not None:
        write_outputs(audit, Path(output))
    return audit


def choose_status(severities: dict[str, int], fail_on: str) -> int:
    """The exit status of an audit with so many findings of every severity."""
    worst = "error" if severities["error"] else "warning" if severities["warning"] else None
    counts = {"never": (), "error": ("error",), "warning": ("error", "warning")}[fail_on]
    return STATUS[worst] if worst in counts else 0


def main() -> None:
    options = parse_arguments(sys.argv[1:])
    thresholds = AuditThresholds(**{limit.name: getattr(options, limit.name) for limit in fields(AuditThresholds)})
    tell(printable(f"auditing {options.dataset or options.root}"))
    from modeling_clipcaer.data.audit.dataset import AUDIT_FOLDER, audit_dataset, format_audit

    hide_progress_bars(of_models=False)
    shared = {"decode": options.decode, "num_proc": options.num_proc}
    if options.root is None:
        output = Path(options.dataset, AUDIT_FOLDER) if options.output is None else Path(options.output)
        audit = audit_dataset(options.dataset, thresholds, output=output, **shared)
    else:
        output = options.output
        audit = audit_root(options.root, thresholds, output=output, **shared)
    print(format_audit(audit))
    print(f"written: {output}" if output is not None else "nothing is written without --output")
    raise SystemExit(choose_status(audit["severities"], options.fail_on))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
