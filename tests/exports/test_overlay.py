import av
import numpy as np
import pytest
from PIL import Image, ImageColor

from helpers.videos import (
    draw_faces,
    face_picture,
    likeness,
    moving_face,
    noise,
    plain,
    read_back,
    sharpness,
    stairs,
    write_rotated,
    write_truncated,
    write_video,
)
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.face_paths import FacePath, follow_faces
from modeling_clipcaer.exports.look import label_colours, luminance, name_caveats, show_time, text_colour
from modeling_clipcaer.exports.overlay import write_overlay
from modeling_clipcaer.exports.overlay_drawing import OverlayPainter
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.recordings.timeline import (
    ROOM,
    UNCERTAIN,
    FaceSighting,
    Timeline,
    TimelineSegment,
    TimelineWindow,
)


def segment(person, start, end, label=RAER_LABELS[0], score=0.8):
    return TimelineSegment("lesson.mp4", person, start, end, label, score, 1)


def build_timeline(duration, size, sightings=(), segments=(), labels=RAER_LABELS, **settings):
    """A timeline with one window for each segment."""
    windows = [
        TimelineWindow(
            *("lesson.mp4", part.person, number, part.start, part.end, "detected", 16, 16, part.label, part.score),
            probabilities={label: 1 / len(labels) for label in labels},
        )
        for number, part in enumerate(segments)
    ]
    return Timeline(
        *("lesson.mp4", duration, *size, list(labels), windows, list(segments), list(sightings)),
        settings={"zero_shot": False, "calibrated": True, **settings},
    )


def seen(person, time, box, status="detected"):
    return FaceSighting(person, time, box, status)


def test_an_overlay_is_what_browsers_play_from_its_first_bytes(tmp_path):
    write_video(tmp_path / "lesson.mp4", stairs(20), sound=True)
    write_overlay(build_timeline(2.0, (160, 120)), tmp_path / "lesson.mp4", tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        (picture,), (sound,) = container.streams.video, container.streams.audio
        assert picture.codec_context.name == "h264" and picture.codec_context.pix_fmt == "yuv420p"
        assert float(picture.duration * picture.time_base) == pytest.approx(2.0)
        assert sound.codec_context.name == "aac"
    data = (tmp_path / "overlay.mp4").read_bytes()
    assert data[4:8] == b"ftyp" and data.index(b"moov") < data.index(b"mdat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lesson.mp4", "overlay.mp4"]


@pytest.mark.parametrize("seconds", [[0, 0.04, 0.08, 1, 1.04, 3, 3.5, 3.54], [0], [0, 0.7, 4.0]])
def test_every_frame_keeps_its_presentation_time(tmp_path, seconds):
    video = write_video(tmp_path / "lesson.mp4", stairs(len(seconds)), seconds=seconds, keyframe_distance=3)
    write_overlay(build_timeline(seconds[-1] + 0.5, (160, 120)), video, tmp_path / "overlay.mp4")
    times, frames = read_back(tmp_path / "overlay.mp4")
    expected, originals = read_back(video)
    assert times == pytest.approx(expected, abs=1e-6)
    for frame, original in zip(frames, originals, strict=True):
        assert abs(frame[:80].mean() - original[:80].mean()) < 2
    with av.open(str(tmp_path / "overlay.mp4")) as container:  # a player shows the last frame to its end
        stream = container.streams.video[0]
        assert float((stream.start_time + stream.duration) * stream.time_base) == pytest.approx(seconds[-1] + 0.5)


def test_colours_stay_what_they_were(tmp_path):
    for number, colour in enumerate([(200, 40, 40), (30, 180, 60), (40, 60, 210), (128, 128, 128)]):
        video = write_video(tmp_path / f"{number}.mp4", plain(2, colour))
        write_overlay(build_timeline(0.2, (160, 120)), video, tmp_path / "overlay.mp4")
        _, (frame, _) = read_back(tmp_path / "overlay.mp4")
        assert np.abs(frame[:80].mean(axis=(0, 1)) - colour).max() < 5


def test_a_phone_video_is_turned_upright(tmp_path):
    video = write_rotated(tmp_path / "phone.mp4", stairs(5), 90)
    write_overlay(build_timeline(0.5, (120, 160)), video, tmp_path / "overlay.mp4")
    assert read_back(tmp_path / "overlay.mp4")[1][0].shape == (160, 120, 3)


def test_a_folder_of_frames_of_odd_sizes_becomes_a_video(tmp_path):
    (tmp_path / "frames").mkdir()
    for number, size in enumerate([(97, 65), (97, 65), (194, 130)]):
        Image.new("RGB", size, (80 * number, 0, 0)).save(tmp_path / "frames" / f"{number}.png")
    write_overlay(build_timeline(1.5, (97, 65)), tmp_path / "frames", tmp_path / "overlay.mp4", fps=2)
    times, frames = read_back(tmp_path / "overlay.mp4")
    assert times == [0, 0.5, 1] and {frame.shape for frame in frames} == {(64, 96, 3)}
    assert [round(frame[:30, :, 0].mean() / 80) for frame in frames] == [0, 1, 2]


def sound_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [
            (round(float(packet.pts * packet.time_base), 3), bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]
        container.seek(0)
        frames = list(container.decode(audio=0))
    return stream.codec_context.name, packets, np.concatenate([frame.to_ndarray()[0] for frame in frames])


def test_sound_that_browsers_play_is_copied_and_other_sound_becomes_aac(tmp_path):
    for name in ("lesson.mp4", "lesson.webm"):
        video = write_video(tmp_path / name, plain(20), sound=True)
        write_overlay(build_timeline(2.0, (160, 120)), video, tmp_path / "overlay.mp4")
        codec, packets, wave = sound_of(tmp_path / "overlay.mp4")
        assert codec == "aac" and len(wave) == pytest.approx(2 * 48000, rel=0.02)
        spectrum = np.abs(np.fft.rfft(wave[48000 - 4096 : 48000 + 4096]))
        assert spectrum.argmax() * 48000 / 8192 == pytest.approx(440, abs=6)
        assert (packets == sound_of(video)[1]) == (name == "lesson.mp4")


def test_packets_of_sound_that_are_damaged_are_left_out_and_counted(tmp_path, caplog):
    picture = write_video(tmp_path / "picture.mkv", plain(20))
    with av.open(str(picture)) as source, av.open(str(tmp_path / "lesson.mkv"), "w") as container:
        copy = container.add_stream_from_template(source.streams.video[0])
        voice = container.add_stream("mp2", rate=48000, layout="mono")
        noise_of_sound = np.random.default_rng(0).integers(-3000, 3000, (1, 96000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(noise_of_sound, "s16", "mono")
        frame.sample_rate = 48000
        sound = [*voice.encode(frame), *voice.encode(None)]
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                container.mux(packet)
        container.mux(sound)
    data = (tmp_path / "lesson.mkv").read_bytes()
    for packet in sound[20:30]:
        data = data.replace(bytes(packet), b"\xff" * packet.size)
    (tmp_path / "lesson.mkv").write_bytes(data)
    write_overlay(build_timeline(2.0, (160, 120)), tmp_path / "lesson.mkv", tmp_path / "overlay.mp4")
    assert "packets of sound cannot be decoded" in caplog.text
    assert len(sound_of(tmp_path / "overlay.mp4")[2]) > 48000


def test_sound_keeps_its_place_beside_the_picture_where_times_begin_late(tmp_path):
    write_video(tmp_path / "lesson.mp4", plain(20), sound=True)
    with av.open(str(tmp_path / "lesson.mp4")) as source, av.open(str(tmp_path / "late.ts"), "w") as container:
        copies = {stream.index: container.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                ticks = round(5 / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = copies[packet.stream.index]
                container.mux(packet)
    write_overlay(build_timeline(2.0, (160, 120)), tmp_path / "late.ts", tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "late.ts")) as container:
        assert container.start_time > 4 * av.time_base
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        picture, sound = (next(container.decode(stream)).time for stream in container.streams)
    assert abs(picture) < 0.05 and abs(sound) < 0.05


def test_a_timeline_that_was_stopped_early_shows_as_much(tmp_path):
    video = write_video(tmp_path / "lesson.mp4", stairs(20), sound=True)
    write_overlay(build_timeline(1.0, (160, 120)), video, tmp_path / "overlay.mp4")
    assert len(read_back(tmp_path / "overlay.mp4")[0]) == 10
    assert len(sound_of(tmp_path / "overlay.mp4")[2]) == pytest.approx(48000, rel=0.05)


def test_what_a_truncated_recording_still_holds_is_shown_and_rubbish_leaves_no_file(tmp_path):
    video = write_truncated(tmp_path / "cut.mp4", noise(30), share=0.6)
    write_overlay(build_timeline(3.0, (160, 120)), video, tmp_path / "overlay.mp4")
    assert 5 < len(read_back(tmp_path / "overlay.mp4")[0]) < 30
    video = write_video(tmp_path / "cut.mkv", noise(30), sound=True)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    write_overlay(build_timeline(3.0, (160, 120)), video, tmp_path / "overlay.mp4")
    assert 5 < len(read_back(tmp_path / "overlay.mp4")[0]) < 30 and len(sound_of(tmp_path / "overlay.mp4")[2]) > 20_000
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"text\.mp4"):
        write_overlay(build_timeline(3.0, (160, 120)), tmp_path / "text.mp4", tmp_path / "none.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.mkv", "cut.mp4", "overlay.mp4", "text.mp4"]


def test_faces_are_unrecognisable_in_every_frame_unless_shown(tmp_path):
    originals = list(moving_face(30))
    video = write_video(tmp_path / "lesson.mp4", originals, fps=10)
    places = [95 + (0.5 - 0.5 * np.cos(2 * np.pi * number / 30)) * 450 for number in range(30)]
    # The head's own box at every sixth frame, from 0.3 s on; the face is there before, between and after.
    sightings = [
        seen("person-1", number / 10, (places[number] - 45, 115, places[number] + 35, 220))
        for number in range(3, 28, 6)
    ]
    timeline = build_timeline(3.0, (640, 360), sightings)
    for name, show_faces in (("hidden", False), ("shown", True)):
        write_overlay(timeline, video, tmp_path / f"{name}.mp4", show_faces=show_faces)
    shown, hidden = (read_back(tmp_path / f"{name}.mp4")[1] for name in ("shown", "hidden"))
    for number, original in enumerate(originals):
        centre = round(places[number])
        face = np.s_[120:215, centre - 38 : centre + 28]
        assert likeness(shown[number][face], original[face]) > 0.9, number
        assert likeness(hidden[number][face], original[face]) < 0.4, number
        assert sharpness(hidden[number][face]) < 0.15 * sharpness(original[face]), number


def test_faces_that_nobody_looked_for_are_not_passed_off_as_hidden(tmp_path):
    video = write_video(tmp_path / "lesson.mp4", moving_face(2))
    timeline = build_timeline(0.2, (640, 360), face_detector="none")
    with pytest.raises(InputError, match="no faces were looked for"):
        write_overlay(timeline, video, tmp_path / "overlay.mp4")
    assert not (tmp_path / "overlay.mp4").exists()
    write_overlay(timeline, video, tmp_path / "overlay.mp4", show_faces=True)


def test_a_face_is_hidden_that_was_seen_too_shortly_for_a_timeline_of_its_own():
    frame = draw_faces([(320, 180)])
    box = (275.0, 115.0, 355.0, 220.0)
    painter = OverlayPainter(build_timeline(5.0, (640, 360), [seen("person-7", 1.0, box)]), 640, 360, False)
    painted = frame.copy()
    painter.paint(painted, 1.5)
    face = np.s_[120:215, 282:348]
    assert sharpness(painted[face]) < 0.15 * sharpness(frame[face])


def paint_above_footer(timeline, frame, show_faces=False):
    """Which pixels of a frame of 400 x 300, above the lines at its bottom, are painted at 0.5 s; and the picture."""
    painted = frame.copy()
    OverlayPainter(timeline, 400, 300, show_faces).paint(painted, 0.5)
    return (painted != frame).any(axis=2)[:260], painted


@pytest.mark.parametrize(
    ("box", "hidden", "left_alone"),
    [
        ((-50, -50, 20, 20), np.s_[:20, :20], [np.s_[42:], np.s_[:, 38:]]),
        ((390, 190, 460, 240), np.s_[190:240, 390:], [np.s_[:174], np.s_[:, :372]]),
        ((-90, -90, -60, -60), None, [np.s_[:]]),
        ((5, 5, 5, 5), None, [np.s_[10:], np.s_[:, 10:]]),
        ((0, 0, 400, 300), np.s_[:], []),
    ],
)
def test_faces_at_and_beyond_the_edges_are_hidden_as_far_as_the_frame_goes(box, hidden, left_alone):
    frame = next(noise(1, (400, 300)))
    sightings = [seen("person-1", 0.5, box)]
    changed, _ = paint_above_footer(build_timeline(1.0, (400, 300), sightings), frame)
    if hidden is not None:
        assert changed[hidden].mean() > 0.9
    assert not any(changed[part].any() for part in left_alone)
    # With a label, whose place is within the frame wherever the face is.
    labelled = build_timeline(1.0, (400, 300), sightings, [segment("person-1", 0, 1)])
    _, painted = paint_above_footer(labelled, frame, show_faces=True)
    assert count_colour(painted[:260], label_colours(RAER_LABELS)[RAER_LABELS[0]]) > 300


def test_a_box_moves_on_straight_lines_between_sightings():
    path = FacePath([seen("person-1", 1.0, (0, 0, 10, 10)), seen("person-1", 2.0, (20, 40, 30, 50), "bridged")], 0.5)
    assert path.box_at(1.25) == (5, 10, 15, 20)
    assert path.box_at(0.8) == (0, 0, 10, 10) and path.box_at(0.7) is None and path.box_at(2.3) is None
    assert path.is_found_at(1.2) and not path.is_found_at(1.9)
    assert path.boxes_to_hide(1.4).tolist() == [[0, 0, 10, 10], [20, 40, 30, 50]]
    assert path.boxes_to_hide(0.5).tolist() == [[0, 0, 10, 10], [-10, -20, 0, -10]]
    assert path.boxes_to_hide(3.0).tolist() == [[20, 40, 30, 50], [40, 80, 50, 90]]
    assert path.boxes_to_hide(-0.1).size == path.boxes_to_hide(3.1).size == 0
    assert path.boxes_to_hide(0.0).size and path.boxes_to_hide(3.0).size  # the very last moments
    assert path.boxes_to_hide(1.0).tolist() == [[0, 0, 10, 10], [20, 40, 30, 50]]
    assert path.boxes_to_hide(2.0).tolist() == [[20, 40, 30, 50]]
    assert path.box_at(0.75) == (0, 0, 10, 10) and path.box_at(2.25) == (20, 40, 30, 50)
    assert path.is_found_at(0.5) and not path.is_found_at(0.49) and not path.is_found_at(2.5)
    assert path.is_found_at(1.5) and not path.is_found_at(1.51)  # of two as near the earlier


def test_a_face_seen_once_is_hidden_for_a_second_before_and_after_or_two_steps():
    for step, hold in ((0.5, 1.0), (0.2, 1.0), (0.8, 1.6)):
        path = FacePath([seen("person-1", 2.0, (0, 0, 10, 10), "supplied")], step)
        for side in (-1, 1):
            assert path.boxes_to_hide(2 + side * (hold - 0.01)).tolist() == [[0, 0, 10, 10]]
            assert path.boxes_to_hide(2 + side * (hold + 0.01)).size == 0
        assert path.is_found_at(1.99 + step) and not path.is_found_at(2.01 + step)


def test_a_step_is_that_of_the_sampled_frames_not_of_one_persons_sightings():
    sightings = [seen("person-1", 0.5 * number, (0, 0, 9, 9)) for number in range(9)]
    sightings += [seen("person-2", time, (0, 0, 9, 9)) for time in (0.0, 4.0)]
    assert follow_faces(sightings)["person-2"].step == 0.5


def test_a_recording_begins_with_the_box_of_its_first_sampled_frame():
    sightings = [seen("person-1", number / 3 + 1 / 6, (0, 0, 9, 9)) for number in range(90)]
    path = follow_faces(sightings)["person-1"]
    assert path.box_at(0.0) == (0, 0, 9, 9) and path.box_at(30.0) == (0, 0, 9, 9)
    assert path.box_at(-0.01) is None and path.box_at(30.01) is None


def test_the_only_frame_in_which_a_face_was_found_shows_its_box():
    path = follow_faces([seen("person-1", 0.003, (0, 0, 10, 10))])["person-1"]  # of a video of one frame
    assert path.box_at(0.0) == (0, 0, 10, 10) and path.is_found_at(0.0) and path.box_at(2.0) is None


def test_whether_a_face_was_found_is_told_by_the_nearest_sighting():
    path = FacePath([seen("a", 0.0, (0, 0, 9, 9), "detected"), seen("a", 1.0, (0, 0, 9, 9), "held")], 1.0)
    assert [path.is_found_at(time) for time in (-0.9, 0.0, 0.4, 0.6, 1.0, 1.9)] == [True] * 3 + [False] * 3
    turned = FacePath([seen("a", 0.0, (0, 0, 9, 9), "held"), seen("a", 1.0, (0, 0, 9, 9), "supplied")], 1.0)
    assert [turned.is_found_at(time) for time in (-0.9, 0.4, 0.6, 1.9, 2.1)] == [False, False, True, True, False]


def test_the_only_frame_that_shows_faces_stands_for_a_step_of_a_second():
    assert follow_faces([seen("a", 3.0, (0, 0, 9, 9)), seen("b", 3.0, (9, 9, 20, 20))])["a"].step == 1.0


def count_colour(frame, colour):
    return int((np.abs(frame.astype(int) - ImageColor.getrgb(colour)).max(axis=2) <= 2).sum())


def test_each_person_carries_the_label_of_the_moment_in_its_colour():
    segments = [
        segment("person-1", 0, 2, "Confusion"),
        segment("person-1", 2, 4, "Fatigue"),
        segment(ROOM, 0, 4, UNCERTAIN),
    ]
    sightings = [seen("person-1", time, (200.0, 100.0, 260.0, 170.0)) for time in np.arange(0.25, 4, 0.5)]
    painter = OverlayPainter(build_timeline(4.0, (640, 360), sightings, segments), 640, 360, True)
    colours = label_colours(RAER_LABELS)
    for time, label, other in [(1.0, "Confusion", "Fatigue"), (3.0, "Fatigue", "Confusion")]:
        (frame,) = plain(1, (0, 0, 0), (640, 360))
        painter.paint(frame, time)
        strip = frame[60:100, 195:]  # above the box
        assert count_colour(strip, colours[label]) > 500 and count_colour(frame, colours[other]) == 0
        assert count_colour(frame[300:], colours[UNCERTAIN]) > 500


def test_a_label_has_the_score_of_the_window_around_the_moment():
    windows = [
        TimelineWindow(
            *(
                "lesson.mp4",
                "person-1",
                number,
                2.0 * number,
                2.0 * number + 4,
                "detected",
                16,
                16,
                "Confusion",
                score,
            ),
            probabilities={"Confusion": score, "Fatigue": 1 - score},
        )
        for number, score in enumerate((0.5, 0.9, 0.7))
    ]
    one = segment("person-1", 0, 8, "Confusion", score=0.8)
    timeline = Timeline("lesson.mp4", 8.0, 640, 360, ["Confusion", "Fatigue"], windows, [one])
    painter = OverlayPainter(timeline, 640, 360, True)
    # The windows' middles are 2, 4 and 6 s.
    told = [painter._describe(one, time) for time in (0.0, 2.9, 3.1, 4.9, 5.1, 8.0)]
    assert told == [f"Confusion {score} %" for score in (50, 50, 90, 90, 70, 70)]


def test_labels_of_neighbours_do_not_cover_each_other():
    boxes = {"person-1": (100.0, 100.0, 150.0, 160.0), "person-2": (170.0, 100.0, 220.0, 160.0)}
    labels = {"person-1": "Confusion", "person-2": "Fatigue"}
    counts = []
    for names in (["person-1"], ["person-2"], ["person-1", "person-2"]):
        segments = [segment(name, 0, 2, labels[name]) for name in names]
        sightings = [seen(name, time, boxes[name]) for time in (0.5, 1.0) for name in names]
        (frame,) = plain(1, (0, 0, 0), (640, 360))
        OverlayPainter(build_timeline(2.0, (640, 360), sightings, segments), 640, 360, True).paint(frame, 0.75)
        counts.append([count_colour(frame[:300], label_colours(RAER_LABELS)[labels[name]]) for name in names])
    (alone,), (beside,), both = counts
    assert both == [alone, beside]


def test_who_is_followed_without_a_face_stands_in_the_footer():
    segments = [segment("person-1", 0, 4, "Confusion"), segment(ROOM, 0, 4, "Neutrality")]
    (frame,) = plain(1, (0, 0, 0), (640, 360))
    OverlayPainter(build_timeline(4.0, (640, 360), (), segments), 640, 360, True).paint(frame, 1.0)
    assert count_colour(frame[300:], label_colours(RAER_LABELS)["Confusion"]) > 500 and not frame[:300].any()


def test_a_face_that_was_carried_over_a_gap_is_marked():
    frames = []
    for status in ("detected", "bridged"):
        sightings = [seen("person-1", time, (200.0, 100.0, 260.0, 170.0), status) for time in (0.5, 1.0)]
        (frame,) = plain(1, (0, 0, 0), (640, 360))
        timeline = build_timeline(2.0, (640, 360), sightings, [segment("person-1", 0, 2, "Confusion")])
        OverlayPainter(timeline, 640, 360, True).paint(frame, 0.75)
        frames.append(frame)
    colour = label_colours(RAER_LABELS)["Confusion"]
    outlines = [count_colour(frame[100:172, 198:264], colour) for frame in frames]
    assert outlines[1] < 0.75 * outlines[0]  # dashes
    assert frames[1][60:100, 300:].any(axis=2).sum() > frames[0][60:100, 300:].any(axis=2).sum()  # and words


def test_a_zero_shot_timeline_says_so_on_every_frame():
    assert name_caveats({"zero_shot": True, "calibrated": False}) == ["zero-shot", "uncalibrated"]
    assert name_caveats({"zero_shot": False, "calibrated": True}) == []
    widths = []
    for settings in ({}, {"zero_shot": True, "calibrated": False}):
        (frame,) = plain(1, (0, 0, 0), (640, 360))
        OverlayPainter(build_timeline(4.0, (640, 360), **settings), 640, 360, True).paint(frame, 1.0)
        widths.append(np.flatnonzero(frame[-18:-8].max(axis=(0, 2)) > 128).max())
    assert widths[1] > widths[0] + 50


@pytest.mark.parametrize("size", [(640, 360), (64, 48), (16, 16), (2, 2)])
@pytest.mark.parametrize(
    "labels", [["Müdigkeit", "Усталость"], ["疲劳", "العربية"], ["😀", "a sentence " * 20], ["", "\n\0<b>"]]
)
def test_labels_of_any_script_and_length_fit_frames_of_any_size(labels, size):
    segments = [
        segment("person-1", 0, 1, labels[0]),
        segment("person-2", 0, 1, labels[1]),
        segment(ROOM, 0, 1, labels[1]),
    ]
    width, height = size
    sightings = [seen("person-1", 0.5, (0.2 * width, 0.2 * height, 0.6 * width, 0.8 * height))]
    timeline = build_timeline(1.0, size, sightings, segments, labels)
    (frame,) = plain(1, size=size)
    OverlayPainter(timeline, *size, False).paint(frame, 0.5)
    colours = label_colours(labels)
    assert size == (2, 2) or min(count_colour(frame, colours[label]) for label in labels) > 20
    (before,) = plain(1, size=size)
    assert (frame != before).any(axis=(1, 2))[-size[1] // 16 :].all()  # the lines at the bottom


def test_boxes_follow_the_size_of_the_frames_shown():
    timeline = build_timeline(
        1.0, (320, 180), [seen("person-1", 0.5, (100.0, 60.0, 140.0, 100.0))], [segment("person-1", 0, 1)]
    )
    (frame,) = plain(1, (0, 0, 0), (640, 360))
    OverlayPainter(timeline, 640, 360, True).paint(frame, 0.5)
    rows, columns = np.nonzero(
        (frame[120:300] == ImageColor.getrgb(label_colours(RAER_LABELS)["Neutrality"])).all(axis=2)
    )
    assert abs(columns.min() - 200) <= 2 and abs(columns.max() - 280) <= 2 and abs(rows.max() + 120 - 200) <= 2


def test_colours_differ_and_text_on_them_can_be_read():
    colours = label_colours([f"label {number}" for number in range(18)])
    assert len(set(colours.values())) == 19
    for colour in colours.values():
        light, dark = sorted([luminance(colour) + 0.05, luminance(text_colour(colour)) + 0.05], reverse=True)
        assert light / dark >= 4.5
    assert luminance("#FFFFFF") == pytest.approx(1) and luminance("#000000") == 0
    assert luminance("#777777") == pytest.approx(0.1845, abs=1e-4)


def test_times_are_rounded_once():
    assert [show_time(seconds) for seconds in (0, 59.96, 3725.04)] == ["0:00:00.0", "0:01:00.0", "1:02:05.0"]


def test_memory_of_drawn_text_is_bounded():
    segments = [segment("person-1", number, number + 1, score=number / 700) for number in range(600)]
    painter = OverlayPainter(build_timeline(600.0, (64, 48), (), segments), 64, 48, True)
    (frame,) = plain(1, size=(64, 48))
    for time in range(600):
        painter.paint(frame, time + 0.5)
    assert painter._chip.cache_info().currsize <= 256 and painter._row.cache_info().currsize <= 64


def test_the_face_of_these_tests_has_detail_to_lose():
    assert sharpness(face_picture()) > 10
