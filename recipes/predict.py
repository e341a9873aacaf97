"""Predict the label of videos and of folders of frames.

python recipes/predict.py VIDEO_OR_FOLDER... --model DIR --output_dir OUT

Without boxes both streams see the whole frame. Boxes are JSON files in RAER's form, keyed by the clip as it is named
on the command line, by its last part, or by RAER's path:
    {"lesson.mp4": {"0": [left, top, right, bottom]}}   face boxes; frames of a video by number from 0, files by name
    {"lesson.mp4": [left, top, right, bottom]}          body boxes
"""

import csv
import json
import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

import torch

from modeling_clipcaer.errors import InputError, run_command
from modeling_clipcaer.frame_files import list_frame_names
from modeling_clipcaer.frames import open_clip
from modeling_clipcaer.pipeline_clipcaer import ClipCaerPipeline
from modeling_clipcaer.training_arguments import option
from recipes.boxes import ClipBoxes, read_boxes
from recipes.checkpoints import check_output_dir, load_checkpoint, staged_folder
from recipes.command_line import parse_arguments
from recipes.reporting import RESPONSIBLE_USE


@dataclass
class PredictionArguments:
    """What is predicted from what."""

    inputs: list[str] = option(MISSING, "Videos and folders of frames.")
    model: str = option(MISSING, "Checkpoint: a folder, or an id on the Hub.")
    output_dir: str = option(MISSING, "Folder for predictions.json and predictions.csv.")
    bounding_box_face: str | None = option(None, "JSON file of face boxes.")
    bounding_box_body: str | None = option(None, "JSON file of body boxes.")
    device: str | None = option(None, "cpu, cuda, cuda:1, ...; the accelerator where there is one by default.")


def main() -> None:
    (args,) = parse_arguments((PredictionArguments,), name_inputs(sys.argv[1:]), __doc__)
    check_output_dir(args.output_dir)
    check_device(args.device)
    print(RESPONSIBLE_USE)
    clips = [find_clip(path) for path in args.inputs]
    boxes = read_boxes(args.bounding_box_face, args.bounding_box_body)
    model, processor = load_checkpoint(args.model)
    pipeline = ClipCaerPipeline(
        model=model, video_processor=processor, device=args.device, task="academic-emotion-recognition"
    )
    predictions = [predict_clip(pipeline, clip, boxes) for clip in clips]
    with staged_folder(args.output_dir) as folder:
        write_predictions(predictions, list(model.config.id2label.values()), args.model, folder)
    for prediction in predictions:
        print(f"{prediction['clip']}: {prediction['label']} ({prediction['score']:.2f})")
    print(f"scores of every label: {args.output_dir}/predictions.json, predictions.csv")


def name_inputs(argv: list[str]) -> list[str]:
    """The inputs are what is neither a flag nor its value, before the flags or behind them."""
    inputs, flags, words = [], [], iter(argv)
    for word in words:
        if not word.startswith("-"):
            inputs.append(word)
        elif word != "--inputs":
            takes_value = "=" not in word and word not in ("-h", "--help")
            flags += [word, *([next(words, "")] if takes_value else [])]
    return ["--inputs", *inputs, *flags] if inputs else flags


def check_device(name: str | None) -> None:
    """Refuse a device that torch does not know or does not have."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name}: expected a device of this machine: {reason}") from error


def find_clip(path: str) -> str:
    """`path` if it is a file or a folder of frames."""
    if not Path(path).exists():
        raise InputError(f"{path}: expected a video or a folder of frames, found nothing")
    if Path(path).is_dir() and not list_frame_names(path):
        raise InputError(f"{path}: expected a video or a folder of frames, found a folder without images")
    return path


def predict_clip(pipeline: ClipCaerPipeline, path: str, boxes: ClipBoxes) -> dict:
    """Scores of one clip, and which boxes it was cut by."""
    source = open_clip(path)
    names = list_frame_names(path) if Path(path).is_dir() else [str(number) for number in range(len(source))]
    face_boxes, face_box_sources, body_box = boxes.find(path, names)
    ranking = pipeline({"video": path, "face_boxes": face_boxes, "body_box": body_box})
    return {
        "clip": path,
        **ranking[0],
        "scores": {entry["label"]: entry["score"] for entry in ranking},
        "num_frames": len(names),
        "face_boxes": {source: face_box_sources.count(source) for source in dict.fromkeys(face_box_sources)},
        "body_box": "given" if body_box else "whole frame",
    }


def write_predictions(predictions: list[dict], labels: list[str], checkpoint: str, folder: Path) -> None:
    """predictions.json and predictions.csv."""
    content = {"checkpoint": checkpoint, "notice": RESPONSIBLE_USE, "predictions": predictions}
    (folder / "predictions.json").write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "label", "score", *labels])
        for prediction in predictions:
            scores = [prediction["scores"][label] for label in labels]
            writer.writerow([prediction["clip"], prediction["label"], prediction["score"], *scores])


if __name__ == "__main__":
    raise SystemExit(run_command(main))
