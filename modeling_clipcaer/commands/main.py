"""`clipcaer NAME ...`: finds the command of a name, and starts it."""

import sys
from importlib import import_module

from modeling_clipcaer.common.terminal import run_command, tell
from modeling_clipcaer.errors import InputError


COMMANDS = {
    "new": "write a recipe for your own data, value by value",
    "train": "train, select by the validation split, test once",
    "evaluate": "measure a checkpoint on a split",
    "compare": "tell whether runs differ by more than noise",
    "folds": "train all folds by person, test every clip once",
    "ablate": "measure what each part of the method is worth",
    "stress": "measure a checkpoint on clips with something wrong",
    "predict": "turn recordings into timelines, or clips into labels",
    "app": "the same in a browser, for a recording that is dropped",
    "explain": "show what answers rest on",
    "export": "write a checkpoint as one file for deployment",
    "zero-shot": "measure a plain CLIP checkpoint, without training",
    "convert": "turn a checkpoint of the research code into ours, or back",
    "build": "build a dataset from clips on disk",
    "import": "add corrected segments to a dataset",
    "audit": "look for what is wrong with a dataset",
    "detect-boxes": "find faces and bodies in clips without boxes",
    "view": "draw what the model sees of chosen clips",
    "parquet": "write a dataset as parquet shards",
    "push": "send a checkpoint or shards to the Hub, listed first",
    "synthetic": "draw a data set of student scenes",
    "draw": "draw a classroom as a recording, or a sheet of scenes",
    "clip-to-video": "write clips of a dataset as one video",
    "pretrain-tiny-clip": "train the tiny CLIP on drawings",
    "demo": "the whole way on drawn data",
    "doctor": "say what is there, and what will be slow",
}
USAGE = "usage: clipcaer COMMAND [FLAGS]\n\nclipcaer COMMAND --help shows the flags of a command, of these:"


def main() -> int:
    """Start the command that the first word names."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        tell("\n".join([USAGE, "", *(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())]))
        return 0
    return start(words[0], words=words[1:])


def start(*names: str, words: list[str] | None = None) -> int:
    """Run a command, as `start("build", "csv")`, and return its exit status.

    Args:
        names: the command, and the words that always follow it.
        words: the rest of the command line, by default that of this process.
    """

    def run() -> None:
        if names[0] not in COMMANDS:
            raise InputError(f"unknown command '{names[0]}'; expected one of {', '.join(COMMANDS)}")
        rest = sys.argv[1:] if words is None else words
        sys.argv = [f"clipcaer {names[0]}", *names[1:], *rest]
        import_module(f"modeling_clipcaer.commands.{names[0].replace('-', '_')}").main()

    return run_command(run)


if __name__ == "__main__":
    raise SystemExit(main())
