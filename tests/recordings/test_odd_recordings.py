"""Recordings as browsers, calls, phones and editors leave them: what is shown is what was seen, the rest is said."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from helpers.odd_videos import claim_size, encode, join_files, make_tone, set_codec, write_pieces
from helpers.stand_in_faces import SquareDetector
from helpers.tiny import tiny_model
from helpers.videos import (
    BLUE,
    GREEN,
    RED,
    draw_faces,
    likeness,
    noise,
    plain,
    read_back,
    sharpness,
    squares,
    stairs,
    write_rotated,
    write_sound,
    write_video,
)
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.overlay import write_overlay
from modeling_clipcaer.frame_fitting import FrameFitter
from modeling_clipcaer.recordings.analysis import RecordingAnalyzer
from modeling_clipcaer.recordings.camera import LiveRecording
from modeling_clipcaer.recordings.recording import open_recording
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.stretches import find_stretches
from modeling_clipcaer.recordings.timeline import NO_PICTURE, ROOM
from modeling_clipcaer.video_frames import VideoFrames, continue_times


SIZED = [("libvpx", ".webm"), ("libvpx-vp9", ".webm"), ("libx264", ".ts")]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return tiny_model(num_frames=4)


@pytest.fixture
def analyze(model):
    """The timeline of a recording in windows of two seconds, with four frames each."""

    def run(source, detector=None, duration=None, fps=None, boxes=None, **settings):
        processor = ClipCaerVideoProcessor(num_frames=4, image_size=32, face_margin=4)
        settings = TimelineSettings(**{"window": 2.0, "stride": 1.0, "tower_dtype": "float32", **settings})
        if settings.face_detector == "auto":
            detector = detector or SquareDetector()
        analyzer = RecordingAnalyzer(model, processor, settings, detector)
        (timeline,) = analyzer.analyze([open_recording(source, fps, duration, boxes)])
        return timeline

    return run


def shrink(frames, width, height):
    return [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]


def rooms(timeline):
    return [row for row in timeline.windows if row.person == ROOM]


def levels(path):
    """The grey of every frame of `stairs`, whose number it tells."""
    video = VideoFrames(path)
    return [round(float(frame.float().mean()) / 4) for frame in video.read(range(len(video)))]


# --- one size


@pytest.mark.parametrize(("codec", "suffix"), SIZED)
@pytest.mark.parametrize("order", ["large first", "small first"])
def test_a_picture_whose_size_changes_is_seen_in_its_largest_size(tmp_path, analyze, codec, suffix, order):
    large = list(squares([{RED: (240, 120)}] * 20, size=(320, 240), side=60))
    small = shrink(large, 160, 120)
    pieces = [large, small, large] if order == "large first" else [small, large, small]
    path = write_pieces(tmp_path / f"call{suffix}", pieces, codec=codec)
    video = VideoFrames(path)
    assert video.size == (320, 240) and len(video) == 60
    assert {tuple(frame.shape) for frame in video.read(range(60))} == {(3, 240, 320)}
    timeline = analyze(path)
    assert (timeline.width, timeline.height) == (320, 240) and timeline.persons == ["person-1"]
    assert len(timeline.sightings) == 12  # two a second
    for sighting in timeline.sightings:
        assert sighting.box == pytest.approx((210, 90, 270, 150), abs=4)
    (note,) = [note for note in timeline.notes if "size" in note]
    assert "320x240" in note and "160x120" in note


def test_a_size_that_changes_among_key_frames_alone_is_seen(tmp_path):
    pieces = [list(plain(30)), list(plain(30, size=(320, 240)))]
    for number, piece in enumerate(pieces):
        write_video(tmp_path / f"{number}.avi", piece)
    with av.open(str(tmp_path / "camera.mkv"), "w") as container:
        for number in range(2):
            with av.open(str(tmp_path / f"{number}.avi")) as source:
                stream = next(iter(container.streams), None)
                stream = stream or container.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = packet.dts + 30 * number
                        packet.stream = stream
                        container.mux(packet)
    video = VideoFrames(tmp_path / "camera.mkv")
    assert len(video) == 60 and video.size == (320, 240) and "160x120, 320x240" in video.notes[0]


def test_a_picture_of_another_shape_lies_on_black_and_keeps_its_own(tmp_path):
    wide, tall = list(plain(5, (200, 200, 200), (160, 80))), list(plain(5, (200, 200, 200), (60, 120)))
    video = VideoFrames(write_pieces(tmp_path / "turned.webm", [wide, tall]))
    assert video.size == (160, 80)
    *_, last = video.read(range(10))
    # 60x120 fits into 160x80 as 40x80, in the middle: columns 60 to 100.
    columns = last.float().mean(dim=(0, 1))
    assert (columns[:58] < 5).all() and (columns[63:97] > 190).all() and (columns[102:] < 5).all()


@pytest.mark.parametrize(("codec", "suffix"), SIZED)
@pytest.mark.parametrize("order", ["large first", "small first"])
def test_an_overlay_hides_the_face_before_and_after_a_change_of_size(tmp_path, analyze, codec, suffix, order):
    large = [draw_faces([(180, 213)], (640, 426))] * 15
    small = shrink(large, 480, 320)
    pieces = [large, small, large] if order == "large first" else [small, large, small]
    path = write_pieces(tmp_path / f"call{suffix}", pieces, codec=codec, sound=(0.0, 4.5))
    timeline = analyze(path, face_detector="haar")
    timeline.windows, timeline.segments = [], []  # whose lines and words have detail of their own
    write_overlay(timeline, path, tmp_path / "hidden.mp4")
    times, hidden = read_back(tmp_path / "hidden.mp4")
    assert len(hidden) == 45 and times[-1] == pytest.approx(4.4, abs=0.1)
    # The face of `draw_faces` lies 38 pixels to the left and 28 to the right of its centre, 60 above and 35 below.
    face = np.s_[155:248, 144:206]
    for number, frame in enumerate(hidden):
        assert likeness(frame[face], large[0][face]) < 0.4, number
        assert sharpness(frame[face]) < 0.25 * sharpness(large[0][face]), number
    with av.open(str(tmp_path / "hidden.mp4")) as container:
        sound = [float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.size]
    assert sound[-1] == pytest.approx(4.5, abs=0.1)


def test_frames_of_two_sizes_in_a_folder_are_one_recording(tmp_path, analyze):
    large = list(squares([{RED: (120, 60)}] * 20, side=30))
    for number, frame in enumerate(large + shrink(large, 80, 60)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    timeline = analyze(tmp_path, fps=10)
    assert (timeline.width, timeline.height) == (160, 120) and timeline.duration == 4.0
    assert {sighting.time for sighting in timeline.sightings} == {0.25 + 0.5 * place for place in range(8)}
    for sighting in timeline.sightings:
        assert sighting.box == pytest.approx((105, 45, 135, 75), abs=3)
    # Boxes that are given for each file are in pixels of that file.
    given = [(105, 45, 135, 75)] * 20 + [(52.5, 22.5, 67.5, 37.5)] * 20
    timeline = analyze(tmp_path, fps=10, boxes=given)
    assert {tuple(np.round(sighting.box)) for sighting in timeline.sightings} == {(105, 45, 135, 75)}


def test_pixels_that_are_not_square_are_shown_as_a_player_shows_them(tmp_path):
    path = write_pieces(
        tmp_path / "anamorphic.mp4",
        [list(plain(3, size=(180, 144)))],
        codec="libx264",
        sample_aspect_ratio=Fraction(16, 9),
    )
    video = VideoFrames(path)
    assert video.size == (320, 144) and next(iter(video.read([0]))).shape == (3, 144, 320)


def test_a_change_of_the_shape_of_pixels_is_said(tmp_path):
    pieces = [
        write_pieces(
            tmp_path / f"{number}.ts", [list(plain(20))], codec="libx264", sample_aspect_ratio=Fraction(aspect)
        )
        for number, aspect in enumerate(("16/15", "64/45"))
    ]
    assert VideoFrames(pieces[0]).notes == []
    notes = VideoFrames(join_files(tmp_path / "joined.ts", pieces)).notes
    assert any("16:15, 64:45" in note for note in notes)


def test_a_turned_picture_is_enlarged_upright(tmp_path):
    assert VideoFrames(write_rotated(tmp_path / "phone.mp4", stairs(3), 90)).size == (120, 160)


def test_hdr_is_said(tmp_path):
    path = write_pieces(tmp_path / "hdr.mp4", [list(plain(3))], codec="libx264", color_trc=16)
    (note,) = VideoFrames(path).notes
    assert "PQ" in note
    assert VideoFrames(write_video(tmp_path / "sdr.mp4", plain(3))).notes == []


# --- one time


@pytest.mark.parametrize("suffix", [".ts", ".webm", ".mkv", ".mpg"])
def test_joined_recordings_are_continued_in_time(tmp_path, analyze, suffix):
    codec = {".webm": "libvpx-vp9", ".mpg": "mpeg2video"}.get(suffix, "libx264")
    first = write_video(tmp_path / f"a{suffix}", list(stairs(60))[:30], 25, codec=codec)
    second = write_video(tmp_path / f"b{suffix}", list(stairs(60))[30:], 25, codec=codec)
    path = join_files(tmp_path / f"joined{suffix}", [first, second])
    video = VideoFrames(path)
    assert len(video) == 60
    assert video.seconds == pytest.approx(
        video.seconds[0] + np.arange(60) / 25, abs=0.005 if suffix != ".mpg" else 0.05
    )
    assert levels(path) == pytest.approx(range(60), abs=1)
    timeline = analyze(path)
    assert timeline.duration == pytest.approx(2.4, abs=0.1) and rooms(timeline)[-1].end == timeline.duration
    assert any("joined" in note for note in timeline.notes)
    # Whichever frames are asked for, they are those of the one pass.
    wanted = [3, 31, 32, 50]
    assert [round(float(frame.float().mean()) / 4) for frame in video.read(wanted)] == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("starts", [(0.0, 0.0), (100.0, 0.0), (0.0, 0.5), (0.4, 0.02)])
def test_pieces_of_a_transport_stream_are_continued_wherever_their_clocks_begin(tmp_path, starts):
    pieces = [
        write_pieces(tmp_path / f"{number}.ts", [list(noise(25, seed=number))], 25, "libx264", starts=[start])
        for number, start in enumerate(starts)
    ]
    video = VideoFrames(join_files(tmp_path / "joined.ts", pieces))
    assert len(video) == 50 and len(video.joins) == 1
    assert video.seconds[-1] - video.seconds[0] == pytest.approx(49 / 25, abs=0.01)


def test_the_sound_of_joined_recordings_goes_on_with_the_picture(tmp_path, analyze):
    piece = write_pieces(tmp_path / "piece.ts", [list(squares([{RED: (80, 60)}] * 50))], 25, "libx264", sound=(0, 2.0))
    path = join_files(tmp_path / "joined.ts", [piece, piece, piece])
    write_overlay(analyze(path), path, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        frames = [frame.time for frame in container.decode(video=0)]
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        sound = [float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.size]
    assert len(frames) == 150 and frames[-1] == pytest.approx(5.98, abs=0.05)
    assert sound[-1] == pytest.approx(5.98, abs=0.1) and np.diff(sound).max() < 0.1


@pytest.mark.parametrize("suffix", [".mp4", ".flv"])
def test_a_second_recording_that_nobody_can_play_is_said(tmp_path, suffix):
    piece = write_video(tmp_path / f"a{suffix}", noise(10))
    video = VideoFrames(join_files(tmp_path / f"joined{suffix}", [piece, piece]))
    assert len(video) == 10 and "another recording" in " ".join(video.notes)
    assert VideoFrames(piece).notes == []


def test_a_second_recording_in_another_format_is_said(tmp_path):
    old = write_video(tmp_path / "old.ts", noise(50), 25, codec="mpeg2video")
    new = write_video(tmp_path / "new.ts", noise(50), 25)
    for pieces in ([old, new], [new, old]):
        video = VideoFrames(join_files(tmp_path / "joined.ts", pieces))
        assert len(video) < 60 and any("format" in note or "decoded" in note for note in video.notes)


def test_times_are_continued_where_they_begin_anew_and_slips_are_held():
    assert continue_times([0, 1, 2, 0, 1, 2], 1) == ([0, 1, 2, 3, 4, 5], [3], 0)
    assert continue_times([5, 6, 7, 1, 2, 5, 6], 1) == ([5, 6, 7, 8, 9, 12, 13], [7], 0)
    assert continue_times([0, 1, 1, 2, 3], 1) == ([0, 1, 1, 2, 3], [], 1)  # a stamp that repeats
    assert continue_times([0, 2, 1, 3, 4], 1) == ([0, 2, 2, 3, 4], [], 1)  # out of order
    assert continue_times([0, 1, 900, 2, 3], 1) == ([0, 1, 1, 2, 3], [], 1)  # far ahead
    assert continue_times([0, 0, 0, 0], 0.5) == ([0, 0.5, 1, 1], [0.5, 1.0], 1)
    assert continue_times([None, 1, None, 2], 1) == ([0, 1, 2, 2], [], 1)


# --- no picture, no answer


def test_a_pause_is_one_row_without_an_answer(tmp_path, analyze):
    seconds = [place / 10 for place in range(40)] + [4000 + place / 10 for place in range(40)]
    path = write_video(tmp_path / "paused.mkv", squares([{RED: (80, 60)}] * 80), seconds=seconds)
    timeline = analyze(path)
    rows = rooms(timeline)
    (pause,) = [row for row in rows if row.face_status == NO_PICTURE]
    assert (pause.start, pause.end) == (pytest.approx(4.0), 4000)
    assert (pause.label, pause.score, pause.probabilities, pause.num_frames) == (None, None, {}, 0)
    assert len(rows) == 3 + 1 + 3 and [row.window for row in rows] == list(range(7))
    assert [row.start for row in rows[4:]] == [4000, 4001, 4002]
    assert all(not (segment.start < 4000 and segment.end > 4.1) for segment in timeline.segments)
    assert timeline.duration == pytest.approx(4004) and "no picture from 4.00 to 4000.00 s" in timeline.notes[0]
    # Whoever sits there afterwards was not seen coming.
    assert timeline.persons == ["person-1", "person-2"]


def test_a_camera_that_comes_late_and_leaves_early_has_rows_of_sound_alone(tmp_path, analyze):
    path = write_pieces(
        tmp_path / "call.mkv",
        [list(squares([{RED: (80, 60)}] * 40))],
        codec="libx264",
        starts=[5.0],
        sound=(0.0, 14.0),
    )
    rows = rooms(analyze(path))
    assert [(row.face_status, row.start) for row in rows] == [
        *((NO_PICTURE, 0.0), ("detected", 5.0), ("detected", 6.0), ("detected", 7.0)),
        (NO_PICTURE, pytest.approx(9.0)),
    ]
    assert rows[-1].end == pytest.approx(14.0, abs=0.1)


def test_frames_are_counted_once_however_often_they_are_sampled(tmp_path, analyze):
    path = write_video(tmp_path / "slow.mp4", squares([{RED: (80, 60)}] * 6), fps=1)
    assert {(row.face_frames, row.num_frames) for row in analyze(path).windows} == {(2, 2)}


def test_a_slow_camera_is_not_taken_for_pauses(tmp_path, analyze):
    path = write_video(tmp_path / "slow.mp4", squares([{RED: (80, 60)}] * 8), fps=0.4)
    assert NO_PICTURE not in {row.face_status for row in analyze(path).windows}


def test_frames_without_a_rate_are_not_held(tmp_path, analyze):
    for frames, seconds, sound, seen in (
        (1, None, (0.0, 60.0), 1),  # a cover picture, as in videos of music
        (2, [0, 4000], None, 2),
        (3, [0, 1000, 2000], None, 3),
    ):
        path = tmp_path / f"{frames}.mkv"
        if sound:
            write_pieces(path, [list(plain(frames))], codec="libx264", sound=sound)
        else:
            write_video(path, plain(frames), seconds=seconds)
        timeline = analyze(path, window=10.0, stride=5.0)
        answered = [row for row in rooms(timeline) if row.label is not None]
        assert len(answered) == seen and all(row.end - row.start <= 10 for row in answered)
        assert "no picture" in timeline.notes[0] and rooms(timeline)[-1].end == timeline.duration
    assert timeline.duration == 2010
    assert find_stretches([0, 5, 10, 15], 20, 2.0) == [(0, 20)]  # a frame every five seconds is a rate


def test_a_limit_before_the_camera_comes_is_no_error_of_the_program(tmp_path, analyze):
    path = write_pieces(tmp_path / "call.mkv", [list(plain(20))], codec="libx264", starts=[5.0], sound=(0.0, 7.0))
    timeline = analyze(path, duration=3)
    assert timeline.windows == [] and "no picture from 0.00 to 3.00 s" in timeline.notes[0]


def test_a_wrong_time_of_sound_does_not_make_it_hours_long(tmp_path, analyze):
    def write(path, leaps):
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", rate=10)
            video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
            voice = container.add_stream("aac", rate=48000, layout="mono")
            packets = encode(plain(40), "libx264", [place / 10 for place in range(40)])
            for packet in packets:
                packet.stream = video
            tone = make_tone(voice, 0.0, 4.0)
            for packet in [*packets, *(tone[place] for place in range(len(tone)) if place not in leaps)]:
                container.mux_one(packet)
            for place in leaps:
                tone[place].pts = tone[place].dts = tone[place].pts + 36000 * 48000
                container.mux_one(tone[place])
        return path

    path = write(tmp_path / "wrong.mkv", [185, 186])
    timeline = analyze(path)
    assert timeline.duration == pytest.approx(4.0, abs=0.1) and "not believed" in " ".join(timeline.notes)
    write_overlay(timeline, path, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(4.0, abs=0.2)


def test_an_overlay_shows_frames_whose_times_repeat(tmp_path, analyze):
    with av.open(str(tmp_path / "repeat.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number, packet in enumerate(encode(stairs(30), "libx264", [place / 10 for place in range(30)])):
            packet.stream = stream
            packet.pts = packet.dts = packet.pts - (100 if number in (10, 20) else 0)
            container.mux_one(packet)
    timeline = analyze(tmp_path / "repeat.mkv")
    assert any("2 of its 30 frames" in note for note in timeline.notes)
    write_overlay(timeline, tmp_path / "repeat.mkv", tmp_path / "overlay.mp4")
    times, _ = read_back(tmp_path / "overlay.mp4")
    assert len(times) == 30 and times[-1] == pytest.approx(2.9, abs=0.01)


def test_an_overlay_holds_a_pause_over_night(tmp_path, analyze):
    path = write_video(tmp_path / "night.mkv", plain(8), seconds=[*range(4), *range(60_000, 60_004)])
    write_overlay(analyze(path), path, tmp_path / "overlay.mp4")
    times, _ = read_back(tmp_path / "overlay.mp4")
    assert times == pytest.approx([*range(4), *range(60_000, 60_004)])


def test_gaps_are_noted_once_however_often_a_recording_is_analysed(tmp_path, analyze):
    path = write_video(tmp_path / "paused.mkv", plain(8), seconds=[*range(4), *range(30, 34)])
    recording = open_recording(path)
    for _ in range(2):
        assert sum("no picture" in note for note in analyze(recording).notes) == 1


def test_a_camera_continues_times_and_says_what_changes(tmp_path, analyze):
    piece = write_video(tmp_path / "piece.ts", list(squares([{RED: (80, 60)}] * 30)))
    path = join_files(tmp_path / "joined.ts", [piece, piece])
    timeline = analyze(LiveRecording(str(path), format=None))
    assert timeline.duration == pytest.approx(6, abs=1) and "begin anew" in timeline.notes[0]
    path = write_pieces(tmp_path / "sizes.webm", [list(plain(20)), list(plain(20, size=(320, 240)))])
    timeline = analyze(LiveRecording(str(path), format=None))
    assert (timeline.width, timeline.height) == (160, 120) and "320x240" in timeline.notes[0]


def test_windows_begin_every_stride(tmp_path, analyze):
    path = write_video(tmp_path / "lesson.mp4", noise(100))
    assert [row.start for row in rooms(analyze(path, window=3.0, stride=1.0))] == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".flv"])
def test_an_intact_piece_that_does_not_begin_at_zero_is_whole(tmp_path, suffix):
    codec = {".webm": "libvpx", ".mkv": "libx264", ".flv": "flv"}[suffix]
    path = tmp_path / f"piece{suffix}"
    seconds = [15 + place / 10 for place in range(47)]
    write_video(path, noise(47), seconds=seconds, codec=codec)
    recording = open_recording(path)
    assert recording.duration == pytest.approx(4.7, abs=0.05) and recording.notes == []


# --- cuts


def cut_at(frames, number, size=(160, 120)):
    """`frames`, from `number` on with red and blue exchanged: another person at the same place."""
    return [frame if place < number else frame[..., ::-1].copy() for place, frame in enumerate(frames)]


class AnySquare:
    """Finds one square of whatever colour, and so cannot tell who is there."""

    name = "any square"

    def detect(self, frame):
        return [type(found)(found.box, found.score) for found in SquareDetector().detect(frame)[:1]]


def test_a_cut_makes_two_people_of_two(tmp_path, analyze):
    frames = list(squares([{RED: (80, 60)}] * 40))
    path = write_video(tmp_path / "speaker.mp4", cut_at(frames, 20))
    timeline = analyze(path, AnySquare())
    assert timeline.persons == ["person-1", "person-2"]
    (note,) = timeline.notes
    assert "cut" in note and "2.2 s" in note
    for person, (start, end) in {"person-1": (0, 2), "person-2": (2, 4)}.items():
        times = [sighting.time for sighting in timeline.sightings if sighting.person == person]
        assert start < min(times) and max(times) < end
    # Nobody is seen on the other side: of the window from 1 to 3 s each has two of four frames.
    assert [(row.person, row.num_frames) for row in timeline.windows if row.window == 1] == [
        ("person-1", 2),
        ("person-2", 2),
        (ROOM, 4),
    ]


def test_a_cut_to_a_face_elsewhere_is_one(tmp_path, analyze):
    frames = list(squares([{RED: (30, 30)}] * 20 + [{GREEN: (130, 90)}] * 20))
    timeline = analyze(write_video(tmp_path / "view.mp4", frames))
    assert timeline.persons == ["person-1", "person-2"] and "cut" in timeline.notes[0]
    assert max(row.start for row in timeline.windows if row.person == "person-1") == 1.0
    assert min(row.end for row in timeline.windows if row.person == "person-2") == 3.0


def test_cuts_are_looked_for_where_boxes_are(tmp_path):
    # A tall picture on a wide one lies in the middle, and so do the cells of its cuts.
    fitter = FrameFitter(size=(160, 80))
    thumbnail = fitter.make_thumbnail(av.VideoFrame.from_ndarray(np.full((120, 60, 3), 200, np.uint8), "rgb24"))
    assert thumbnail.shape == (36, 64, 3)
    columns = thumbnail.mean(axis=(0, 2))
    assert (columns[:23] == 0).all() and (columns[25:39] > 190).all() and (columns[41:] == 0).all()


def test_swapped_tiles_are_four_people_and_the_others_stay(tmp_path, analyze):
    before = list(squares([{RED: (30, 60), GREEN: (80, 60), BLUE: (130, 60)}] * 20))
    after = list(squares([{BLUE: (30, 60), GREEN: (80, 60), RED: (130, 60)}] * 20))

    class Places:
        name = "places"

        def detect(self, frame):
            return sorted(SquareDetector().detect(frame))

    timeline = analyze(write_video(tmp_path / "gallery.mp4", before + after), Places())
    assert timeline.persons == [f"person-{number}" for number in range(1, 6)]
    (stayed,) = {sighting.person for sighting in timeline.sightings if 60 < sighting.box[0] < 70 and sighting.time > 2}
    assert stayed == "person-2"


def test_what_moves_dims_or_flashes_is_no_cut(tmp_path, analyze):
    walk = list(squares([{RED: (20 + 3 * place, 60)} for place in range(40)]))
    still = list(squares([{RED: (80, 60)}] * 40))
    dim = still[:20] + [(frame * 0.7).astype(np.uint8) for frame in still[20:]]
    flash = still[:20] + list(plain(1, (255, 255, 255))) + still[20:]
    for name, frames in {"walk": walk, "dim": dim, "flash": flash}.items():
        timeline = analyze(write_video(tmp_path / f"{name}.mp4", frames), AnySquare())
        assert timeline.persons == ["person-1"] and timeline.notes == [], name


def test_whoever_sits_beside_slides_stays_when_they_change(tmp_path, analyze):
    frames = []
    for slide in range(4):
        for frame in squares([{RED: (130, 90)}] * 10):
            frame[:, :100] = (60 * slide, 200 - 50 * slide, 255 * (slide % 2))
            frames.append(frame)
    timeline = analyze(write_video(tmp_path / "slides.mp4", frames), AnySquare())
    assert timeline.persons[-1] == "person-1"


def test_a_camera_is_cut_and_paused_as_a_file_is(tmp_path, analyze):
    frames = cut_at(list(squares([{RED: (80, 60)}] * 40)), 20)
    path = write_video(tmp_path / "live.mkv", frames)
    assert analyze(LiveRecording(str(path), format=None), AnySquare()).persons == ["person-1", "person-2"]
    seconds = [place / 10 if place < 20 else 30 + place / 10 for place in range(40)]
    path = write_video(tmp_path / "paused.mkv", squares([{RED: (80, 60)}] * 40), seconds=seconds)
    rows = rooms(analyze(LiveRecording(str(path), format=None)))
    (pause,) = [row for row in rows if row.face_status == NO_PICTURE]
    assert pause.start == pytest.approx(2, abs=0.5) and pause.end == 32


# --- headers


@pytest.mark.parametrize(
    ("suffix", "name", "other"), [(".mp4", b"avc1", b"zzzz"), (".mkv", b"MPEG4/ISO", b"MPEG9/ISO")]
)
def test_a_codec_that_nobody_knows_is_refused_in_one_line(tmp_path, suffix, name, other):
    path = set_codec(write_video(tmp_path / f"new{suffix}", noise(5)), name, other)
    with pytest.raises(InputError, match=rf"new{suffix}: expected a video stream, found pictures in a format"):
        VideoFrames(path)
    write_sound(tmp_path / "voice.m4a")
    with pytest.raises(InputError, match="expected a video stream, found none"):
        VideoFrames(tmp_path / "voice.m4a")


def test_a_header_that_claims_an_absurd_picture_costs_nothing(tmp_path):
    gif = b"GIF89a" + (9000).to_bytes(2, "little") * 2 + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    gif += b"," + b"\0\0\0\0\x01\0\x01\0\0" + b"\x02\x02\x44\x01\0" + b";"
    (tmp_path / "huge.gif").write_bytes(gif)
    with pytest.raises(InputError, match=r"huge\.gif: its header claims a picture of 9000x9000 pixels"):
        VideoFrames(tmp_path / "huge.gif")
    # What the stream itself says wins over the container.
    assert VideoFrames(claim_size(write_video(tmp_path / "lie.mp4", stairs(5)), 65000, 65000)).size == (160, 120)
