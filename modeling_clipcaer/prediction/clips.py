"""One answer for each clip: `predict --clips`."""

import csv
from pathlib import Path
from typing import Any

from rich.text import Text

from modeling_clipcaer.common.csv_text import safe_row
from modeling_clipcaer.common.files import staged_folder, write_json
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.terminal import add_path
from modeling_clipcaer.data.clip_boxes import ClipBoxes
from modeling_clipcaer.errors import check_utf8
from modeling_clipcaer.frame_files import list_frame_names
from modeling_clipcaer.frames import open_clip
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.names import printable, public_name
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.failures import Outcome, one_line, take_away_log, tell_failure
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.recordings.pipeline import ClipCaerPipeline


def predict_clips(
    clips: list[str],
    model: ClipCaerForVideoClassification,
    processor: ClipCaerVideoProcessor,
    boxes: ClipBoxes,
    args: PredictionArguments,
    tower_dtype: str,
    measured: dict[str, Any] | None,
) -> Outcome:
    """Answer for each of `clips`, and write the answers, with how well the model was `measured`."""
    pipeline = ClipCaerPipeline(
        task="academic-emotion-recognition",
        model=model,
        video_processor=processor,
        device=model.device,
        tower_dtype=tower_dtype,
    )
    output_dir = Path(args.output_dir)
    take_away_log(output_dir)
    predictions, failed = [], {}
    for clip in clips:
        try:
            check_utf8(clip)
            predictions.append(predict_clip(pipeline, clip, boxes))
        except Exception as error:  # Keep: of any kind. No single clip loses the answers for the others.
            failed[printable(clip)] = tell_failure(clip, error, output_dir)
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    with staged_folder(args.output_dir) as folder:
        write_predictions(predictions, failed, labels, args.model, folder, measured)
    lines: list[str | Text] = [
        f"{one_line(found['clip'])}: {found['label']} ({found['score']:.2f})" for found in predictions
    ]
    lines.append(add_path("scores of every label", f"{args.output_dir}/predictions.json, predictions.csv"))
    return Outcome(lines, list(failed.values()))


def predict_clip(pipeline: ClipCaerPipeline, path: str, boxes: ClipBoxes) -> dict:
    """Scores of one clip, and which boxes it was cut by."""
    source = open_clip(path)
    names = list_frame_names(path) if Path(path).is_dir() else [str(number) for number in range(len(source))]
    face_boxes, face_box_sources, body_box = boxes.find(path, names)
    ranking = pipeline({"video": path, "face_boxes": face_boxes, "body_box": body_box}, window=None)
    return {
        "clip": path,
        **ranking[0],
        "scores": {entry["label"]: entry["score"] for entry in ranking},
        "num_frames": len(names),
        "face_boxes": {source: face_box_sources.count(source) for source in dict.fromkeys(face_box_sources)},
        "body_box": "given" if body_box else "whole frame",
    }


def write_predictions(
    predictions: list[dict],
    failed: dict[str, str],
    labels: list[str],
    checkpoint: str,
    folder: Path,
    measured: dict[str, Any] | None = None,
) -> None:
    """predictions.json, which also says why a clip failed, and predictions.csv."""
    failures = [{"clip": clip, "error": error} for clip, error in failed.items()]
    content = {
        "checkpoint": public_name(checkpoint),
        "measured": measured,
        "notice": RESPONSIBLE_USE,
        "predictions": predictions,
        "failed": failures,
    }
    write_json(content, folder / "predictions.json")
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(safe_row(["clip", "label", "score", *labels]))
        for prediction in predictions:
            scores = [prediction["scores"][label] for label in labels]
            writer.writerow(safe_row([prediction["clip"], prediction["label"], prediction["score"], *scores]))
