"""`Feed`: a thread that reads one source into a small mailbox; files wait for space, live sources drop."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Literal

from trt_mogface.errors import ImageError, MogFaceError, first_line
from trt_mogface.frame import Frame
from trt_mogface.images import read_image
from trt_mogface.video.decode import (
    FALLBACK_RATE,
    Cursor,
    DecodeOptions,
    Decoding,
    Picture,
    Reading,
)
from trt_mogface.video.items import SourceEvent
from trt_mogface.video.sampling import Sampler
from trt_mogface.video.sources import Source

State = Literal["waiting", "opening", "running", "lost", "ended", "failed"]

SPACE, LEAST_SPACE = 8, 2
"""Pictures of all files that wait for their turn, and of each one at least."""

SHORTEST, LONGEST = 0.5, 30.0
"""Seconds between two attempts to open a lost source, which double from the one to the other."""

STABLE = 10.0
"""Seconds after which an opening counts as a success, and the next attempt comes soon."""

REPORTED = 1.0
"""Seconds over which drops are counted in one event."""


class Feed:
    """A source and the thread that reads it.

    Args:
        source: Source.
        options: How it is read.
        cursor: Place to begin at.
        wake: Called when there is something to take.
    """

    def __init__(
        self, source: Source, options: DecodeOptions, cursor: Cursor, wake: Callable[[], None]
    ) -> None:
        if source.rate is not None:
            options = replace(options, sampling=replace(options.sampling, fps=source.rate))
        self.source, self.options = source, options
        self.cursor, self.state = cursor, "waiting"
        self.rate = FALLBACK_RATE
        self.is_live = source.is_live
        self.dropped = 0
        self._wake = wake
        self.space = LEAST_SPACE
        self._box: deque[Reading] = deque()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._unreported = 0
        self._reported = 0.0
        self._thread: threading.Thread | None = None

    state: State

    @property
    def is_over(self) -> bool:
        """Whether it gives nothing more."""
        is_done = self.state in ("ended", "failed") or self._stopped.is_set()  # or a read may still take long
        return is_done and not self._box

    def start(self) -> None:
        """Begin to read."""
        self.state = "opening"
        self._thread = threading.Thread(target=self._run, name=f"trt-mogface-{self.source.kind}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more; what waits can still be taken."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is None:
            self.state = "ended"

    def end(self, message: str) -> None:
        """Put the event of an end that the caller has chosen, behind what waits."""
        with self._changed:  # the thread puts nothing behind it, and it waits before the source is over
            self._box.append(self._event("ended", message))
            self._stopped.set()
        self.stop()

    def join(self, seconds: float) -> None:
        """Wait for the thread, which ends with the read that is under way."""
        if self._thread is not None:
            self._thread.join(seconds)

    def take(self) -> Reading | None:
        """Return what came first, or None if there is nothing."""
        if not self._box:  # without the lock: most calls find nothing
            return None
        with self._changed:
            taken = self._box.popleft() if self._box else None
            if len(self._box) <= self.space // 2:
                self._changed.notify_all()
        return taken

    def _run(self) -> None:
        last: State = "ended"
        try:
            for item in self._readings():
                if not self._is_known(item):
                    self._put(item)
                if isinstance(item, SourceEvent) and item.event == "failed":
                    last = "failed"
                if self._stopped.is_set():
                    break
            self._report_drops(force=True)
        finally:
            self.state = last  # not before its last event waits to be taken
            self._wake()

    def _is_known(self, item: Reading) -> bool:
        """Return whether an event of a file lies before the place at which it goes on."""
        return not self.is_live and isinstance(item, SourceEvent) and item.frame < self.cursor.resume

    def _readings(self) -> Iterator[Reading]:
        try:
            if self.source.kind == "images":
                yield from self._images()
            else:
                yield from self._openings()
        except MemoryError:
            yield self._failed("too large for the memory; scale it down")
        except MogFaceError as error:
            yield self._failed(str(error).removeprefix(f"{self.source.name}: "))
        except Exception as error:  # noqa: BLE001 -- one source ends, the others go on
            yield self._failed(f"{type(error).__name__}: {first_line(error)}")

    def _failed(self, message: str) -> SourceEvent:
        return self._event("failed", message)

    def _event(self, event: Literal["failed", "lost", "ended"], message: str = "") -> SourceEvent:
        name, cursor = self.source.name, self.cursor
        return SourceEvent(name, event, time.time(), cursor.number, 0, message, max(cursor.opening, 1))

    def _openings(self) -> Iterator[Reading]:
        """Yield what one opening after another gives; the only one of a file."""
        delay = SHORTEST
        while not self._stopped.is_set():
            begun = time.monotonic()
            try:
                decoding = Decoding(self.source, self.options, self.cursor)
            except ImageError:
                if not self.cursor.opening:
                    raise
            else:
                self.cursor.opening += 1
                with closing(decoding):
                    yield from self._opening(decoding)
                if not self.is_live or decoding.is_over:
                    return
                if time.monotonic() - begun > STABLE:
                    delay = SHORTEST
            self.state = "lost"
            self._stopped.wait(delay * random.uniform(0.5, 1))  # noqa: S311 -- cameras of a site spread out
            delay = min(2 * delay, LONGEST)

    def _opening(self, decoding: Decoding) -> Iterator[Reading]:
        """Yield one opening, with its beginning and its end."""
        self.is_live, self.rate, self.state = decoding.is_live, decoding.rate, "running"
        self._reported = time.monotonic()
        yield decoding.event("reopened" if self.cursor.opening > 1 else "opened")
        try:
            yield from self._paced(decoding) if decoding.paces else decoding
        except ImageError as error:
            if not self.is_live:
                raise
            reason = str(error).removeprefix(f"{self.source.name}: ")
        else:
            reason = "the stream ended"
            if not self.is_live or decoding.is_over:
                yield decoding.event("ended", message=decoding.summary)
                return
        self._report_drops(force=True)
        yield decoding.event("lost", message=reason)

    def _paced(self, decoding: Decoding) -> Iterator[Reading]:
        """Yield frames at the pace of their times: HLS sends seconds at a time."""
        due, before = time.monotonic(), 0.0
        for item in decoding:
            if isinstance(item, Picture) and item.frame.time is not None:
                step = item.frame.time - before
                # Times may jump where segments meet; of a stall at most a second is made up for.
                due = max(due + (step if 0 <= step <= STABLE else 0.0), time.monotonic() - STABLE / 10)
                before = item.frame.time
                self._stopped.wait(max(0.0, due - time.monotonic()))
                item = replace(item, arrived=time.monotonic())
            yield item

    def _images(self) -> Iterator[Reading]:
        """Yield pictures; each is a frame without a time, captured when its file was made."""
        cursor, name = self.cursor, self.source.name
        self.state, self.is_live = "running", False
        cursor.opening = 1
        sampler = Sampler(self.options.sampling, FALLBACK_RATE)
        size: tuple[int, int] | None = None
        captured = self.source.files[0].stat().st_mtime if self.source.files[0].exists() else time.time()
        yield SourceEvent(name, "opened", captured)
        for number, path in enumerate(self.source.files):
            cursor.number = number + 1
            if number < cursor.resume or not sampler.takes(number, None):
                continue
            try:
                image = read_image(path)
                captured = path.stat().st_mtime
            except (ImageError, OSError) as error:
                yield SourceEvent(name, "corrupt", captured, number, 1, str(error))
                continue
            before, size = size, image.shape[:2]
            if before not in (None, size):
                message = f"{before[1]}x{before[0]} to {size[1]}x{size[0]}"
                yield SourceEvent(name, "resized", captured, number, message=message)
            yield Picture(Frame((image,), source=name, index=number), captured, "arrival", 1)
        yield SourceEvent(name, "ended", captured, cursor.number)

    def _put(self, item: Reading) -> None:
        if isinstance(item, Picture) and self.is_live:
            self._replace(item)
            self._wake()
            return
        with self._changed:
            if len(self._box) >= self.space and not self.is_live:
                self._changed.wait_for(lambda: self._stopped.is_set() or len(self._box) <= self.space // 2)
            if not self._stopped.is_set():
                self._box.append(item)
        # Frames of a file are handed over several at a time: waking a thread costs more than the hand-over.
        if self.is_live or len(self._box) > self.space // 2:
            self._wake()

    def _replace(self, picture: Picture) -> None:
        """Put the newest picture of a live source; one that still waits is dropped."""
        self._report_drops()
        with self._changed:
            waiting = next((each for each in self._box if isinstance(each, Picture)), None)
            if self._stopped.is_set():
                return
            if waiting is not None:
                self._box.remove(waiting)
                picture = replace(picture, audio=waiting.audio + picture.audio)
                self.dropped += 1
                self._unreported += 1
            self._box.append(picture)

    def _report_drops(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._unreported and (force or now - self._reported >= REPORTED):
            count, self._unreported, self._reported = self._unreported, 0, now
            message = f"{count} frame{'s' * (count > 1)} left out, to stay in time"
            name, cursor = self.source.name, self.cursor
            with self._changed:
                self._box.append(
                    SourceEvent(name, "dropped", time.time(), cursor.number, count, message, cursor.opening)
                )
