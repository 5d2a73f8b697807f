"""`Decoding`: one opening of a source, packet by packet, so that damage costs only its own frames."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from trt_mogface.errors import ImageError
from trt_mogface.frame import Frame
from trt_mogface.video.container import DamagedError, open_container, reading, silence, took
from trt_mogface.video.items import Clock, EventKind, SourceEvent
from trt_mogface.video.planes import UPRIGHT, orientation_of, to_frame
from trt_mogface.video.sampling import Sampler, Sampling
from trt_mogface.video.sources import Source

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.stream import VideoStream

FALLBACK_RATE = 25.0
"""Frames per second of a stream that does not say it."""

FUTILE = 200
"""Failed reads in a row after which a damaged file is at its end."""

HELD_BYTES = 64 << 20
"""Packets before ``start`` that are held back until it is known whether they are needed."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A frame to analyze.

    Attributes:
        frame: Frame with its source, number and time.
        captured, clock, opening, audio: See `trt_mogface.video.items.FrameFaces`.
        arrived: Monotonic seconds at which it was decoded.
    """

    frame: Frame
    captured: float
    clock: Clock
    opening: int
    audio: tuple[Any, ...] = ()
    arrived: float = field(default_factory=time.monotonic)


Reading: TypeAlias = "Picture | SourceEvent"
"""What a source gives."""


@dataclass
class Cursor:
    """Place in a source, which outlasts its openings.

    Attributes:
        number: Number of the next frame.
        opening: How often the source was opened.
        resume: Number of the first frame that is wanted; those before it are decoded and left out.
        begun: Monotonic seconds of the first frame.
    """

    number: int = 0
    opening: int = 0
    resume: int = 0
    begun: float | None = None


@dataclass(frozen=True)
class DecodeOptions:
    """Options of reading sources.

    Attributes:
        sampling: Choice of the frames.
        timeout: Seconds that opening, and each read, may take.
        audio: Whether packets of sound are handed along.
        gpu: Number of the GPU that decodes, or None.
        for_cpu: Whether the network runs on the CPU; see `trt_mogface.video.planes.to_frame`.
    """

    sampling: Sampling = field(default_factory=Sampling)
    timeout: float = 10.0
    audio: bool = False
    gpu: int | None = None
    for_cpu: bool = False


class Decoding:
    """One opening of a video: iterate over its frames and events, then close it.

    Args:
        source: Any but one of images.
        options: See `DecodeOptions`.
        cursor: Place in the source; it moves on with the frames.

    Raises:
        ImageError: If the source cannot be opened, or has no video.
    """

    def __init__(self, source: Source, options: DecodeOptions, cursor: Cursor) -> None:
        self.is_over = False
        self._source, self._options, self._cursor = source, options, cursor
        self._container, self._stream = open_container(source, options.timeout, options.gpu)
        self._begun, self._clock = _begun(source, self._container.metadata)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate and 0 < rate <= 1000 else FALLBACK_RATE
        self.is_live = source.is_live and self._container.duration is None
        if source.kind == "http":
            self.is_live = self._container.duration is None and self._container.size <= 0
        self.paces = self.is_live and source.kind == "hls"
        if options.sampling.keyframes:
            self._stream.codec_context.skip_frame = "NONKEY"
        self._orientation, self._rotation = UPRIGHT, 0
        self._size: tuple[int, int] | None = None
        self._corrupt = 0
        self._audio: list[Any] = []
        self._late: Picture | None = None
        self._has_late = False
        self._first: float | None = None
        self._key_numbers: deque[tuple[int | None, int]] = deque()
        self._captured = self._begun
        self._decoded = 0

    @property
    def summary(self) -> str:
        """One line on what is missing of a file, or an empty text."""
        stated = self._stream.frames
        if self.is_live or self._options.sampling != Sampling() or self._cursor.number >= stated:
            return ""
        return f"{self._cursor.number} of {stated} frames; the others are missing or damaged"

    def close(self) -> None:
        """Close the connection or file; packets of sound that were handed along keep theirs open."""
        if not self._options.audio:
            self._container.close()

    def event(self, event: EventKind, count: int = 0, message: str = "") -> SourceEvent:
        """Return an event at this place of the source."""
        captured = time.time() if self.is_live else self._captured
        cursor = self._cursor
        return SourceEvent(
            self._source.name, event, captured, cursor.number, count, message, max(cursor.opening, 1)
        )

    def __iter__(self) -> Iterator[Reading]:
        """Yield sampled frames, and events between them.

        Raises:
            ImageError: If reading fails, a frame is too large, or there is no frame at all.
        """
        sampler = Sampler(self._options.sampling, self.rate)
        for decoded in self._frames():
            number = self._number_of(decoded)
            seconds = None if decoded.time is None else float(decoded.time)
            place = self._place(number, seconds)
            self.is_over = self._is_over(place)
            if self.is_over:
                break
            self._cursor.number = number
            yield from self._events(decoded)
            self._cursor.number = number + 1
            is_early = not self.is_live and place < self._options.sampling.start
            if not is_early and sampler.takes(number, seconds):
                yield from self._taken(decoded, number, seconds)
        yield from self._events(None)
        yield from self._release()
        if not self._decoded:
            raise ImageError(f"{self._source.name}: has no frame that can be decoded; convert it to H.264")

    def _frames(self) -> Iterator[VideoFrame]:
        name, timeout = self._source.name, self._options.timeout
        for packet in self._wanted_packets():
            try:
                frames = reading(name, timeout, packet.decode)
            except ImageError:
                self._corrupt += 1
                continue
            self._decoded += len(frames)
            yield from frames

    def _wanted_packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets to decode; count the frames of the others."""
        sampling = self._options.sampling
        begins_later = sampling.start > 0 and not self.is_live
        held: list[Packet[VideoStream]] = []
        held_bytes, following = 0, self._cursor.number
        for packet in self._packets():
            is_flush = packet.size == 0
            if sampling.keyframes and not is_flush:
                number, following = following, following + 1
                if not packet.is_keyframe:
                    continue
                self._key_numbers.append((packet.pts, number))
            if not begins_later:
                yield packet
                continue
            begins_later = not is_flush and not self._reaches_start(packet, len(held))
            held_bytes += packet.size
            begins_later = begins_later and held_bytes < HELD_BYTES
            if begins_later and packet.is_keyframe:
                if not sampling.keyframes:
                    self._cursor.number += len(held)
                held.clear()
                held_bytes = packet.size
            held.append(packet)
            if not begins_later:
                yield from held
                held.clear()

    def _reaches_start(self, packet: Packet[VideoStream], held: int) -> bool:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.time_base is None:
            return (self._cursor.number + held) / self.rate >= self._options.sampling.start
        seconds = float(stamp * packet.time_base)
        if self._first is None:
            self._first = seconds
        return seconds - self._first >= self._options.sampling.start

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of the video; keep those of the sound for the next picture."""
        streams: list[Any] = [self._stream]
        if self._options.audio:
            streams += self._container.streams.audio[:1]
        name, timeout, failures = self._source.name, self._options.timeout, 0
        demuxed = self._container.demux(*streams)
        while failures < FUTILE:
            started = time.monotonic()
            try:
                packet = reading(name, timeout, partial(next, demuxed, None))
            except DamagedError:
                self._corrupt += 1
                failures += 1
                demuxed = self._container.demux(*streams)
                continue
            if packet is None:
                return
            failures = 0
            if packet.stream.type == "video":
                yield packet
            elif packet.size:
                self._audio.append(packet)
            if self.is_live and took(started, timeout):  # only the rest of what came before
                raise silence(name, timeout)

    def _number_of(self, decoded: VideoFrame) -> int:
        """Return the number of a frame: of key frames that of their packet, in presentation order."""
        if not self._options.sampling.keyframes:
            return self._cursor.number
        numbers = self._key_numbers
        while numbers:
            stamp, number = numbers.popleft()
            if stamp is None or stamp == decoded.pts or not any(s == decoded.pts for s, _ in numbers):
                return number
        return self._cursor.number

    def _place(self, number: int, seconds: float | None) -> float:
        """Return the seconds of a frame since the first of this opening."""
        if seconds is None:
            return number / self.rate
        if self._first is None:
            self._first = seconds
        return seconds - self._first

    def _is_over(self, place: float) -> bool:
        sampling, cursor, now = self._options.sampling, self._cursor, time.monotonic()
        cursor.begun = now if cursor.begun is None else cursor.begun
        if sampling.duration is None:
            return False
        if self.is_live:  # over all openings
            return now - cursor.begun >= sampling.duration
        return place >= sampling.start + sampling.duration

    def _events(self, decoded: VideoFrame | None) -> Iterator[Reading]:
        """Yield what happened before a frame, or before the end."""
        events = []
        if self._corrupt:
            count, self._corrupt = self._corrupt, 0
            events.append(self.event("corrupt", count, f"{count} damaged packet{'s' * (count > 1)} left out"))
        resized = "" if decoded is None else self._resized(decoded)
        if resized:
            events.append(self.event("resized", message=resized))
        if events:
            yield from self._release()
            yield from events

    def _resized(self, decoded: VideoFrame) -> str:
        if decoded.rotation != self._rotation or self._size is None:
            self._orientation, self._rotation = orientation_of(decoded), decoded.rotation
        size = decoded.width, decoded.height
        if self._orientation.is_transposed:
            size = size[::-1]
        before, self._size = self._size, size
        return "" if before in (None, size) else "{}x{} to {}x{}".format(*(before or ()), *size)

    def _taken(self, decoded: VideoFrame, number: int, seconds: float | None) -> Iterator[Picture]:
        """Yield a sampled frame; with sound the one before, because its sound has come by now."""
        yield from self._release()
        self._captured, clock = self._capture(number, seconds)
        self._has_late = self._options.audio
        if number < self._cursor.resume:
            return
        name, for_cpu = self._source.name, self._options.for_cpu
        frame = to_frame(decoded, self._orientation, name, number, seconds, for_cpu=for_cpu)
        picture = Picture(frame, self._captured, clock, self._cursor.opening)
        if self._options.audio:
            self._late = picture
        else:
            yield picture

    def _release(self) -> Iterator[Picture]:
        """Yield the frame that waits for its sound, unless it was recorded before the source was resumed."""
        if not self._has_late:
            return
        sound, self._audio = tuple(self._audio), []
        late, self._late, self._has_late = self._late, None, False
        if late is not None:
            yield replace(late, audio=sound)

    def _capture(self, number: int, seconds: float | None) -> tuple[float, Clock]:
        since = getattr(self._container, "start_time_realtime", None)  # PyAV 18
        if since is not None and seconds is not None:
            return since / 1e6 + seconds, "sender"
        if self.is_live:
            return time.time(), "arrival"
        return self._begun + (number / self.rate if seconds is None else seconds), self._clock


def _begun(source: Source, metadata: dict[str, str]) -> tuple[float, Clock]:
    """Return when a file begins: when its recorder says that it was made, else when it came to its place."""
    with suppress(KeyError, ValueError):
        made = datetime.fromisoformat(metadata["creation_time"].replace("Z", "+00:00"))
        return made.timestamp(), "sender"
    with suppress(OSError, ValueError):
        return Path(source.address).stat().st_mtime, "arrival"
    return time.time(), "arrival"
