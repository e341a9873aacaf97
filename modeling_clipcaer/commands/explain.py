"""Show what answers rest on: where the model looks, which frames, face or context, and sentences near by.

    clipcaer explain --model DIR --dataset DIR --split test --output OUT
    clipcaer explain lesson.mp4 --model DIR --at 12 40 --output OUT

looks at clips of a dataset, or at the windows of a recording around these seconds.

It writes explanation.html, explanation.json and figures/. docs/explain.md says how each figure is made, and what it
does not tell. No picture of a person is written unless --frames asks for it, and then with faces hidden.
"""

import sys
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeling_clipcaer.common.flags import given_flags, option, parse_arguments, rare_option
from modeling_clipcaer.common.locks import locked_folder
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.terminal import add_path, run_command, tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable, public_name
from modeling_clipcaer.recordings.settings import WindowSettings


if TYPE_CHECKING:
    from modeling_clipcaer.explanations.explanation import Explainer, Explanation, Sample
    from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
    from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor

OF_CLIPS = ("split", "clips", "map_clips", "seed", "num_workers")
OF_RECORDINGS = ("at", "bounding_box_face", "bounding_box_body")
SETTINGS = ("clips", "at", "num", "frames", "show_faces", "sentences", "map_clips", "seed")


@dataclass
class ExplanationArguments:
    """What is explained, and what is drawn."""

    model: str = option(MISSING, "Checkpoint: a folder, or an id on the Hub.")
    output_dir: str = option(MISSING, "Folder for explanation.html, explanation.json and figures.")
    inputs: list[str] | None = option(
        None, "Recordings: videos, folders of them, folders of frames; none with --dataset.", positional=True
    )
    dataset: str | None = option(None, "Dataset whose clips are explained, in place of recordings.")
    split: str = option("test", "Split of the clips.")
    clips: list[str] | None = option(None, "Clips by their number in the split, or by name; --num of them by default.")
    at: list[float] | None = option(
        None, "Seconds of each recording whose windows are explained; --num of them, evenly spread, by default."
    )
    num: int = option(8, "Clips drawn at random, or windows of each recording.", least=1, most=64)
    frames: bool = option(False, "Draw the maps over the frames, faces blurred.")
    show_faces: bool = option(False, "Leave faces as they are in what --frames draws.")
    sentences: int = rare_option(3, "Nearest sentences of each kind.", least=1)
    map_clips: int = rare_option(
        200, "Clips of the split on the map, drawn at random, beside those explained.", least=0
    )
    seed: int = option(0, "Seed of the draws.", least=0)
    num_workers: int = rare_option(2, "Processes that decode the clips of --map-clips.", least=0)
    device: str | None = option(None, "Device: cpu, cuda, cuda:1, ...; the accelerator where there is one by default.")
    bounding_box_face: str | None = rare_option(None, "JSON file of face boxes in recordings, in place of a detector.")
    bounding_box_body: str | None = rare_option(None, "JSON file of body boxes in recordings.")

    def __post_init__(self):
        if (self.dataset is None) == (not self.inputs):
            raise InputError("expected recordings, or --dataset with its clips, and not both")
        if self.show_faces and not self.frames:
            raise InputError("--show-faces has a meaning with --frames alone")


def main() -> None:
    types, argv = (ExplanationArguments, WindowSettings), sys.argv[1:]
    args, windows = parse_arguments(types, argv, __doc__)
    check_flags(args, given_flags(types, argv))
    from modeling_clipcaer.common.progress import hide_progress_bars
    from modeling_clipcaer.models.checkpoints import check_output_dir, load_checkpoint
    from modeling_clipcaer.prediction.loading import check_device, find_device

    hide_progress_bars()
    check_output_dir(args.output_dir)
    check_device(args.device)
    tell(RESPONSIBLE_USE)
    with locked_folder(args.output_dir):
        model, processor = load_checkpoint(args.model)
        explain(args, windows, model.to(args.device or find_device()), processor)


def check_flags(args: ExplanationArguments, given: dict[str, Any]) -> None:
    """Refuse flags that would be ignored."""
    of_recordings = (*OF_RECORDINGS, *(setting.name for setting in fields(WindowSettings)))
    idle, why = (of_recordings, "--dataset") if args.dataset else (OF_CLIPS, "recordings")
    if found := sorted(set(idle) & set(given)):
        raise InputError(f"--{found[0]} has no meaning with {why}")


def explain(
    args: ExplanationArguments,
    windows: WindowSettings,
    model: "ClipCaerForVideoClassification",
    processor: "ClipCaerVideoProcessor",
) -> None:
    """Explain what the flags name, and write the files."""
    from modeling_clipcaer.common.files import staged_folder
    from modeling_clipcaer.explanations.explanation import Explainer
    from modeling_clipcaer.explanations.page import (
        CONTENT,
        NO_PROOF,
        PAGE,
        describe_model,
        lay_out_map,
        write_explanations,
    )
    from modeling_clipcaer.explanations.texts import encode_texts
    from modeling_clipcaer.models.frozen_parts import FrozenParts
    from modeling_clipcaer.models.measurement import find_measurement

    explainer = Explainer(FrozenParts(model), processor, *encode_texts(model), args.sentences)
    about: dict[str, Any] = {
        "source": public_name(args.dataset) if args.dataset else ", ".join(map(public_name, args.inputs or ())),
        **describe_model(args.model, model, find_measurement(args.model, model.config)),
        "settings": {name: getattr(args, name) for name in SETTINGS},
    }
    if args.dataset:
        found, layout = explain_chosen(args, explainer, about)
    else:
        about["windows"] = {name: value for name, value in asdict(windows).items() if name != "face_detector_weights"}
        found = [explainer.explain(sample) for sample in read_recordings(args, windows, explainer)]
        if not found:
            raise InputError(f"{', '.join(args.inputs or ())}: expected a picture to explain, found none")
        layout = lay_out_map(found, [], None, explainer.texts, explainer.text_embeds, explainer.labels)
    with staged_folder(args.output_dir, last=CONTENT) as folder:
        write_explanations(found, layout, about, explainer.labels, folder)
    for number, explanation in enumerate(found, start=1):
        tell(f"{number}: {printable(explanation.sample.name)}: {describe(explanation)}")
    tell(NO_PROOF)
    tell(add_path("", f"{args.output_dir}/{PAGE}"))


def explain_chosen(
    args: ExplanationArguments, explainer: "Explainer", about: dict[str, Any]
) -> tuple[list["Explanation"], dict[str, Any]]:
    """The explanations of a dataset's clips, and the map."""
    from modeling_clipcaer.data.loading import load_clips
    from modeling_clipcaer.data.views.samples import choose_clips
    from modeling_clipcaer.explanations.samples import explain_clips
    from modeling_clipcaer.training.run_comparison import fingerprint_clips

    rows = load_clips(str(args.dataset), (args.split,), explainer.labels)[args.split]
    about |= {"split": args.split, "data": fingerprint_clips(rows)}
    return explain_clips(
        *(explainer, rows, choose_clips(rows, args.clips, args.num, args.seed)),
        with_frames=args.frames,
        show_faces=args.show_faces,
        map_clips=args.map_clips,
        seed=args.seed,
        num_workers=args.num_workers,
    )


def read_recordings(
    args: ExplanationArguments, settings: WindowSettings, explainer: "Explainer"
) -> Iterator["Sample"]:
    """Everybody in the chosen windows of each recording."""
    from modeling_clipcaer.data.clip_boxes import read_boxes
    from modeling_clipcaer.prediction.explanations import ShownSquares, make_sample
    from modeling_clipcaer.prediction.inputs import find_recordings
    from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
    from modeling_clipcaer.recordings.crops import nearest_windows
    from modeling_clipcaer.recordings.recording import open_with_boxes
    from modeling_clipcaer.recordings.settings import TimelineSettings

    analyzer = RecordingAnalyzer(explainer.model, explainer.processor, TimelineSettings(**asdict(settings)))
    boxes = read_boxes(args.bounding_box_face, args.bounding_box_body)
    sources = find_recordings(args.inputs or [], Path(args.output_dir))
    boxes.check(sources)
    for source in sources:
        recording = open_with_boxes(source, boxes, analyzer.settings)
        if recording.duration is None:
            raise InputError(f"{source}: expected a recording that has ended, found one that goes on")
        if late := [time for time in args.at or () if not 0 <= time <= recording.duration]:
            raise InputError(f"--at {late[0]:g}: {source} lasts {recording.duration:g} s")
        times = args.at or [recording.duration * (place + 0.5) / args.num for place in range(args.num)]
        timeline, windows = analyzer.cut_windows(recording)
        chosen = nearest_windows(windows, times)
        squares = ShownSquares(analyzer, timeline, args.show_faces) if args.frames else None
        for window in chosen:
            for person in window.people or [window.room]:
                yield make_sample(source, window, person, squares)


def describe(explanation: "Explanation") -> str:
    """A line on an answer."""
    streams = (f"{stream} {100 * found['probability']:+.1f}" for stream, found in explanation.streams.items())
    parts = [f"{explanation.answer} ({explanation.scores[explanation.answer]:.2f})", *streams]
    return "; ".join(parts)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
