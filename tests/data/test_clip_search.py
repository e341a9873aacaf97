"""Which files of a folder are clips, what is said of the others, and what clips are called."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from helpers import videos
from modeling_clipcaer.data.clip_search import find_clips, is_video, say_passed_over
from modeling_clipcaer.data.settings import BuildSettings
from modeling_clipcaer.data.source_clips import SourceClip, shorten_names
from modeling_clipcaer.frames import open_clip


def write_gif(path, count):
    images = [Image.new("RGB", (64, 48), (40 * number, 0, 0)) for number in range(count)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100)
    return path


@pytest.mark.parametrize("suffix", [".h264", ".265", ".HEVC", ".gif", ".m2ts", ".mxf", ".ivf", ".obu", ".3gp"])
def test_what_ffmpeg_reads_is_a_video_of_a_folder(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(bytes(100))
    assert is_video(path) and [clip.key for clip in find_clips([tmp_path])] == [path.name]


def test_raw_and_animated_files_are_read_as_videos(tmp_path):
    source = videos.write_video(tmp_path / "a.h264", videos.stairs(8, (64, 48)))
    assert len(open_clip(source)) == 8
    gif = open_clip(write_gif(tmp_path / "b.gif", 5))
    assert len(gif) == 5 and [int(frame[0, 9, 9]) // 40 for frame in gif.read(range(5))] == [0, 1, 2, 3, 4]


def test_typescript_and_still_gifs_are_no_videos_and_are_counted_with_the_rest(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "1.jpg")
    Image.new("RGB", (64, 48)).save(tmp_path / "logo.gif")
    (tmp_path / "index.ts").write_text("export const answer = 42\n")
    for name in ("a.docx", "b.docx", "README", ".hidden"):
        (tmp_path / name).touch()
    passed_over = Counter()
    (clip,) = find_clips([tmp_path], passed_over)
    assert clip.path == str(tmp_path)  # a folder of frames still, though a picture in it is called .gif
    expected = "passed over, neither videos nor frames: 5 files (2 .docx, 1 .gif, 1 .ts, 1 without suffix)"
    assert say_passed_over(passed_over) == expected


def clip(name, root=Path("/data"), **fields):
    return SourceClip(str(root / name), name, "a", "clips.csv:2", **fields)


def test_clips_that_lie_elsewhere_are_called_by_the_end_of_their_path():
    given = ["x/1.mp4", "/home/alice/v/1.mp4", "/home/alice/w/1.mp4", "/home/alice/w/2.mp4", "/mnt/x/1.mp4"]
    named = shorten_names([clip(name) for name in given])
    assert [found.name for found in named] == ["x/1.mp4", "v/1.mp4", "w/1.mp4", "2.mp4", "mnt/x/1.mp4"]
    assert [found.path for found in named] == [clip(name).path for name in given]
    assert [found.is_outside for found in named] == [False, True, True, True, True]
    inside = ["1.mp4", "mnt/1.mp4"]  # where every end is another clip's name, no part of the path is told
    last = shorten_names([clip(name) for name in [*inside, "/mnt/1.mp4"]])[-1]
    assert len(last.name) == 16 and "mnt" not in last.name


def test_a_stretch_keeps_its_name_and_a_pattern_still_sees_the_whole_path():
    stretches = [clip("/home/alice/P7/1.mp4", start=0.0, end=1.0), clip("/home/alice/P7/1.mp4", start=1.0, end=2.0)]
    named = shorten_names(stretches)
    assert [found.clip_id for found in named] == ["1.mp4#0.0-1.0", "1.mp4#1.0-2.0"]
    assert BuildSettings(person_pattern=r"/(P\d+)/").find_person(named[0]) == "P7"
    assert BuildSettings().find_person(named[0]) == "1.mp4"
