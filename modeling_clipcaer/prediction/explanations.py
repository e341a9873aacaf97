"""What answers about a recording rest on: the windows that are most worth a look, explained into a folder of their
own."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from modeling_clipcaer.explanations.explanation import Explainer, Sample
from modeling_clipcaer.explanations.page import describe_model, lay_out_map, write_explanations
from modeling_clipcaer.explanations.texts import encode_texts
from modeling_clipcaer.exports.face_paths import follow_faces
from modeling_clipcaer.faces.hiding import hide_between, hide_whole
from modeling_clipcaer.models.frozen_parts import FrozenParts
from modeling_clipcaer.names import public_name
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.crops import Crop, PersonCrops, WindowCrops
from modeling_clipcaer.recordings.stretches import Recording
from modeling_clipcaer.recordings.timeline import NO_PICTURE, ROOM, Timeline, TimelineWindow


Key = tuple[int, str]  # number of a window, and whose it is


class RecordingExplainer:
    """Explains recordings' answers, as the flags have it.

    Args:
        analyzer: whose model it is, and who cuts windows as they were answered.
        args: how many windows of each recording, and what of people may be shown.
    """

    def __init__(self, analyzer: RecordingAnalyzer, args: PredictionArguments):
        self.analyzer, self.args = analyzer, args
        model = analyzer.model
        self.explainer = Explainer(FrozenParts(model), analyzer.processor, *encode_texts(model))

    def explain(self, timeline: Timeline, recording: Recording, folder: Path) -> None:
        """Write what the answers of a recording rest on into `folder`, see [`write_explanations`]; nothing where there
        is no answer.

        Args:
            timeline: of `recording`, which is read again: what its answers were drawn from is not kept.
        """
        chosen = choose_windows(timeline, self.args.explain)
        seen, windows = self.analyzer.cut_windows(recording)
        cut = find_crops(windows, chosen)
        squares = ShownSquares(self.analyzer, seen, self.args.show_faces) if self.args.explain_frames else None
        explainer, found = self.explainer, []
        for key, reason in chosen.items():
            if key in cut:  # else the file has changed meanwhile
                sample = make_sample(recording.name, *cut[key], squares)
                sample.reason = reason
                found.append(explainer.explain(sample))
        if not found:
            return
        about = {
            "source": public_name(recording.name),
            **describe_model(self.args.model, explainer.model, timeline.settings["measured"]),
            "settings": {name: getattr(self.args, name) for name in ("explain", "explain_frames", "show_faces")},
            "windows": {name: timeline.settings[name] for name in ("window", "stride", "context", "face_detector")},
        }
        layout = lay_out_map(found, [], None, explainer.texts, explainer.text_embeds, explainer.labels)
        write_explanations(found, layout, about, explainer.labels, folder)


def choose_windows(timeline: Timeline, count: int) -> dict[Key, str]:
    """The windows most worth a look, and why: the surest answer of each label, of the commonest label first, and then
    the least certain answers. No two of one person overlap.

    What is answered for everybody is the mean of the persons' answers, so that the room counts where nobody is.
    """
    rows = [row for row in timeline.windows if row.face_status != NO_PICTURE]
    with_people = {row.window for row in rows if row.person != ROOM}
    sees_rooms = timeline.settings["streams"] != "face"
    rows = [row for row in rows if (row.window not in with_people and sees_rooms) or row.person != ROOM]
    chosen: list[tuple[TimelineWindow, str]] = []
    for label, _ in Counter(map(_likeliest, rows)).most_common():
        best = max((row for row in rows if _likeliest(row) == label), key=_score)
        chosen.append((best, "the surest of its label"))
    for row in sorted(rows, key=_score):
        if not any(row.person == other.person and _overlap(row, other) for other, _ in chosen):
            chosen.append((row, "among the least certain"))
    return {(row.window, row.person): reason for row, reason in chosen[:count]}


def _likeliest(row: TimelineWindow) -> str:
    return max(row.probabilities, key=row.probabilities.__getitem__)


def _score(row: TimelineWindow) -> float:
    return row.score or 0.0


def _overlap(first: TimelineWindow, second: TimelineWindow) -> bool:
    return first.start < second.end and second.start < first.end


def find_crops(windows: Iterable[WindowCrops], keys: Iterable[Key]) -> dict[Key, tuple[WindowCrops, PersonCrops]]:
    """What the answers of `keys` are drawn from; no more of `windows` is held."""
    wanted = set(keys)
    return {
        (window.number, person.name): (window, person)
        for window in windows
        for person in window.people or [window.room]
        if (window.number, person.name) in wanted
    }


def make_sample(source: str, window: WindowCrops, person: PersonCrops, squares: "ShownSquares | None") -> Sample:
    """What an answer about a person in a window is drawn from, as what is explained, and, if there are `squares`, as
    people may be shown it."""
    return Sample(
        f"{public_name(source)}, {person.name}, {window.start:g} to {window.end:g} s",
        person.stack_pixels(),
        shown=squares.show(person) if squares else {},
        moment={"person": person.name, "start": round(window.start, 3), "end": round(window.end, 3)},
    )


class ShownSquares:
    """What answers are drawn from as people may be shown it: as in an overlay every face that was found is
    unrecognisable, also a little before and after. A face's own square is coarse as a whole, and so is a context in
    which nobody's face is known.

    Args:
        analyzer: who cut the squares.
        timeline: says where each face was; a face that was never found stays visible.
        show_faces: leave faces as they are.
    """

    def __init__(self, analyzer: RecordingAnalyzer, timeline: Timeline, show_faces: bool):
        self.cutter, self.size, self.show_faces = analyzer.cutter, (timeline.height, timeline.width), show_faces
        self.paths = follow_faces(timeline.sightings)

    def show(self, person: PersonCrops) -> dict[str, np.ndarray]:
        """By stream, uint8 (num_frames, image_size, image_size, 3)."""
        shown = {
            stream: squares.permute(0, 2, 3, 1).numpy().copy() for stream, squares in person.stack_pixels().items()
        }
        if not self.show_faces:
            for square in shown.get("face", ()):
                hide_whole(square)
            for square, crop in zip(shown.get("context", ()), person.context, strict=False):
                self._hide_faces(square, crop)
        return shown

    def _hide_faces(self, square: np.ndarray, crop: Crop) -> None:
        """Make the faces of a context unrecognisable, in place."""
        found = [boxes for path in self.paths.values() if len(boxes := path.boxes_to_hide(crop.time))]
        if not found:
            hide_whole(square)
        region, place = self._find_region(crop)
        for boxes in found:
            shares = (boxes.reshape(-1, 2, 2) - region[0]) / (region[1] - region[0])
            hide_between(square, (place[0] + shares * (place[1] - place[0])).reshape(-1, 4))

    def _find_region(self, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
        """What of its frame a square shows, and where on the square it lies: each left and top, right and bottom."""
        height, width = self.size
        rows = self.cutter.crop_context(torch.arange(height)[:, None].expand(self.size), crop.box)[:, 0]
        columns = self.cutter.crop_context(torch.arange(width).expand(self.size), crop.box)[0]
        bright = torch.full((3, 1, 1), 255, dtype=torch.uint8).expand(3, *self.size)
        lit = np.nonzero(self.cutter.fit_context(bright, crop.box)[0].numpy())
        places = (columns.numpy(), rows.numpy()), lit[::-1]
        region, place = (
            np.array([[side.min() for side in axes], [side.max() + 1 for side in axes]]) for axes in places
        )
        return region, place
