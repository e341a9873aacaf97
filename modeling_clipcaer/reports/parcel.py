"""What of a folder goes to the Hub, and what is said of it before: of a checkpoint, or of a dataset's shards."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow.parquet as pq
import yaml
from huggingface_hub import EvalResultEntry, ModelCard, eval_result_entries_to_yaml

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
            refuse_terms(self.folder, self.terms)


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


def refuse_terms(what: str | Path, terms: str | None) -> None:
    """Refuse to pass on what these terms are of; `None` allows it.

    Raises:
        InputError: there are such.
    """
    if terms:
        raise InputError(f"{what}: {terms} `clipcaer push {SHARE_FLAG}` sends it all the same")
