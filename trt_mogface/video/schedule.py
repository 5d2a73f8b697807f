"""`Schedule`: frames of many sources through one runner, in turns, with few of them in flight."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from trt_mogface.detections import Detections
from trt_mogface.errors import FAILURES_OF_AN_IMAGE, ArgumentError, reason_of
from trt_mogface.runner import Runner
from trt_mogface.video.decode import Picture
from trt_mogface.video.feed import LEAST_SPACE, SPACE, Feed
from trt_mogface.video.items import SourceEvent

PAUSE = 0.05
"""Seconds after which the iteration looks for the few frames of a file that woke nobody."""

DECODER_MEGABYTES = 74
"""Memory of a decoder of 1080p H.264."""


@dataclass(frozen=True, eq=False)
class InFlight:
    """A frame that was submitted, or an event between frames."""

    feed: Feed
    picture: Picture | SourceEvent
    found: Future[Detections] | None = None


class Schedule:
    """Sources that take turns: each gives one frame a round, if it has one.

    One thread iterates over the results, and submits further frames between them: nothing is read ahead of a
    consumer that is slow, except for what is in flight.  Results come in the order of submission, which keeps
    the order within each source.

    Args:
        runner: Runner with space for ``batch * (slots + 1)`` frames.
        batch, slots: Those of the runner.
        open_limit: Largest number of sources that are open at a time.
    """

    def __init__(self, runner: Runner, batch: int, slots: int, open_limit: int) -> None:
        self._runner, self._batch, self._slots, self._open_limit = runner, batch, batch * slots, open_limit
        self._waiting: deque[Feed] = deque()
        self._open: list[Feed] = []
        self._turn = 0
        self._pending: deque[InFlight] = deque()
        self._submitted = 0
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._kept_open = False
        self._stopped = False

    def wake(self) -> None:
        """Make the iteration look for what has changed; any thread may call it."""
        self._changed.set()

    def add(self, feeds: Sequence[Feed]) -> None:
        """Add sources; files wait until fewer sources are open.

        Raises:
            ArgumentError: If there would be more live sources than may be open.
        """
        with self._lock:
            live = sum(feed.source.is_live for feed in (*self._open, *self._waiting, *feeds))
            if live > self._open_limit:
                megabytes = live * DECODER_MEGABYTES
                raise ArgumentError(
                    "open",
                    f"{live} live sources need as many decoders, about {megabytes} MB at 1080p; raise it",
                    self._open_limit,
                )
            # A live source does not wait for files.
            self._waiting.extendleft(feed for feed in reversed(feeds) if feed.source.is_live)
            self._waiting.extend(feed for feed in feeds if not feed.source.is_live)
        self.wake()

    def remove(self, feed: Feed) -> None:
        """Read no more of a source; what is in flight is still handed over."""
        with self._lock:
            if feed in self._waiting:
                self._waiting.remove(feed)
        feed.stop()
        self.wake()

    def keep_open(self, *, kept: bool) -> None:
        """Say whether the iteration waits for further sources when all have ended."""
        self._kept_open = kept
        self.wake()

    def stop(self) -> None:
        """Read no more of any source."""
        self._stopped = True
        with self._lock:
            feeds = [*self._open, *self._waiting]
            self._waiting.clear()
        for feed in feeds:
            feed.stop()
        self.wake()

    def join(self, seconds: float) -> None:
        """Wait until the threads of all sources have ended, for some time at most."""
        deadline = time.monotonic() + seconds
        for feed in self._open:
            feed.join(max(0.0, deadline - time.monotonic()))

    def __iter__(self) -> Iterator[tuple[Feed, Picture, Detections] | tuple[Feed, SourceEvent, None]]:
        """Yield frames with their faces, and events.

        Raises:
            MogFaceError: If the network fails.
        """
        while True:
            self._changed.clear()  # first: what changes from here on is seen, or wakes the wait
            self._start_waiting()
            self._submit()
            if self._pending:
                first = self._pending[0]
                if first.found is None or first.found.done():
                    self._pending.popleft()
                    yield from self._result(first)
                    continue
            elif self._is_over():
                return
            self._changed.wait(PAUSE)

    def _result(
        self, first: InFlight
    ) -> Iterator[tuple[Feed, Picture, Detections] | tuple[Feed, SourceEvent, None]]:
        feed, picture = first.feed, first.picture
        if isinstance(picture, SourceEvent) or first.found is None:
            assert isinstance(picture, SourceEvent)  # noqa: S101 -- for the type checker
            yield feed, picture, None
            return
        self._submitted -= 1
        try:
            faces = first.found.result()
        except FAILURES_OF_AN_IMAGE as error:
            feed.stop()
            number, message = picture.frame.index or 0, reason_of(error, "image")
            yield feed, SourceEvent(feed.source.name, "failed", picture.captured, number, 0, message), None
            return
        self._submit()  # the network goes on while the consumer works
        yield feed, picture, faces

    def _start_waiting(self) -> None:
        with self._lock:
            self._open = [feed for feed in self._open if not feed.is_over]
            while self._waiting and len(self._open) < self._open_limit:
                feed = self._waiting.popleft()
                feed.start()
                self._open.append(feed)
            for feed in self._open:
                feed.space = max(LEAST_SPACE, SPACE // len(self._open))

    def _submit(self) -> None:
        """Take frames and events in turns, as long as there is space in flight."""
        idle = 0
        feeds = self._open
        # A batch that waits for a slot keeps a file's throughput up, and would make a live source late.
        space = self._slots if any(feed.is_live for feed in feeds) else self._slots + self._batch
        while feeds and idle < len(feeds) and self._submitted < space:
            self._turn = (self._turn + 1) % len(feeds)
            feed = feeds[self._turn]
            taken = feed.take()
            if taken is None:
                idle += 1
                continue
            idle = 0
            if isinstance(taken, SourceEvent):
                self._pending.append(InFlight(feed, taken))
                continue
            found = self._runner.submit(taken.frame)
            self._submitted += 1
            self._pending.append(InFlight(feed, taken, found))
            found.add_done_callback(self._on_done)

    def _on_done(self, _: Future[Detections]) -> None:
        self._changed.set()

    def _is_over(self) -> bool:
        with self._lock:
            everything = [*self._open, *self._waiting]
        return all(feed.is_over for feed in everything) and (self._stopped or not self._kept_open)
