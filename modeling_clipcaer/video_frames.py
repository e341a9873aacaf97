"""Frames of a video file by their place in time, decoded with PyAV only as far as needed."""

import io
import urllib.error
import urllib.request
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import torch
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter

from .errors import InputError


# A seek throws the decoder's work away; below this many skipped frames decoding through is faster.
SEEK_DISTANCE = 12
# The place of no frame, far enough from the first one not to be taken for its neighbour.
BEFORE_FIRST = -2
# Without these flags the chroma of 4:2:0 video is repeated, not interpolated: up to 31 levels off, now at most 3.
INTERPOLATION = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


class VideoFrames:
    """The frames of the best video stream of a file, in presentation order.

    Frames are known by the timestamps of the stream's packets: containers state wrong frame counts or none, and at a
    variable rate an index says nothing about time. The packets are read once and not decoded.

    Args:
        path (`str` or `Path`): a video file, or an http(s) address, which is downloaded into memory.

    Attributes:
        seconds (`list[float]`): the time of every frame.
        start (`float`): where the container says that it begins.
        stated_end (`float`, *optional*): where it says that its pictures end.
        missing_frames (`int`): frames that it states and does not hold; 0 where it states no number.

    Raises:
        InputError: the file cannot be read, or has no picture in it.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        self._download = _fetch(self.path) if self.path.startswith(("http://", "https://")) else None
        self._timestamps: list[int] = []
        self._keyframes: list[int] = []  # places of the frames that decoding can start at
        self._counted = False  # timestamps of the packets are missing or out of order: count decoded frames instead
        try:
            self._index()
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{self.path}: cannot be read as a video ({_reason(error)})") from error
        if not self._timestamps:
            raise InputError(f"{self.path}: expected a video with frames, found a video stream without any")

    def __len__(self) -> int:
        return len(self._timestamps)

    def read(self, indices: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the frames at `indices` (increasing), each a uint8 tensor (3, height, width), RGB, turned upright.

        Raises:
            InputError: a frame cannot be decoded.
        """
        try:
            yield from self._read(list(indices), may_seek=True)
        except av.FFmpegError as error:
            raise InputError(f"{self.path}: cannot be decoded ({_reason(error)})") from error

    def _open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        if self._download is not None:
            self._download.seek(0)
        container = av.open(self.path if self._download is None else self._download)
        # Keep: the cover picture of an audio file is a video stream too.
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams:
            container.close()
            raise InputError(f"{self.path}: expected a video stream, found none")
        stream = max(streams, key=lambda stream: (bool(stream.disposition & Disposition.default), stream.width or 0))
        stream.thread_type = "AUTO"
        return container, stream

    def _index(self) -> None:
        container, stream = self._open()
        with container:
            # Keep: the three fields, not the packets; those hold the whole file in memory.
            read = [(p.pts, p.is_keyframe, p.is_discard, p.size) for p in container.demux(stream)]
            packets = [(pts, is_keyframe, is_discard) for pts, is_keyframe, is_discard, size in read if size]
            # Keep: with the empty ones. AVI states the frames that were dropped while recording, too.
            self._keep_what_is_stated(container, stream, len(read))
            # An edit list marks the packets that are decoded and not shown.
            stamps = [pts for pts, _, is_discard in packets if not is_discard]
            # Keep: AVI states decoding times as presentation times, raw streams state none.
            self._counted = None in stamps or container.format.name == "avi"
            if self._counted:
                self._index_by_decoding(stamps, stream)
                return
            keys = sorted({pts for pts, is_keyframe, _ in packets if is_keyframe and pts is not None})
            # Keep: frames before the first key frame, where a recording was cut, cannot be decoded.
            self._timestamps = sorted({stamp for stamp in stamps if not keys or stamp >= keys[0]})
            self._keyframes = [bisect_left(self._timestamps, key) for key in keys]
            self.seconds = [float(stamp * stream.time_base) for stamp in self._timestamps]

    def _keep_what_is_stated(self, container, stream, num_packets: int) -> None:
        self.missing_frames = max(stream.frames - num_packets, 0)
        self.start, self.stated_end = (container.start_time or 0) / av.time_base, None
        if stream.duration is not None and stream.time_base is not None:
            self.stated_end = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        elif container.duration is not None:  # Matroska states that of the longest stream alone
            self.stated_end = self.start + container.duration / av.time_base

    def _index_by_decoding(self, stamps: list[int | None], stream: av.VideoStream) -> None:
        container, counted_stream = self._open()
        with container:
            total = sum(1 for _ in container.decode(counted_stream))
        self._timestamps = list(range(total))
        stated = sorted({stamp for stamp in stamps if stamp is not None})
        if None not in stamps and len(stated) == total:
            self.seconds = [float(stamp * stream.time_base) for stamp in stated]
        else:  # a raw stream holds no other time than its frame rate
            self.seconds = [float(place / (stream.guessed_rate or 25)) for place in range(total)]

    def _read(self, indices: list[int], may_seek: bool) -> Iterator[torch.Tensor]:
        container, stream = self._open()
        reformatter = VideoReformatter()
        with container:
            frames, place = self._decode(container, stream), BEFORE_FIRST
            for done, index in enumerate(indices):
                start = self._keyframe_at_or_before(index)
                sought = may_seek and start - max(place, 0) > SEEK_DISTANCE and self._seek(container, stream, start)
                if sought:
                    frames, place = self._decode(container, stream), BEFORE_FIRST
                sound = not sought
                while place < index and (decoded := next(frames, None)) is not None:
                    place, frame = decoded
                    sound = sound or (place == start and frame.key_frame)
                # A packet may hold no picture of its own (hidden reference frames): its neighbour is what is shown.
                if sound and abs(place - index) <= 1:
                    yield to_tensor(frame, reformatter)
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

    def _keyframe_at_or_before(self, index: int) -> int:
        at = bisect_right(self._keyframes, index)
        return self._keyframes[at - 1] if at else 0


def to_tensor(frame: av.VideoFrame, reformatter: VideoReformatter) -> torch.Tensor:
    """A decoded frame as uint8 (3, height, width), RGB, turned upright."""
    pixels = reformatter.reformat(frame, format="rgb24", interpolation=INTERPOLATION).to_ndarray()
    # Keep: FFmpeg's libraries leave the rotation of a phone's video to the player.
    upright = torch.from_numpy(pixels).rot90(round(frame.rotation / 90))
    return upright.permute(2, 0, 1)


def _fetch(url: str) -> io.BytesIO:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return io.BytesIO(response.read())
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise InputError(f"{url}: cannot be downloaded ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(getattr(error, "reason", error))
