"""What happens in the app: one visit is one page in a browser, with its recording and all that is made of it.

Everything of a visit lies in a folder of its own, which goes with it.
"""

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from modeling_clipcaer.app.arguments import AppArguments
from modeling_clipcaer.app.corrections import Rows, read_segments, write_corrected
from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.data.clip_boxes import ClipBoxes
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.explanations.page import PAGE as EXPLANATION
from modeling_clipcaer.exports.overlay import write_overlay
from modeling_clipcaer.exports.page import write_report_page
from modeling_clipcaer.models.measurement import find_measurement, tell_measurement
from modeling_clipcaer.prediction.arguments import PredictionArguments
from modeling_clipcaer.prediction.explanations import RecordingExplainer
from modeling_clipcaer.prediction.loading import build_analyzer, find_device
from modeling_clipcaer.prediction.recordings import PAGE
from modeling_clipcaer.prompt_learner import as_list
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.recording import open_recording
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.stretches import Recording
from modeling_clipcaer.recordings.timeline import Timeline, TimelineWindow, join_notes
from modeling_clipcaer.recordings.windows import set_threshold


NOTHING = "Drop a recording first, and make its timeline."
STOPPED = "Stopped. What was there before is as it was."
LEFT = "The connection to this page was lost, and what was dropped is removed. Load the page again."


class Wish(NamedTuple):
    """What a timeline depends on, beside its threshold: seconds of windows, and `Label: sentence` lines for zero-shot
    answers, `None` for the checkpoint's own."""

    window: float
    stride: float
    sentences: str | None


class Studio:
    """What all visits share.

    Args:
        args, settings: of the command.
        folder: an empty one, in which each visit has its own.
    """

    def __init__(self, args: AppArguments, settings: TimelineSettings, folder: Path):
        self.args, self.settings, self.folder = args, settings, folder
        self.visits: dict[str, Visit] = {}
        self.left: set[str] = set()
        self.lock = threading.Lock()
        self.analyzer = self._load(args.model, args.labels)
        self.config = self.analyzer.model.config
        if self.analyzer.detector is not None:  # what `auto` came to, which is not asked of the Hub again
            self.settings = replace(settings, face_detector=self.analyzer.detector.name)
        self.measured = None if args.labels else find_measurement(args.model, self.config)
        self.clip = args.model if args.labels else self.config.clip_config._name_or_path
        self.load_zero_shot = lru_cache(maxsize=1)(self._load_zero_shot)

    @property
    def is_trained(self) -> bool:
        """Whether a checkpoint of ours answers, and not a plain CLIP model alone."""
        return self.args.labels is None

    @property
    def told_measurement(self) -> str:
        """How far the checkpoint can be trusted, in a sentence."""
        return tell_measurement(self.measured)

    @property
    def sentences(self) -> str:
        """The labels and sentences that the checkpoint has, as [`read_sentences`] takes them."""
        labels = self.config.id2label.values()
        pairs = zip(labels, self.config.descriptive_prompts or labels, strict=True)
        return "\n".join(f"{label}: {text}" for label, texts in pairs for text in as_list(texts))

    def find(self, session: str) -> "Visit":
        """The visit of a page, which begins where there is none.

        Raises:
            InputError: the page was left. What it asked before is answered no more.
        """
        with self.lock:
            if session in self.left:
                raise InputError(LEFT)
            if session not in self.visits:
                self.visits[session] = Visit(self)
            return self.visits[session]

    def leave(self, session: str) -> None:
        """End the visit of a page that was closed."""
        with self.lock:
            self.left.add(session)
            visit = self.visits.pop(session, None)
        if visit is not None:
            visit.leave()

    def build_analyzer(self, wish: Wish) -> RecordingAnalyzer:
        """What makes timelines without a threshold as they are wished for."""
        settings = replace(self.settings, window=wish.window, stride=wish.stride, threshold=0.0)
        is_own = wish.sentences is None or (not self.is_trained and wish.sentences == self.sentences)
        base = self.analyzer if is_own else self.load_zero_shot(wish.sentences)
        # Keep: no detector. Each has its own, since those of OpenCV keep what they work on.
        return RecordingAnalyzer(base.model, base.processor, settings, zero_shot=base.zero_shot)

    def _load_zero_shot(self, sentences: str) -> RecordingAnalyzer:
        path = self.folder / f"{secrets.token_hex(8)}.yaml"
        try:
            write_json({"labels": read_sentences(sentences)}, path)  # which YAML holds
            return self._load(self.clip, str(path))
        except InputError as error:
            raise InputError(str(error).replace(f"{path}: ", "")) from error
        finally:
            path.unlink(missing_ok=True)

    def _load(self, model: str, labels: str | None) -> RecordingAnalyzer:
        args = PredictionArguments(inputs=[], model=model, labels=labels, device=self.args.device)
        return build_analyzer(args, self.settings, ClipBoxes(), find_device())


def read_sentences(lines: str) -> dict[str, dict]:
    """Entries of a labels file, by label, of lines `Label: sentence`; a label may have several.

    Raises:
        InputError: a line has another form.
    """
    entries: dict[str, dict] = {}
    for line in filter(str.strip, lines.splitlines()):
        label, colon, sentence = (part.strip() for part in line.partition(":"))
        if not (label and colon and sentence):
            raise InputError(f"{line.strip()!r}: expected a line such as `Confusion: a student who frowns at a page`")
        entries.setdefault(label, {"soft": label, "descriptive": []})["descriptive"].append(sentence)
    return entries


@dataclass
class Analysis:
    """What was made of a recording by a wish: `whole` without a threshold, `timeline` with the one that is shown."""

    wish: Wish
    analyzer: RecordingAnalyzer
    whole: Timeline
    timeline: Timeline


class Visit:
    """One page in a browser.

    Attributes:
        folder: holds all that is made. Its name cannot be guessed, since whoever knows a file's address can read it.
        recording: the file that was dropped; `None` before.
        analysis: `None` before there is a timeline.
        stopped: set, it ends the analysis that is going on.
    """

    def __init__(self, studio: Studio):
        self.studio = studio
        self.folder = studio.folder / secrets.token_urlsafe(24)
        self.folder.mkdir()
        self.recording: Path | None = None
        self.analysis: Analysis | None = None
        self.stopped = threading.Event()
        self._upload: Path | None = None
        self._is_over = False

    @property
    def timeline(self) -> Timeline:
        """What is shown."""
        return self._require().timeline

    def take(self, upload: str | None) -> None:
        """Begin with the file that was dropped, and without what was made of an earlier one."""
        self._clear()
        self.folder.mkdir()
        if upload is not None:
            self._upload = Path(upload)
            self.recording = self.folder / self._upload.name
            # Keep: a second name of the file. Of two pages that drop the same one, each has its own to take away.
            os.link(self._upload, self.recording)

    def leave(self) -> None:
        """Take everything away."""
        self._is_over = True
        self._clear()

    def _clear(self) -> None:
        self.stopped.set()
        if self._upload is not None and self.recording is not None:
            with suppress(FileNotFoundError):  # it was cleared already
                if self._upload.samefile(self.recording):  # else another page has dropped the same since
                    self._upload.unlink()
            with suppress(OSError):  # there is the same under another name
                self._upload.parent.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.recording = self.analysis = self._upload = None

    @contextmanager
    def _at_work(self) -> Iterator[Path]:
        """The recording, while something is made of it. If the page is closed meanwhile, nothing stays.

        Raises:
            InputError: there is no recording, or it cannot be read; it is called by its own name.
        """
        path = self.recording
        if path is None:
            raise InputError(NOTHING)
        try:
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), path.name)) from error
        finally:
            if self._is_over:
                self._clear()

    def analyse(self, wish: Wish, threshold: float, advance: Callable[[float], None]) -> None:
        """Make the timeline that is wished for. The recording is read where more than the threshold has changed.

        Args:
            advance: called with the share that is done, 0 to 1.
        """
        if self.analysis is None or wish != self.analysis.wish:
            with self._at_work() as path:
                self.analysis = self._analyse(path, wish, advance)
        self.set_threshold(threshold)

    def _analyse(self, path: Path, wish: Wish, advance: Callable[[float], None]) -> Analysis:
        stopped = self.stopped = threading.Event()  # of this analysis alone
        analyzer = self.studio.build_analyzer(wish)
        recording = self._open(path)

        def add(window: TimelineWindow) -> None:
            if stopped.is_set():
                raise InputError(STOPPED)
            advance(min(window.end / (recording.duration or window.end), 1.0))

        (whole,) = analyzer.analyze([recording], add)
        if not whole.windows:
            raise InputError(f"{path.name}: {join_notes(whole.notes) or 'no frame can be read'}")
        whole.settings["measured"] = None if analyzer.zero_shot else self.studio.measured
        return Analysis(wish, analyzer, whole, whole)

    def set_threshold(self, threshold: float) -> None:
        """Show the timeline with another threshold; nothing is read again."""
        analysis = self._require()
        analysis.timeline = set_threshold(analysis.whole, threshold)

    def write_page(self) -> Path:
        """The recording's page, which plays it from beside it."""
        path = self.folder / PAGE
        write_report_page([self.timeline], path, [quote(self.timeline.source)])
        return path

    def draw_people(self) -> Path:
        """The recording with a box and the label at each face, which is blurred."""
        with self._at_work() as path:
            drawn = self.folder / f"{path.stem}-people.mp4"
            write_overlay(self.timeline, path, drawn)
        return drawn

    def explain(self, count: int, over_frames: bool) -> Path:
        """The page on what `count` answers rest on."""
        analysis = self._require()
        if analysis.analyzer.zero_shot:
            raise InputError("What is explained is a trained checkpoint, not zero-shot answers.")
        args = PredictionArguments(inputs=[], model=self.studio.args.model, explain=count, explain_frames=over_frames)
        with self._at_work() as path:
            folder = self.folder / f"explanation-{secrets.token_hex(4)}"
            RecordingExplainer(analysis.analyzer, args).explain(analysis.whole, self._open(path), folder)
        return folder / EXPLANATION

    def correct(self, rows: Rows) -> Path:
        """What `clipcaer import` takes, zipped; `rows` are those of [`list_segments`] as people changed them.

        Raises:
            InputError: a row is no segment of this recording, or two of one person overlap.
        """
        timeline = self.timeline
        corrected = read_segments(rows, timeline)
        with self._at_work() as path, tempfile.TemporaryDirectory(dir=self.folder) as working:
            write_corrected(corrected, timeline, path, Path(working, path.stem))
            return Path(shutil.make_archive(str(self.folder / path.stem), "zip", working))

    def _require(self) -> Analysis:
        if self.analysis is None:
            raise InputError(NOTHING)
        return self.analysis

    def _open(self, path: Path) -> Recording:
        recording = open_recording(str(path), self.studio.settings.fps, self.studio.settings.duration)
        recording.name = path.name  # and no folder of this machine
        return recording


def locate(path: Path) -> str:
    """The address of a file of a visit, seen from the app's page."""
    return f"gradio_api/file={quote(str(path))}"
