"""Broken input for every reader, bounded in number, time and memory.

    python tests/fuzz.py --parsers 100000 --media 2000 --checkpoints 500 --output outputs/fuzz

A reader may give what it read, or say in one line what is wrong, as a command does. Anything else is a find: another
exception, an input that takes too long, that takes too much memory, or that ends the process.
Each find is kept in a file and told in a line; the status is then 1. Number `n` of a target is the same input on every
machine, so that `--only face_boxes:1234` shows a find again.

The inputs are real files with a few mutations. They are read in a child process, which a watchdog ends where it
hangs; the next child goes on behind the find.
"""

import argparse
import io
import json
import multiprocessing
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modeling_clipcaer.common.terminal import run_command


SECONDS = 20.0
MEGABYTES = 2048
# What is put in the place of words and numbers.
NASTY = (
    *(
        "",
        " ",
        "\0",
        "\n",
        "\r",
        "\t",
        '"',
        "'",
        "\\",
        "/",
        "..",
        "../..",
        "/etc/passwd",
        "~",
        "-",
        "--",
        "=",
        "#",
        "%",
    ),
    *("NaN", "nan", "Infinity", "-inf", "1e999", "-1", "0", "1", "2", "1.5", "1e308", "1e-320", "-0.0", "1_0", "0x10"),
    *("2147483648", "9223372036854775808", "-9223372036854775809", "1" + "0" * 40, "9" * 5000, "١٢٣", "²", "½"),
    *("true", "false", "null", "None", "no", "~", "[]", "{}", "[[]]", '""', "[1, 2]", '{"a": 1}', "!!python/none x"),
    *(
        "&a",
        "*a",
        "<<",
        "? ",
        ": ",
        "- ",
        "|",
        ">",
        "%YAML 9.9",
        "---",
        "...",
        "@",
        "`",
        "{{ x }}",
        "${x}",
        "%s",
        "%n",
    ),
    *("é", "e\u0301", "\u202e", "\u200b", "\ufeff", "\ud7ff", "😀", "\U0010ffff", "ß", "İ", "\u2028", "x" * 70_000),
    *(
        "http://127.0.0.1:9/x",
        "file:///etc/passwd",
        "con",
        "nul",
        "images",
        "train",
        "label",
        "*",
        "?",
        "(",
        "[",
        "(?P<",
    ),
)
SIZES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WORD = re.compile(rb"[A-Za-z_][\w.-]*|-?\d[\d.eE+-]*")


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: of it.
        seeds: contents of files that it can read.
        suffix: of its files.
        read: gets the path of a file.
        share: of its group's inputs, in proportion to the others'.
        is_binary: whether its files are mutated byte by byte alone.
    """

    name: str
    seeds: Sequence[bytes]
    suffix: str
    read: Callable[[Path], object]
    share: float = 1.0
    is_binary: bool = False


@dataclass
class Find:
    """What should not be: the input, by target and number, and what happened."""

    target: str
    number: int
    happened: str
    told: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.target}:{self.number}: {self.happened}"


def make_input(target: Target, number: int, seed: int) -> bytes:
    """Input `number` of a target."""
    rng = random.Random(f"{seed}/{target.name}/{number}")
    content = rng.choice(target.seeds)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        content = mutate_bytes(content, rng) if target.is_binary else mutate_text(content, rng, target.seeds)
    return content


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """`content` with one change: bits, a number, a part that is lost, doubled, emptied or foreign, or an early end."""
    data, kind = bytearray(content or b"\0"), rng.randrange(9)
    # Headers are where it matters: half of the changes are in the first kilobyte.
    at = rng.randrange(min(len(data), 1024) if rng.random() < 0.5 else len(data))
    length = min(rng.choice((1, 2, 4, 16, 256, 4096)), len(data) - at)
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
    elif kind == 4:
        data[at : at + length] = bytes(length)
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        data[at : at + 4] = rng.choice(SIZES).to_bytes(4, rng.choice(("big", "little")))
    elif kind == 7:
        data[at:at] = rng.randbytes(length)
    else:
        other = rng.randrange(len(data))
        data[at : at + length] = data[other : other + length]
    return bytes(data)


def mutate_text(content: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """`content` with one change to its words, numbers, lines or bytes."""
    kind, words, lines = rng.randrange(8), list(WORD.finditer(content)), content.split(b"\n")
    nasty = rng.choice(NASTY).encode("utf-8", "surrogatepass")
    if kind < 3 and words:
        word = rng.choice(words)
        return content[: word.start()] + nasty + content[word.end() :]
    if kind == 3 and words:
        word, other = rng.choice(words), rng.choice(words)
        return content[: word.start()] + other[0] + content[word.end() :]
    if kind == 4:
        place = rng.randrange(len(lines))
        lines[place : place + 1] = rng.choice(([], [lines[place]] * 2, [lines[place], nasty], [rng.choice(lines)]))
        return b"\n".join(lines)
    if kind == 5:
        place = rng.randrange(len(content) + 1)
        return content[:place] + nasty + content[place:]
    if kind == 6:
        other = rng.choice(seeds)
        return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]
    return mutate_bytes(content, rng)


def share_out(targets: Sequence[Target], total: int) -> list[tuple[Target, int]]:
    """The inputs of a group: of every target in turn, so many as its share comes to."""
    whole = sum(target.share for target in targets)
    counts = [(target, max(round(total * target.share / whole), 1)) for target in targets]
    return [(target, number) for target, count in counts for number in range(count)]


def fuzz(
    inputs: Sequence[tuple[Target, int]],
    seed: int = 0,
    seconds: float = SECONDS,
    megabytes: int = MEGABYTES,
    keep: Path | None = None,
) -> Iterator[Find]:
    """Read every input and tell what should not be.

    Args:
        inputs: targets with the number of an input.
        seed: of the mutations.
        seconds: for one input.
        megabytes: that the process may grow by.
        keep: a folder for the inputs that are finds.
    """
    context = multiprocessing.get_context("fork")
    place, began = context.Value("q", 0, lock=False), context.Value("d", 0.0, lock=False)
    while place.value < len(inputs):
        ours, theirs = context.Pipe(duplex=False)
        began.value = time.monotonic()
        child = context.Process(target=_read_all, args=(inputs, seed, megabytes, place, began, theirs), daemon=True)
        child.start()
        theirs.close()
        hung = False
        while child.is_alive() and not hung:
            child.join(0.02)
            while ours.poll():
                try:
                    yield _keep(ours.recv(), inputs, seed, keep)
                except EOFError:
                    break
            hung = time.monotonic() - began.value > seconds
        while not hung and ours.poll():
            try:
                yield _keep(ours.recv(), inputs, seed, keep)
            except EOFError:
                break
        if hung or child.exitcode != 0:
            target, number = inputs[min(place.value, len(inputs) - 1)]
            child.kill()
            child.join()
            happened = f"still reading after {seconds:g} s" if hung else f"the process ended with {child.exitcode}"
            yield _keep(Find(target.name, number, happened), inputs, seed, keep)
            place.value += 1


def _keep(find: Find, inputs: Sequence[tuple[Target, int]], seed: int, folder: Path | None) -> Find:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        target = next(target for target, _ in inputs if target.name == find.target)
        (folder / f"{find.target}-{find.number}{target.suffix}").write_bytes(make_input(target, find.number, seed))
        (folder / f"{find.target}-{find.number}.txt").write_text(f"{find}\n{find.told}")
    return find


def _read_all(inputs, seed, megabytes, place, began, finds) -> None:
    limit = _memory("VmSize") + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # What libraries print of broken files is not ours.
    sys.stdout = sys.stderr = io.StringIO()
    before = _memory("VmHWM")
    with tempfile.TemporaryDirectory() as folder:
        while place.value < len(inputs):
            target, number = inputs[place.value]
            path = Path(folder, f"input{target.suffix}")
            path.write_bytes(make_input(target, number, seed))
            began.value = time.monotonic()
            sys.stderr.seek(0)
            sys.stderr.truncate()
            if find := read_one(target, number, path):
                finds.send(find)
            if (grown := _memory("VmHWM") - before) > megabytes * 2**20:
                finds.send(Find(target.name, number, f"took {grown // 2**20} MB"))
                before += grown
            place.value += 1


def read_one(target: Target, number: int, path: Path) -> Find | None:
    """What should not be of one input: all but an end without an error, or with one line of it, as a command has."""
    try:
        run_command(lambda: target.read(path))
    except BaseException as error:
        told = (str(error).splitlines() or [""])[0][:200]
        return Find(target.name, number, f"{type(error).__name__}: {told}", traceback.format_exc())
    return None


def _memory(name: str) -> int:
    """Bytes of this process: `VmSize` now, `VmHWM` at most so far."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def main() -> int:
    from helpers.fuzz_targets import GROUPS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for group in GROUPS:
        parser.add_argument(f"--{group}", type=int, default=0, metavar="N", help=f"inputs of {group}")
    parser.add_argument("--only", metavar="TARGET[:NUMBER]", help="one target, or one input of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder of the finds")
    args = parser.parse_args()
    shutil.rmtree(args.output, ignore_errors=True)
    args.output.mkdir(parents=True)
    totals, finds = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for group, make_targets in GROUPS.items():
            wanted = getattr(args, group)
            if not wanted:
                continue
            started, name, number = time.monotonic(), *(args.only or "").partition(":")[::2]
            inputs = share_out(make_targets(Path(folder, group)), wanted)
            inputs = [one for one in inputs if name in ("", one[0].name) and number in ("", str(one[1]))]
            for find in fuzz(inputs, args.seed, keep=args.output):
                finds.append(find)
                print(find, flush=True)
            totals[group] = {"inputs": len(inputs), "seconds": round(time.monotonic() - started)}
            print(f"{group}: {len(inputs)} inputs, {len(finds)} finds so far", flush=True)
    (args.output / "result.json").write_text(json.dumps({"seed": args.seed, "groups": totals, "finds": len(finds)}))
    return int(bool(finds))


if __name__ == "__main__":
    raise SystemExit(main())
