"""Pushing the result of a run to the Hub."""

import os
import shlex
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from transformers.trainer_utils import HubStrategy

from modeling_clipcaer.common.files import render_json
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.reports.evaluation import REPORT_FIELDS
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments


# What others get of a result, beside the model's code. What is not named here is not pushed.
PUBLISHED_FILES = (
    *("README.md", "LICENSE", "config.json", "video_preprocessor_config.json"),
    *("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"),
    *("report.json", "report.md", "confusion_matrix.csv", "confusion_matrix.png", "reliability.png"),
    "training_curves.png",
)
# Fields of the records that are published.
PUBLISHED_FIELDS = {
    "report.json": REPORT_FIELDS,
    "config.json": {
        *(field.name for field in fields(ClipCaerConfig)),
        *(
            "architectures",
            "auto_map",
            "custom_pipelines",
            "dtype",
            "id2label",
            "label2id",
            "model_type",
            "transformers_version",
        ),
        *("tie_word_embeddings", "use_cache"),
    },
    "video_preprocessor_config.json": {
        *ClipCaerVideoProcessor().to_dict(),
        *("auto_map", "processor_class", "video_processor_type"),
    },
}


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
    """Send what may be published of the files `names` of `folder` in one commit, so that the repository never holds
    half a result. What is sent is told first. A file or a field of a record that is not known to be for others stays
    here, and is told, too.

    Returns:
        Address of the commit.
    """
    folder = Path(folder)
    files, withheld = collect_published(folder, names)
    for words in withheld:
        tell(f"not pushed: {words}")
    tell(f"pushing to {repo_id}: {', '.join(files)}")
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    try:
        commit = HfApi().create_commit(
            repo_id, operations, commit_message="Add the result of a training run", revision=revision
        )
    except Exception as error:
        raise InputError(
            f"{folder} is complete, but could not be pushed to {repo_id} ({_reason(error)}); "
            f"try again with: {spell_upload(folder, files, repo_id, revision)}"
        ) from error
    return commit.commit_url


def collect_published(folder: Path, names: Iterable[str]) -> tuple[dict[str, Path | bytes], list[str]]:
    """What may be published of the files `names` of a folder, and what may not.

    Returns:
        Name of each file and where it is, or its content where fields are left out of it; and words for each file or
        field that stays here.
    """
    code = {path.name for path in Path(__file__).parents[1].glob("*.py")}
    files: dict[str, Path | bytes] = {}
    withheld = []
    for path in (folder / name for name in sorted(names)):
        if path.is_file() and (path.name in code or any(map(path.match, PUBLISHED_FILES))):
            files[path.name], unknown = _publish_fields(path)
            withheld += [f"`{name}` in {path.name}, a field that is not known to be for others" for name in unknown]
        else:
            withheld.append(f"{path.name}, which is not known to be for others")
    return files, withheld


def _publish_fields(path: Path) -> tuple[Path | bytes, list[str]]:
    """A file as it is, or without the fields that may not be published, and the names of these."""
    if path.name not in PUBLISHED_FIELDS:
        return path, []
    content = read_object(path)
    unknown = sorted(content.keys() - PUBLISHED_FIELDS[path.name])
    if not unknown:
        return path, []
    kept = {name: value for name, value in content.items() if name not in unknown}
    return render_json(kept).encode(), unknown


def spell_upload(folder: Path, files: dict[str, Path | bytes], repo_id: str, revision: str | None) -> str:
    """The Hub's command that sends the same files. Those of which fields are left out it cannot send."""
    # Keep: a flag for each name. What follows the first word of a flag would be taken for something else.
    words = ["hf", "upload", repo_id, str(folder), "."]
    words += [word for name, content in files.items() if isinstance(content, Path) for word in ("--include", name)]
    return shlex.join([*words, *(["--revision", revision] if revision else [])])


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
