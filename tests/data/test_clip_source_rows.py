"""Whatever a video is like, its row holds the frames that can be read."""

from fractions import Fraction
from itertools import pairwise

import av
import pytest
from av.stream import Disposition

from helpers import videos
from helpers.miniatures import write_frames
from modeling_clipcaer import ClipCaerCollator, ClipCaerVideoProcessor
from modeling_clipcaer.data.boxes import match_boxes
from modeling_clipcaer.data.clip_rows import open_row
from modeling_clipcaer.data.features import make_features
from modeling_clipcaer.data.rows import find_stretch, read_clip
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SourceClip
from modeling_clipcaer.errors import InputError


SIZE = (64, 48)


def read(path, start=0.0, end=None, face=None, body=None, check_frames=False, outside_boxes="error", is_folder=False):
    boxes = {"face": face, "body": body}
    clip = SourceClip(str(path), path.name, 0, "clips.csv:7", start=start, end=end, is_folder=is_folder, **boxes)
    return read_clip(clip, BuildSettings(outside_boxes=outside_boxes, check_frames=check_frames))


def tell_places(row):
    """What the greys of `videos.stairs` say of the frames of a row."""
    source = open_row(row)
    return [round(frame.float().mean().item() / 4) for frame in source.read(range(len(source)))]


@pytest.mark.parametrize(
    ("start", "end", "first", "stop"), [(0, None, 0, 8), (1, 3.1, 3, 6), (0.04, 1.04, 1, 4), (3.5, 99, 6, 8)]
)
def test_seconds_mean_the_time_of_frames_at_a_variable_rate(tmp_path, start, end, first, stop):
    seconds = [0, 0.04, 0.08, 1, 1.04, 3, 3.5, 4]
    path = videos.write_video(tmp_path / "variable.mp4", videos.stairs(8, SIZE), seconds=seconds)
    row = read(path, start, end).row
    assert (row["first_frame"], row["num_frames"]) == (first, stop - first)
    assert tell_places(row) == list(range(first, stop))
    assert row["beyond_video"] == (end == 99)


def test_neighbouring_stretches_share_no_frame_and_miss_none():
    times = [float(Fraction(number, 30)) for number in range(301)]
    bounds = [number / 10 for number in range(101)]
    stretches = [
        find_stretch(SourceClip("a", "a", "x", "p", start=start, end=end), times) for start, end in pairwise(bounds)
    ]
    assert [first for first, _ in stretches] == [3 * number for number in range(100)]
    assert all(stop == following for (_, stop), (following, _) in pairwise(stretches))


def test_times_count_from_the_first_frame_of_a_recording_that_starts_late(tmp_path):
    seconds = [7 + number / 10 for number in range(10)]
    path = videos.write_video(tmp_path / "late.mkv", videos.stairs(10, SIZE), seconds=seconds)
    assert tell_places(read(path, 0.3, 0.6).row) == [3, 4, 5]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_boxes_are_in_pixels_of_the_upright_frame(tmp_path, degrees):
    path = videos.write_rotated(tmp_path / "phone.mp4", videos.stairs(3, SIZE), degrees)
    width, height = SIZE if degrees == 180 else SIZE[::-1]
    row = read(path, face=(0.0, 0.0, 500.0, 500.0)).row
    assert row["face_boxes"] == [(0, 0, width, height)] * 3 and row["face_boxes_clamped"] == 1


@pytest.mark.parametrize(
    ("name", "count", "size"),
    [("1.mp4", 1, SIZE), ("odd.webm", 3, (63, 47)), ("odd.avi", 3, (63, 47)), ("long.mp4", 3000, (32, 32))],
)
def test_one_frame_many_and_odd_sizes_are_clips(tmp_path, name, count, size):
    frames = videos.stairs(count, size) if count < 60 else videos.plain(count, size=size)
    path = videos.write_video(tmp_path / name, frames, keyframe_distance=250)
    row = read(path).row
    assert row["num_frames"] == row["listed_frames"] == count
    batch = ClipCaerCollator(ClipCaerVideoProcessor(num_frames=4, image_size=32), "eval")([row])
    assert batch["pixel_values"].shape == (1, 4, 3, 32, 32)


def test_a_webm_without_length_is_counted(tmp_path):
    path = videos.write_webm_without_length(tmp_path / "browser.webm", videos.stairs(12, SIZE))
    assert tell_places(read(path, 0.5).row) == [5, 6, 7, 8, 9, 10, 11]


def test_of_several_streams_the_one_that_the_file_calls_its_own_is_taken(tmp_path):
    path, sizes = tmp_path / "two.mp4", ((32, 24), SIZE)
    with av.open(str(path), "w") as container:
        for size in sizes:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        container.streams.video[1].disposition = Disposition.default
        for stream, size in zip(container.streams.video, sizes, strict=True):
            for pixels in videos.stairs(6, size):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode(None))
    assert read(path, face=(0.0, 0.0, 99.0, 99.0)).row["face_boxes"] == [(0, 0, *SIZE)] * 6


def test_sound_adds_no_frames(tmp_path):
    path = videos.write_video(tmp_path / "sound.mp4", videos.stairs(6, SIZE), sound=True)
    assert tell_places(read(path).row) == list(range(6))


def write_no_video(path):
    path.write_text("this is no video\n" * 40)


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (videos.write_sound, "expected a video stream, found none"),
        (write_no_video, "cannot be read as a video"),
        (lambda path: None, "expected a video, found nothing"),
    ],
)
def test_files_without_pictures_have_a_problem_and_no_row(tmp_path, write, problem):
    path = tmp_path / "file.mp4"
    write(path)
    reading = read(path)
    assert reading.row is None
    with pytest.raises(InputError, match=problem):
        raise InputError(reading.problem)
    assert "\n" not in reading.problem and reading.problem.startswith(str(path))


@pytest.mark.parametrize("name", ["tail.mp4", "tail.webm", "tail.mkv", "tail.avi"])
def test_a_video_that_ends_before_what_it_states_is_counted_without_decoding(tmp_path, name):
    sound = not name.endswith(".avi")
    whole = videos.write_video(tmp_path / f"whole {name}", videos.noise(60, SIZE), sound=sound)
    assert read(whole).row["ends_early"] == 0
    path = videos.write_truncated(tmp_path / name, videos.noise(60, SIZE))
    row = read(path).row
    assert 20 < row["num_frames"] < 60 and row["ends_early"] == 1
    assert read(path, start=0, end=1).row["ends_early"] == 0


@pytest.mark.parametrize("name", ["tail.mp4", "tail.webm", "tail.mkv"])
def test_a_clip_with_a_broken_tail_ends_at_the_last_frame_that_can_be_read(tmp_path, name):
    path = videos.write_truncated(tmp_path / name, videos.noise(60, SIZE))
    checked = read(path, check_frames=True).row
    assert 20 < checked["num_frames"] < 60
    assert sum(1 for _ in open_row(checked).read(range(checked["num_frames"]))) == checked["num_frames"]
    assert len(list(open_row(checked).read([checked["num_frames"] - 1]))) == 1
    stated = read(path).row["num_frames"]
    assert checked["frames_cut"] == stated - checked["num_frames"]
    assert checked["found_frames"] == checked["num_frames"] and checked["listed_frames"] == stated


def damage(path, first, last):
    """Zeros in place of the packets `first` to `last`."""
    with av.open(str(path)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for start, size in spans[first:last]:
        data[start : start + size] = bytes(size)
    path.write_bytes(data)


def test_damage_is_found_only_where_it_is_looked_for(tmp_path):
    path = videos.write_video(tmp_path / "damaged.mp4", videos.noise(40, SIZE), keyframe_distance=60)
    damage(path, 20, 40)
    assert read(path).row["num_frames"] == 40
    row = read(path, start=1, check_frames=True).row
    assert (row["first_frame"], row["num_frames"], row["frames_cut"]) == (10, 10, 20)
    reading = read(path, start=3, check_frames=True)
    assert reading.row is None and "damaged.mp4: cannot be decoded" in reading.problem


def test_a_folder_with_a_broken_image_ends_before_it(tmp_path):
    folder = write_frames(tmp_path / "00001", 6)
    (folder / "5.jpg").write_bytes(b"no image")
    assert len(read(folder, is_folder=True).row["frame_names"]) == 6
    row = read(folder, is_folder=True, check_frames=True).row
    assert row["frame_names"] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"] and row["frames_cut"] == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "expected frames (.jpg" in read(empty, is_folder=True).problem


def test_boxes_by_the_number_of_the_videos_frame_fall_on_the_stretch(tmp_path):
    path = videos.write_video(tmp_path / "a.mp4", videos.stairs(30, SIZE))
    faces = {str(number): (1.0, 1.0, 10.0 + number, 20.0) for number in range(30)}
    row = read(path, 1, 1.5, face=faces, body={"11": (0.0, 0.0, 30.0, 40.0)}).row
    assert [box[2] for box in row["face_boxes"]] == [20, 21, 22, 23, 24]
    assert row["body_boxes"] == [(0, 0, 30, 40)] * 5 and row["body_boxes_annotated"] == 1
    assert row["face_boxes_without_frame"] == 0  # they are those of the video's other clips
    whole = read(path, face={"31": (1.0, 1.0, 9.0, 9.0)}).row
    assert whole["face_boxes_without_frame"] == 1 and whole["face_boxes"] == [[]] * 30


def test_a_box_outside_the_frame_is_an_error_or_missing(tmp_path):
    path = videos.write_video(tmp_path / "a.mp4", videos.stairs(3, SIZE))
    box = (70.0, 0.0, 90.0, 20.0)
    with pytest.raises(InputError, match=r"clips\.csv:7: face boxes of 'a\.mp4', all frames: box \[70\.0, 0\.0"):
        read(path, face=box)
    row = read(path, face=box, outside_boxes="missing").row
    assert row["face_boxes"] == [[]] * 3 and row["face_boxes_outside"] == 1


def test_a_key_is_a_path_or_the_end_of_one_that_nothing_else_has(tmp_path):
    paths = ["/d/train/Anger/1.avi", "/d/train/Happy/1.avi", "/d/train/Happy/2.avi"]
    box = (0.0, 0.0, 1.0, 1.0)
    found, unused = match_boxes(
        tmp_path, {"Anger/1.avi": box, "2.avi": box, "/d/train/Happy/1.avi": box, "3.avi": box}, paths
    )
    assert set(found) == set(paths) and unused == 1
    with pytest.raises(InputError, match=r"'1\.avi' means 2 clips, /d/train/Anger/1\.avi"):
        match_boxes(tmp_path, {"1.avi": box}, paths)
    with pytest.raises(InputError, match=r"'2\.avi' and 'Happy/2\.avi' are one clip"):
        match_boxes(tmp_path, {"2.avi": box, "Happy/2.avi": box}, paths)
    with pytest.raises(InputError, match=r"no key is a clip of the source; the first is '9\.avi'"):
        match_boxes(tmp_path, {"9.avi": box}, paths)


def test_the_columns_are_those_of_the_form(tmp_path):
    path = videos.write_video(tmp_path / "a.mp4", videos.stairs(3, SIZE))
    features = make_features(["x", "y"], is_folder=False)
    assert {"video", "first_frame", "num_frames"} <= set(features) <= set(read(path).row)
    assert {"frame_dir", "frame_names"} <= set(make_features(["x", "y"], is_folder=True))
    assert not {"frame_dir", "frame_names"} & set(features)
