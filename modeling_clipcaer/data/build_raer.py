"""Build RAER, or any data in its layout, into a dataset on disk with an audit.

    python data_scripts/build_raer.py --root DIR --output OUT

writes OUT for `datasets.load_from_disk` (splits train, validation, test), OUT/build.json, which tells what was
counted, matched, filled in and left out, and OUT/audit, what is wrong with it. Frames stay where they are: the dataset
holds their paths.
"""

import argparse
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets

from modeling_clipcaer.common.files import file_sha256, is_replaceable, replace_folder, working_folder
from modeling_clipcaer.common.flags import CommandParser, spell_flag
from modeling_clipcaer.data.audit.dataset import audit_build
from modeling_clipcaer.data.raer import Raer
from modeling_clipcaer.data.raer_config import NO_BOXES, PROTOCOL_OF, PROTOCOLS, RaerConfig, locate_sources
from modeling_clipcaer.data.rows import FEATURES
from modeling_clipcaer.data.summary import count_shared_persons, format_table, list_few_clips, summarise_split
from modeling_clipcaer.errors import InputError, run_command


AUDIT_NAME = "build.json"
BUILD_MARKS = {AUDIT_NAME, "dataset_dict.json"}  # what an earlier build holds


def build_dataset(root: str | Path, output: str | Path, num_proc: int = 1, **options: Any) -> dict[str, Any]:
    """Build the dataset of `root` into `output` and return the audit, which is also written to `output/build.json`.

    An earlier build in `output` is replaced once the new one is complete; any other content is refused.

    Args:
        root: the RAER folder or its parent.
        output: the folder to write.
        num_proc: processes to read with.
        options: the other fields of `RaerConfig`; `None` stands for the default.

    Raises:
        InputError: the data or an option is not as expected; `output` is then as it was before.
    """
    output = Path(output).absolute()
    if num_proc < 1:
        raise InputError(f"`num_proc` is {num_proc}, expected at least 1")
    if output.exists() and not is_replaceable(output, BUILD_MARKS):
        raise InputError(f"{output}: exists and is no dataset of this builder; expected a new or an empty folder")
    options = {name: value for name, value in options.items() if value is not None}
    config = RaerConfig(root=str(root), **options)
    locate_sources(config)
    # The builder's cache lives and dies beside the output, so that no stale rows can come from an earlier build.
    with working_folder(output) as working:
        builder = Raer.create(cache_dir=working / "cache", root=str(root), **options)
        builder.download_and_prepare(num_proc=num_proc)
        rows = builder.as_dataset()
        audit = make_audit(builder, rows, output)
        complete = working / "dataset"
        rows.select_columns(list(FEATURES)).save_to_disk(complete)
        text = json.dumps(audit, indent=2, ensure_ascii=False) + "\n"
        (complete / AUDIT_NAME).write_text(text, encoding="utf-8", errors="backslashreplace")
        replace_folder(complete, output, working)
    return audit


def make_audit(builder: Raer, rows: datasets.DatasetDict, output: Path) -> dict[str, Any]:
    sources = locate_sources(builder.config)
    options = {name: value for name, value in vars(builder.config).items() if name in RaerConfig.__annotations__}
    return {
        "splits": {split: summarise_split(rows[split]) for split in rows},
        "shared_persons": count_shared_persons({split: rows[split]["person_id"][:] for split in rows}),
        "split": builder.split_record,
        "box_keys": {kind: counts["keys"] for kind, counts in builder.box_keys.items()},
        "box_keys_without_clip": {kind: counts["without_clip"] for kind, counts in builder.box_keys.items()},
        "sources": {str(path.absolute()): file_sha256(path) for path in sources.files()},
        "arguments": {**options, "root": str(sources.raer), "output": str(output)},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("datasets", "numpy")}},
    }


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    # Defaults are RaerConfig's own, so that they have one home: a flag not given is not in the namespace.
    parser = CommandParser(description=__doc__.split("\n")[0], allow_abbrev=False, argument_default=argparse.SUPPRESS)
    add = parser.add_argument
    box_help = f"default RAER/bounding_box/%s.json; '{NO_BOXES}' does without"
    add("--root", required=True, metavar="DIR", help="the RAER folder or its parent")
    add("--output", required=True, metavar="DIR", help="the dataset to write; an earlier build there is replaced")
    add("--train-annotation", metavar="FILE", help="default RAER/annotation/train.txt")
    add("--val-annotation", metavar="FILE", help="validation clips; by default they are cut from the training list")
    add("--test-annotation", metavar="FILE", help="default RAER/annotation/test.txt")
    add("--bounding-box-face", metavar="FILE", help=box_help % "face")
    add("--bounding-box-body", metavar="FILE", help=box_help % "body")
    add("--split", choices=PROTOCOLS, help="official keeps the lists (default); the others pool them and cut anew")
    add(
        "--val-share",
        type=float,
        help=f"validation's share of what is not for testing (default {RaerConfig.val_share})",
    )
    val_split_help = f"what official validation is cut by (default {RaerConfig.val_split})"
    add("--val-split", choices=("clip", "person"), help=val_split_help)
    add(
        "--test-share", type=float, help=f"of --split person: the test split's share (default {RaerConfig.test_share})"
    )
    add("--folds", type=int, help=f"of --split kfold: how many, by person (default {RaerConfig.folds})")
    add("--fold", type=int, help="of --split kfold: number of the fold for testing, from 1")
    add("--place", metavar="NAME", help="of --split leave-one-place-out: the place for testing, as Library")
    for name in ("person", "place"):
        pattern_help = f"regular expression whose group is the {name} in a clip's path (default RAER's folders)"
        add(f"--{name}-pattern", metavar="REGEX", help=pattern_help)
    add("--seed", type=int, help=f"of the cuts (default {RaerConfig.seed})")
    outside_help = f"a box wholly outside its frame is this (default {RaerConfig.outside_boxes})"
    add("--outside-boxes", choices=("error", "missing"), help=outside_help)
    for kind in ("face", "body"):
        default = getattr(RaerConfig, f"min_{kind}_share")
        share_help = f"share of every list's clips that must have a {kind} box (default {default})"
        add(f"--min-{kind}-share", type=float, metavar="SHARE", help=share_help)
    first_help = f"number of the first label in the lists (default {RaerConfig.first_label})"
    add("--first-label", type=int, choices=(0, 1), help=first_help)
    label_help = "names of the labels of the lists, in the order of their numbers (default RAER's five)"
    add("--labels", nargs="+", metavar="NAME", help=label_help)
    add("--num-proc", type=int, help="processes to read with (default 1)")
    parser.epilog = "Dashes and underscores in flags are the same."
    options = parser.parse_args([spell_flag(argument) for argument in arguments])
    protocol = getattr(options, "split", RaerConfig.split)
    for name, wanted in PROTOCOL_OF.items():
        if name in options and protocol != wanted:
            parser.error(f"--{name.replace('_', '-')} has no effect with --split {protocol}; it belongs to {wanted}")
    is_listed = protocol == "official" and "val_annotation" in options
    for cut in ("val_share", "val_split", "seed"):
        if is_listed and cut in options:
            parser.error(f"--{cut.replace('_', '-')} has no effect with --val-annotation; expected one of the two")
    for kind in ("face", "body"):
        if f"min_{kind}_share" in options and getattr(options, f"bounding_box_{kind}", None) == NO_BOXES:
            parser.error(f"--min-{kind}-share has no effect with --bounding-box-{kind} {NO_BOXES}")
    return options


def main() -> None:
    options = parse_arguments(sys.argv[1:])
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    audit = build_dataset(**vars(options))
    print("\n".join([format_table(audit), *list_few_clips(audit)]))
    if merged := audit["split"].get("persons_merged"):
        print(merged)
    for kind in ("face", "body"):
        if audit["arguments"][f"bounding_box_{kind}"] == NO_BOXES:
            print(f"no {kind} boxes were given: see the lines above for what stands in")
        elif audit["box_keys_without_clip"][kind]:
            count, total = audit["box_keys_without_clip"][kind], audit["box_keys"][kind]
            print(f"{count} keys of the {kind} box file belong to no listed clip, {count / total:.1%} of all")
    print(audit_build(Path(options.output), getattr(options, "num_proc", 1)))
    print(f"dataset and {AUDIT_NAME}: {options.output}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
