"""What would be sent to the Hub: intercepted at the commit, written to a folder, and loaded from there."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import EntryNotFoundError
from small_material import make_material, run_main
from small_run import ask_stranger, train_small, write_clip
from test_remote_code import CODE, answer_here

from recipes import train
from recipes.checkpoints import load_checkpoint


TOKEN = "hf_SecretOfThisTest"
REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Takes the place of the Hub: a folder for each repository, and a list of the calls."""

    def __init__(self, folder: Path):
        self.folder, self.repositories, self.commits = folder, [], []

    def create_repo(self, repo_id, **kwargs):
        self.repositories.append((repo_id, kwargs))
        return SimpleNamespace(repo_id=repo_id if "/" in repo_id else f"me/{repo_id}")

    def create_commit(self, repo_id, operations, **kwargs):
        self.commits.append((repo_id, [operation.path_in_repo for operation in operations]))
        for operation in operations:
            target = self.folder / repo_id / operation.path_in_repo
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(operation.path_or_fileobj, target)
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
    assert {name for name in names if not name.endswith(".py")} == {
        *("config.json", "model.safetensors", "video_preprocessor_config.json", "README.md", "LICENSE"),
        *("report.json", "report.md", "confusion_matrix.csv", "confusion_matrix.png", "reliability.png"),
        "training_curves.png",
    }
    pushed, run = hub.folder / "me" / "emotions", tmp_path / "run"
    assert all((pushed / name).read_bytes() == (run / name).read_bytes() for name in names)
    assert ModelCard((pushed / "README.md").read_text()).data.eval_results
    assert 'model="me/emotions"' in (pushed / "README.md").read_text()
    clip = write_clip(tmp_path / "clip.mp4")
    download(pushed, "me/emotions", tmp_path / "asked" / "home")
    (answer,) = ask_stranger(clip, ["me/emotions"], tmp_path / "asked")
    del answer["modules"]
    assert answer == answer_here(clip, run)
    output = "".join(capfd.readouterr())
    assert "https://hub.test/me/emotions/commit/1" in output and TOKEN not in output
    files = [path for path in run.rglob("*") if path.is_file()]
    assert any(path.name == "training_args.bin" for path in files)
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
    monkeypatch.setattr("recipes.hub.get_token", lambda: None)
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


def test_a_model_and_its_processor_push_themselves_with_their_code(hub, session_folder):
    model, processor = load_checkpoint(str(train_small(session_folder)))
    model.push_to_hub("me/by-hand")
    processor.push_to_hub("me/by-hand")
    pushed = hub.folder / "me" / "by-hand"
    assert {path.stem for path in pushed.glob("*.py")} == CODE
    again, _ = load_checkpoint(str(pushed))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
