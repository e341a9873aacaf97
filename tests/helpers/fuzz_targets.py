"""The readers that `tests/fuzz.py` feeds, each with real files of its kind."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from fuzz import Target
from PIL import Image
from transformers import AutoTokenizer, CLIPConfig

from helpers import miniatures, raer_tree, videos
from helpers.places import ROOT, TINY_CLIP
from helpers.timelines import make_timeline
from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerVideoProcessor, load_face_adapter
from modeling_clipcaer.common.csv_text import safe_cell
from modeling_clipcaer.common.flags import given_flags, parse_arguments
from modeling_clipcaer.data.annotations import read_lines
from modeling_clipcaer.data.boxes import pack_entry, read_body_file, read_box_file, read_face_file
from modeling_clipcaer.data.build import plan_build
from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.data.layouts import cremad, csv, daisee, engagenet, frame_lists, raer
from modeling_clipcaer.data.layouts.raer import read_origin
from modeling_clipcaer.data.loading import load_clips, read_split_protocol
from modeling_clipcaer.data.loading import read_origin as read_origin_of_record
from modeling_clipcaer.experiments.ablations import read_recipe
from modeling_clipcaer.exports.timeline_json import load_timeline, save_timeline
from modeling_clipcaer.frames import open_clip
from modeling_clipcaer.image_files import read_image, read_image_size
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.label_texts import tokenize
from modeling_clipcaer.models.checkpoints import load_checkpoint, save_checkpoint
from modeling_clipcaer.models.face_adapter_files import save_face_adapter
from modeling_clipcaer.models.measurement import read_measurement
from modeling_clipcaer.models.trainable import read_notes
from modeling_clipcaer.names import find_label_fault, identity_key, merge_names, printable, public_name
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.manifest import Job
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.reports.predictions import Predictions, read_predictions, write_predictions
from modeling_clipcaer.training.arguments import ARGUMENT_TYPES
from modeling_clipcaer.training.checkpoints import check_whole, read_record, write_record


RECIPES = ROOT / "recipes"
VIDEOS = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".gif")
IMAGES = (".jpg", ".png", ".webp", ".bmp")
FRAMES_LOOKED_AT = 8


def make_parsers(folder: Path) -> list[Target]:
    """Readers of lists, tables, boxes, labels, settings, records and timelines."""
    folder.mkdir(parents=True)
    return [*_make_lists(folder), *_make_settings(), *_make_records(folder)]


def _make_lists(folder: Path) -> list[Target]:
    tree = raer_tree.make_tree(folder)
    own = miniatures.make_own_videos(folder / "own")
    dfew = miniatures.make_dfew(folder / "dfew")
    daisee_root = miniatures.make_daisee(folder / "daisee")
    engagenet_root = miniatures.make_engagenet(folder / "engagenet")
    cremad_root = miniatures.make_cremad(folder / "cremad")
    table = (own / "clips.csv").read_bytes()
    boxed = b"\n".join(
        b"%s,%s" % (line.strip(), b"face_left,face_top,face_right,face_bottom,person,split" if not place else cells)
        for place, line in enumerate(table.splitlines()[:6])
        for cells in [b"1,2,30,40,ann,train" if place % 2 else b",,,,bo,test"]
    )
    person = {"person-1": {"1.jpg": [1, 2, 3, 4]}, "person-2": {"1.jpg": [5.5, 6, 7, 8], "2.jpg": [1, 1, 9, 9]}}
    faces = [tree.face_file.read_bytes(), json.dumps({"RAER/images/A/B/1": person}).encode()]

    def build_raer(**files: str) -> Callable[[Path], object]:
        def read(path: Path) -> object:
            settings = raer.Settings(root=str(tree.raer), **{name: str(path) for name in files})
            return plan_build(raer.find_clips(settings), settings)

        return read

    def build_csv(path: Path) -> object:
        settings = csv.Settings(csv=str(path), root=str(own), test_share=0.3, val_share=0.3)
        return plan_build(csv.find_clips(settings), settings)

    def build_lists(path: Path) -> object:
        settings = frame_lists.Settings(
            frames_root=str(dfew / "frames"), train_annotation=str(path), labels=list(miniatures.DFEW_LABELS)
        )
        return frame_lists.find_clips(settings)

    def build_cremad(path: Path) -> object:
        return cremad.read_votes(path, "2")

    def build_daisee(path: Path) -> object:
        root = daisee_root
        return daisee.list_clips(root, "Train", path, "Engagement", daisee.find_videos(root / "DataSet" / "Train"))

    def build_engagenet(path: Path) -> object:
        from collections import Counter

        return list(engagenet.list_clips(engagenet_root, "train", path, Counter()))

    train = tree.train_list.read_bytes()
    return [
        Target("annotation", [train], ".txt", lambda path: read_lines(path, RAER_LABELS, 1), 15),
        Target("raer_list", [train, tree.test_list.read_bytes()], ".txt", build_raer(train_annotation=""), 5),
        Target("raer_boxes", faces[:1], ".json", build_raer(bounding_box_face=""), 3),
        Target("face_boxes", faces, ".json", read_face_file, 15),
        Target("body_boxes", [tree.body_file.read_bytes()], ".json", read_body_file, 10),
        Target("packed_boxes", faces[:1], ".json", lambda path: read_box_file(path, pack_entry), 5),
        Target("csv_table", [table, boxed], ".csv", build_csv, 12),
        Target("frame_list", [(dfew / "train.txt").read_bytes()], ".txt", build_lists, 5),
        Target("daisee", [(daisee_root / "Labels/TrainLabels.csv").read_bytes()], ".csv", build_daisee, 5),
        Target("votes", [(cremad_root / "processedResults/tabulatedVotes.csv").read_bytes()], ".csv", build_cremad, 5),
        Target(
            "workbook",
            [(engagenet_root / "train_engagement_labels.xlsx").read_bytes()],
            ".xlsx",
            build_engagenet,
            2,
            is_binary=True,
        ),
        Target("workbook_xml", [_sheet_of(engagenet_root)], ".xml", _read_sheet(build_engagenet, engagenet_root), 4),
    ]


def _sheet_of(root: Path) -> bytes:
    import zipfile

    with zipfile.ZipFile(root / "train_engagement_labels.xlsx") as workbook:
        return workbook.read("xl/worksheets/sheet1.xml")


def _read_sheet(read: Callable[[Path], object], root: Path) -> Callable[[Path], object]:
    """The XML of a sheet in a workbook that is otherwise whole."""
    import zipfile

    with zipfile.ZipFile(root / "train_engagement_labels.xlsx") as workbook:
        shared = workbook.read("xl/sharedStrings.xml")

    def read_sheet(path: Path) -> object:
        made = path.with_suffix(".xlsx")
        with zipfile.ZipFile(made, "w") as workbook:
            workbook.writestr("xl/sharedStrings.xml", shared)
            workbook.writestr("xl/worksheets/sheet1.xml", path.read_bytes())
        return read(made)

    return read_sheet


def _make_settings() -> list[Target]:
    tokenizer = AutoTokenizer.from_pretrained(TINY_CLIP)
    text_config = CLIPConfig.from_pretrained(TINY_CLIP).text_config
    labels_files = [path.read_bytes() for path in sorted(RECIPES.glob("*_labels.yaml"))]
    training = [path.read_bytes() for path in sorted(RECIPES.glob("*.yaml")) if "_labels" not in path.stem]
    training = [content for content in training if b"tables:" not in content and b"output" not in content[:0]]
    prediction = b"model: outputs/best\nwindow: 10\nstride: 5.0\nthreshold: 0.4\nsmoothing: 3\nfps: 25\nduration: 60\n"
    build = b"csv: clips.csv\noutput: data/own\nval_share: 0.1\nlabels: [a, b]\nunseen_label: a\nlabel_noise: 0.1\n"

    def read_labels(path: Path) -> object:
        fields = read_labels_file(str(path), list(RAER_LABELS))
        return [
            tokenize(tokenizer, text_config, "p", fields[name], RAER_LABELS) for name in fields if "prompts" in name
        ]

    def read_prompts(path: Path) -> object:
        texts = [line for line in path.read_text(errors="replace").split("\n") if line.strip()][:5]
        return tokenize(tokenizer, text_config, "label_prompts", [[text] for text in texts], texts)

    def read_names(path: Path) -> object:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        names = text.split("\n")
        find_label_fault(names[:3])
        [(identity_key(name), public_name(name), safe_cell(name)) for name in names]
        return merge_names(names), printable(text).encode()

    def parse(*kinds: type) -> Callable[[Path], object]:
        def read(path: Path) -> object:
            words = ["--config", str(path)]
            return given_flags(kinds, words), parse_arguments(kinds, words, "")

        return read

    prompts = "\n".join(map(str, RAER_LABELS)).encode()
    from modeling_clipcaer.commands.build import BuildArguments

    return [
        Target("labels_file", labels_files, ".yaml", read_labels, 8),
        Target("prompts", [prompts, "ein Gesicht, müde\n教室\n".encode()], ".txt", read_prompts, 5),
        Target("names", [prompts, "Zoë\nanna \nP012\n".encode(), b"/home/x/y.mp4\nC:\\x\n"], ".txt", read_names, 10),
        Target("train_config", training, ".yaml", parse(*ARGUMENT_TYPES), 0.5),
        Target("predict_config", [prediction], ".yaml", parse(PredictionArguments, TimelineSettings), 2),
        Target("build_config", [build], ".yaml", parse(BuildArguments, csv.Settings), 2),
        Target(
            "ablation_recipe",
            [(RECIPES / "ablation.yaml").read_bytes()[:3000], _small_ablation()],
            ".yaml",
            lambda path: read_recipe(["--config", str(path)], ""),
            1,
        ),
    ]


def _small_ablation() -> bytes:
    return (
        b"output: outputs/ablation\ntables:\n  losses:\n    about: what\n    imbalance: mild\n    flags: {epochs: 2}\n"
        b"    cells:\n      no loss: {mi_loss_weight: 0}\n      mlp: {baseline: MLP}\n"
    )


def _make_records(folder: Path) -> list[Target]:
    timeline = folder / "recording.json"
    save_timeline(make_timeline(), timeline, made_from={"path": "x", "file": {"size": 1}}, outputs=["csv"])
    report = {
        **{"labels": list(RAER_LABELS), "uar": 50.0, "uar_ci95": [40.0, 60.0], "num_clips": 10, "split": "test"},
        **{"absent_labels": ["Fatigue"], "dataset": "raer", "origin": {"name": "RAER", "link": None}},
        **{"baselines": [{"name": "MLP", "uar": 30.0}, {"name": "majority", "uar": 20.0}]},
    }
    record = {"origin": {"name": "a", "link": None, "is_drawn": True}, "split": {"name": "official"}}
    notes = {"lora": {"rank": 4, "alpha": 8.0, "targets": ["q_proj"]}, "base_model": "x", "frozen_sha256": "0" * 64}
    checkpoint = folder / "run" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 3, "max_steps": 9, "train_batch_size": 2}')
    write_record(checkpoint, 3, {"layout": {"processes": 1}, "labels": ["a", "b"]})
    processor = folder / "processor"
    ClipCaerVideoProcessor(image_size=32).save_pretrained(processor)

    def in_folder(name: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
        """A reader of folders, given one with the input by that name."""

        def read_folder(path: Path) -> object:
            home = path.parent / f"of-{name}"
            home.mkdir(exist_ok=True)
            shutil.copyfile(path, home / name)
            return read(home)

        return read_folder

    def read_resumed(home: Path) -> object:
        shutil.copyfile(checkpoint / "trainer_state.json", home / "trainer_state.json")
        return read_record(home), check_whole(home, optimizer=False)

    def read_earlier(home: Path) -> object:
        return check_whole(home, recorded=False)

    def read_done(home: Path) -> object:
        return Job("x", home, {"path": "x", "file": {"size": 1}}, ["csv"]).load_done()

    as_bytes = [json.dumps(content).encode() for content in (report, record, notes)]
    return [
        Target("timeline", [timeline.read_bytes()], ".json", load_timeline, 10),
        Target("done_recording", [timeline.read_bytes()], ".json", in_folder("recording.json", read_done), 2),
        Target("report", as_bytes[:1], ".json", lambda path: read_measurement(read_object(path), RAER_LABELS), 5),
        Target(
            "build_record",
            as_bytes[1:2],
            ".json",
            in_folder("build.json", lambda home: (read_split_protocol(home), read_origin_of_record(home))),
            3,
        ),
        Target("origin", [b'{"name": "x", "is_drawn": true}'], ".json", read_origin, 2),
        Target("trainable_notes", as_bytes[2:], ".json", read_notes, 3),
        Target(
            "run_record",
            [(checkpoint / "resume.json").read_bytes()],
            ".json",
            in_folder("resume.json", read_resumed),
            4,
        ),
        Target(
            "trainer_state",
            [(checkpoint / "trainer_state.json").read_bytes()],
            ".json",
            in_folder("trainer_state.json", read_earlier),
            2,
        ),
        Target(
            "processor",
            [(processor / "video_preprocessor_config.json").read_bytes()],
            ".json",
            in_folder("video_preprocessor_config.json", ClipCaerVideoProcessor.from_pretrained),
            2,
        ),
    ]


def make_media(folder: Path) -> list[Target]:
    """Readers of videos, of every container, and of images, of every format."""
    folder.mkdir(parents=True)
    targets = []
    for suffix in VIDEOS:
        path = folder / f"seed{suffix}"
        if suffix == ".gif":
            frames = [Image.fromarray(frame) for frame in videos.stairs(8, (48, 32))]
            frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
        else:
            videos.write_video(path, videos.noise(12, (64, 48)), sound=suffix in (".mp4", ".mkv"), keyframe_distance=4)
        targets.append(Target(suffix[1:], [path.read_bytes()], suffix, read_video, 4, is_binary=True))
    picture = Image.fromarray(next(videos.noise(1, (64, 48))))
    exif = picture.getexif()
    exif[0x0112] = 6
    for suffix, options in ((".jpg", {"exif": exif}), (".png", {"exif": exif}), (".webp", {}), (".bmp", {})):
        seeds = [_encode(picture, suffix, **options), _encode(picture.convert("L"), suffix, **options)]
        targets.append(Target(suffix[1:], seeds, suffix, read_picture, 2, is_binary=True))
    return targets


def _encode(picture: Image.Image, suffix: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=Image.registered_extensions()[suffix], **options)
    return file.getvalue()


def read_video(path: Path) -> object:
    """The index of a video, some of its frames as they come, and one by one."""
    source = open_clip(path)
    places = np.linspace(0, len(source) - 1, min(FRAMES_LOOKED_AT, len(source))).astype(int).tolist()
    shapes = {tuple(frame.shape) for frame in source.read(sorted(set(places)))}
    assert len(shapes) == 1 and source.seconds == sorted(source.seconds)
    return [list(source.read([places[-1]])), source.notes]


def read_picture(path: Path) -> object:
    """A picture and its size."""
    pixels = read_image(path)
    assert pixels.dtype == torch.uint8 and pixels.shape[0] == 3
    assert read_image_size(path) == (pixels.shape[2], pixels.shape[1])
    return read_image(path.read_bytes(), min_side=8)


def make_checkpoints(folder: Path) -> list[Target]:
    """Readers of the folders and files of models: of each one file is broken, the others are whole."""
    whole = folder / "whole"
    model, processor = tiny_model(), ClipCaerVideoProcessor(image_size=32, num_frames=4)
    save_checkpoint(model, processor, whole)
    save_face_adapter(model, folder / "adapter")
    answers = Predictions(list("ab"), ["x", "y"], ["p", "q"], np.array([0, 1]), np.eye(2, dtype=np.float32))
    write_predictions(answers, folder / "predictions.parquet")
    dataset = _make_dataset(folder)

    def replace_file(source: Path, name: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
        def read_folder(path: Path) -> object:
            home = path.parent / "home"
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(source, home, ignore=shutil.ignore_patterns("*.py"))
            shutil.copyfile(path, home / name)
            return read(home)

        return read_folder

    def read_model(home: Path) -> object:
        return load_checkpoint(str(home))

    def read_adapter(home: Path) -> object:
        return load_face_adapter(tiny_model(), home)

    def read_dataset(home: Path) -> object:
        rows = load_clips(home)["train"]
        return [row["clip_id"] for row in rows]

    def target(name: str, source: Path, file: str, read: Callable[[Path], object], share: float) -> Target:
        content, suffix = (source / file).read_bytes(), Path(file).suffix
        return Target(name, [content], suffix, replace_file(source, file, read), share, suffix != ".json")

    return [
        target("weights", whole, "model.safetensors", read_model, 6),
        target("config", whole, "config.json", read_model, 8),
        target("video_processor", whole, "video_preprocessor_config.json", read_model, 3),
        target("adapter_weights", folder / "adapter", "adapter_model.safetensors", read_adapter, 3),
        target("adapter_config", folder / "adapter", "adapter_config.json", read_adapter, 2),
        Target(
            "predictions",
            [(folder / "predictions.parquet").read_bytes()],
            ".parquet",
            read_predictions,
            3,
            is_binary=True,
        ),
        target("dataset_info", dataset, "train/dataset_info.json", read_dataset, 3),
        target("dataset_state", dataset, "train/state.json", read_dataset, 2),
        target("dataset_rows", dataset, "train/data-00000-of-00001.arrow", read_dataset, 4),
        target("dataset_splits", dataset, "dataset_dict.json", read_dataset, 1),
    ]


def _make_dataset(folder: Path) -> Path:
    tree = raer_tree.make_tree(folder)
    raer.build_dataset(tree.raer, folder / "dataset")
    return folder / "dataset"


GROUPS = {"parsers": make_parsers, "media": make_media, "checkpoints": make_checkpoints}
