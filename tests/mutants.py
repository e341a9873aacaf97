"""Would the tests notice? Break the core one small way at a time and see whether its own tests fail.

    python tests/mutants.py --sample 300 --seed 1            # a sample of all files of TESTS
    python tests/mutants.py --files tracking splits          # every mutant of two files

A mutant lives in a copy of the project, in a process of its own, and dies by the first test that fails. Those of
`equivalent_mutants.yaml` change nothing that anybody could see, each with its reason, and are not run.
"""

import argparse
import ast
import copy
import gc
import json
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml


ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "modeling_clipcaer"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")
# Which tests know a file, quick ones first.
TESTS = {
    "modeling_clipcaer.py": "test_modeling.py test_model_outputs.py models/test_frozen_parts.py",
    "prompt_learner.py": "test_prompt_learner.py test_modeling.py research_code/test_reference_parity.py",
    "temporal_encoder.py": "test_temporal_encoder.py",
    "fusion.py": "test_fusion.py",
    "face_adapter.py": "test_face_adapter.py",
    "prototypes.py": "test_prototypes.py",
    "label_texts.py": "test_label_text_checks.py",
    "pixels.py": "test_pixels.py test_processing.py",
    "frames.py": "test_frames.py test_image_files.py test_video_frames.py",
    "frame_fitting.py": "test_frame_fitting.py",
    "scene_cuts.py": "test_scene_cuts.py test_frame_fitting.py",
    "processing_clipcaer.py": "test_processing.py data/test_data_collator.py",
    "losses/functions.py": "losses/test_losses.py losses/test_table.py training/test_reference_losses.py",
    "losses/table.py": "losses/test_table.py training/test_training_arguments.py",
    "metrics/abstention.py": "metrics/test_abstention.py",
    "metrics/calibration.py": "metrics/test_metrics.py",
    "metrics/effects.py": "metrics/test_effects.py",
    "metrics/ensembles.py": "metrics/test_ensembles.py",
    "metrics/paired.py": "metrics/test_paired.py reports/test_comparison.py",
    "metrics/predictions.py": "metrics/test_metrics.py",
    "metrics/recalls.py": "metrics/test_metrics.py metrics/test_paired.py",
    "data/splits.py": "data/test_splits.py data/test_raer_splits.py",
    "data/protocols.py": "data/test_splits.py data/test_raer_protocols.py",
    "data/boxes.py": "data/test_boxes.py data/test_raer_boxes.py",
    "data/box_fitting.py": "data/test_boxes.py",
    "data/clip_boxes.py": "data/test_boxes.py",
    "data/clip_keys.py": "data/test_clip_keys.py",
    "data/clip_labels.py": "data/test_clip_labels.py -k 'not evaluation and not plain_clip and not trainer'",
    "data/clip_rows.py": "data/test_clip_rows.py",
    "data/votes.py": "data/test_votes.py",
    "data/data_collator.py": "data/test_data_collator.py",
    "faces/boxes.py": "faces/test_face_boxes.py",
    "faces/face_detection.py": "faces/test_yunet_pictures.py",
    "faces/haar.py": "faces/test_haar.py",
    "faces/hiding.py": "faces/test_hiding.py",
    "faces/mtcnn.py": "faces/test_yunet_pictures.py",
    "faces/pictures.py": "faces/test_pictures.py",
    "faces/tracking.py": "faces/test_tracking.py",
    "faces/yunet.py": "faces/test_yunet_pictures.py",
    "recordings/windows.py": "recordings/test_timeline_windows.py recordings/test_nearest_windows.py",
    "recordings/stretches.py": "recordings/test_stretches.py",
    "recordings/timeline.py": "recordings/test_timeline_windows.py exports/test_timeline_files.py",
    "recordings/crops.py": "recordings/test_nearest_windows.py",
    "training/parameter_groups.py": "training/test_parameter_groups.py",
    "training/trainer.py": "training/test_trainer.py -k 'classification_loss or sampler or counts or needed or logged "
    "or wait or mixup or margin or votes or evaluation_measures or every_group or milestones or distribution'",
    "training/measured_clips.py": "training/test_measured_clips.py",
    "reports/breakdowns.py": "reports/test_breakdowns.py",
    "reports/predictions.py": "reports/test_predictions.py",
    "reports/comparison.py": "reports/test_comparison.py",
    "exports/elan.py": "exports/test_whole_files.py exports/test_annotation_files.py",
    "exports/vtt.py": "exports/test_whole_files.py exports/test_annotation_files.py",
    "exports/label_studio.py": "exports/test_whole_files.py exports/test_annotation_files.py",
    "exports/tables.py": "exports/test_whole_files.py exports/test_timeline_files.py",
    "exports/face_paths.py": "exports/test_overlay.py -k 'box_moves or step or only_frame or unrecognisable'",
}
# Imported once, before the processes part: with them a mutant costs its tests alone.
HEAVY = (
    "torch", "transformers.trainer", "transformers.models.clip.modeling_clip", "transformers.pipelines", "datasets",
    "av", "cv2", "scipy.optimize", "scipy.stats", "matplotlib.pyplot", "skimage.data", "pytest",
)  # fmt: skip
# Without what takes longer than the tests: plugins, assertions rewritten for their messages, caches.
QUICK = (
    "-x", "-q", "-n0", "--assert=plain", "-m", "not slow and not gpu",
    *(f"-pno:{name}" for name in ("cacheprovider", "anyio", "unraisableexception", "threadexception")),
)  # fmt: skip

COMPARED = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
}  # fmt: skip
NAMED = {"min": "max", "max": "min", "any": "all", "all": "any", "argmax": "argmin", "argmin": "argmax"}
SYMMETRIC = {"min", "max", "minimum", "maximum", "isclose", "allclose"}


class Mutant(NamedTuple):
    """One change of one file: the numbers of the node and of the change at it, and what it says."""

    file: str
    node: int
    change: int
    line: int
    text: str


def change_node(node: ast.AST) -> Iterator[ast.AST | None]:
    """Every mutant of one node, `None` for a statement that is left out."""

    def altered(**fields) -> ast.AST:
        other = copy.copy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        return other

    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                yield from (altered(ops=[*ops[:place], kind(), *ops[place + 1 :]]) for kind in COMPARED[type(op)])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in COMPUTED:
            yield altered(op=COMPUTED[type(op)]())
        case ast.BoolOp(op=op):
            yield altered(op=ast.And() if isinstance(op, ast.Or) else ast.Or())
            yield from (altered(values=[value for value in node.values if value is not left]) for left in node.values)
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
            if value not in (0, 1):
                yield ast.Constant(value / 2 if isinstance(value, float) else value - 1)
        case ast.Constant(value=str(value)):
            yield ast.Constant(f"{value}X" if value else "X")
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield altered(value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign():
            yield None
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) if not isinstance(test, ast.UnaryOp):
            yield altered(test=ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=[test, *others]):
            yield altered(ifs=others)
            yield altered(ifs=[ast.UnaryOp(ast.Not(), test), *others])
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
    if isinstance(node, ast.Call):
        match node.func:
            case ast.Name(id=name) if name in NAMED:
                yield altered(func=ast.Name(NAMED[name], ast.Load()))
            case ast.Attribute(attr=name, value=value) if name in NAMED:
                yield altered(func=ast.Attribute(value, NAMED[name], ast.Load()))
            case ast.Name(id="sorted" | "abs" | "round" | "float" | "int") if node.args:
                yield node.args[0]
        if len({*map(ast.unparse, node.args[:2])}) == 2 and _name(node.func) not in SYMMETRIC:
            yield altered(args=[node.args[1], node.args[0], *node.args[2:]])
        for place, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict"):  # `strict` of zip checks what holds anyway
                yield altered(keywords=[*node.keywords[:place], *node.keywords[place + 1 :]])


def walk(tree: ast.AST, parents: tuple[ast.AST, ...] = ()) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """The nodes that are worth a change, each with those around it: no annotations, no words of messages."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "type_params", "bases", "decorator_list"):
            continue
        for node in value if isinstance(value, list) else [value]:
            match node:
                case ast.Raise() | ast.JoinedStr() | ast.Expr(value=ast.Constant() | ast.Yield(value=None)):
                    if isinstance(node, ast.Raise):
                        yield node, (*parents, tree)
                    continue
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger" | "warnings")))):
                    yield node, (*parents, tree)
                    continue
                case ast.Assign(targets=[ast.Name(id="__all__" | "logger")]) | ast.Import() | ast.ImportFrom():
                    continue
                case (
                    ast.keyword(arg="strict")
                    | ast.If(test=ast.Name(id="TYPE_CHECKING"))
                    | ast.Call(func=ast.Name(id="option" | "TypeVar"))
                ):
                    continue
            if isinstance(node, ast.AST):
                yield node, (*parents, tree)
                yield from walk(node, (*parents, tree))


def find_mutants(file: str) -> list[Mutant]:
    """Every mutant of a file of the package, in the file's order."""
    mutants = []
    for number, (node, parents) in enumerate(walk(ast.parse((ROOT / PACKAGE / file).read_text()))):
        around = next((one for one in (node, *reversed(parents)) if isinstance(one, ast.stmt)), node)
        for change, other in enumerate(change_node(node)):
            before, after = _say(node), "nothing" if other is None else _say(other)
            where = _say(around)
            context = "" if where == before else f"   in: {where}"
            mutants.append(Mutant(file, number, change, getattr(around, "lineno", 0), f"{before} -> {after}{context}"))
    return mutants


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _say(node: ast.AST) -> str:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.If | ast.While):
        node = node.test
    if isinstance(node, ast.For):
        node = node.iter
    return " ".join(ast.unparse(node).split())[:160]


def write_mutant(mutant: Mutant) -> str:
    """The source of the file with the mutant in it."""
    tree = ast.parse((ROOT / PACKAGE / mutant.file).read_text())
    node, parents = list(walk(tree))[mutant.node]
    other = list(change_node(node))[mutant.change] or ast.Pass()
    for name, value in ast.iter_fields(parents[-1]):
        if value is node:
            setattr(parents[-1], name, other)
        elif isinstance(value, list):
            setattr(parents[-1], name, [other if one is node else one for one in value])
    return ast.unparse(ast.fix_missing_locations(tree))


def run_tests(copied: Path, tests: str, limit: float) -> tuple[str, float]:
    """How the tests end in a process of their own, and after how many seconds."""
    start = time.monotonic()
    if (child := os.fork()) == 0:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        import pytest

        words = [word if word[0] in "-'" or " " in word else f"tests/{word}" for word in shlex.split(tests)]
        status = pytest.main([*QUICK, *words])
        os._exit(int(status))
    while time.monotonic() - start < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return {0: "lives", 1: "killed", 2: "killed"}.get(code, f"status {code}"), time.monotonic() - start
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout", limit


def run_mutants(mutants: list[Mutant], log: Path | None) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with how its tests ended."""
    for name in HEAVY:
        __import__(name)
    gc.freeze()  # what lies here already is not to be gone through, and so copied, in every process
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copied = Path(folder) / "project"
        ignored = shutil.ignore_patterns(".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache")
        shutil.copytree(ROOT, copied, ignore=ignored)
        os.chdir(copied)
        os.environ["PYTHONPATH"] = sys.path[0] = str(copied)
        limits: dict[str, float] = {}
        known = {Mutant(*row[:5]): row[5] for row in map(json.loads, log.open())} if log and log.exists() else {}
        for mutant in mutants:
            if mutant in known:
                yield mutant, known[mutant]
                continue
            tests, path = TESTS[mutant.file], copied / PACKAGE / mutant.file
            if tests not in limits:
                outcome, seconds = run_tests(copied, tests, 600)
                if outcome != "lives":
                    raise SystemExit(f"the tests of {mutant.file} do not pass as it is: {outcome}")
                limits[tests] = 20 + 5 * seconds
                print(f"# {mutant.file}: {seconds:.1f} s", flush=True)
            whole = path.read_text()
            path.write_text(write_mutant(mutant))
            for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                stale.unlink()
            outcome, seconds = run_tests(copied, tests, limits[tests])
            path.write_text(whole)
            for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                stale.unlink()
            if log:
                with log.open("a") as lines:
                    lines.write(json.dumps([*mutant, outcome, round(seconds, 1)]) + "\n")
            yield mutant, outcome


def main() -> None:
    """Draw, run, and print the survivors and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", nargs="+", metavar="NAME", help="only files whose path has one of these in it")
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutants, drawn at random (default all)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the drawing (default 1)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append each outcome, and skip those in it")
    asked = parser.parse_args()
    files = [file for file in TESTS if not asked.files or any(name in file for name in asked.files)]
    mutants = [mutant for file in files for mutant in find_mutants(file)]
    if asked.sample and asked.sample < len(mutants):
        mutants = sorted(random.Random(asked.seed).sample(mutants, asked.sample))
    reasons = yaml.safe_load(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    same = {mutant for mutant in mutants if mutant.text in reasons.get(mutant.file, {})}
    drawn, killed = Counter(mutant.file for mutant in mutants), Counter()
    for mutant, outcome in run_mutants([mutant for mutant in mutants if mutant not in same], asked.log):
        if outcome == "lives":
            print(f"{mutant.file}:{mutant.line}: {mutant.text}", flush=True)
        else:
            killed[mutant.file] += 1
    equivalent = Counter(mutant.file for mutant in same)
    print(f"\n{'file':36}  mutants  killed  equivalent  alive")
    for file in drawn:
        alive = drawn[file] - killed[file] - equivalent[file]
        print(f"{file:36}  {drawn[file]:7}  {killed[file]:6}  {equivalent[file]:10}  {alive:5}")
    due = len(mutants) - len(same)
    print(f"{killed.total()} of {due} that are not equivalent die: {100 * killed.total() / max(due, 1):.1f} %")


if __name__ == "__main__":
    main()
