import os
import signal
import threading
import time

import av
import numpy as np
import pytest
import torch
from PIL import Image

from helpers import videos
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.recordings.camera import LiveRecording
from modeling_clipcaer.recordings.recording import StoredRecording, open_recording
from modeling_clipcaer.video_frames import VideoFrames


def places(recording, times):
    """The places in `videos.stairs` of the frames shown at `times`."""
    return [round(shown.frame.float().mean().item() / 4) for shown in recording.frames_at(times)]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.mkv", "clip.ts", "clip.avi"])
def test_every_container_has_the_length_of_its_frames_and_shows_the_frame_of_a_time(tmp_path, name):
    recording = open_recording(videos.write_video(tmp_path / name, videos.stairs(40)))
    assert recording.name == str(tmp_path / name) and recording.notes == []
    assert recording.duration == pytest.approx(4, abs=0.01)
    assert places(recording, [0.05, 0.15, 1.95, 2.0, 3.95]) == [0, 1, 19, 20, 39]


def test_a_webm_without_a_length_has_that_of_its_frames(tmp_path):
    recording = open_recording(videos.write_webm_without_length(tmp_path / "call.webm", videos.stairs(30)))
    assert recording.duration == pytest.approx(3, abs=0.01)
    assert places(recording, [0, 2.95]) == [0, 29]


def test_at_a_variable_rate_a_time_shows_the_last_frame_that_came(tmp_path):
    seconds = [0, 0.5, 0.6, 3, 3.1, 7]
    path = videos.write_video(tmp_path / "variable.mp4", videos.stairs(6), seconds=seconds)
    recording = open_recording(path)
    assert places(recording, [0, 0.49, 0.5, 0.55, 2.9, 3.05, 5, 6.9, 7, 9]) == [0, 0, 1, 1, 2, 3, 4, 4, 5, 5]
    assert recording.duration == pytest.approx(7 + 0.5)  # the last frame is shown as long as most


def test_a_frame_that_is_shown_at_several_times_is_decoded_once(tmp_path, monkeypatch):
    path = videos.write_video(tmp_path / "slow.mp4", videos.stairs(4), fps=1)
    wanted = []
    read = VideoFrames.read
    monkeypatch.setattr(VideoFrames, "read", lambda self, indices: wanted.extend(indices) or read(self, indices))
    shown = list(open_recording(path).frames_at(np.arange(0, 4, 0.25)))
    assert wanted == [0, 1, 2, 3] and [item.number for item in shown] == [n // 4 for n in range(16)]
    assert all(shown[n].frame is shown[n - n % 4].frame for n in range(16))


def test_a_rotated_recording_is_turned_upright(tmp_path):
    frames = videos.squares([{videos.RED: (20, 60)}] * 5)
    (shown,) = open_recording(videos.write_rotated(tmp_path / "phone.mp4", frames, 90)).frames_at([0])
    assert shown.frame.shape == (3, 160, 120)
    red = (shown.frame[0].int() - shown.frame[1].int()) > 100
    assert red.nonzero().float().mean(dim=0).tolist() == pytest.approx(
        [20, 60], abs=4
    )  # from the left edge to the top


def test_a_recording_that_begins_late_starts_at_zero(tmp_path):
    seconds = [100 + place / 10 for place in range(20)]
    path = videos.write_video(tmp_path / "late.mkv", videos.stairs(20), seconds=seconds)
    assert VideoFrames(path).seconds[0] == pytest.approx(100)
    recording = open_recording(path)
    assert recording.duration == pytest.approx(2, abs=0.01)
    assert places(recording, [0.05, 1.05]) == [0, 10]


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts"])
def test_of_a_truncated_file_what_there_is_is_read_and_a_note_says_until_when(tmp_path, name):
    recording = open_recording(videos.write_truncated(tmp_path / name, videos.noise(60)))
    times = np.arange(0.05, recording.duration, 0.1)
    read = list(recording.frames_at(times))
    assert 25 <= len(read) <= 45
    assert len(read) == len(times) or "could be read" in recording.notes[-1]
    if name != "cut.ts":  # which states no length
        assert "6.0" in recording.notes[0] and f"{recording.duration:.2f} s" in recording.notes[0]


def test_where_frames_cannot_be_decoded_the_recording_ends_with_a_note(tmp_path):
    path = videos.write_video(tmp_path / "damaged.mp4", videos.noise(40), keyframe_distance=100)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for start, size in packets[20:]:
        data[start : start + size] = bytes(size)
    path.write_bytes(data)
    recording = open_recording(path)
    read = list(recording.frames_at(np.arange(0.05, 4, 0.5)))
    assert [item.time for item in read] == pytest.approx([0.05, 0.55, 1.05, 1.55])
    assert len(recording.notes) == 1 and recording.notes[0].startswith("only what comes before 2.05 s could be read")


def test_a_video_of_one_frame_shows_it_all_the_time(tmp_path):
    recording = open_recording(videos.write_video(tmp_path / "one.mp4", videos.stairs(1)))
    assert recording.duration == pytest.approx(0.1, abs=0.07)
    assert [shown.number for shown in recording.frames_at([0, 0.05, 3])] == [0, 0, 0]


def test_files_without_pictures_are_refused_in_one_line(tmp_path):
    (tmp_path / "text.mp4").write_text("no video\n" * 30)
    for path in (videos.write_sound(tmp_path / "sound.m4a"), tmp_path / "text.mp4", tmp_path / "missing.mp4"):
        with pytest.raises(InputError, match=path.name) as refusal:
            open_recording(path)
        assert "\n" not in str(refusal.value)


def test_folders_lists_and_arrays_take_their_times_from_a_rate(tmp_path):
    frames = list(videos.stairs(12))
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    sources = [tmp_path, [str(tmp_path / f"{n}.png") for n in range(12)], frames, np.stack(frames)]
    sources.append(torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2))
    for source in sources:
        recording = open_recording(source, fps=4)
        assert recording.duration == 3 and recording.notes == []
        assert places(recording, [0, 0.25, 0.3, 2.9]) == [0, 1, 1, 11]
    assumed = open_recording(tmp_path)
    assert assumed.duration == pytest.approx(12 / 25) and "25 a second" in assumed.notes[0]
    assert assumed.name == str(tmp_path)


def test_duration_cuts_a_recording_short_and_never_lengthens_it(tmp_path):
    path = videos.write_video(tmp_path / "clip.mp4", videos.stairs(20))
    assert open_recording(path, duration=0.5).duration == 0.5
    assert open_recording(path, duration=50).duration == pytest.approx(2)


def test_boxes_are_of_one_person_or_by_name(tmp_path):
    frames = np.zeros((3, 40, 50, 3), dtype=np.uint8)
    box, other = [1, 2, 30, 30], [5, 5, 20, 20]
    one = open_recording(frames, face_boxes=box, body_box=other)
    assert one.face_boxes == {"person-1": [box] * 3} and one.body_boxes == {"room": other}
    many = open_recording(frames, face_boxes={"ann": [box, None, box], "bob": other}, body_box={"bob": box})
    assert many.face_boxes == {"ann": [box, None, box], "bob": [other] * 3} and many.body_boxes == {"bob": box}
    with pytest.raises(InputError, match="3 frames: boxes for 2 frames: expected one for each of 3 frames"):
        open_recording(frames, face_boxes=[box, box])
    with pytest.raises(InputError, match="`cid` has a box, but is no person with face boxes"):
        open_recording(frames, face_boxes={"ann": box}, body_box={"cid": box})


def test_an_open_recording_is_taken_as_it_is_and_impossible_numbers_are_refused():
    recording = open_recording(np.zeros((3, 40, 50, 3), dtype=np.uint8), fps=1)
    assert isinstance(recording, StoredRecording) and open_recording(recording) is recording
    with pytest.raises(InputError, match="expected no boxes"):
        open_recording(recording, body_box=[0, 0, 5, 5])
    for name in ("fps", "duration"):
        with pytest.raises(InputError, match=f"`{name}` must be above 0, got 0"):
            open_recording(np.zeros((3, 40, 50, 3), dtype=np.uint8), **{name: 0})


def times_every(step):
    place = 0
    while True:
        yield (place + 0.5) * step
        place += 1


def test_a_camera_shows_what_the_same_frames_show_in_a_file(tmp_path):
    path = videos.write_video(tmp_path / "clip.mkv", videos.stairs(31))
    live = LiveRecording(str(path), format=None)
    assert live.duration is None and live.name == str(path)
    seen = list(live.frames_at(times_every(0.25)))
    stored = list(open_recording(path).frames_at([shown.time for shown in seen]))
    assert [shown.time for shown in seen] == pytest.approx(np.arange(0.125, 3, 0.25))
    assert [shown.number for shown in seen] == [shown.number for shown in stored]
    assert all(torch.equal(ours.frame, theirs.frame) for ours, theirs in zip(seen, stored, strict=True))


@pytest.fixture
def endless():
    """A drawn picture that never ends, through an input device of FFmpeg as a camera is."""
    return lambda **options: LiveRecording("testsrc=size=64x48:rate=20", format="lavfi", **options)


def test_a_camera_ends_after_its_duration(endless):
    seen = list(endless(duration=2.0).frames_at(times_every(0.5)))
    assert [shown.time for shown in seen] == [0.25, 0.75, 1.25, 1.75]
    assert seen[0].frame.shape == (3, 48, 64)


def test_a_camera_ends_when_it_is_stopped_or_the_process_is_interrupted(endless):
    camera, seen = endless(), []
    for shown in camera.frames_at(times_every(0.5)):
        seen.append(shown.time)
        if len(seen) == 3:
            camera.stop()
    assert seen == [0.25, 0.75, 1.25]
    before = signal.getsignal(signal.SIGINT)
    threading.Thread(target=lambda: (time.sleep(0.2), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
    assert list(endless().frames_at(times_every(0.5)))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_camera_that_is_not_there_is_refused_in_one_line():
    with pytest.raises(InputError, match="/dev/video97: cannot be opened as a camera"):
        open_recording("/dev/video97")
