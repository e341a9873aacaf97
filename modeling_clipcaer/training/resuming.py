"""From which checkpoint a run goes on, and that it spoils no result by it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets import DatasetDict

from modeling_clipcaer.common.files import complete_file, write_json
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.arguments import TrainableArguments
from modeling_clipcaer.models.trainable import NOTES, PLAIN_WEIGHTS, WEIGHTS, fingerprint_weights, restore_weights
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments
from modeling_clipcaer.training.checkpoints import adopt_best, check_whole, find_last, list_checkpoints, read_record
from modeling_clipcaer.training.run_comparison import compare_clips, fingerprint_clips
from modeling_clipcaer.training.settings import CacheArguments
from modeling_clipcaer.training.trainer import ClipCaerTrainer


RESULT = "report.json"  # the last file of a finished run


class RestoringTrainer(ClipCaerTrainer):
    """Resumes from weights that fit to the last key, and from those that are not whole. The Trainer would warn."""

    notes: dict | None = None  # what completes its checkpoints, where they are no plain models

    def _save(self, output_dir=None, state_dict=None):
        super()._save(output_dir, state_dict)
        if self.notes is not None and self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            (folder / PLAIN_WEIGHTS).replace(folder / WEIGHTS)
            with complete_file(folder / NOTES) as path:
                write_json(self.notes, path)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        restore_weights(model or self.model, resume_from_checkpoint)

    def check_resumable(self, checkpoint):
        """Refuse also what would replace a finished result by another. Of a run in another folder the best checkpoint
        so far is copied over."""
        found = super().check_resumable(checkpoint)
        output_dir, checkpoint = Path(self.args.output_dir).resolve(), Path(checkpoint).resolve()
        if found.changed and (output_dir / RESULT).exists():
            raise InputError(
                f"{output_dir}: holds the result of a finished run; its run had {'; '.join(found.changed)}: "
                f"name another --output, with --resume-from-checkpoint {checkpoint}"
            )
        if self.is_world_process_zero() and checkpoint.parent != output_dir:
            adopt_best(checkpoint, output_dir)
        return found


def find_resume_checkpoint(args: ClipCaerTrainingArguments) -> Path | None:
    """The checkpoint to go on from. A folder with checkpoints is never trained into by accident, nor a run of another
    folder into one with a result.

    Raises:
        InputError: that would be so, or the checkpoint is not whole.
    """
    output_dir, wanted = Path(args.output_dir), args.resume_from_checkpoint
    optimizer = not args.resume_without_optimizer
    for name in ("resume_without_optimizer", "resume_without_record"):
        if wanted is None and getattr(args, name):
            raise InputError(f"`{name}` belongs to `resume_from_checkpoint`, which is not given; leave it out")
    if wanted == "last":
        if args.resume_without_record:
            raise InputError("`resume_without_record` needs the checkpoint's path: which one is whole cannot be told")
        if optimizer and not list_checkpoints(output_dir):
            # So that one command, given again and again, ends a run that may be stopped at any moment.
            if (output_dir / RESULT).exists():
                raise InputError(
                    f"{output_dir}: holds a result and no checkpoint to go on from; name another --output"
                )
            if args.process_index == 0:
                tell(f"{output_dir}: holds no checkpoint yet, so the run begins")
            return None
        checkpoint, passed_over = find_last(output_dir, optimizer)
        if args.process_index == 0:
            for words in passed_over:
                tell(f"passed over: {words}")
            tell(f"going on from {checkpoint}")
        return checkpoint
    if wanted is not None:
        check_whole(wanted, optimizer, recorded=not args.resume_without_record)
        # Keep: as what it is. Through a symlink neither its run's folder nor the best checkpoint beside it is found.
        checkpoint = Path(wanted).resolve()
        if checkpoint.parent == output_dir.resolve():
            return checkpoint
    if list_checkpoints(output_dir):
        raise InputError(
            f"{output_dir}: holds checkpoints of an earlier run; go on with --resume-from-checkpoint last, "
            "or name another --output"
        )
    if wanted is None:
        return None
    if (output_dir / RESULT).exists():
        raise InputError(f"{output_dir}: holds the result of another run; name another --output")
    return checkpoint


def collect_facts(
    model: ClipCaerForVideoClassification,
    clips: DatasetDict,
    cache_args: CacheArguments,
    trainable_args: TrainableArguments,
) -> dict[str, dict]:
    """What a new model's run is made with that its trainer does not know."""
    state = model.state_dict()
    weights = fingerprint_weights(state, {name for name in state if name.startswith("model.clip.")})
    settings = {
        "cache": vars(cache_args),
        "parts": vars(trainable_args),
        "clip": {"weights of clip_model": weights, "attn_implementation": model.config._attn_implementation},
    }
    return {"settings": settings, "splits": clips}


def check_rebuilt_clips(checkpoint: Path, build: Callable[[Path], str | Path]) -> None:
    """Refuse RAER's own files, before a dataset is replaced, if they are others than when the run began.

    Args:
        checkpoint: that the run goes on from.
        build: builds the dataset into a folder.

    Raises:
        InputError: the clips are others.
    """
    with tempfile.TemporaryDirectory() as folder:
        clips = load_clips(build(Path(folder, "dataset")))
        found = compare_clips(
            read_record(checkpoint)["run"]["clips"], {split: fingerprint_clips(rows) for split, rows in clips.items()}
        )
    if found:
        raise InputError(f"{checkpoint}: its run had {'; '.join(found)}: go on with its clips, or start another one")


@contextmanager
def removed_if_not_begun(build_dir: Path) -> Iterator[None]:
    """A dataset that is built for a run goes again if the run ends in an error before its first checkpoint."""
    existed = build_dir.exists()
    try:
        yield
    except BaseException:
        if not existed and not list_checkpoints(build_dir.parent):
            shutil.rmtree(build_dir, ignore_errors=True)
        raise
