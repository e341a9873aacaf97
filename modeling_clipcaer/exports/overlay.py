"""Overlays: a recording with its timeline drawn on it, as H.264 in an mp4, sound kept, faces hidden."""

import heapq
import logging
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from modeling_clipcaer.common.files import complete_file
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.overlay_drawing import OverlayPainter
from modeling_clipcaer.names import printable
from modeling_clipcaer.recordings.addresses import is_address
from modeling_clipcaer.recordings.recording import STATED_EXCESS, StoredRecording, open_recording
from modeling_clipcaer.recordings.timeline import Timeline
from modeling_clipcaer.video_frames import OPEN_OPTIONS


logger = logging.getLogger(__name__)

# Ticks a second: whole for the usual frame rates, at most 17 microseconds beside the others. Keep: no more. An mp4
# holds 2^31 of them between two frames, and a recording may be paused over night.
TIME_BASE = Fraction(1, 30_000)
# Keep: no B-frames. With them FFmpeg's mp4 states too short a duration at variable rates, and players stop there.
X264_OPTIONS = {"preset": "veryfast", "crf": "23", "bf": "0"}
# Frames between two places that a player can jump to.
KEYFRAME_DISTANCE = 60
# Keep: what every browser plays within an mp4. Opus and FLAC do not play in all of them.
COPIED_SOUND = ("aac", "mp3", "mp3float")
# Seconds by which times of sound go back where they begin anew; less is damage.
NEW_BEGINNING = 0.25
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def write_own_overlay(timeline: Timeline, output: Path, show_faces: bool, fps: float | None) -> None:
    """[`write_overlay`] of the recording that the timeline names."""
    write_overlay(timeline, timeline.source, output, show_faces, fps)


def write_overlay(
    timeline: Timeline,
    video: str | os.PathLike,
    output: str | os.PathLike,
    show_faces: bool = False,
    fps: float | None = None,
) -> None:
    """Write the frames of a recording with what `timeline` says of them to an mp4.

    A few frames are in memory at a time. Each keeps its presentation time, and the sound is copied, or encoded as AAC
    where browsers do not play it.

    Args:
        timeline (`Timeline`): of the recording.
        video (`str` or path): the recording: a file, or a folder of frames.
        output (`str` or path): the file to write. It appears when it is complete.
        show_faces (`bool`): leave faces as they are. Without it every face that was found is unrecognisable, also
            between two sightings and a little before and after them. A face that was never found stays visible.
        fps (`float`, *optional*): frames a second of a folder of frames.

    Raises:
        InputError: the recording cannot be read, or its faces are to be hidden and were not looked for.
    """
    if not show_faces and timeline.settings.get("face_detector") == "none":
        raise InputError(
            f"{timeline.source}: no faces were looked for, so none can be hidden; allow faces to be shown"
        )
    recording = open_recording(video, fps)
    if not isinstance(recording, StoredRecording):
        raise InputError(f"{timeline.source}: expected no camera, which cannot be read again")
    # Keep: no more of the recording than was analysed. Faces in the rest are not known, and would be shown.
    is_whole = timeline.duration >= recording.duration - 0.001
    times = recording.seconds if is_whole else [time for time in recording.seconds if time < timeline.duration]
    # Keep: the index in front of the frames, so that a browser plays before the whole file has arrived.
    options = {"movflags": "+faststart"}
    with complete_file(output) as partial, av.open(str(partial), "w", format="mp4", options=options) as container:
        parts = [encode_picture(container, paint_frames(recording, times, timeline, show_faces), timeline.duration)]
        if not Path(video).is_dir():
            # Keep: none that is far behind the picture. A wrong timestamp would make a video of hours.
            end = timeline.duration + (STATED_EXCESS if is_whole else 0.0)
            parts.append(take_sound(container, str(video), end, getattr(recording.source, "joins", [])))
        # Every part adds its stream before its first packet, and merging begins with one packet of each.
        for packet in heapq.merge(*parts, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


def encode_picture(container, frames: Iterator[av.VideoFrame], duration: float) -> Iterator[av.Packet]:
    """Add a stream for `frames` to `container`, and yield its packets."""
    first = next(frames)
    stream = add_picture(container, first.width, first.height)
    before: Any = None
    for frame in chain([first], frames, [None]):
        for packet in stream.encode(frame):
            if before is not None:
                before.duration = packet.pts - before.pts
                yield before
            before = packet
    before.duration = max(round(duration / TIME_BASE) - before.pts, 1)
    yield before


def add_picture(container, width: int, height: int) -> av.VideoStream:
    """Add a stream of H.264 that every browser plays."""
    stream = container.add_stream("libx264", options=X264_OPTIONS)
    codec = stream.codec_context
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.gop_size = TIME_BASE, KEYFRAME_DISTANCE
    # Keep: OpenCV's matrix; without the tags players guess another one for large pictures.
    codec.colorspace, codec.color_range = Colorspace.ITU601, ColorRange.MPEG
    codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream


def paint_frames(
    recording: StoredRecording, times: Sequence[float], timeline: Timeline, show_faces: bool
) -> Iterator[av.VideoFrame]:
    """The frames at `times`, painted, in the form that browsers play: of the timeline's size, in even numbers."""
    width, height = (max(side // 2 * 2, 2) for side in (timeline.width, timeline.height))
    painter = OverlayPainter(timeline, width, height, show_faces)
    last, is_empty = -1, True
    for shown in recording.frames_at(times):
        is_empty = False
        frame = shown.frame.permute(1, 2, 0).numpy().copy()
        if frame.shape[:2] != (height, width):
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        painter.paint(frame, shown.time)
        # Keep: OpenCV; FFmpeg's own conversion takes six times as long, a third of all the time.
        encoded = av.VideoFrame.from_ndarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), "yuv420p")
        # Keep: frames whose timestamps repeat are shown at one time, and an mp4 has a place of its own for each.
        last = max(round(shown.time / TIME_BASE), last + 1)
        encoded.pts, encoded.time_base = last, TIME_BASE
        yield encoded
    if is_empty:
        raise InputError(f"{recording.name}: no frame can be read ({'; '.join(recording.notes)})")


def take_sound(container, path: str, end: float, joins: Sequence[float] = ()) -> Iterator[av.Packet]:
    """Add the sound of a file, up to `end` seconds, to `container`, and yield its packets; none where it is silent.

    `joins` are those of its pictures, see [`VideoFrames`].
    """
    try:
        # Keep: absolute, as where pictures are read. FFmpeg takes a name with a colon for an address.
        place = path if is_address(path) else os.path.abspath(path)
        source = av.open(place, options=OPEN_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:  # an address that FFmpeg alone cannot reach
        logger.warning("%s: its sound cannot be read and is left out (%s)", printable(path), printable(str(error)))
        return
    with source:
        stream = source.streams.best("audio")
        if stream is None:
            return
        if stream.codec_context is None:
            logger.warning("%s: its sound is of an unknown kind and left out", printable(path))
            return
        start = (source.start_time or 0) / av.time_base
        packets = read_sound(source, stream, start + end, joins)
        take = copy_sound if stream.codec_context.name in COPIED_SOUND else encode_sound
        yield from take(container, stream, packets, start)


def read_sound(source, stream: av.AudioStream, end: float, joins: Sequence[float]) -> Iterator[av.Packet]:
    """The packets of sound up to `end` whose times go on, as an mp4 wants them; damaged recordings hold others.

    Where times begin anew, as in joined recordings, they are moved as those of the pictures are.
    """
    last, moved, offsets = None, 0, iter(joins)
    try:
        for packet in source.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            if last is not None and (last - packet.dts - moved) * packet.time_base > NEW_BEGINNING:
                moved = round(next(offsets, 0.0) / packet.time_base) or moved
            packet.dts, packet.pts = packet.dts + moved, packet.pts + moved
            if (last is None or packet.dts > last) and packet.dts * packet.time_base < end:
                last = packet.dts
                yield packet
    except av.FFmpegError as error:
        logger.warning("%s: its sound can only be read in part (%s)", printable(source.name), printable(str(error)))


def copy_sound(container, stream: av.AudioStream, packets: Iterator[av.Packet], start: float) -> Iterator[av.Packet]:
    """The packets as they are, `start` seconds earlier."""
    copy = container.add_stream_from_template(stream)
    for packet in packets:
        ticks = round(start / packet.time_base)
        packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, copy
        yield packet


def encode_sound(container, stream: av.AudioStream, packets: Iterator[av.Packet], start: float) -> Iterator[av.Packet]:
    """What the packets sound like as packets of AAC, `start` seconds earlier."""
    rate = min(AAC_RATES, key=lambda rate: abs(rate - stream.rate))
    encoder = container.add_stream("aac", rate=rate, layout="mono" if stream.channels == 1 else "stereo")
    damaged = 0
    for packet in packets:
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            damaged += 1
            continue
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(start / frame.time_base)
                yield from encoder.encode(frame)
    yield from encoder.encode(None)
    if damaged:
        logger.warning("%s packets of sound cannot be decoded and are left out", damaged)
