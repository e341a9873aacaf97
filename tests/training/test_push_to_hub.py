"""What would be sent to the Hub: intercepted at the commit, written to a folder, and loaded from there."""

import json
import re
import shlex
import shutil
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from huggingface_hub import HfApi, ModelCard, parse_eval_result_entries
from huggingface_hub.errors import EntryNotFoundError
from peft import LoraConfig, get_peft_model
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from helpers.small_material import make_material, run_main
from helpers.small_run import CODE, answer_here, ask_stranger, train_small, write_clip
from modeling_clipcaer import ClipCaerTrainer, ClipCaerTrainingArguments
from modeling_clipcaer.commands import parquet, push, train
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.models.checkpoints import load_checkpoint
from modeling_clipcaer.models.face_adapter_files import save_face_adapter
from modeling_clipcaer.reports.parcel import EXAMPLE_NAME, pack
from modeling_clipcaer.settings_clipcaer import PixelSettings


TOKEN = "hf_SecretOfThisTest"
PROTOCOL = "official, validation list"
RESULT = {
    *("config.json", "model.safetensors", "video_preprocessor_config.json", "README.md", "LICENSE"),
    *("report.json", "report.md", "confusion_matrix.csv", "confusion_matrix.png", "reliability.png"),
    *("training_curves.png", EXAMPLE_NAME),
}
# What a push changes: the card says where it is, of the report some fields stay, and the example is not the folder's.
CHANGED = {"README.md", "report.json", EXAMPLE_NAME}
REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Takes the place of the Hub: a folder for each repository, and a list of the calls."""

    def __init__(self, folder: Path):
        self.folder, self.repositories, self.commits, self.words, self.public = folder, [], [], [], set()

    def create_repo(self, repo_id, **kwargs):
        self.repositories.append((repo_id, kwargs))
        return SimpleNamespace(repo_id=repo_id if "/" in repo_id else f"me/{repo_id}")

    def repo_info(self, repo_id, **kwargs):
        return SimpleNamespace(private=repo_id not in self.public)

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


def list_files(output: str) -> dict[str, str]:
    """Sizes by name, as a push lists them."""
    return dict(re.findall(r"^  (\S+) +([\d.]+ [kMG]B)$", output, re.MULTILINE))


def measure(path: Path) -> str:
    return f"{path.stat().st_size / 1000:.1f} kB"


def no_card(*args, **kwargs):
    raise EntryNotFoundError("no README.md")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub, and a token for it in the environment."""
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(HfApi, "create_repo", lambda self, *args, **kwargs: hub.create_repo(*args, **kwargs))
    monkeypatch.setattr(HfApi, "create_commit", lambda self, *args, **kwargs: hub.create_commit(*args, **kwargs))
    monkeypatch.setattr(HfApi, "repo_info", lambda self, *args, **kwargs: hub.repo_info(*args, **kwargs))
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
    assert hub.repositories == [("me/emotions", {"repo_type": "model", "private": True, "exist_ok": True})]
    ((repository, names),) = hub.commits
    assert repository == "me/emotions"
    assert {Path(name).stem for name in names if name.endswith(".py")} == CODE
    assert {name for name in names if not name.endswith(".py")} == RESULT
    pushed, run = hub.folder / "me" / "emotions", tmp_path / "run"
    assert all((pushed / name).read_bytes() == (run / name).read_bytes() for name in {*names} - CHANGED)
    # Of persons, places and settings nobody but the folder is told.
    told, kept = (json.loads((folder / "report.json").read_text()) for folder in (pushed, run))
    assert told.items() <= kept.items() and {"by_person", "by_place", "config"} <= kept.keys() - told.keys()
    card = ModelCard((pushed / "README.md").read_text())
    assert card.data.eval_results and card.data.eval_results[0].dataset_args == {"split protocol": PROTOCOL}
    assert 'model="me/emotions"' in card.text and "THIS_FOLDER" in (run / "README.md").read_text()
    clip = write_clip(tmp_path / "clip.mp4")
    download(pushed, "me/emotions", tmp_path / "asked" / "home")
    (answer,) = ask_stranger(clip, ["me/emotions"], tmp_path / "asked")
    del answer["modules"]
    assert answer == answer_here(clip, run)
    # No clip, no person and no picture of one is sent: the three pictures are plots, the video is drawn.
    assert not find_name(pushed, "images/SelfStudy") and not find_name(pushed, "SelfStudy/Lab")
    assert not [name for name in names if Path(name).suffix in (".parquet", ".jpg", ".arrow", ".yaml")]
    output = "".join(capfd.readouterr())
    listed = list_files(output)
    assert sorted(listed) == sorted(names) and listed["model.safetensors"] == measure(run / "model.safetensors")
    assert f"for the model repository me/emotions, private: {len(names)} files" in output
    assert "stays here: run.yaml" in output and output.rindex(" kB") < output.index("https://hub.test")
    assert "https://hub.test/me/emotions/commit/1" in output and TOKEN not in output
    files = [path for path in run.rglob("*") if path.is_file()]
    assert not [path for path in files if path.name == "training_args.bin"]  # it is a pickle of this machine's paths
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_without_the_flag_nothing_is_pushed_and_the_folder_names_the_repository(hub, train_on):
    once = ("--save_strategy", "no", "--eval_strategy", "no")
    assert train_on(*once) == 0
    assert not hub.repositories and not hub.commits
    assert train_on(*once, "--push_to_hub") == 0
    assert hub.repositories == [("run", {"repo_type": "model", "private": True, "exist_ok": True})]
    assert hub.commits[0][0] == "me/run"


def test_what_was_learned_from_lent_data_goes_where_others_read_by_a_flag_alone(hub, train_on, tmp_path, capsys):
    hub.public = {"me/seen"}
    for flags in (["--no_hub_private_repo"], ["--hub_model_id", "me/seen"]):
        assert train_on("--push_to_hub", *flags) == 2  # before any work
        assert not hub.commits and not list((tmp_path / "run").glob("checkpoint-*"))
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert "RAER is for non-commercial research" in first and "--i-may-share-this" in first
    assert "me/seen: others can read this repository; --public" in second


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
    monkeypatch.setattr(HfApi, "repo_info", lambda self, *args, **kwargs: hub.repo_info(*args, **kwargs))
    assert train_on("--push_to_hub", "--hub_model_id", "me/emotions") == 2  # HF_HUB_OFFLINE: the commit cannot be made
    error = capsys.readouterr().err
    assert "is complete, but could not be pushed to me/emotions" in error
    load_checkpoint(str(tmp_path / "run"))
    assert (tmp_path / "run" / "report.json").is_file()
    # The hinted command sends what a push would have sent.
    monkeypatch.setattr(HfApi, "create_commit", lambda self, *args, **kwargs: hub.create_commit(*args, **kwargs))
    program, command, *words = shlex.split(error.strip().partition("try again with: ")[2])
    assert (program, command, run_main(push.main, *words, "--yes")) == ("clipcaer", "push", 0)
    ((repository, names),) = hub.commits
    assert (repository, {*names}) == ("me/emotions", {*RESULT, *(f"{name}.py" for name in CODE)})


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


@pytest.fixture
def folder(tmp_path):
    """The least that is a checkpoint's folder, of drawings."""
    report = {"uar": 50.0, "war": 60.0, "num_clips": 9, "split": "test", "dataset": "own", "labels": ["a", "b"]}
    report |= {"origin": {"name": "drawings"}, "split_protocol": PROTOCOL}
    files = {"config.json": json.dumps({"model_type": "clipcaer"}), "report.json": json.dumps(report)}
    files |= {"LICENSE": "terms", "README.md": "---\nlicense: other\n---\n# A model\nTHIS_FOLDER\n"}
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_file_and_a_field_that_nobody_has_said_are_for_others_stay_here_and_are_told(folder, capsys):
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps(report | {"machine": "mallory"}))
    (folder / "notes.txt").write_text("mallory")
    (folder / "checkpoint-3").mkdir()
    parcel = pack(folder, "me/emotions")
    assert [*parcel.files] == ["LICENSE", "README.md", "config.json", "report.json"]
    assert json.loads(parcel.files["report.json"]) == report
    parcel.tell("me/emotions", "private")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "for the model repository me/emotions, private: 4 files, 0.3 kB"
    assert lines[1:3] == ["  LICENSE         0.0 kB", "  README.md       0.0 kB"]
    assert lines[5:] == [
        "stays here: checkpoint-3/, which is not known to be for others",
        "stays here: notes.txt, which is not known to be for others",
        "stays here: `machine` in report.json, a field that is not known to be for others",
        "card: A model; licence other",
        f"results: UAR 50.0 %, WAR 60.0 % on 9 clips, the test split of own (splits: {PROTOCOL})",
    ]


def test_a_push_lists_and_asks_and_sends_after_a_yes_alone(hub, folder, monkeypatch, capsys):
    command = (push.main, folder, "--repo", "me/emotions")
    assert run_main(*command) == 0
    assert not hub.repositories and "nothing was sent; --yes sends it" in capsys.readouterr().out
    asked = []
    monkeypatch.setattr(push, "looks_on", lambda stream: True)
    for answer in ("", "no", "y"):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: asked.append(question) or answer)
        assert run_main(*command) == 0
    assert asked == ["Send this to me/emotions? [y/N] "] * 3 and len(hub.commits) == 1
    told = []
    monkeypatch.setattr(HfApi, "create_commit", lambda *args, **kwargs: told.append(capsys.readouterr().out) or hub)
    hub.commit_url = "https://hub.test"
    assert run_main(*command, "--yes") == 0
    assert "README.md" in list_files(told[0]) and EXAMPLE_NAME in list_files(told[0])


def test_the_result_is_told_to_a_benchmark_as_the_hub_reads_it(hub, folder):
    words = ("--repo", "me/emotions", "--yes", "--benchmark", "them/emotions", "--benchmark-task", "uar")
    assert run_main(push.main, folder, *words) == 0
    (file,) = (hub.folder / "me" / "emotions" / ".eval_results").iterdir()
    (entry,) = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("them/emotions", "uar", 50.0)
    assert PROTOCOL in entry.notes and "WAR 60.00 %" in entry.notes and "me/emotions" in entry.source_url


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--repo", "emotions"], "`repo`: expected user/name, found emotions"),
        (["--repo", "me/seen"], "me/seen: others can read this repository; --public"),
    ],
)
def test_a_push_that_would_reach_others_than_meant_is_refused(hub, folder, capsys, flags, found):
    hub.public = {"me/seen"}
    assert run_main(push.main, folder, "--yes", *flags) == 2
    assert found in capsys.readouterr().err and not hub.commits


def test_weights_of_lent_data_are_pushed_for_all_by_a_flag_alone(hub, folder, capsys):
    (folder / "report.json").unlink()  # as of a converted checkpoint
    command = (push.main, folder, "--repo", "me/emotions", "--yes")
    assert run_main(*command, "--public") == 2
    assert "It is not known what data the weights were learned from" in capsys.readouterr().err
    assert not hub.repositories
    assert run_main(*command) == run_main(*command, "--public", "--i-may-share-this") == 0
    assert len(hub.commits) == 2


def test_a_card_that_names_a_place_of_this_machine_is_not_pushed(hub, folder, capsys):
    with (folder / "README.md").open("a") as card:
        card.write(f"trained in {folder.absolute()}\n")
    assert run_main(push.main, folder, "--repo", "me/emotions", "--yes") == 2
    assert "README.md: names a place of this machine" in capsys.readouterr().err and not hub.commits


def test_what_is_no_checkpoint_and_a_dataset_of_paths_are_refused(hub, material, tmp_path, capsys):
    for folder, found in ((tmp_path, "found neither"), (material.dataset, "`clipcaer parquet` writes one for others")):
        assert run_main(push.main, folder, "--repo", "me/emotions", "--yes") == 2
        assert found in capsys.readouterr().err
    shards = tmp_path / "shards"
    assert run_main(parquet.main, material.dataset, "--embed", "none", "--output", shards) == 0
    assert run_main(push.main, shards, "--repo", "me/emotions", "--yes", "--i-may-share-this") == 2
    assert "its rows name files of this machine" in capsys.readouterr().err and not hub.commits


def test_shards_go_to_a_dataset_repository_if_the_images_may_be_shared(hub, material, tmp_path, capsys):
    shards = tmp_path / "shards"
    words = ("--embed", "crops", "--i-may-share-these-images")
    assert run_main(parquet.main, material.dataset, *words, "--output", shards) == 0
    (shards / "notes.txt").write_text("mallory")
    command = (push.main, shards, "--repo", "me/clips", "--yes")
    assert run_main(*command) == 2
    assert "RAER, for one, is lent" in capsys.readouterr().err and not hub.repositories
    assert run_main(*command, "--i-may-share-this") == 0
    assert hub.repositories == [("me/clips", {"repo_type": "dataset", "private": True, "exist_ok": True})]
    pushed = hub.folder / "me" / "clips"
    assert {path.name for path in pushed.iterdir()} == {path.name for path in shards.iterdir()} - {"notes.txt"}
    assert 'load_dataset("me/clips")' in (pushed / "README.md").read_text()
    assert "clips: train 24, validation 10, test 10; splits: official" in capsys.readouterr().out
    assert not find_name(pushed, str(material.raer.parent))
