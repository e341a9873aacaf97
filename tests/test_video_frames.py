import functools
import http.server
import struct
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition
from PIL import Image

from modeling_clipcaer import video_frames
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.video_frames import VideoFrames


def write_video(path, codec="libx264", count=60, keyframe_distance=15, times_ms=None, size=(96, 64), options=None):
    """A video whose frame `i` is grey `4 * i` on its left half, so that a frame tells its place."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"sc_threshold": "0", **(options or {})})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size, stream.bit_rate = keyframe_distance, 2_000_000
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
            pixels[:, : size[0] // 2] = 4 * number
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def places(video, indices):
    """The place in the clip that the pixels of each frame read tell."""
    return [round(frame[:, 8:-8, 8:40].float().mean().item() / 4) for frame in video.read(indices)]


@pytest.fixture
def decoded(monkeypatch):
    """Counts the frames that are decoded."""
    counts = []
    decode = VideoFrames._decode

    def counting(self, container, stream):
        for item in decode(self, container, stream):
            counts.append(item[0])
            yield item

    monkeypatch.setattr(VideoFrames, "_decode", counting)
    return counts


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.mp4", "libx264", {}),
        ("open_gop.mp4", "libx264", {"x264-params": "open-gop=1:keyint=15:bframes=3"}),
        ("clip.webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
        ("clip.mkv", "libx264", {}),
        ("clip.ts", "libx264", {}),
        ("clip.avi", "libx264", {}),
        ("clip.mpg", "mpeg2video", {"bf": "2"}),
        ("clip.h264", "libx264", {}),
    ],
)
@pytest.mark.parametrize("seek_distance", [1, 12])
def test_every_container_gives_the_frames_asked_for(tmp_path, monkeypatch, name, codec, options, seek_distance):
    monkeypatch.setattr(video_frames, "SEEK_DISTANCE", seek_distance)
    video = VideoFrames(write_video(tmp_path / name, codec, options=options))
    assert len(video) == 60
    for indices in (range(60), [3, 17, 18, 44, 59], [59], [14, 15, 16, 29, 30, 31]):
        assert places(video, indices) == list(indices)


def test_times_come_from_the_stream_at_a_variable_rate(tmp_path):
    times = [0, 40, 80, 1000, 1040, 3000, 3500, 3540, 3580, 5000]
    video = VideoFrames(write_video(tmp_path / "variable.mp4", count=10, times_ms=times))
    assert video.seconds == pytest.approx([time / 1000 for time in times], abs=1e-3)
    assert places(video, range(10)) == list(range(10))


def test_a_webm_without_a_frame_count_is_counted(tmp_path):
    path = write_video(tmp_path / "clip.webm", "libvpx", count=23)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    assert len(VideoFrames(path)) == 23


def test_opening_decodes_nothing_and_reading_stops_at_the_last_frame(tmp_path, decoded):
    video = VideoFrames(write_video(tmp_path / "clip.mp4", keyframe_distance=60))
    assert decoded == []
    list(video.read([5, 20]))
    assert decoded == list(range(21))


def test_far_frames_are_reached_through_their_keyframe(tmp_path, decoded):
    video = VideoFrames(write_video(tmp_path / "clip.mp4", keyframe_distance=15))
    list(video.read([2, 50]))
    assert decoded == [0, 1, 2, *range(45, 51)]


def test_a_seek_that_lands_too_far_falls_back_to_decoding_through(tmp_path, monkeypatch):
    video = VideoFrames(write_video(tmp_path / "clip.mp4", keyframe_distance=15))
    video._keyframes = [0, 40]  # 40 is none: the seek arrives elsewhere
    assert places(video, [1, 42]) == [1, 42]


def test_a_file_that_cannot_be_sought_is_decoded_through(tmp_path):
    video = VideoFrames(write_video(tmp_path / "raw.h264"))
    video._keyframes = [0, 40]
    assert places(video, [1, 42]) == [1, 42]


@pytest.mark.parametrize(
    ("degrees", "matrix"),
    [(0, (1, 0, 0, 1)), (90, (0, 1, -1, 0)), (180, (-1, 0, 0, -1)), (270, (0, -1, 1, 0))],
)
def test_a_rotated_phone_video_is_turned_upright(tmp_path, degrees, matrix):
    path = write_video(tmp_path / "phone.mp4", count=40)
    data = bytearray(path.read_bytes())
    a, b, c, d = (value * 65536 for value in matrix)
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    (frame,) = VideoFrames(path).read([39])
    bright = [frame[:, :, :20], frame[:, :20], frame[:, :, -20:], frame[:, -20:]][
        degrees // 90
    ]  # left, top, right, low
    assert frame.shape == ((3, 64, 96) if degrees % 180 == 0 else (3, 96, 64))
    assert bright.float().mean() > 150 and frame.float().mean() < 90


def test_a_jpeg_frame_of_a_video_has_the_colours_that_pillow_reads(tmp_path):
    low = torch.randint(0, 256, (8, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()
    image = Image.fromarray(low).resize((192, 128), Image.Resampling.BICUBIC)
    image.save(tmp_path / "still.jpg", quality=90)
    (frame,) = VideoFrames(tmp_path / "still.jpg").read([0])
    pillow = torch.from_numpy(np.array(Image.open(tmp_path / "still.jpg"))).permute(2, 0, 1)
    assert (frame.int() - pillow.int()).abs().max() <= 4


def copy_packets(source, target, skip=0, shift=0, options=None):
    """Copy the packets of a video but the first `skip`, `shift` frames earlier, without encoding them anew."""
    with av.open(str(source)) as original, av.open(str(target), "w", options=options or {}) as container:
        stream = container.add_stream_from_template(original.streams.video[0])
        packets = [packet for packet in original.demux(video=0) if packet.size]
        for packet in packets[skip:]:
            ticks = round(shift / 25 / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, stream
            container.mux(packet)
    return target


def test_a_recording_that_was_cut_begins_at_its_first_key_frame(tmp_path):
    whole = write_video(tmp_path / "whole.ts", keyframe_distance=15)
    video = VideoFrames(copy_packets(whole, tmp_path / "cut.ts", skip=5))
    assert len(video) == 45 and places(video, [0, 1, 20, 44]) == [15, 16, 35, 59]


def test_frames_hidden_by_an_edit_list_are_not_counted(tmp_path):
    whole = write_video(tmp_path / "whole.mp4", keyframe_distance=15)
    options = {"avoid_negative_ts": "disabled"}
    video = VideoFrames(copy_packets(whole, tmp_path / "trimmed.mp4", shift=7, options=options))
    assert len(video) == 53 and places(video, [0, 1, 20, 52]) == [7, 8, 27, 59]
    assert video.seconds[:2] == pytest.approx([0, 0.04])


def write_sound(path, cover=False):
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        if cover:
            picture = container.add_stream("png", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "rgb24"
            picture.disposition = Disposition.attached_pic
            pixels = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), "rgb24")
            container.mux([*picture.encode(pixels), *picture.encode(None)])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux([*sound.encode(frame), *sound.encode(None)])
    return path


def test_files_without_pictures_are_refused_by_name(tmp_path):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 40)
    (tmp_path / "empty.mp4").touch()
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[: len(whole) // 2])
    write_sound(tmp_path / "sound.mp4")
    write_sound(tmp_path / "cover.mp4", cover=True)
    for name in ["text.mp4", "empty.mp4", "headless.mp4", "sound.mp4", "cover.mp4", "missing.mp4"]:
        with pytest.raises(InputError, match=name) as refusal:
            VideoFrames(tmp_path / name)
        assert "\n" not in str(refusal.value)


def zeros(size):
    return bytes(size)


def filler(size):
    """An H.264 unit that decodes to nothing, without complaint."""
    return struct.pack(">IB", size - 4, 12) + b"\xff" * (size - 6) + b"\x80"


@pytest.mark.parametrize(("damage", "first", "last"), [(zeros, 20, 50), (filler, 20, 60), (filler, 0, 60)])
def test_damaged_packets_never_pass_for_other_frames(tmp_path, damage, first, last):
    path = write_video(tmp_path / "damaged.mp4", keyframe_distance=60)
    with av.open(str(path)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for start, size in spans[first:last]:
        data[start : start + size] = damage(size)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged\.mp4"):
        list(VideoFrames(path).read([0, 30, 40]))


@pytest.fixture
def address(tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *arguments: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_video_is_read_from_an_http_address(tmp_path, address):
    write_video(tmp_path / "clip.mp4", count=30)
    assert places(VideoFrames(f"{address}/clip.mp4"), [3, 29]) == [3, 29]
    with pytest.raises(InputError, match=r"none\.mp4: cannot be downloaded"):
        VideoFrames(f"{address}/none.mp4")
