"""The result of a run to the Hub."""

import os
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from transformers.trainer_utils import HubStrategy

from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.errors import InputError


def check_hub_arguments(args: ClipCaerTrainingArguments) -> None:
    """Refuse, before any work, what would betray the token or push more than the result."""
    if args.hub_token is not None:
        raise InputError(
            "`hub_token` is not taken: as a flag it would be seen by others and saved with the run; "
            "put it into the environment as HF_TOKEN"
        )
    if args.hub_strategy != HubStrategy.END:
        raise InputError(
            f"`hub_strategy` must be end, got {args.hub_strategy.value}: the result is pushed when it is complete"
        )
    if args.push_to_hub and get_token() is None:
        raise InputError("`push_to_hub` needs a token that may write: put it into the environment as HF_TOKEN")


def create_repository(args: ClipCaerTrainingArguments) -> str | None:
    """Id of the repository on the Hub that the result will go to, made before any work; `None`: none is asked for.

    The Trainer is relieved of pushing: it would send every file in the output folder, the clips' paths among them.
    """
    if not args.push_to_hub:
        return None
    args.push_to_hub = False
    if args.process_index != 0:
        return None
    name = args.hub_model_id or Path(args.output_dir).absolute().name
    try:
        return HfApi().create_repo(name, private=args.hub_private_repo, exist_ok=True).repo_id
    except Exception as error:  # those of the Hub's HTTP library too, which has changed before
        raise InputError(f"{name}: no repository could be made on the Hub: {_reason(error)}") from error


def push_files(folder: str | os.PathLike, names: Iterable[str], repo_id: str, revision: str | None = None) -> str:
    """Send the files `names` of `folder` in one commit, so that the repository never holds half a result.

    Returns:
        Address of the commit.
    """
    operations = [CommitOperationAdd(name, Path(folder, name)) for name in sorted(names)]
    try:
        commit = HfApi().create_commit(
            repo_id, operations, commit_message="Add the result of a training run", revision=revision
        )
    except Exception as error:
        raise InputError(
            f"{folder} is complete, but could not be pushed to {repo_id} ({_reason(error)}); "
            f"try again with: hf upload {repo_id} {folder} --exclude 'checkpoint-*' 'dataset/*' run.yaml"
        ) from error
    return commit.commit_url


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
