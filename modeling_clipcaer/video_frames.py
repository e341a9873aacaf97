"""Frames of a video file by their place in time, all of one size, decoded with PyAV only as far as needed."""

from __future__ import annotations

import io
import math
import os
import struct
import urllib.error
import urllib.request
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import av
import numpy as np
from av.stream import Disposition

from .errors import InputError
from .frame_files import check_regular
from .frame_fitting import FrameFitter, FrameLooks, find_pixel_aspect, largest_size
from .scene_cuts import find_cuts, join_cuts


if TYPE_CHECKING:
    import torch


# A seek throws the decoder's work away; below this many skipped frames decoding through is faster.
SEEK_DISTANCE = 12
# The place of no frame, far enough from the first one not to be taken for its neighbour.
BEFORE_FIRST = -2
# Keep: FFmpeg takes a jump back in a transport stream for a clock that ran over, 26 hours later.
OPEN_OPTIONS = {"correct_ts_overflow": "0"}
# Frames that a decoder may hold back to put them in order: H.264 and HEVC have room for 16.
REORDERED = 16
# Pixels of the largest frame that is decoded; 8K has 33 million. Headers can claim sizes that take all memory.
MOST_PIXELS = 40_000_000
# How playlists of FFmpeg's formats hls, concat, dash, imf and sdp begin.
LISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"<Comp", b"v=0")
# Where frames state no times and the stream no rate.
DEFAULT_FPS = 25
# Of a codec of key frames alone, one frame in so many is looked at for its size.
INTRA_STEP = 10
# Seconds by which the times of sound leap where one may be wrong.
LEAP = 10
# Successors that tell a slip of one timestamp from a new beginning.
SLIP = 2


class _Packet(NamedTuple):
    """What is kept of a packet. Keep: no packets; those hold the whole file in memory."""

    pts: int | None
    dts: int | None
    is_keyframe: bool
    is_discard: bool
    size: int


class _SoundClock:
    """Where the packets of sound end, as far as that is to be believed: a silence that is longer than all the sound
    behind it is a wrong timestamp. `stray` is where they end beyond that."""

    def __init__(self):
        self._end: float | None = None
        self._before, self._silence, self._heard = 0.0, 0.0, 0.0

    def add(self, start: float, length: float) -> None:
        """Take a packet."""
        end = start if self._end is None else self._end
        if abs(start - end) > LEAP:
            self._before, self._silence, self._heard = end, start - end, 0.0
        self._heard += length
        self._end = start + length

    @property
    def end(self) -> float | None:
        return self._end if self._silence <= self._heard else self._before

    @property
    def stray(self) -> float | None:
        return None if self._silence <= self._heard else self._end


class VideoFrames:
    """The frames of the best video stream of a file, in the order in which they are shown, all of one size.

    Frames are known by the timestamps of the stream's packets: containers state wrong frame counts or none, and at a
    variable rate an index says nothing about time. The packets are read once, and of the frames the key frames alone
    are decoded, for their sizes. Where timestamps are missing, repeat or run backwards, as in recordings that were
    joined, every frame is decoded once and counted, and each is found again by decoding up to it.

    A picture whose size changes on the way is shown in its largest size. Boxes are in pixels of that one.

    Args:
        path (`str` or `Path`): a video file, or an http(s) address, which is downloaded into memory.
        content (`bytes`, *optional*): of the file, where it is in memory; `path` is then what it is called.

    Attributes:
        size (`tuple[int, int]`): width and height of every frame, upright.
        seconds (`list[float]`): the time of every frame, never less than that of the one before.
        start (`float`): where the container says that it begins.
        sound_end (`float`, *optional*): where its last packet of sound ends.
        stated_end (`float`, *optional*): where it says that its pictures end.
        missing_frames (`int`): frames that it states and does not hold; 0 where it states no number.
        joins (`list[float]`): of a file of joined recordings, by how many seconds the times of its second, third, ...
            one are moved, so that it follows the one before.
        notes (`list[str]`): what a reader must know, a sentence each.

    Raises:
        InputError: the file cannot be read, or has no picture in it.
    """

    def __init__(self, path: str | Path, content: bytes | None = None):
        self.path = str(path)
        if content is None and self.path.startswith(("http://", "https://")):
            content = _fetch(self.path)
        self._download = None if content is None else io.BytesIO(content)
        if self._download is None:
            check_regular(self.path, "a video")
        with open(self.path, "rb") if content is None else io.BytesIO(content) as file:
            _check_no_list(self.path, file)
        self._timestamps: list[int] = []
        self._keyframes: list[int] = []  # places of the frames that decoding can start at
        self._counted = False  # timestamps do not tell the frames: count decoded ones instead
        self.seconds: list[float] = []
        self.sound_end: float | None = None
        self.joins: list[float] = []
        self.notes: list[str] = []
        try:
            self._index()
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{self.path}: cannot be read as a video ({_reason(error)})") from error
        if not self.seconds:
            raise InputError(f"{self.path}: expected a video with frames, found a video stream without any")

    def __len__(self) -> int:
        return len(self.seconds)

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices` (increasing), each a uint8 tensor (3, height, width), RGB, of `size`.

        Raises:
            InputError: a frame cannot be decoded.
        """
        for frame, _ in self._tell_errors(self._read(list(indices), may_seek=not self._counted)):
            yield frame

    def watch(self, indices: Sequence[int]) -> Iterator[tuple[torch.Tensor, np.ndarray | None]]:
        """As `read`, with the cells that were cut since the last frame that was asked for, a map as of
        [`~scene_cuts.find_cuts`], or `None`. No frame is jumped over."""
        return self._tell_errors(self._read(list(indices), may_seek=False, may_watch=True))

    def _tell_errors(self, frames: Iterator) -> Iterator:
        try:
            yield from frames
        except av.FFmpegError as error:
            raise InputError(f"{self.path}: cannot be decoded ({_reason(error)})") from error

    def _open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        if self._download is not None:
            self._download.seek(0)
        # Keep: absolute. FFmpeg takes a name with a colon for an address, and would ask the network for it.
        source = os.path.abspath(self.path) if self._download is None else self._download
        # Keep: titles as they can be read. Some recorders write theirs in other letters than UTF-8.
        container = av.open(source, options=OPEN_OPTIONS, metadata_errors="replace")
        # Keep: the cover picture of an audio file is a video stream too.
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        known = [stream for stream in streams if stream.codec_context is not None]
        if not known:
            container.close()
            found = "pictures in a format that FFmpeg does not know" if streams else "none"
            raise InputError(f"{self.path}: expected a video stream, found {found}")
        stream = max(known, key=lambda stream: (bool(stream.disposition & Disposition.default), stream.width or 0))
        if (stream.width or 0) * (stream.height or 0) > MOST_PIXELS:
            container.close()
            raise InputError(
                f"{self.path}: its header claims a picture of {stream.width}x{stream.height} pixels, expected at most "
                f"{MOST_PIXELS} of them"
            )
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        return container, stream

    def _index(self) -> None:
        container, stream = self._open()
        with container:
            self._fitter = FrameFitter(find_pixel_aspect(stream))
            looks = FrameLooks(self._fitter)
            read, end = self._read_packets(container, stream, looks)
            # Keep: with the empty ones. AVI states the frames that were dropped while recording, too.
            self._keep_what_is_stated(container, stream, len(read))
            packets = [packet for packet in read if packet.size]
            # An edit list marks the packets that are decoded and not shown.
            stamps = [packet.pts for packet in packets if not packet.is_discard]
            known = [stamp for stamp in stamps if stamp is not None]
            # Keep: AVI states decoding times as presentation times, raw streams state none.
            is_avi = container.format.name == "avi"
            self._counted = is_avi or not _tell_frames(packets)
            if self._counted:
                self._index_by_decoding(stamps if is_avi else [], stream, looks)
            else:
                self._index_by_packets(packets, known, stream)
            declared = (max(stream.width or 1, 1), max(stream.height or 1, 1))
        if self._stray_sound is not None and self._stray_sound > self.seconds[-1] + LEAP:
            self.notes.append(
                f"its sound has times of up to {self._stray_sound:.2f} s, far behind the rest, which are not believed"
            )
        self.size = self._fitter.size = largest_size(looks.sizes or [declared])
        self.notes += looks.describe()
        if self._goes_on(container.format.name, end):
            self.notes.append(
                "behind its end the file goes on with another recording, which a file of its kind cannot hold and "
                "nobody plays: it is not read"
            )

    def _read_packets(self, container, stream: av.VideoStream, looks: FrameLooks) -> tuple[list[_Packet], int]:
        """The stream's packets in their order, and at which byte those of all streams end."""
        packets, end, sound = [], 0, _SoundClock()
        # Keep: not every frame of a codec of key frames alone, which would decode all of it.
        step = INTRA_STEP if stream.codec_context.codec.intra_only else 1
        stream.codec_context.skip_frame = "NONKEY"
        for packet in container.demux():
            end = max(end, (packet.pos or 0) + packet.size)
            if packet.stream.type == "audio" and packet.pts is not None:
                sound.add(float(packet.pts * packet.time_base), float((packet.duration or 0) * packet.time_base))
            if packet.stream.index != stream.index:
                continue
            packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard, packet.size))
            try:
                for frame in packet.decode() if len(packets) % step == 0 or not packet.size else ():
                    looks.add(frame, stream.codec_context.sample_aspect_ratio)
            except av.FFmpegError:  # said when the frame is wanted
                pass
        self.sound_end, self._stray_sound = sound.end, sound.stray
        return packets, end

    def _goes_on(self, format: str, end: int) -> bool:
        """Whether a file of a kind that holds one recording has another one behind it."""
        with open(self.path, "rb") if self._download is None else nullcontext(self._download) as file:
            if format == "flv":
                file.seek(end)
                return b"FLV\x01" in file.read(64)
            return "mp4" in format and sum(kind == b"ftyp" for kind in _list_boxes(file)) > 1

    def _keep_what_is_stated(self, container, stream, num_packets: int) -> None:
        self.missing_frames = max(stream.frames - num_packets, 0)
        self.start, self.stated_end = (container.start_time or 0) / av.time_base, None
        if stream.duration is not None and stream.time_base is not None:
            self.stated_end = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        elif container.duration is not None:
            # Keep: the lesser one. Matroska states a length, of the longest stream, and writers of pieces that do not
            # begin at 0 mean by it where they end.
            self.stated_end = min(self.start, 0.0) + container.duration / av.time_base

    def _index_by_packets(self, packets: list[_Packet], stamps: list[int], stream: av.VideoStream) -> None:
        keys = sorted({packet.pts for packet in packets if packet.is_keyframe and packet.pts is not None})
        # Keep: frames before the first key frame, where a recording was cut, cannot be decoded.
        self._timestamps = sorted(stamp for stamp in stamps if not keys or stamp >= keys[0])
        self._keyframes = [bisect_left(self._timestamps, key) for key in keys]
        self.seconds = [float(stamp * stream.time_base) for stamp in self._timestamps]
        if lost := len(stamps) - len(self._timestamps):
            self.notes.append(f"its first {lost} frames come before a key frame, cannot be decoded and are left out")

    def _index_by_decoding(self, stated: list[int | None], stream: av.VideoStream, looks: FrameLooks) -> None:
        """Count the frames. `stated` are the packets' times, where those are not the frames'."""
        container, counted_stream = self._open()
        stamps, barren = [], 0
        with container:
            try:
                for packet in container.demux(counted_stream):
                    frames = packet.decode()
                    barren = 0 if frames and packet.size else barren + bool(packet.size) - len(frames)
                    for frame in frames:
                        looks.add(frame, counted_stream.codec_context.sample_aspect_ratio)
                        stamps.append(None if frame.pts is None else float(frame.pts * stream.time_base))
            except av.FFmpegError as error:
                if not stamps:
                    raise
                self.notes.append(f"it cannot be decoded beyond frame {len(stamps)} ({_reason(error)})")
        if barren > REORDERED:  # as of a recording in another format behind the first one
            self.notes.append(f"its last {barren} packets show no picture, as those of another format would")
        # Keep: a raw stream holds no other time than its frame rate.
        rate = float(stream.guessed_rate or DEFAULT_FPS)
        ordered = sorted({stamp for stamp in stated if stamp is not None})
        if len(ordered) == len(stamps):
            self.seconds = [float(stamp * stream.time_base) for stamp in ordered]
        elif stated or all(stamp is None for stamp in stamps):
            self.seconds = [place / rate for place in range(len(stamps))]
        else:
            self.seconds, self.joins, slips = continue_times(stamps, 1 / rate)
            self._note_times(slips)

    def _note_times(self, slips: int) -> None:
        if self.joins:
            # What it states and where its sound ends is of one of the recordings.
            self.stated_end, self.sound_end, self.missing_frames = None, None, 0
            times = "once" if len(self.joins) == 1 else f"{len(self.joins)} times"
            self.notes.append(
                f"its timestamps begin anew {times}, as in joined recordings: each part is continued in time behind "
                "the one before"
            )
        if slips:
            self.notes.append(
                f"{slips} of its {len(self)} frames have timestamps out of order and are shown in theirs"
            )

    def _read(
        self, indices: list[int], may_seek: bool, may_watch: bool = False
    ) -> Iterator[tuple[torch.Tensor, np.ndarray | None]]:
        container, stream = self._open()
        with container:
            frames, place = self._watch(self._decode(container, stream), may_watch), BEFORE_FIRST
            for done, index in enumerate(indices):
                start, cuts = self._keyframe_at_or_before(index), None
                sought = may_seek and start - max(place, 0) > SEEK_DISTANCE and self._seek(container, stream, start)
                if sought:
                    frames, place = self._watch(self._decode(container, stream), may_watch), BEFORE_FIRST
                sound = not sought
                while place < index and (decoded := next(frames, None)) is not None:
                    (place, frame), cut = decoded
                    cuts = join_cuts(cuts, cut)
                    sound = sound or (place == start and frame.key_frame)
                # A packet may hold no picture of its own (hidden reference frames): its neighbour is what is shown.
                if sound and abs(place - index) <= 1:
                    yield self._fitter(frame), cuts
                elif may_seek:  # the seek went too far, or to no true key frame (MPEG-PS marks others)
                    yield from self._read(indices[done:], may_seek=False)
                    return
                else:
                    raise InputError(f"{self.path}: the frame at {self.seconds[index]:.2f} s cannot be decoded")

    def _seek(self, container, stream, place: int) -> bool:
        try:
            container.seek(self._timestamps[place], stream=stream)
        except av.FFmpegError:  # raw streams and some live recordings cannot
            return False
        return True

    def _decode(self, container, stream) -> Iterator[tuple[int, av.VideoFrame]]:
        for count, frame in enumerate(container.decode(stream)):
            if self._counted:
                yield count, frame
            elif frame.pts is not None:
                yield bisect_left(self._timestamps, frame.pts), frame

    def _watch(
        self, frames: Iterator[tuple[int, av.VideoFrame]], may_watch: bool
    ) -> Iterator[tuple[tuple[int, av.VideoFrame], np.ndarray | None]]:
        if not may_watch:
            return ((frame, None) for frame in frames)
        return find_cuts(frames, lambda item: self._fitter.make_thumbnail(item[1]))

    def _keyframe_at_or_before(self, index: int) -> int:
        at = bisect_right(self._keyframes, index)
        return self._keyframes[at - 1] if at else 0


def continue_times(stamps: Sequence[float | None], frame_seconds: float) -> tuple[list[float], list[float], int]:
    """Times that never run backwards, of frames in the order in which they were decoded.

    Where timestamps begin anew, each part follows the one before by a frame. A frame that is out of order by itself,
    before its successors go on, is a slip and shown with the frame before it.

    Args:
        stamps: seconds of each frame, or `None`.
        frame_seconds: how long a frame is shown where that cannot be told from `stamps`.

    Returns:
        the time of every frame; by how much the second, third, ... part was moved; and how many frames are slips.
    """
    known = [stamp for stamp in stamps if stamp is not None]
    steps = [after - before for before, after in pairwise(known) if after > before]
    step = median(steps) if steps else frame_seconds
    times: list[float] = []
    joins: list[float] = []
    slips, offset = 0, 0.0
    for place, stamp in enumerate(stamps):
        last = times[-1] if times else -math.inf
        if stamp is None:
            times.append(last + step if times else 0.0)
            continue
        time = stamp + offset
        following = [after + offset for after in stamps[place + 1 : place + 1 + SLIP] if after is not None]
        if time > last:
            # Keep: one stamp far ahead of its successors would part the recording by hours.
            is_slip = bool(times) and bool(following) and all(last < after < time for after in following)
            time = last if is_slip else time
        else:
            is_slip = not following or max(following) > last
            if not is_slip:
                offset = last + step - stamp
                joins.append(offset)
            time = last if is_slip else last + step
        slips += is_slip
        times.append(time)
    return times, joins, slips


def _tell_frames(packets: Sequence[_Packet]) -> bool:
    """Whether the timestamps of the packets tell the frames and their order."""
    stamps = [packet.pts for packet in packets if packet.pts is not None]
    decoding = [packet.dts for packet in packets if packet.dts is not None]
    if len(set(stamps)) < len(packets):
        return False
    if any(after <= before for before, after in pairwise(decoding)):
        return False
    ranked = sorted(range(len(stamps)), key=stamps.__getitem__)
    return all(abs(place - rank) <= REORDERED for rank, place in enumerate(ranked))


def _check_no_list(path: str, file: BinaryIO) -> None:
    """Refuse a list of other files, which FFmpeg would open in its place, wherever they lie."""
    head = file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(LISTS):
        raise InputError(f"{path}: expected a video, found a list of other files")


def _list_boxes(file: BinaryIO) -> Iterator[bytes]:
    """Kinds of the boxes that an MP4 file consists of, as far as they follow each other."""
    at = file.seek(0)
    while len(header := file.read(16)) >= 8:
        size, kind = struct.unpack(">I4s", header[:8])
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack(">Q", header[8:])
        yield kind
        if size < 8:  # the last one, or no box
            return
        at = file.seek(at + size)


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.read()
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise InputError(
            f"{url}: cannot be downloaded ({_reason(error)}); fetch it yourself, and name the file"
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(getattr(error, "reason", error))
