"""Videos that tests write, of the kinds that recorders, calls and editors leave: changed sizes, joined and cut pieces,
pauses, late cameras, pixels that are not square, damage in the header."""

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from helpers.videos import OPTIONS


CLOCK = Fraction(1, 1000)
RATE = 48000


def encode(
    frames: Iterable[np.ndarray], codec: str, seconds: Sequence[float], keyframe_distance: int = 12, **context
) -> list[av.Packet]:
    """The packets of `frames`, each shown at its place in `seconds`, by an encoder of their own."""
    encoder, packets = av.CodecContext.create(codec, "w"), []
    frames = [np.ascontiguousarray(frame) for frame in frames]
    encoder.height, encoder.width = frames[0].shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.bit_rate = "yuv420p", CLOCK, 3_000_000
    encoder.framerate, encoder.gop_size = Fraction(25), keyframe_distance
    encoder.options = OPTIONS.get(codec, {})
    for name, value in context.items():
        setattr(encoder, name, value)
    for pixels, second in zip(frames, seconds, strict=True):
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        frame.pts, frame.time_base = round(1000 * second), CLOCK
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)


def write_pieces(
    path: Path,
    pieces: Sequence[Iterable[np.ndarray]],
    fps: float = 10,
    codec: str = "libvpx",
    starts: Sequence[float] | None = None,
    sound: tuple[float, float] | None = None,
    **options,
) -> Path:
    """One stream of `pieces`, each by an encoder of its own, so that the picture's size may change from one to the
    next. Pieces follow each other, or begin at `starts`, in seconds. `sound` is from when to when there is a tone."""
    pieces = [list(piece) for piece in pieces]
    height, width = pieces[0][0].shape[:2]
    place, packets = 0.0, []
    for number, piece in enumerate(pieces):
        place = place if starts is None else starts[number]
        packets += encode(piece, codec, [place + index / fps for index in range(len(piece))], **options)
        place += len(piece) / fps
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = CLOCK
        if "sample_aspect_ratio" in options:
            stream.codec_context.sample_aspect_ratio = options["sample_aspect_ratio"]
        voice = None
        if sound is not None:
            voice = container.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=RATE, layout="mono")
        tone = make_tone(voice, *sound) if voice is not None else []
        for packet in packets:
            packet.stream = stream
        for packet in sorted([*packets, *tone], key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def make_tone(stream: av.AudioStream, start: float, end: float) -> list[av.Packet]:
    """The packets of a tone from `start` to `end` seconds."""
    times = np.arange(round(RATE * (end - start))) / RATE
    samples = (0.2 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    packets = []
    for place in range(0, len(samples), 960):
        frame = av.AudioFrame.from_ndarray(samples[None, place : place + 960], "fltp", "mono")
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = round(start * RATE) + place
        packets += stream.encode(frame)
    packets += stream.encode(None)
    for packet in packets:
        packet.stream = stream
    return packets


def join_files(path: Path, pieces: Sequence[Path]) -> Path:
    """The bytes of `pieces` behind each other, as `cat` joins them."""
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    return path


def set_codec(path: Path, old: bytes, new: bytes) -> Path:
    """The file with the name of its codec, `old`, replaced by one that no decoder knows."""
    data = path.read_bytes()
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


def claim_size(path: Path, width: int, height: int) -> Path:
    """An .mp4 whose sample description claims another size of the picture."""
    data = bytearray(path.read_bytes())
    at = data.index(b"avc1") + 4 + 24
    data[at : at + 4] = struct.pack(">HH", width, height)
    path.write_bytes(data)
    return path
