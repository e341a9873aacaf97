"""Build lists of frame folders in the style of DFEW, FERV39k and MAFW into a dataset on disk.

    python data_scripts/build_frame_lists.py --train-annotation train.txt --test-annotation test.txt \\
        --frames-root DFEW/Clip/clip_224x224_16f --labels Happy Sad Neutral Angry Surprise Disgust Fear --output OUT

reads lists of `<path> <num_frames> <label>`, the label a number from --first-label on. Lists carry the paths of the
machine they were made on: what stands in front of the folders below --frames-root must be the same in all lines.
Nothing in these lists says what the numbers mean, nor who is seen: --labels and --person-pattern do. Folders that are
named after labels, as FERV39k's Action/Happy/0267, must say the same as the numbers.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from modeling_clipcaer.data.annotations import explain_labels
from modeling_clipcaer.data.build import build_dataset, make_parser, parse_flags
from modeling_clipcaer.data.clip_keys import find_spelled
from modeling_clipcaer.data.source_rows import SourceClip
from modeling_clipcaer.data.source_splits import SPLITS
from modeling_clipcaer.errors import InputError, check_readable, run_command
from modeling_clipcaer.json_files import read_text
from modeling_clipcaer.names import identity_key


FORM = "<path> <num_frames> <label>"


def main() -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--frames-root", required=True, metavar="DIR", help="the folder that the frame folders lie in")
    add("--train-annotation", required=True, metavar="FILE", help="list of training clips")
    add("--val-annotation", metavar="FILE", help="list of validation clips; by default they are cut from training")
    add("--test-annotation", metavar="FILE", help="list of test clips")
    add("--labels", nargs="+", required=True, metavar="NAME", help="what the numbers mean, in order")
    add("--first-label", type=int, default=1, help="the number of the first label (default 1)")
    args = parse_flags(parser)
    root = find_spelled(Path(args.frames_root).absolute())
    given = (args.train_annotation, args.val_annotation, args.test_annotation)
    lists = {split: Path(file) for split, file in zip(SPLITS, given, strict=True) if file is not None}
    clips = []
    for split, file in lists.items():
        clips += read_list(file, split, root, args.labels, args.first_label)
    build_dataset(clips, args.labels, args, lists.values())


def read_list(file: Path, split: str, root: Path, labels: Sequence[str], first_label: int) -> list[SourceClip]:
    """The clips of a list, in its order; blank lines are passed over."""
    # Keep: str.splitlines would also break lines at form feeds and other characters that a folder's name may hold.
    lines = [(f"{file}:{number}", line.strip()) for number, line in enumerate(read_text(file).split("\n"), start=1)]
    fields = [(place, *parse_line(line, place, labels, first_label)) for place, line in lines if line]
    if not fields:
        raise InputError(f"{file}: expected lines '{FORM}', found none")
    front = find_front([path for _, path, _, _ in fields], root, file)
    clips, keys = [], set(map(identity_key, labels))
    for place, path, listed_frames, label in fields:
        if path.parts[: len(front)] != front:
            raise InputError(f"{place}: path '{path}'; expected it to begin with {Path(*front)} as the others do")
        name = PurePosixPath(*path.parts[len(front) :])
        named = [part for part in name.parts[:-1] if identity_key(part) in keys]
        if named and identity_key(label) not in map(identity_key, named):
            raise InputError(
                f"{place}: the label's number means {label}, the folder says {named[-1]}; expected --labels in the "
                "order of the list's numbers"
            )
        folder = find_spelled(root / name)
        name = folder.relative_to(root).as_posix()
        clips.append(SourceClip(str(folder), name, label, place, split, is_folder=True, listed_frames=listed_frames))
    return clips


def parse_line(line: str, place: str, labels: Sequence[str], first_label: int) -> tuple[PurePosixPath, int, str]:
    """Path, frames and label of a line, read from the right, so that paths may hold spaces."""
    fields = line.rsplit(maxsplit=2)
    if len(fields) < 3 or not (fields[1].isdecimal() and fields[2].isdecimal()):
        raise InputError(f"{place}: expected '{FORM}', found '{line}'")
    number = int(fields[2]) - first_label
    if not 0 <= number < len(labels):
        expected = explain_labels(number, labels, first_label)
        raise InputError(f"{place}: unknown label {fields[2]}, expected one of: {expected}")
    return PurePosixPath(fields[0].replace("\\", "/")), int(fields[1]), labels[number]


def find_front(paths: Sequence[PurePosixPath], root: Path, file: Path) -> tuple[str, ...]:
    """What the paths of a list have in front of the folders below `root`, by the first folder that is there.

    Keep: one front for all. A folder that is missing would else be taken for one with the end of its path elsewhere.
    """
    check_readable(root, depth=0)
    for path in paths:
        for length in range(len(path.parts)):
            if find_spelled(root.joinpath(*path.parts[length:])).is_dir():
                return path.parts[:length]
    raise InputError(f"{file}: none of its {len(paths)} folders lies below {root}; the first is '{paths[0]}'")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
