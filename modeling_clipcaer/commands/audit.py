"""Audit a dataset on disk before a model is trained on it.

    clipcaer audit DATASET [--decode]

prints what every split holds and what is wrong with it, and writes audit.json and audit.png, a page of plots without a
picture of anyone, to DATASET/audit or --output. With --root DIR in place of DATASET, RAER's own files are built into a
temporary folder first, and what the build refuses is a finding.

Exit status: 0 nothing above info, 1 warnings, 3 errors in the data, 2 a wrong command. By default only errors make it
other than 0; --fail-on warning lets warnings do so too, --fail-on never nothing but a wrong command.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.processes import count_cores
from modeling_clipcaer.common.progress import hide_progress_bars
from modeling_clipcaer.common.terminal import add_path, run_command, tell, tell_findings
from modeling_clipcaer.data.audit.thresholds import AuditThresholds
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable


# 2 is a wrong command, as everywhere.
STATUS = {"error": 3, "warning": 1}


@dataclass
class AuditArguments:
    """What is looked at, and how."""

    dataset: str | None = option(None, "Dataset; a folder that `clipcaer build` wrote.", positional=True)
    root: str | None = option(None, "RAER's folder, in place of DATASET; or its parent.", metavar="DIR")
    decode: bool = option(False, "Decode every frame; finds unreadable pictures and near-duplicates.")
    num_proc: int = option(count_cores, "Processes to look with; one for each core by default.", least=1)
    output: str | None = option(
        None, "Folder of audit.json and audit.png; DATASET/audit by default, none with --root."
    )
    fail_on: str = option(
        "error",
        "Least severity that makes the exit status other than 0.",
        choices=("warning", "error", "never"),
    )

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.root is None):
            raise InputError("expected either DATASET or --root DIR")


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
    options, thresholds = parse_arguments((AuditArguments, AuditThresholds), sys.argv[1:], __doc__)
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
    tell_findings(format_audit(audit))
    tell(add_path("written", output) if output is not None else "nothing is written without --output")
    raise SystemExit(choose_status(audit["severities"], options.fail_on))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
