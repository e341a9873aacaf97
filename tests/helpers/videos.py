"""Videos that tests write: every container, rate and damage, and scenes with and without faces.

Scenes are iterables of frames, uint8 arrays (height, width, 3), so that a long video is never held in memory:
`write_video(tmp_path / "lesson.mp4", moving_face(50), fps=5)`.
"""

import functools
import struct
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image


CODECS = {".webm": "libvpx-vp9", ".avi": "mjpeg"}  # of other names: H.264
OPTIONS = {
    "libx264": {"preset": "ultrafast", "sc_threshold": "0"},
    "libvpx-vp9": {"cpu-used": "8", "deadline": "realtime"},
}
# Of the film header's matrix, by the degrees a player turns the picture clockwise.
ROTATIONS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
SIZE = (160, 120)  # width, height
RED, GREEN, BLUE, GREY = (220, 30, 30), (30, 200, 30), (30, 30, 220), (128, 128, 128)


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float = 10,
    seconds: Sequence[float] | None = None,
    codec: str | None = None,
    sound: bool = False,
    container_options: dict[str, str] | None = None,
    keyframe_distance: int = 12,
) -> Path:
    """A video of `frames` at `fps`, or each shown from its place in `seconds`; H.264, .webm VP9, .avi MJPEG."""
    codec = codec or CODECS.get(path.suffix, "libx264")
    with av.open(str(path), "w", options=container_options or {}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream(codec, rate=rate, options=OPTIONS.get(codec, {}))
        stream.pix_fmt, stream.bit_rate = "yuvj420p" if codec == "mjpeg" else "yuv420p", 2_000_000
        stream.codec_context.gop_size = keyframe_distance
        if seconds is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        speech = "libopus" if path.suffix == ".webm" else "aac"
        voice = container.add_stream(speech, rate=48000, layout="mono") if sound else None
        count = 0
        for count, pixels in enumerate(frames, start=1):
            if count == 1:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if seconds is not None:
                frame.pts, frame.time_base = round(1000 * seconds[count - 1]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            _add_tone(container, voice, count / fps if seconds is None else seconds[-1])
    return path


def _add_tone(container, stream, length: float) -> None:
    times = np.arange(round(48000 * length)) / 48000
    tone = (0.2 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    for place in range(0, len(tone), 960):
        frame = av.AudioFrame.from_ndarray(tone[None, place : place + 960], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, place, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_webm_without_length(path: Path, frames: Iterable[np.ndarray], fps: float = 10, **options) -> Path:
    """A WebM as browsers record it: neither a duration nor a frame count anywhere."""
    write_video(path, frames, fps, container_options={"live": "1"}, **options)
    with av.open(str(path)) as container:
        assert container.duration is None and container.streams.video[0].frames == 0
    return path


def write_rotated(path: Path, frames: Iterable[np.ndarray], degrees: int, fps: float = 10) -> Path:
    """An .mp4 whose header asks the player to turn its picture `degrees` clockwise, as phones write it."""
    data = bytearray(write_video(path, frames, fps).read_bytes())
    a, b, c, d = (value * 65536 for value in ROTATIONS[degrees])
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def write_truncated(path: Path, frames: Iterable[np.ndarray], fps: float = 10, share: float = 0.6) -> Path:
    """The first `share` of a video's bytes. An .mp4 has its index in front and states the whole length."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    data = write_video(path, frames, fps, container_options=options).read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def write_sound(path: Path, length: float = 1.0) -> Path:
    """A file with a sound track and no picture."""
    with av.open(str(path), "w") as container:
        _add_tone(container, container.add_stream("aac", rate=48000, layout="mono"), length)
    return path


def plain(count: int, colour: Sequence[int] = GREY, size: tuple[int, int] = SIZE) -> Iterator[np.ndarray]:
    """`count` frames of one colour: no face anywhere."""
    for _ in range(count):
        yield np.full((size[1], size[0], 3), colour, dtype=np.uint8)


def stairs(count: int, size: tuple[int, int] = SIZE) -> Iterator[np.ndarray]:
    """Frame `i` is of one grey, `4 * i`, so that a frame tells its place; up to 63 frames."""
    for number in range(count):
        yield np.full((size[1], size[0], 3), 4 * number, dtype=np.uint8)


def noise(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> Iterator[np.ndarray]:
    """`count` frames of coarse grey noise, each another."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        coarse = rng.integers(0, 256, (size[1] // 10, size[0] // 10, 1), dtype=np.uint8)
        yield np.kron(coarse, np.ones((10, 10, 3), dtype=np.uint8))


def paste(canvas: np.ndarray, picture: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """`canvas` with `picture` on it around `centre` (x, y), cut off at the edges."""
    height, width = picture.shape[:2]
    left, top = round(centre[0] - width / 2), round(centre[1] - height / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, canvas.shape[1]), min(top + height, canvas.shape[0])
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = picture[y0 - top : y1 - top, x0 - left : x1 - left]
    return canvas


def squares(places: Iterable[dict], size: tuple[int, int] = SIZE, side: int = 30) -> Iterator[np.ndarray]:
    """A frame for each of `places`, a mapping of colours to centres (x, y): stand-ins for faces on noiseless grey."""
    for centres in places:
        (canvas,) = plain(1, GREY, size)
        for colour, centre in centres.items():
            paste(canvas, np.full((side, side, 3), colour, dtype=np.uint8), centre)
        yield canvas


def crossing_squares(count: int, size: tuple[int, int] = SIZE, gap: float = 40) -> Iterator[np.ndarray]:
    """A red and a green square walk past each other, `gap` pixels apart at their centres."""
    for share in np.linspace(0, 1, count):
        x, y = 25 + share * (size[0] - 50), size[1] / 2
        yield from squares([{RED: (x, y - gap / 2), GREEN: (size[0] - x, y + gap / 2)}], size)


@functools.cache
def face_picture(side: int = 190) -> np.ndarray:
    """A real face with its hair and shoulders, `side` pixels square; the face itself fills about half of it."""
    from skimage import data

    head = data.astronaut()[30:240, 115:325]
    return np.array(Image.fromarray(head).resize((side, side), Image.Resampling.LANCZOS))


def draw_faces(
    centres: Sequence[tuple[float, float]], size: tuple[int, int] = (640, 360), side: int = 190
) -> np.ndarray:
    """A frame with the real face around each of `centres` (x, y)."""
    (canvas,) = plain(1, (110, 120, 125), size)
    for centre in centres:
        paste(canvas, face_picture(side), centre)
    return canvas


def moving_face(count: int, size: tuple[int, int] = (640, 360), side: int = 190) -> Iterator[np.ndarray]:
    """A real face that moves slowly to the right and back."""
    for number in range(count):
        share = 0.5 - 0.5 * np.cos(2 * np.pi * number / max(count, 2))
        yield draw_faces([(side / 2 + share * (size[0] - side), size[1] / 2)], size, side)


def crossing_faces(count: int, size: tuple[int, int] = (640, 400), side: int = 180) -> Iterator[np.ndarray]:
    """Two real faces walk past each other, one above the other."""
    for share in np.linspace(0, 1, count):
        x = side / 2 + share * (size[0] - side)
        yield draw_faces([(x, 0.26 * size[1]), (size[0] - x, 0.75 * size[1])], size, side)


def read_back(path):
    """Times and RGB frames of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.time for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


def sharpness(picture):
    """Energy of the fine detail that faces are recognised by."""
    return cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).std()


def likeness(first, second):
    """Correlation of two pictures without what is left at a glance from afar, their coarse light and dark."""
    details = [picture.astype(float) - cv2.GaussianBlur(picture, (0, 0), 8) for picture in (first, second)]
    return np.corrcoef(details[0].ravel(), details[1].ravel())[0, 1]
