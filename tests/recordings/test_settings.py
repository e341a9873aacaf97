"""The settings of timelines are said once: flags, keyword arguments and what is recorded follow."""

import json
import subprocess
import sys
from dataclasses import asdict, fields, replace

import pytest

from helpers.places import ROOT
from helpers.stand_in_faces import SquareDetector
from helpers.tiny import tiny_model
from helpers.videos import noise
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.common.flags import parse_arguments
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.prediction.arguments import PredictionArguments, figure_flags
from modeling_clipcaer.recordings import pipeline
from modeling_clipcaer.recordings.analysis import ELSEWHERE, RecordingAnalyzer
from modeling_clipcaer.recordings.recording import open_recording
from modeling_clipcaer.recordings.settings import CONTEXTS, TimelineSettings


NAMES = [setting.name for setting in fields(TimelineSettings)]
# Another value of each.
OTHERS = {
    **{"window": 20.0, "stride": 2.5, "threshold": 0.5, "smoothing": 5, "hysteresis": 0.0, "context": "frame"},
    **{"face_detector": "haar", "face_detector_weights": "yunet.onnx", "max_gap": 7.0, "fps": 12.5, "duration": 60.0},
    **{"tower_dtype": "float32", "batch_size": 8},
}


def test_every_setting_is_a_flag_and_a_keyword_argument_of_the_pipeline():
    words = [word for name, value in OTHERS.items() for word in (f"--{name}", str(value))]
    _, settings = parse_arguments((PredictionArguments, TimelineSettings), ["a.mp4", "--model", "m", *words], "")
    assert (asdict(settings) == OTHERS and list(OTHERS) != NAMES) or set(OTHERS) == set(NAMES)
    assert {*pipeline.OPTIONS, "batch_size"} == {*NAMES, "on_window"}


@pytest.mark.parametrize("name", NAMES)
def test_what_decides_whether_a_recording_is_done_knows_every_setting_but_the_size_of_batches(name):
    args = PredictionArguments(inputs=["a.mp4"], model="m")
    plain = TimelineSettings(stride=2.5)
    other = figure_flags(args, replace(plain, **{name: 3.5 if name == "stride" else OTHERS[name]}))
    assert (other != figure_flags(args, plain)) == (name != "batch_size")


def test_what_an_analysis_goes_by_is_recorded():
    settings = TimelineSettings(**{**OTHERS, "fps": None})
    processor = ClipCaerVideoProcessor(num_frames=8, image_size=32)
    analyzer = RecordingAnalyzer(tiny_model(num_frames=8), processor, settings, SquareDetector())
    (timeline,) = analyzer.analyze([open_recording(list(noise(20)))])
    recorded = json.loads(json.dumps(timeline.settings))
    expected = {name: value for name, value in OTHERS.items() if name not in ELSEWHERE}
    assert {name: recorded[name] for name in expected} == {**expected, "face_detector": "squares"}
    assert not set(ELSEWHERE) & set(recorded)


def test_the_context_has_the_processors_words():
    for word in CONTEXTS:
        assert ClipCaerVideoProcessor(context=word).context == word
    with pytest.raises(InputError, match="`context` must be 'body' or 'frame', got 'face'"):
        TimelineSettings(context="face")


def test_settings_are_read_without_anything_heavy():
    heavy = ("torch", "transformers", "cv2", "scipy", "av", "matplotlib", "datasets", "pyarrow", "numpy")
    code = f"import sys, modeling_clipcaer.recordings.settings; print(set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "set()"
