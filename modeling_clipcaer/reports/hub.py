"""The way to the Hub: repositories, who may read them, and what is sent, in one commit."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from transformers.trainer_utils import HubStrategy

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.reports.model_card import find_restriction
from modeling_clipcaer.reports.parcel import Parcel, refuse_terms
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments


def check_hub_arguments(args: ClipCaerTrainingArguments) -> None:
    """Refuse, before any work, what would betray the token or push more than the result."""
    if args.hub_token is not None:
        raise InputError(
            "`hub_token` is not taken: as a flag it would be seen by others and saved with the run; "
            "put it into the environment as HF_TOKEN"
        )
    if args.hub_strategy != HubStrategy.END:
        found = HubStrategy(args.hub_strategy).value
        raise InputError(f"`hub_strategy` must be end, got {found}: the result is pushed when it is complete")
    if args.push_to_hub:
        check_token("`push_to_hub`")


def check_token(what: str) -> None:
    """Refuse to go on without a token."""
    if get_token() is None:
        raise InputError(f"{what} needs a token that may write: put it into the environment as HF_TOKEN")


def create_repository(args: ClipCaerTrainingArguments, origin: Mapping[str, Any] | None) -> str | None:
    """Id of the repository on the Hub that the result will go to, made before any work; `None`: none is asked for.

    The Trainer is relieved of pushing: it would send every file in the output folder, the clips' paths among them.

    Args:
        args: of the run.
        origin: what data it learns from.
    """
    if not args.push_to_hub:
        return None
    args.push_to_hub = False
    if args.process_index != 0:
        return None
    name = args.hub_model_id or Path(args.output_dir).absolute().name
    if not args.hub_private_repo:
        refuse_terms(name, find_restriction(origin))
    repository = make_repository(name, "model", args.hub_private_repo)
    if check_readers(repository, "model", is_for_all=not args.hub_private_repo):
        refuse_terms(repository, find_restriction(origin))
    return repository


def make_repository(name: str, kind: str, private: bool | None) -> str:
    """Id of a repository on the Hub, which is made where it is not there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        return HfApi().create_repo(name, repo_type=kind, private=private, exist_ok=True).repo_id
    except Exception as error:  # those of the Hub's HTTP library too, which has changed before
        raise InputError(f"{name}: no repository could be made on the Hub: {_reason(error)}") from error


def check_readers(repo_id: str, kind: str, is_for_all: bool) -> bool:
    """Whether others can read a repository.

    Raises:
        InputError: they can, and it is not meant for all.
    """
    try:
        is_public = not HfApi().repo_info(repo_id, repo_type=kind).private
    except Exception as error:
        raise InputError(f"{repo_id}: the Hub does not say whether it is private: {_reason(error)}") from error
    if is_public and not is_for_all:
        flags = "--public (in training --no-hub-private-repo)"
        raise InputError(f"{repo_id}: others can read this repository; {flags} says that they may")
    return is_public


def send(parcel: Parcel, repo_id: str, revision: str | None = None) -> str:
    """Send what was listed, in one commit, so that the repository never holds half of it.

    Returns:
        Address of the commit.
    """
    operations = [CommitOperationAdd(name, content) for name, content in parcel.files.items()]
    message = "Add a checkpoint" if parcel.kind == "model" else "Add a dataset"
    try:
        commit = HfApi().create_commit(
            repo_id, operations, commit_message=message, repo_type=parcel.kind, revision=revision
        )
    except Exception as error:
        words = ["clipcaer", "push", str(parcel.folder), "--repo", repo_id]
        raise InputError(
            f"{parcel.folder} is complete, but could not be pushed to {repo_id} ({_reason(error)}); "
            f"try again with: {shlex.join([*words, *(['--revision', revision] if revision else [])])}"
        ) from error
    return commit.commit_url


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
