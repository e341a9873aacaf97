"""What would be sent to the Hub: intercepted at the commit, written to a folder, and loaded from there."""

import json
import shlex
import shutil
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.cli.hf import app as hf
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.utils import filter_repo_objects
from peft import LoraConfig, get_peft_model
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from helpers.small_material import make_material, run_main
from helpers.small_run import CODE, answer_here, ask_stranger, train_small, write_clip
from modeling_clipcaer import ClipCaerTrainer, ClipCaerTrainingArguments
from modeling_clipcaer.commands import train
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.models.face_adapter_files import save_face_adapter
from modeling_clipcaer.reports.hub import push_files
from modeling_clipcaer.settings_clipcaer import PixelSettings


TOKEN = "hf_SecretOfThisTest"
RESULT = {
    *("config.json", "model.safetensors", "video_preprocessor_config.json", "README.md", "LICENSE"),
    *("report.json", "report.md", "confusion_matrix.csv", "confusion_matrix.png", "reliability.png"),
    "training_curves.png",
}
REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Takes the place of the Hub: a folder for each repository, and a list of the calls."""

    def __init__(self, folder: Path):
        self.folder, self.repositories, self.commits, self.words = folder, [], [], []

    def create_repo(self, repo_id, **kwargs):
        self.repositories.append((repo_id, kwargs))
        return SimpleNamespace(repo_id=repo_id if "/" in repo_id else f"me/{repo_id}")

    def create_commit(self, repo_id, operations, **kwargs):
        self.commits.append((repo_id, [operation.path_in_repo for operation in operations]))
        self.words.append(str(kwargs))
        for operation in operations:
            target = self.folder / repo_id / operation.path_in_repo
            target.parent.mkdir(parents=True, exist_ok=True)
            content = operation.path_or_fileobj
            target.write_bytes(content if isinstance(content, bytes) else Path(content).read_bytes())
        return SimpleNamespace(commit_url=f"https://hub.test/{repo_id}/commit/1")


def download(pushed: Path, repo_id: str, home: Path) -> None:
    """What a user's cache holds of a repository after a download."""
    cache = home / "hub" / f"models--{repo_id.replace('/', '--')}"
    shutil.copytree(pushed, cache / "snapshots" / REVISION)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(REVISION)


def no_card(*args, **kwargs):
    raise EntryNotFoundError("no README.md")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub, and a token for it in the environment."""
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(HfApi, "create_repo", lambda self, *args, **kwargs: hub.create_repo(*args, **kwargs))
    monkeypatch.setattr(HfApi, "create_commit", lambda self, *args, **kwargs: hub.create_commit(*args, **kwargs))
    monkeypatch.setattr(ModelCard, "load", no_card)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def read_all(path: Path) -> bytes:
    """Every byte of a file, those that are packed in it too: texts of a PNG, members of an archive."""
    content = path.read_bytes()
    if path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
            content += repr(image.info).encode()
        place = 8
        while place < len(content) and len(content) - place >= 12:
            size, kind = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
            body = content[place + 8 : place + 8 + size]
            if kind in (b"zTXt", b"iTXt"):
                packed = body.partition(b"\0")[2]
                for start in range(len(packed)):
                    try:
                        content += zlib.decompress(packed[start:])
                    except zlib.error:
                        continue
            place += size + 12
            if kind == b"IEND":
                break
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(name.encode() + archive.read(name) for name in archive.namelist())
    return content


def find_name(folder: Path, name: str, *, apart_from: tuple[str, ...] = ()) -> list[str]:
    """Files under `folder` that hold `name`, in their own name or anywhere within."""
    needles = [name.encode(), name.encode("utf-16-le")]
    paths = [path for path in folder.rglob("*") if path.is_file()]
    found = [path for path in paths if any(needle in path.name.encode() + read_all(path) for needle in needles)]
    return sorted({path.relative_to(folder).parts[0] for path in found} - set(apart_from))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with the material in it, by absolute paths that name somebody."""
    return tmp_path_factory.mktemp("home") / "mallory-q7"


@pytest.fixture(scope="module")
def session_folder(tmp_path_factory):
    return tmp_path_factory.getbasetemp()


@pytest.fixture
def train_on(session_folder, tmp_path):
    """Exit status of a short training run with more flags."""
    flags = (*make_material(session_folder).flags, "--max_steps", 1, "--dataloader_num_workers", 0)
    return lambda *more: run_main(train.main, *flags, "--output_dir", tmp_path / "run", *more)


@pytest.mark.slow
def test_a_run_pushes_its_result_once_and_whole(hub, train_on, tmp_path, capfd):
    assert train_on("--push_to_hub", "--hub_model_id", "me/emotions", "--save_strategy", "epoch") == 0
    assert hub.repositories == [("me/emotions", {"private": True, "exist_ok": True})]
    ((repository, names),) = hub.commits
    assert repository == "me/emotions"
    assert {Path(name).stem for name in names if name.endswith(".py")} == CODE
    assert {name for name in names if not name.endswith(".py")} == RESULT
    pushed, run = hub.folder / "me" / "emotions", tmp_path / "run"
    assert all((pushed / name).read_bytes() == (run / name).read_bytes() for name in {*names} - {"report.json"})
    # Of persons, places and settings nobody but the folder is told.
    told, kept = (json.loads((folder / "report.json").read_text()) for folder in (pushed, run))
    assert told.items() <= kept.items() and {"by_person", "by_place", "config"} <= kept.keys() - told.keys()
    assert ModelCard((pushed / "README.md").read_text()).data.eval_results
    assert 'model="me/emotions"' in (pushed / "README.md").read_text()
    clip = write_clip(tmp_path / "clip.mp4")
    download(pushed, "me/emotions", tmp_path / "asked" / "home")
    (answer,) = ask_stranger(clip, ["me/emotions"], tmp_path / "asked")
    del answer["modules"]
    assert answer == answer_here(clip, run)
    # No clip, no person and no picture of one is sent: the three pictures are plots.
    assert not find_name(pushed, "images/SelfStudy") and not find_name(pushed, "SelfStudy/Lab")
    assert not [name for name in names if Path(name).suffix in (".parquet", ".jpg", ".arrow", ".yaml")]
    output = "".join(capfd.readouterr())
    (listed,) = (line for line in output.splitlines() if line.startswith("pushing to me/emotions: "))
    assert sorted(listed.partition(": ")[2].split(", ")) == sorted(names)
    assert output.index(listed) < output.index("https://hub.test")
    assert "https://hub.test/me/emotions/commit/1" in output and TOKEN not in output
    files = [path for path in run.rglob("*") if path.is_file()]
    assert not [path for path in files if path.name == "training_args.bin"]  # it is a pickle of this machine's paths
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_without_the_flag_nothing_is_pushed_and_the_folder_names_the_repository(hub, train_on):
    once = ("--save_strategy", "no", "--eval_strategy", "no")
    assert train_on(*once) == 0
    assert not hub.repositories and not hub.commits
    assert train_on(*once, "--push_to_hub", "--no_hub_private_repo") == 0
    assert hub.repositories == [("run", {"private": False, "exist_ok": True})]
    assert hub.commits[0][0] == "me/run"


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--hub_token", TOKEN], "`hub_token` is not taken"),
        (["--push_to_hub", "--hub_strategy", "every_save"], "`hub_strategy` must be end, got every_save"),
        (["--push_to_hub", "--hub_model_id", "a/b/c"], "a/b/c: no repository"),
    ],
)
def test_what_cannot_be_pushed_safely_is_refused_before_work(monkeypatch, train_on, tmp_path, capsys, flags, message):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert train_on(*flags) == 2
    error = capsys.readouterr().err
    assert message in error and TOKEN not in error
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_push_needs_a_token(monkeypatch, train_on, tmp_path, capsys):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("modeling_clipcaer.reports.hub.get_token", lambda: None)
    assert train_on("--push_to_hub") == 2
    assert "HF_TOKEN" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_push_that_fails_leaves_the_result_and_says_how_to_go_on(hub, monkeypatch, train_on, tmp_path, capsys):
    monkeypatch.undo()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(HfApi, "create_repo", lambda self, *args, **kwargs: hub.create_repo(*args, **kwargs))
    assert train_on("--push_to_hub", "--hub_model_id", "me/emotions") == 2  # HF_HUB_OFFLINE: the commit cannot be made
    error = capsys.readouterr().err
    assert "is complete, but could not be pushed to me/emotions" in error and "hf upload me/emotions" in error
    load_checkpoint(str(tmp_path / "run"))
    assert (tmp_path / "run" / "report.json").is_file()
    # The hinted command, read by the Hub's own program, sends what a push would have sent.
    sent = {}
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, **kwargs: sent.update(kwargs))
    command = error.strip().partition("try again with: hf ")[2]
    assert CliRunner().invoke(hf, shlex.split(command)).exit_code == 0
    assert (sent["repo_id"], sent["folder_path"], sent["path_in_repo"]) == ("me/emotions", f"{tmp_path}/run", ".")
    there = [path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*")]
    filters = {"allow_patterns": sent["allow_patterns"], "ignore_patterns": sent["ignore_patterns"]}
    monkeypatch.undo()
    chosen = set(filter_repo_objects(there, **filters))
    # Without the report, of which a push leaves fields out.
    assert chosen == {*RESULT, *(f"{name}.py" for name in CODE)} - {"report.json"}
    assert {"run.yaml", "checkpoint-1/config.json"} <= {*there} - chosen


def test_a_model_and_its_processor_push_themselves_with_their_code(hub, session_folder):
    model, processor = load_checkpoint(str(train_small(session_folder)))
    model.push_to_hub("me/by-hand")
    processor.push_to_hub("me/by-hand")
    pushed = hub.folder / "me" / "by-hand"
    assert {path.stem for path in pushed.glob("*.py")} == CODE
    again, _ = load_checkpoint(str(pushed))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_search_for_a_name_finds_it_where_it_is_packed(tmp_path):
    texts = PngInfo()
    texts.add_text("Source", "made by mallory", zip=True)
    Image.new("L", (2, 2)).save(tmp_path / "a.png", pnginfo=texts)
    torch.save({"path": "/home/mallory"}, tmp_path / "b.bin")
    assert find_name(tmp_path, "mallory") == ["a.png", "b.bin"]


@pytest.mark.slow
def test_nothing_that_leaves_a_run_says_whose_machine_it_was(hub, home):
    material = make_material(home)
    run = home / "runs" / "raer"
    flags = ("--epochs", 1, "--save_strategy", "epoch", "--dataloader_num_workers", 0, "--run_name", home / "one")
    push = ("--push_to_hub", "--hub_model_id", "me/emotions", "--output_dir", run)
    assert run_main(train.main, *material.flags, *flags, *push) == 0
    assert not find_name(hub.folder, "mallory") and not find_name(hub.folder, "/tmp")
    assert not [words for words in (*hub.words, *map(str, hub.commits)) if "mallory" in words]
    # Nor what somebody uploads by hand: run.yaml alone says where things are.
    assert find_name(run, "mallory") == ["run.yaml"]
    report, config = (json.loads((run / name).read_text()) for name in ("report.json", "config.json"))
    assert (report["checkpoint"], report["dataset"]) == ("raer", "dataset")
    assert config["clip_config"]["_name_or_path"] == "clip"

    model, processor = load_checkpoint(str(run))
    model.push_to_hub("me/by-hand")
    processor.push_to_hub("me/by-hand")
    save_face_adapter(model, home / "adapter")
    alone = LoraConfig(target_modules="dummy-target-modules", modules_to_save=["face_adapter"])
    get_peft_model(model, alone).save_pretrained(home / "peft")
    for folder in (hub.folder, home / "adapter", home / "peft"):
        assert not find_name(folder, "mallory"), folder
    assert json.loads((home / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "raer"


def test_a_trainer_pushes_model_and_processor_and_nothing_else_of_its_folder(hub, home):
    material = make_material(home)
    model = build_model(ModelArguments(clip_model=str(material.clip), num_context_tokens=2), ["calm", "glad"])
    run = home / "by" / "trainer"
    run.mkdir(parents=True)
    (run / "run.yaml").write_text("dataset: /home/mallory")
    args = ClipCaerTrainingArguments(str(run), report_to="none", eval_strategy="no")
    trainer = ClipCaerTrainer(model, args, processing_class=build_processor(model, PixelSettings()))
    trainer.push_to_hub()
    assert {repository for repository, _ in hub.commits} == {"me/trainer"}
    pushed = {path.name for path in (hub.folder / "me" / "trainer").iterdir()}
    assert {"config.json", "model.safetensors", "video_preprocessor_config.json"} <= pushed
    assert pushed.isdisjoint({"run.yaml", "training_args.bin"}) and not find_name(hub.folder, "mallory")
    with pytest.raises(InputError, match="`hub_strategy` must be end, got every_save"):
        args = ClipCaerTrainingArguments(str(run), push_to_hub=True, hub_strategy="every_save", report_to="none")
        ClipCaerTrainer(model, args, processing_class=trainer.processing_class)


def test_a_file_and_a_field_that_nobody_has_said_are_for_others_stay_here_and_are_told(hub, tmp_path, capsys):
    (tmp_path / "report.json").write_text(json.dumps({"uar": 50.0, "machine": "mallory"}))
    (tmp_path / "notes.txt").write_text("mallory")
    (tmp_path / "LICENSE").write_text("terms")
    push_files(tmp_path, ["report.json", "notes.txt", "LICENSE"], "me/emotions")
    assert hub.commits == [("me/emotions", ["LICENSE", "report.json"])]
    assert json.loads((hub.folder / "me" / "emotions" / "report.json").read_text()) == {"uar": 50.0}
    assert capsys.readouterr().out.splitlines() == [
        "not pushed: notes.txt, which is not known to be for others",
        "not pushed: `machine` in report.json, a field that is not known to be for others",
        "pushing to me/emotions: LICENSE, report.json",
    ]


def test_what_is_sent_is_told_before_anything_is_sent(hub, monkeypatch, tmp_path, capsys):
    told = []
    monkeypatch.setattr(HfApi, "create_commit", lambda *args, **kwargs: told.append(capsys.readouterr().out) or hub)
    hub.commit_url = "https://hub.test"
    (tmp_path / "LICENSE").write_text("terms")
    push_files(tmp_path, ["LICENSE"], "me/emotions")
    assert told == ["pushing to me/emotions: LICENSE\n"]
