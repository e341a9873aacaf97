"""Data that somebody else made: it names no file outside its folder, and nothing that would be fetched."""

import ast
import json
import shutil
from pathlib import Path

import pytest
from datasets import load_from_disk

from helpers import miniatures, raer_tree, videos
from helpers.places import ROOT
from modeling_clipcaer import video_frames
from modeling_clipcaer.data.build import plan_build
from modeling_clipcaer.data.clip_rows import open_row
from modeling_clipcaer.data.layouts import csv, daisee, frame_lists, raer
from modeling_clipcaer.data.loading import load_clips
from modeling_clipcaer.data.parquet.rows import read_files
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.video_frames import VideoFrames


LEADS_OUT = "leads to .*; expected a path within it .--allow-outside-root"


@pytest.fixture
def own(tmp_path):
    """A folder of recordings, and a video beside it that is nobody's business."""
    miniatures.write_clip(tmp_path / "secret.mp4")
    return miniatures.make_own_videos(tmp_path / "own")


def plan_table(root, video, **more):
    """The clips of a table whose first line names `video`."""
    lines = (root / "clips.csv").read_text().splitlines()
    table = root / "other.csv"
    table.write_text("\n".join([lines[0], f"{video},0,1,focused", *lines[2:]]))
    settings = csv.Settings(csv=str(table), test_share=0.3, val_share=0.3, **more)
    return plan_build(csv.find_clips(settings), settings)


@pytest.mark.parametrize("spelled", ["absolute", "dots", "link", "folder link"])
def test_a_table_names_no_video_outside_its_folder_unless_that_is_allowed(own, spelled):
    (own / "link.mp4").symlink_to(own.parent / "secret.mp4")
    (own / "up").symlink_to(own.parent)
    video = {
        **{"absolute": own.parent / "secret.mp4", "dots": "recordings/../../secret.mp4"},
        **{"link": "link.mp4", "folder link": "up/secret.mp4"},
    }[spelled]
    with pytest.raises(InputError, match=rf"other.csv:2: .*{LEADS_OUT}"):
        plan_table(own, video)
    plan = plan_table(own, video, allow_outside_root=True)
    assert any(Path(clip.path).samefile(own.parent / "secret.mp4") for part in plan.splits.values() for clip in part)


def test_paths_and_links_within_the_folder_are_taken_and_the_folder_may_be_a_link(own):
    (own / "again.mp4").symlink_to(own / "recordings" / "ann 1.mp4")
    (own.parent / "linked").symlink_to(own)
    for root in (own, own.parent / "linked"):
        for video in ("again.mp4", root / "recordings" / "ann 1.mp4", "recordings/../again.mp4"):
            assert plan_table(root, video)


@pytest.fixture
def tree(tmp_path):
    tree = raer_tree.make_tree(tmp_path)
    raer_tree.write_frames(tmp_path / "elsewhere", ["1.jpg", "2.jpg", "3.jpg"])
    return tree


def test_a_clip_folder_and_a_frame_that_are_links_lead_nowhere_else(tree):
    clip = tree.raer / tree.train[0].clip_id
    frame = clip / "2.jpg"
    frame.unlink()
    frame.symlink_to(tree.raer.parent / "elsewhere" / "2.jpg")
    with pytest.raises(InputError, match=rf"2.jpg: {LEADS_OUT}"):
        raer.build_dataset(tree.raer, tree.raer.parent / "out")
    assert raer.build_dataset(tree.raer, tree.raer.parent / "out", allow_outside_root=True)["splits"]
    shutil.rmtree(clip)
    clip.symlink_to(tree.raer.parent / "elsewhere")
    with pytest.raises(InputError, match=rf"train.txt:1: .*{LEADS_OUT}"):
        raer.build_dataset(tree.raer, tree.raer.parent / "out")
    # A data set that lies on another disk, by a link to the whole of it, is none of that.
    (tree.raer.parent / "linked").symlink_to(tree.raer)
    clip.unlink()
    shutil.copytree(tree.raer.parent / "elsewhere", clip)
    assert raer.build_dataset(tree.raer.parent / "linked", tree.raer.parent / "other")["splits"]


def test_lists_of_frame_folders_and_of_videos_stay_within_theirs(tmp_path):
    root = miniatures.make_dfew(tmp_path / "dfew")
    miniatures.write_frames(tmp_path / "dfew" / "outside", 4)
    lines = (root / "train.txt").read_text().splitlines()
    (root / "bad.txt").write_text("\n".join([*lines, f"{lines[0].rpartition('/')[0]}/../outside 4 1"]))
    settings = frame_lists.Settings(
        frames_root=str(root / "frames"),
        train_annotation=str(root / "bad.txt"),
        test_annotation=str(root / "test.txt"),
        labels=list(miniatures.DFEW_LABELS),
    )
    with pytest.raises(InputError, match=LEADS_OUT):
        plan_build(frame_lists.find_clips(settings), settings)
    affects = miniatures.make_daisee(tmp_path / "daisee")
    table = affects / "Labels" / "TrainLabels.csv"
    table.write_text(table.read_text().replace("1100011001.avi", "/etc/1100011001x.avi", 1))
    found = daisee.find_clips(daisee.Settings(root=str(affects)))
    assert all(Path(clip.path).is_relative_to(affects) for clip in found.clips)


def test_a_row_names_no_frame_outside_its_folder_and_no_address(tmp_path, monkeypatch):
    miniatures.write_frames(tmp_path / "frames", 2)
    asked = []
    monkeypatch.setattr(video_frames, "_fetch", lambda url: asked.append(url))
    for name in ("../frames/1.jpg", str(tmp_path / "frames" / "1.jpg"), ""):
        row = {"frame_dir": str(tmp_path / "frames"), "frame_names": ["2.jpg", name]}
        for read in (open_row, lambda row: read_files(row, [0, 1])):
            with pytest.raises(InputError, match="lies elsewhere"):
                read(row)
    for address in ("http://127.0.0.1:9/a.mp4", "tcp://127.0.0.1:9", "concat:a|b"):
        with pytest.raises(InputError, match="expected a video, found"):
            open_row({"video": address, "first_frame": 0, "num_frames": 1})
    assert not asked


@pytest.mark.parametrize("record, change", [("state.json", "file"), ("dataset_dict.json", "split")])
def test_the_records_of_a_dataset_name_its_own_files_alone(tmp_path, record, change):
    raer_tree.make_tree(tmp_path)
    raer.build_dataset(tmp_path / "RAER", tmp_path / "dataset")
    shutil.copytree(tmp_path / "dataset" / "test", tmp_path / "other")
    path = tmp_path / "dataset" / ("train" if change == "file" else ".") / record
    content = json.loads(path.read_text())
    if change == "file":
        content["_data_files"] = [{"filename": "../../other/data-00000-of-00001.arrow"}]
    else:
        content["splits"] = ["../other"]
    path.write_text(json.dumps(content))
    assert load_from_disk(str(tmp_path / "dataset"))  # `datasets` alone takes it
    with pytest.raises(InputError, match="which lies elsewhere; expected names of its own files"):
        load_clips(tmp_path / "dataset")


@pytest.mark.parametrize(
    "name, content",
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile {secret}\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
        ("list.mpd", '\ufeff<?xml version="1.0"?><MPD/>'),
    ],
)
def test_a_list_of_other_files_is_no_video(tmp_path, name, content):
    videos.write_video(tmp_path / "secret.ts", videos.stairs(5))
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / name
    path.write_text(content.format(secret=tmp_path / "secret.ts"))
    with pytest.raises(InputError, match="expected a video, found a list of other files"):
        VideoFrames(path)


def test_a_file_that_is_called_like_an_address_is_a_file(tmp_path, monkeypatch):
    videos.write_video(tmp_path / "a.mp4", videos.stairs(5))
    (tmp_path / "a.mp4").rename(tmp_path / "tcp:a.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(VideoFrames("tcp:a.mp4")) == 5


def test_titles_of_a_video_may_be_in_any_letters(tmp_path):
    path = videos.write_video(tmp_path / "a.mkv", videos.stairs(5))
    content = path.read_bytes()
    assert content.count(b"Lavf") > 0
    path.write_bytes(content.replace(b"Lavf", b"L\xe4vf"))
    assert len(VideoFrames(path)) == 5


# What reads pickles, by default or at all.
PICKLED = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


@pytest.mark.parametrize("path", sorted((ROOT / "modeling_clipcaer").rglob("*.py")), ids=lambda path: path.name)
def test_no_module_reads_a_pickle(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            # Of pickle's errors, which torch raises where it refuses one.
            assert not PICKLED & {name.name for name in node.names} or path.name == "checkpoint.py"
        if isinstance(node, ast.ImportFrom) and node.module in PICKLED:
            assert [name.name for name in node.names] == ["UnpicklingError"]
        if not isinstance(node, ast.Call):
            continue
        called, given = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        if called == "torch.load":
            assert given.get("weights_only") == "True"
        if called.startswith("pickle.") or called in ("eval", "exec", "__import__"):
            raise AssertionError(f"{path}:{node.lineno}: {ast.unparse(node)}")
        assert "allow_pickle" not in given and given.get("trust_remote_code") in (None, "False")
