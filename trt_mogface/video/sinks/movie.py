"""`Movie`: one fragmented MP4 file of H.264 video and copied sound, readable at any moment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trt_mogface._files import cannot_write
from trt_mogface._optional import needs
from trt_mogface.errors import MogFaceError, OutputError, first_line
from trt_mogface.video.encoding import OPTIONS, TICKS, TIME_BASE, Colors, Encoder, configure
from trt_mogface.video.sinks.files import write_all
from trt_mogface.video.sinks.fragments import Fragments

if TYPE_CHECKING:
    from av import Packet, VideoFrame

MUXER = {
    # Without the index at the end, which lies in memory until then.
    "movflags": "delay_moov+default_base_moof+skip_trailer",
    "frag_duration": "1",  # microseconds: a fragment a frame; frag_every_frame shifts sound
    "flush_packets": "1",
    "max_interleave_delta": "1000000",  # microseconds for which video waits for sound
    "video_track_timescale": str(TICKS),
}

WAIT = 1.0
"""Seconds of video after which a file is begun without sound, if there was none."""

WAITING = 30
"""Frames after which it is begun in any case."""

STEP = TICKS // 25
"""Time of a frame whose time stamp does not follow the one before, unless the steps before are known."""

LONGEST = 3600 * TICKS
"""Longest time between two frames; MP4 has 32 bits for it."""

APART = 10.0
"""Seconds by which sound may be apart from the video that it is read with."""


class Movie:
    """A file that grows frame by frame.

    Args:
        path: File, which must not exist.
        size: Height and width of the frames.
        colors: Color matrix and value range of the frames.
        encoder: Encoder.

    Raises:
        OutputError: If the file cannot be created.
    """

    def __init__(self, path: Path, size: tuple[int, int], colors: Colors, encoder: Encoder) -> None:
        with needs("video"):
            import av

        self.path, self.size, self.colors = path, size, colors
        self.fragments, self._written, self._unwritten = Fragments(), 0, bytearray()
        self._frames, self._clock = 0, _Clock()
        self._sound: _Sound | None = None
        self._held: list[Packet[Any]] | None = []
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        with self._reported():
            self._container = av.open(_Writer(self), "w", format="mp4", options=MUXER)
            self._video: Any = self._container.add_stream(encoder, rate=25, options=OPTIONS[encoder])
            configure(self._video, size, colors)

    @property
    def pending(self) -> int:
        """Number of frames that are not in a whole fragment yet."""
        return self._frames - self.fragments.frames

    def write(self, frame: VideoFrame, seconds: float, sound: Iterable[Any] = ()) -> None:
        """Append a frame and the sound that follows it.

        Args:
            frame: Frame in 4:2:0.
            seconds: Presentation time, in any time line; a jump back, or over an hour, is closed.
            sound: Packets of PyAV with times of the same time line.

        Raises:
            OutputError: If the frame cannot be encoded, or the file not be written.
        """
        frame.pts, frame.time_base = self._clock.at(seconds), TIME_BASE
        self._frames += 1
        with self._reported():
            packets = [*self._video.encode(frame)]
            for packet in sound:
                if self._sound is None and self._held is not None:
                    self._sound = _Sound.of(self._container, packet.stream)
                if self._sound is not None:
                    packets += self._sound.copied(packet, self._clock)
            self._mux(packets)

    def sync(self) -> None:
        """Make all whole fragments durable.

        Raises:
            OutputError: If the disk refuses.
        """
        with self._reported():
            os.fsync(self._file)

    def close(self) -> None:
        """Finish the file, durably; closing twice is harmless.

        Raises:
            OutputError: If the rest cannot be written.
        """
        if self._file < 0:
            return
        with self._reported():
            self._mux(self._video.encode(None))
            self._begin()
            self._container.close()
            self._write(len(self._unwritten))
            os.fsync(self._file)
        os.close(self._file)
        self._file = -1

    def abandon(self) -> None:
        """Close the file behind its last whole fragment, or delete it if it has none; never fails."""
        if self._file < 0:
            return
        file, self._file = self._file, -1
        with suppress(OSError):
            if self._written:
                os.ftruncate(file, self._written)
            else:
                self.path.unlink()
        os.close(file)
        with suppress(Exception):
            self._container.close()

    def take(self, data: bytes) -> None:
        """Take over bytes of the muxer, and write whole fragments: a killed run leaves no part of one."""
        if self._file < 0:
            return
        self.fragments.feed(data)
        self._unwritten += data
        if self.fragments.end > self._written:
            self._write(self.fragments.end - self._written)

    def _write(self, count: int) -> None:
        write_all(self._file, bytes(self._unwritten[:count]))
        del self._unwritten[:count]
        self._written += count

    def _mux(self, packets: list[Packet[Any]]) -> None:
        if self._held is None:
            self._container.mux(packets)
            return
        self._held += packets
        if self._sound is not None or self._clock.last >= WAIT * TICKS or self._frames >= WAITING:
            self._begin()

    def _begin(self) -> None:
        """Write what was held until it was known whether there is sound."""
        if self._held is not None:
            held, self._held = self._held, None
            self._container.mux(held)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except MogFaceError:
            raise
        except Exception as error:
            self.abandon()
            if isinstance(error, OSError) and not type(error).__module__.startswith("av."):
                raise cannot_write(self.path, error) from error
            problem = f"cannot be encoded ({first_line(error)})"
            raise OutputError(f"{self.path}: {problem}; use a source of another size or format") from error


class _Writer:
    """The file as PyAV's muxer sees it: it only grows."""

    def __init__(self, movie: Movie) -> None:
        self._movie = movie

    def write(self, data: bytes) -> int:
        self._movie.take(data)
        return len(data)


class _Clock:
    """Time stamps of a file from the times of its source: they begin at 0 and always grow."""

    def __init__(self) -> None:
        self.start, self.last, self._step = 0.0, -1, STEP

    def at(self, seconds: float) -> int:
        """Return the time stamp of the next frame."""
        if self.last < 0:
            self.start, self.last = seconds, 0
            return 0
        ticks = round((seconds - self.start) * TICKS)
        if not self.last < ticks <= self.last + LONGEST:
            ticks = self.last + self._step
            self.start = seconds - ticks / TICKS
        self._step, self.last = ticks - self.last, ticks
        return ticks


class _Sound:
    """The sound of a file: copied packets of a source."""

    def __init__(self, stream: Any, bare: Any) -> None:
        self._stream, self._bare, self._last = stream, bare, -1

    @staticmethod
    def of(container: Any, template: Any) -> _Sound | None:
        """Add the sound to a container; None if MP4 cannot hold its codec."""
        from av.bitstream import BitStreamFilterContext

        if template.codec_context is None:  # FFmpeg has no decoder
            return None
        name = template.codec_context.name
        if name not in container.supported_codecs:
            return None
        # AAC of MPEG-TS and of some cameras has a head before each packet, which MP4 has once for all.
        has_heads = name == "aac" and not template.codec_context.extradata
        bare = BitStreamFilterContext("aac_adtstoasc", template) if has_heads else None
        return _Sound(container.add_stream_from_template(template), bare)

    def copied(self, packet: Any, clock: _Clock) -> list[Packet[Any]]:
        """Return a copy of a packet on the time line of the file, or nothing for one outside of it."""
        import av

        if packet.pts is None or packet.time_base is None or not packet.size:
            return []
        stamp = packet.pts - round(clock.start / float(packet.time_base))
        apart = abs(float(stamp * packet.time_base) - clock.last / TICKS)
        if stamp <= self._last or stamp < 0 or apart > APART:
            return []
        self._last = stamp
        copy = av.Packet(bytes(packet))
        copy.pts = copy.dts = stamp
        copy.duration, copy.time_base = packet.duration, packet.time_base
        copies = [copy] if self._bare is None else self._bare.filter(copy)
        for each in copies:
            each.stream, each.is_keyframe = self._stream, True
        return copies
