"""Seconds of a prediction for each minute of 720p video that shows one person, by stage.

python benchmarks/prediction.py

Ours is what recipes/predict.py runs with its default flags. The naive path goes through the windows one by one: it
reads, searches and cuts the frames of each anew, and calls the whole model in fp32, text included. The face is put
where the video does not show one: both detect in every frame that they look at, and then take that box.

The second table asks for peak memory against a video's length, not for speed: each analysis runs in a process of its
own, on small frames and with towers of one layer, so that an hour of video takes minutes.
"""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from machine import print_report, render_table, run_apart
from material import build_processor, make_row, write_video
from naive import NaiveClipCaer
from sizes import SizeArguments, build_model

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command
from modeling_clipcaer.faces.boxes import FaceDetection
from modeling_clipcaer.faces.face_detection import build_face_detector
from modeling_clipcaer.frames import sample_frame_indices
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.recording import open_recording
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.stage_clock import StageClock
from modeling_clipcaer.recordings.timeline import ROOM
from modeling_clipcaer.video_frames import VideoFrames


STREAMS = ("pixel_values", "face_pixel_values")
STAGES = ("decode", "detect", "crop", "encode", "classify")
FPS = 30
SMALL_WIDTH = 320  # pixels of the frames of long videos


@dataclass
class PredictionBenchmarkArguments(SizeArguments):
    """What is measured, and for how long."""

    video_seconds: float = option(60.0, "Length of the video.")
    face_detector: str = option("auto", "Who finds faces.", choices=["auto", "yunet", "haar", "mtcnn"])
    rounds: int = option(1, "Turns of each path; the table has the fastest.")
    long_seconds: list[int] = option(None, "Lengths of the long videos; 300 and 3600 by default.", nargs="+")


class OneFace:
    """A detector that takes its time as `detector` does, and finds the one face at `box`."""

    def __init__(self, detector, box: tuple[float, float, float, float]):
        self.detector, self.name, self.box = detector, detector.name, box

    def detect(self, frame: torch.Tensor) -> list[FaceDetection]:
        """The face, whatever `detector` finds in `frame`."""
        self.detector.detect(frame)
        return [FaceDetection(self.box, 1.0)]


def main() -> None:
    (args,) = parse_arguments((PredictionBenchmarkArguments,), sys.argv[1:], __doc__)
    load_before, boxes = os.getloadavg()[0], find_boxes(args)
    with TemporaryDirectory() as folder:
        video = write_video(Path(folder) / "video.mp4", args.frame_width, args.video_seconds)
        detector = OneFace(build_face_detector(args.face_detector), boxes["face"])
        model, processor = build_model(args).to(args.device), build_processor(args)
        analyze(video, model, processor, detector, args.video_seconds / 4)
        turns = [
            (
                analyze_naively(video, model, processor, detector, boxes["body"]),
                analyze(video, model, processor, detector),
            )
            for _ in range(args.rounds)
        ]
    seconds = [min(spent, key=lambda stages: sum(stages.values())) for spent in zip(*turns, strict=True)]
    tables = render(*seconds, args.video_seconds / 60), measure_memory(args)
    print_report(load_before, f"Faces by {detector.name}.", *tables, packages=("av",), device=args.device)


def find_boxes(args: SizeArguments) -> dict[str, tuple]:
    """Where face and body of the one person are."""
    row = make_row(Path("unused"), [""], 0, args.frame_width)
    return {"face": tuple(row["face_boxes"][0]), "body": tuple(row["body_boxes"][0])}


def analyze(video: Path, model, processor, detector: OneFace, duration: float | None = None) -> dict[str, float]:
    """Seconds of each stage of ours, set up as recipes/predict.py does."""
    analyzer = RecordingAnalyzer(model, processor, detector=detector)
    (timeline,) = analyzer.analyze([open_recording(str(video), duration=duration)])
    if {row.person for row in timeline.windows} != {"person-1", ROOM}:
        raise RuntimeError(f"expected one person, found {sorted({row.person for row in timeline.windows})}")
    return analyzer.clock.seconds


@torch.no_grad()
def analyze_naively(video: Path, model, processor, detector: OneFace, body_box: tuple) -> dict[str, float]:
    """Seconds of each stage where every window begins from nothing."""
    clock, settings, naive = StageClock(), TimelineSettings(), NaiveClipCaer(model).eval()
    total, length = len(VideoFrames(video)), int(FPS * settings.window)
    for start in range(0, max(total - length, 0) + 1, int(FPS * settings.stride)):
        places = start + sample_frame_indices(min(length, total), processor.num_frames, "eval")
        with clock("decode"):
            frames = torch.stack(list(VideoFrames(video).read(places.tolist())))
        with clock("detect"):
            faces = [detector.detect(frame)[0].box for frame in frames]
        with clock("crop"):
            pixels = processor(frames, face_boxes=faces, body_boxes=body_box, do_sample_frames=False)
        with clock("encode"):
            embeds = [naive.encode_frames(pixels[name].to(model.device)) for name in STREAMS]
        with clock("classify"):
            naive.answer(*embeds)[0].softmax(-1).tolist()
    return clock.seconds


def measure_memory(args: PredictionBenchmarkArguments) -> str:
    """A table of peak memory against the length of a video."""
    sizes, rows = replace(args, frame_width=min(SMALL_WIDTH, args.frame_width), layers=1), []
    for seconds in args.long_seconds or [300, 3600]:
        with TemporaryDirectory() as folder:
            video = write_video(Path(folder) / "video.mp4", sizes.frame_width, seconds)
            spent, peak_mb = run_apart(analyze_apart, video, sizes)
        rows.append([f"{seconds / 60:.3g}", f"{spent:.3g}", f"{peak_mb:.0f}"])
    return render_table(["minutes of video", "seconds", "peak memory, MB"], rows)


def analyze_apart(video: Path, args: PredictionBenchmarkArguments) -> float:
    """Seconds of an analysis with all that it needs."""
    detector = OneFace(build_face_detector(args.face_detector), find_boxes(args)["face"])
    stages = analyze(video, build_model(args).to(args.device), build_processor(args), detector)
    return sum(stages.values())


def render(naive: dict[str, float], ours: dict[str, float], minutes: float) -> str:
    """The Markdown table."""
    columns = [[*(spent.get(stage, 0.0) for stage in STAGES), sum(spent.values())] for spent in (naive, ours)]
    rows = [
        [stage, f"{before / minutes:.2f}", f"{after / minutes:.2f}", f"{before / after:.1f}×" if after else ""]
        for stage, before, after in zip((*STAGES, "all"), *columns, strict=True)
    ]
    return render_table(["seconds a minute of video", "naive", "ours", "times naive"], rows)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
