"""What goes to the Hub: chosen, told, and sent in one commit, by `clipcaer push` and at the end of a training."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from huggingface_hub import (
    CommitOperationAdd,
    EvalResultEntry,
    HfApi,
    ModelCard,
    eval_result_entries_to_yaml,
    get_token,
)
from transformers.trainer_utils import HubStrategy

from modeling_clipcaer.common.disk import as_size
from modeling_clipcaer.common.files import render_json
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig
from modeling_clipcaer.data.fetching import find_pictures
from modeling_clipcaer.data.parquet.card import LICENCE
from modeling_clipcaer.data.parquet.shards import (
    CARD_NAME,
    LICENCE_NAME,
    PROCESSOR_NAME,
    PUBLISHED,
    find_shards,
    without_paths,
)
from modeling_clipcaer.data.record import RECORD_NAME
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object, read_text
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.reports.evaluation import REPORT_FIELDS
from modeling_clipcaer.reports.model_card import address_card, find_restriction
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments


# What others get of a checkpoint, beside the model's code, and of a dataset. What is not named here is not pushed.
OF_MODELS = (
    *(CARD_NAME, LICENCE_NAME, "config.json", "video_preprocessor_config.json"),
    *("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"),
    *("report.json", "report.md", "confusion_matrix.csv", "confusion_matrix.png", "reliability.png"),
    "training_curves.png",
)
OF_DATASETS = (CARD_NAME, LICENCE_NAME, RECORD_NAME, PROCESSOR_NAME, "*-*-of-*.parquet")
# Fields of the records that are published.
PUBLISHED_FIELDS = {
    "report.json": REPORT_FIELDS,
    "config.json": {
        *(field.name for field in fields(ClipCaerConfig)),
        *("architectures", "auto_map", "custom_pipelines", "dtype", "id2label", "label2id", "model_type"),
        *("tie_word_embeddings", "transformers_version", "use_cache"),
    },
    "video_preprocessor_config.json": {
        *ClipCaerVideoProcessor().to_dict(),
        *("auto_map", "processor_class", "video_processor_type"),
    },
    RECORD_NAME: {*PUBLISHED, "arguments", "unreadable_clips_left_out"},
}
EXAMPLE_NAME = "example.mp4"
EVAL_RESULTS = ".eval_results/clipcaer.yaml"
SHARE_FLAG = "--i-may-share-this"
TEXTS = (".md", ".json", ".csv", ".yaml", "")  # suffixes of files in which a place of this machine might stand


@dataclass(frozen=True)
class Parcel:
    """What would be sent of a folder."""

    folder: Path
    kind: str
    """"model" or "dataset"."""
    files: dict[str, Path | bytes]
    """By their names in the repository: where each is, or its content where it is not the folder's own."""
    withheld: list[str]
    """Words for each file, or field of a record, that stays here."""
    summary: list[str]
    """What the card says, in lines."""
    terms: str | None
    """Why it may not be passed on; `None`: nothing is known of such."""

    def tell(self, repo_id: str, where: str) -> None:
        """List it."""
        sizes = {name: _measure(content) for name, content in self.files.items()}
        told = f"{len(sizes)} files, {as_size(sum(sizes.values()))}"
        tell(f"for the {self.kind} repository {repo_id}, {where}: {told}")
        for name, size in sizes.items():
            tell(f"  {name:<{max(map(len, sizes))}}  {as_size(size):>9}")
        for words in self.withheld:
            tell(f"stays here: {words}")
        for line in self.summary:
            tell(line)
        if self.terms:
            tell(f"terms: {self.terms}")

    def check_terms(self, is_public: bool, may_share: bool) -> None:
        """Refuse to send clips of people in any case, and weights that are lent where others could read them.

        Raises:
            InputError: that would be so, and nobody said that it may.
        """
        if not may_share and (is_public or self.kind == "dataset"):
            _refuse(self.folder, self.terms)


def pack(
    folder: str | os.PathLike, repo_id: str, example: bytes | None = None, benchmark: tuple[str, str] | None = None
) -> Parcel:
    """
    What may be published of a checkpoint's folder, or of a folder of shards.

    Args:
        folder: a checkpoint, or a dataset as `clipcaer parquet` writes it.
        repo_id: where it will be; the card then says so.
        example: a video for the widget of a model.
        benchmark: id of a dataset on the Hub and its task there, for which the result stands.

    Raises:
        InputError: the folder is neither, or something in it names a place of this machine.
    """
    folder = Path(folder)
    kind = _find_kind(folder)
    code = {path.name for path in Path(__file__).parents[1].glob("*.py")} if kind == "model" else set()
    patterns = OF_MODELS if kind == "model" else OF_DATASETS
    files: dict[str, Path | bytes] = {}
    withheld = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and (path.name in code or any(map(path.match, patterns))):
            files[path.name], unknown = _publish_fields(path)
            withheld += [f"`{name}` in {path.name}, a field that is not known to be for others" for name in unknown]
        else:
            withheld.append(f"{path.name}{'/' * path.is_dir()}, which is not known to be for others")
    summarise = _summarise_model if kind == "model" else _summarise_dataset
    summary, terms = summarise(folder)
    if kind == "model" and example is not None:
        files[EXAMPLE_NAME] = example
    if benchmark is not None:
        files[EVAL_RESULTS] = render_eval_results(folder, repo_id, *benchmark)
    if CARD_NAME in files:
        files[CARD_NAME] = address_card(read_text(folder / CARD_NAME), repo_id, files, EXAMPLE_NAME).encode()
    _check_places(folder, files)
    return Parcel(folder, kind, dict(sorted(files.items())), withheld, summary, terms)


def _find_kind(folder: Path) -> str:
    config = folder / "config.json"
    if config.is_file() and read_object(config).get("model_type") == ClipCaerConfig.model_type:
        return "model"
    if find_shards(folder):
        return "dataset"
    found = "a dataset of paths of this machine: `clipcaer parquet` writes one for others"
    found = found if (folder / "dataset_dict.json").is_file() else "neither"
    raise InputError(f"{folder}: expected a checkpoint's folder, or shards of `clipcaer parquet`, found {found}")


def _publish_fields(path: Path) -> tuple[Path | bytes, list[str]]:
    """A file as it is, or without the fields and the folders that may not be published, and the names of those."""
    if path.name not in PUBLISHED_FIELDS:
        return path, []
    content = read_object(path)
    unknown = sorted(content.keys() - PUBLISHED_FIELDS[path.name])
    kept = without_paths({name: value for name, value in content.items() if name not in unknown})
    return path if kept == content else render_json(kept).encode(), unknown


def _summarise_model(folder: Path) -> tuple[list[str], str | None]:
    """What the card of a checkpoint says, and its terms: those of a checkpoint without a report are not known."""
    report = read_object(folder / "report.json") if (folder / "report.json").is_file() else None
    lines = _summarise_card(folder)
    if report is None:
        return [*lines, "results: none, there is no report.json"], find_restriction(None)
    protocol = f" (splits: {report['split_protocol']})" if report.get("split_protocol") else ""
    told = f"UAR {report['uar']:.1f} %, WAR {report['war']:.1f} % on {report['num_clips']} clips"
    where = f"the {report['split']} split of {report['dataset']}{protocol}"
    return [*lines, f"results: {told}, {where}"], find_restriction(report.get("origin"))


def _summarise_dataset(folder: Path) -> tuple[list[str], str | None]:
    """What the card of shards says, and their terms."""
    sizes, shards = {}, find_shards(folder)
    for split, paths in shards.items():
        sizes[split] = sum(pq.read_metadata(path).num_rows for path in paths)
        if not find_pictures(pq.read_schema(paths[0])):
            found = "its rows name files of this machine, and hold no pictures"
            raise InputError(f"{folder}: {found}; `clipcaer parquet --embed frames` writes what others can read")
    record = read_object(folder / RECORD_NAME) if (folder / RECORD_NAME).is_file() else {}
    is_drawn = (record.get("origin") or {}).get("is_drawn")
    counts = ", ".join(f"{split} {size}" for split, size in sizes.items())
    protocol = (record.get("split") or {}).get("name") or "not known"
    lines = [*_summarise_card(folder), f"clips: {counts}; splits: {protocol}"]
    return lines, None if is_drawn else f"It holds pictures of people. {LICENCE}"


def _summarise_card(folder: Path) -> list[str]:
    if not (folder / CARD_NAME).is_file():
        return ["card: none"]
    card = ModelCard(read_text(folder / CARD_NAME), ignore_metadata_errors=True)
    title = next((line[2:] for line in card.text.splitlines() if line.startswith("# ")), "without a title")
    licence = card.data.get("license_name") or card.data.get("license") or "none named"
    return [f"card: {title}; licence {licence}"]


def render_eval_results(folder: Path, repo_id: str, dataset: str, task: str) -> bytes:
    """The result as the Hub's leaderboards read it: UAR, for a task of a benchmark.

    Raises:
        InputError: the folder has no result.
    """
    report = read_object(folder / "report.json")
    protocol = f", splits: {report['split_protocol']}" if report.get("split_protocol") else ""
    origin = report.get("origin") or {}
    entry = EvalResultEntry(
        dataset_id=dataset,
        task_id=task,
        value=round(report["uar"], 2),
        dataset_revision=origin.get("commit") if origin.get("hub_id") == dataset else None,
        source_url=f"https://huggingface.co/{repo_id}/blob/main/report.json",
        source_name="report.json",
        notes=f"UAR, %: mean recall of {len(report['labels'])} labels on {report['num_clips']} clips of the "
        f"{report['split']} split{protocol}; WAR {report['war']:.2f} %",
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True).encode()


def _check_places(folder: Path, files: Mapping[str, Path | bytes]) -> None:
    """Refuse a text in which a place of this machine stands, as somebody may have written into a card."""
    places = {str(folder.absolute()), str(Path.home())} - {"/"}
    for name, content in files.items():
        if Path(name).suffix in TEXTS:
            text = content.decode() if isinstance(content, bytes) else read_text(content)
            if found := next((place for place in places if place in text), None):
                raise InputError(f"{folder / name}: names a place of this machine, '{found}'; take it out")


def _measure(content: Path | bytes) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


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
        _refuse(name, find_restriction(origin))
    repository = make_repository(name, "model", args.hub_private_repo)
    if check_readers(repository, "model", is_for_all=not args.hub_private_repo):
        _refuse(repository, find_restriction(origin))
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


def _refuse(what: str | Path, terms: str | None) -> None:
    if terms:
        raise InputError(f"{what}: {terms} `clipcaer push {SHARE_FLAG}` sends it all the same")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
