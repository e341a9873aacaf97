import numpy as np
import pytest
from datasets import DatasetDict, concatenate_datasets, load_from_disk

from helpers.small_material import run_main
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.commands.train import main as train_main
from modeling_clipcaer.data.cached_clips import CachedEmbedsCollator
from modeling_clipcaer.data.loading import get_labels, load_clips
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.experiments.grids import FAILURE, Grid, Task, read_flags, run_grid
from modeling_clipcaer.experiments.materials import ClipStore, Fold, Material, _Clip, check_parts, cut_fold
from modeling_clipcaer.experiments.runs import RECORD, choose_epochs, read_run, read_run_flags
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.models.building import build_model, build_processor
from modeling_clipcaer.reports.predictions import read_predictions
from modeling_clipcaer.training.clip_cache import cache_clips


EPOCHS = (
    "--epochs",
    "2",
    "--learning_rate",
    "1e-2",
    "--flip_prob",
    "0.5",
    "--rotation_degrees",
    "0",
    "--tower_dtype",
    "float32",
)


@pytest.fixture(scope="module")
def words(material):
    flags = list(material.flags)
    place = flags.index("--dataset")
    return (*flags[:place], *flags[place + 2 :], *EPOCHS, "--cache_frame_embeds", "--cache_views", "2")


@pytest.fixture(scope="module")
def finished(material, words, tmp_path_factory):
    """A grid of two runs that differ in the seed, and its folder."""
    folder = tmp_path_factory.mktemp("grid")
    tasks = tuple(Task("cell", words, Material("own", str(material.dataset)), seed) for seed in (0, 1))
    run_grid(Grid(folder, tasks))
    return Grid(folder, tasks)


def test_a_run_is_the_one_of_train_to_the_last_bit_of_its_losses(material, words, finished, tmp_path):
    flags = [*words, "--dataset", material.dataset, "--output_dir", tmp_path, "--seed", 1, "--report_to", "none"]
    assert run_main(train_main, *flags, "--dataloader_num_workers", 0) == 0
    run = read_run(finished.tasks[1].find_folder(finished.output_dir))
    state = read_object(next(tmp_path.glob("checkpoint-*")).parent / "checkpoint-6" / "trainer_state.json")
    for name in ("loss", "eval_loss", "eval_uar", "loss_mi"):
        theirs = [entry[name] for entry in state["log_history"] if name in entry]
        assert theirs and theirs == [entry[name] for entry in run.record["history"] if name in entry]
    report = read_object(tmp_path / "report.json")
    answers = read_predictions(finished.tasks[1].find_folder(finished.output_dir))
    hits = answers.logits.argmax(axis=1) == answers.references
    assert report["last_epoch"]["war"] == pytest.approx(100 * hits.mean())


def test_a_run_keeps_the_answers_of_every_epoch(material, finished):
    clips = load_from_disk(material.dataset)
    folder = finished.tasks[0].find_folder(finished.output_dir)
    run, answers = read_run(folder), read_predictions(folder)
    assert {split: logits.shape for split, logits in run.logits.items()} == {
        split: (2, len(clips[split]), 5) for split in ("validation", "test")
    }
    assert answers.clip_ids == clips["test"]["clip_id"][:] and answers.person_ids == clips["test"]["person_id"][:]
    assert np.array_equal(answers.logits, run.logits["test"][-1])
    assert not np.array_equal(run.logits["test"][0], run.logits["test"][1])


def test_a_grid_trains_what_is_not_finished_and_refuses_what_was_made_otherwise(finished, words):
    folders = [task.find_folder(finished.output_dir) for task in finished.tasks]
    before = [(folder / RECORD).stat().st_mtime_ns for folder in folders]
    (folders[0] / RECORD).unlink()  # as if it had been killed before its end
    run_grid(finished)
    after = [(folder / RECORD).stat().st_mtime_ns for folder in folders]
    assert after[0] > before[0] and after[1] == before[1]
    other = Task("cell", (*words, "--temperature", "0.2"), finished.tasks[0].material, 0)
    with pytest.raises(InputError, match=r"seed-0: its run had temperature 0.07, now 0.2: name another --output"):
        run_grid(Grid(finished.output_dir, (other,)))


def test_a_run_that_fails_says_why_and_the_others_go_on(finished, words):
    broken = Task("broken", (*words, "--adapter_residual_ratio", "0"), finished.tasks[0].material, 0)
    run_grid(Grid(finished.output_dir, (broken, *finished.tasks)))
    folder = broken.find_folder(finished.output_dir)
    assert "the face adapter can receive no gradient" in read_object(folder / FAILURE)["error"]
    assert not (folder / RECORD).exists()


@pytest.mark.slow
def test_the_same_grid_in_two_processes_gives_the_same_numbers_to_the_last_digit(finished, tmp_path):
    run_grid(Grid(tmp_path, finished.tasks), jobs=2)
    for task in finished.tasks:
        first, second = (read_run(task.find_folder(folder)) for folder in (finished.output_dir, tmp_path))
        assert all(np.array_equal(logits, second.logits[split]) for split, logits in first.logits.items())


@pytest.mark.parametrize("flags", [("--streams", "face"), ("--num_frames", "2"), ("--cache_views", "1")])
def test_what_changes_no_pixels_makes_no_other_cache(material, words, finished, flags, tmp_path):
    folder, read = finished.output_dir / "cache", read_flags((*words, *flags))
    before = set(folder.rglob("*.arrow"))
    store = ClipStore(folder, views=2)
    shared = store.read(finished.tasks[0].material, read)
    assert before == set(folder.rglob("*.arrow"))
    # Its clips are those of a cache of this run's own.
    own = make_own_cache(material, read, tmp_path)
    for split in ("train", "validation"):
        for theirs, ours in zip(collate(own[split], read, split), collate(shared[split], read, split), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def make_own_cache(material, flags, folder):
    clips = load_clips(material.dataset)
    model = build_model(flags.model, get_labels(clips)).eval()
    return cache_clips(model, build_processor(model, flags.pixels), clips, flags.cache, folder)


def collate(rows, flags, split):
    processor = ClipCaerVideoProcessor(flags.model.num_frames, image_size=32)
    mode = "train" if split == "train" else "eval"
    collator = CachedEmbedsCollator(processor, mode, streams=flags.model.streams)
    collator.most_views = flags.cache.cache_views
    batch = collator([rows[number] for number in range(len(rows))])
    return [batch[name].numpy() for name in sorted(batch)]


def test_flags_that_belong_to_the_experiment_are_refused(words):
    with pytest.raises(InputError, match="`output_dir` is not taken"):
        read_run_flags([*words, "--output_dir", "elsewhere"])
    with pytest.raises(InputError, match="`seed` is not taken"):
        read_run_flags([*words, "--seed", "3"])
    assert read_run_flags(["--config", "demo"]).at(7, "here").training.seed == 7


def test_the_chosen_epoch_is_the_first_of_the_best(finished):
    run = read_run(finished.tasks[0].find_folder(finished.output_dir))
    history = [{"eval_uar": uar, "eval_loss": loss} for uar, loss in ((50, 0.9), (70, 0.4), (70, 0.3), (60, 0.3))]
    chosen = choose_epochs(type(run)({"history": history}, run.logits))
    assert chosen == {"last": 3, "best validation UAR": 1, "least validation loss": 2}


def make_rows(material, persons):
    """The material's clips as one split, clip by clip of the next of so many persons."""
    rows = concatenate_datasets(list(load_from_disk(material.dataset).values()))
    names = [f"P{number % persons}" for number in range(len(rows))]
    return DatasetDict(train=rows.remove_columns("person_id").add_column("person_id", names))


def test_folds_test_every_clip_once_and_share_no_person(material):
    clips = make_rows(material, persons=7)
    tested = []
    for number in (1, 2, 3):
        parts = cut_fold(clips, Fold(number, 3, 0.2, 42), "here")
        persons = {split: set(rows["person_id"][:]) for split, rows in parts.items()}
        assert not persons["train"] & persons["test"] and not persons["train"] & persons["validation"]
        assert not persons["validation"] & persons["test"]
        assert sum(map(len, parts.values())) == len(clips["train"])
        tested += parts["test"]["clip_id"][:]
    assert sorted(tested) == sorted(clips["train"]["clip_id"][:])


def test_folds_without_a_label_to_learn_or_with_a_clip_twice_are_refused(material):
    clips = make_rows(material, persons=7)
    label = clips["train"].features["label"]
    gone = clips["train"].filter(lambda row: label.int2str(row["label"]) != "Fatigue")
    with pytest.raises(InputError, match="here: fold 1 leaves no clip of `Fatigue` for training"):
        cut_fold(DatasetDict(train=gone), Fold(1, 3, 0.2, 42), "here")
    twice = DatasetDict(train=clips["train"], test=clips["train"].select([3]))
    with pytest.raises(InputError, match="is there twice"):
        cut_fold(twice, Fold(1, 3, 0.2, 42), "here")
    with pytest.raises(InputError, match="no column `person_id`"):
        cut_fold(DatasetDict(train=clips["train"].remove_columns("person_id")), Fold(1, 3, 0.2, 42), "here")


def test_a_person_in_two_parts_is_refused():
    parts = {name: [_Clip(name, person, 0, "")] for name, person in (("fold 1", "A"), ("fold 2", "A"))}
    with pytest.raises(InputError, match="here: person A is in fold 1 and in fold 2"):
        check_parts(parts, "here")
