"""`write`: the items of an analysis into several sinks, each in a thread of its own, with checkpoints."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trt_mogface.errors import MogFaceError, OutputError, first_line
from trt_mogface.video.checkpoint import EVERY_FRAME, Checkpoint, SinkState, SourceState, needs_pictures
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.sinks.base import Sink
from trt_mogface.video.sinks.custom import Writable
from trt_mogface.video.sinks.opening import open_sinks

INTERVAL = 2.0
"""Seconds between two flushes of all sinks."""

SPACE, SPACE_WITH_PICTURES = 1024, 32
"""Items that wait for a sink."""

WATCHED = 0.5
"""Seconds between two looks at a sink that is waited for."""

PATIENCE = 60.0
"""Seconds after which a sink that takes nothing has failed."""


@dataclass(frozen=True)
class Written:
    """Result of a run.

    Attributes:
        items: Number of durable items by source, in all sinks that did not fail.
        failures: Message by name of each sink that failed and was left out.
        late: Number of items of live sources by name of the sink that was too slow for them.
    """

    items: dict[str, int]
    failures: dict[str, str]
    late: dict[str, int]


def write(
    analysis: Iterable[Item],
    sinks: Iterable[str | Writable],
    *,
    checkpoint: Checkpoint | None = None,
    keep_going: bool = False,
    interval: float = INTERVAL,
    patience: float = PATIENCE,
    on_failure: Callable[[str, str], None] | None = None,
    on_written: Callable[[dict[str, int]], None] | None = None,
) -> Written:
    """Write all items, then close the sinks; these and the checkpoint are closed also after a failure.

    A file waits for a sink that is slow.  A live source does not: the sink misses items, and gets a
    ``dropped`` event with their number.  The other sinks are not affected.

    Args:
        analysis: Items, such as of `trt_mogface.video.analyze`.
        sinks: Sinks, as `trt_mogface.video.sinks.opening.open_sinks` takes or returns them.
        checkpoint: Where to note how far the run has come; None notes nothing.
        keep_going: Whether only a sink that fails stops, instead of the run.
        interval: Seconds between two flushes of all sinks.
        patience: Seconds after which a sink that takes nothing has failed.
        on_failure: Called with name and message of a sink that failed, with `keep_going`.
        on_written: Called in another thread with the number of items by source that have become durable.

    Raises:
        OutputError: If a sink fails, or with `keep_going` all of them.
        BrokenPipeError: If the reader of a sink has gone.
    """
    opened = open_sinks(sinks, resume=checkpoint is not None and checkpoint.is_resumed)
    writing = _Writing(opened, checkpoint, keep_going, patience, on_failure, on_written)
    try:
        writing.begin()
        with _Flusher(writing, interval):
            for item in analysis:
                writing.put(item)
        writing.finish()
    finally:
        writing.close()
    return writing.result()


@dataclass(eq=False)
class _Mark:
    """A moment between two items, at which all sinks are flushed."""

    items: list[tuple[int, Item]]
    sources: dict[str, SourceState]
    is_end: bool = False
    waiting: set[_Outlet] = field(default_factory=set)
    sinks: dict[str, SinkState] = field(default_factory=dict)
    reached: threading.Condition = field(default_factory=threading.Condition)

    def reach(self, outlet: _Outlet, state: SinkState | None) -> None:
        """Note that a sink is durable up to here, or has failed."""
        with self.reached:
            self.waiting.discard(outlet)
            if state is not None:
                self.sinks[outlet.sink.name] = state
            self.reached.notify_all()

    def wait(self) -> None:
        """Wait for all sinks that have not stalled."""
        while True:
            with self.reached:
                if self.reached.wait_for(lambda: not self.waiting, WATCHED):
                    return
                waiting = list(self.waiting)
            for outlet in waiting:
                outlet.check()
                if outlet.error is not None:
                    self.reach(outlet, None)


class _Outlet:
    """A sink, its thread and the items that wait for it.

    Args:
        sink: Sink.
        done: Number of items by source that the sink has already.
        patience: See `write`.
    """

    def __init__(self, sink: Sink, done: Mapping[str, int], patience: float) -> None:
        self.sink, self.late = sink, 0
        self.error: Exception | None = None
        self.takes_pictures = needs_pictures(sink)
        self._first, self._patience = dict(done), patience
        self._space = SPACE_WITH_PICTURES if self.takes_pictures else SPACE
        self._queue: deque[tuple[int, Item] | _Mark] = deque()
        self._missed: dict[str, int] = {}
        self._changed = threading.Condition()
        self._busy_since: float | None = None
        self._is_over = False
        self._done = dict(done)
        self._thread = threading.Thread(target=self._run, name=f"trt-mogface-{sink.name}", daemon=True)
        self._thread.start()

    def put(self, number: int, item: Item) -> None:
        """Hand an item over; wait for space if its source can wait.

        Args:
            number: Number of the item in its source; one that the sink already has is left out.
            item: The item.
        """
        if number < self._first.get(item.source, 0):
            return
        with self._changed:
            if len(self._queue) >= self._space and isinstance(item, FrameFaces) and item.lag is not None:
                self._missed[item.source] = self._missed.get(item.source, 0) + 1
                self.late += 1
                return
            while len(self._queue) >= self._space and self.error is None:
                self._changed.wait(WATCHED)
                self.check()
            if self.error is not None:
                return
            if self._missed.get(item.source):
                self._queue.append((number, self._drop(item)))
            self._queue.append((number, item))
            self._changed.notify_all()

    def skip(self, source: str, items: int) -> None:
        """Leave out the items of a source before a number, which the sink has by now."""
        self._first[source] = items

    def mark(self, mark: _Mark) -> None:
        """Hand a mark over, for which there is always space."""
        with self._changed:
            if self.error is None:
                mark.waiting.add(self)
                self._queue.append(mark)
                self._changed.notify_all()

    def end(self) -> None:
        """Let the thread close the sink after what waits."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until the sink is closed, unless it has stalled."""
        while self._thread.is_alive() and not self._has_stalled():
            self._thread.join(WATCHED)
            self.check()

    def check(self) -> None:
        """Give up a sink that has been busy with one item for too long."""
        if self._has_stalled() and self.error is None:
            problem = f"has taken nothing for {self._patience:g} s"
            remedy = "check its disk or reader, or choose another place"
            self._fail(OutputError(f"{self.sink.name}: {problem}; {remedy}"))

    def _has_stalled(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > self._patience

    def _fail(self, error: Exception) -> None:
        """Take no more items, and hold up no mark."""
        with self._changed:
            self.error = error
            waiting = [each for each in self._queue if isinstance(each, _Mark)]
            self._queue.clear()
            self._changed.notify_all()
        for each in waiting:
            each.reach(self, None)

    def _drop(self, item: Item) -> SourceEvent:
        count = self._missed.pop(item.source)
        message = f"{count} frame{'s' * (count > 1)} left out, because {self.sink.name} is too slow"
        return SourceEvent(item.source, "dropped", item.captured, item.frame, count, message, item.opening)

    def _run(self) -> None:
        entry: tuple[int, Item] | _Mark | None = None
        try:
            while (entry := self._next()) is not None:
                if isinstance(entry, _Mark):
                    self._reach(entry)
                else:
                    number, item = entry
                    self.sink.write(item)
                    self._done[item.source] = number + 1
        except Exception as error:  # noqa: BLE001 -- raised by the thread that writes
            self._fail(_named(self.sink, error))
            if isinstance(entry, _Mark):
                entry.reach(self, None)
        finally:
            self._close()

    def _next(self) -> tuple[int, Item] | _Mark | None:
        """Wait for an entry; None is the end."""
        with self._changed:
            self._busy_since = None
            self._changed.wait_for(lambda: self._queue or self._is_over)
            if not self._queue:
                return None
            self._busy_since = time.monotonic()
            if len(self._queue) == self._space:
                self._changed.notify_all()
            return self._queue.popleft()

    def _reach(self, mark: _Mark) -> None:
        if mark.is_end:
            self.sink.close()
        else:
            self.sink.flush()
        pending = self.sink.pending()
        done = {name: number - pending.get(name, 0) for name, number in self._done.items()}
        mark.reach(self, SinkState(self.sink.position(), done))

    def _close(self) -> None:
        try:
            self.sink.close()
        except Exception as error:  # noqa: BLE001 -- raised by the thread that writes
            self.error = self.error or _named(self.sink, error)


class _Writing:
    """The sinks of a run."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        checkpoint: Checkpoint | None,
        keep_going: bool,
        patience: float,
        on_failure: Callable[[str, str], None] | None,
        on_written: Callable[[dict[str, int]], None] | None,
    ) -> None:
        self._sinks, self._checkpoint, self._keep_going, self._patience = (
            sinks,
            checkpoint,
            keep_going,
            patience,
        )
        self._on_failure, self._on_written = on_failure, on_written
        self._outlets: list[_Outlet] = []
        self._failed: dict[str, str] = {}
        self._late: dict[str, int] = {}
        self._turn = threading.Lock()  # items and marks come to all sinks in the same order
        self._sources: dict[str, SourceState] = {}
        self._again: dict[str, dict[tuple[object, ...], int]] = {}
        self._journal: list[tuple[int, Item]] = []
        self._changed: set[str] = set()
        self._durable: dict[str, int] = {}
        self.error: Exception | None = None

    def begin(self) -> None:
        """Cut the sinks back, and give them what they held when the run was killed."""
        before = self._checkpoint
        if before is None:
            self._outlets = [_Outlet(sink, {}, self._patience) for sink in self._sinks]
            return
        before.begin(self._sinks)
        self._sources = dict(before.sources)
        self._outlets = [_Outlet(sink, before.sinks[sink.name].done, self._patience) for sink in self._sinks]
        positions = before.positions(self._sinks)
        for name, state in self._sources.items():
            if not state.is_live:  # a file gives these again
                frames = range(positions[name].frame, EVERY_FRAME.stop)
                again = {_key(item): number for number, item in before.recorded(name, frames=frames)}
                self._again[name] = again
            self._replay(before, name, state)

    def put(self, item: Item) -> None:
        """Hand an item to all sinks.

        Raises:
            OutputError: If a sink or the checkpoint has failed.
        """
        plain = _without_picture(item)
        with self._turn:
            number = self._again.get(item.source, {}).pop(_key(item), None)
            if number is None:
                state = self._sources.get(item.source, SourceState())
                number = state.items
                self._sources[item.source] = state.after(item)
                self._changed.add(item.source)
                if self._checkpoint is not None:
                    self._journal.append((number, plain))
            for outlet in self._outlets:
                outlet.put(number, item if outlet.takes_pictures else plain)
        self._check()

    def flush(self, *, is_end: bool = False) -> None:
        """Make everything durable that was put, and note it in the checkpoint."""
        with self._turn:
            if not self._changed and not is_end:
                return
            mark = _Mark(self._journal, dict(self._sources), is_end)
            changed, self._journal, self._changed = self._changed, [], set()
            for outlet in self._outlets:
                outlet.mark(mark)
        mark.wait()
        if self._checkpoint is not None:
            self._checkpoint.commit(mark.items, {name: mark.sources[name] for name in changed}, mark.sinks)
        self._durable = {name: state.items for name, state in mark.sources.items()}
        if self._on_written is not None:
            self._on_written(dict(self._durable))

    def finish(self) -> None:
        """Close all sinks after what waits for them, and note that.

        Raises:
            OutputError: If a sink or the checkpoint has failed.
        """
        self._check()
        self.flush(is_end=True)
        self._check()

    def close(self) -> None:
        """Close what is still open."""
        for outlet in self._outlets:
            outlet.end()
        for outlet in self._outlets:
            outlet.join()
            if outlet.late:
                self._late[outlet.sink.name] = outlet.late
        if self._checkpoint is not None:
            self._checkpoint.close()

    def result(self) -> Written:
        """Return what was written."""
        return Written(self._durable, self._failed, self._late)

    def _check(self) -> None:
        """Raise the error of a sink, or leave the sink out."""
        if self.error is not None:
            raise self.error
        for outlet in [each for each in self._outlets if each.error is not None]:
            error = outlet.error
            if error is None or not self._keep_going or len(self._outlets) == 1:
                raise error or OutputError(outlet.sink.name)
            with self._turn:
                self._outlets.remove(outlet)
            outlet.end()
            message = str(error) or "its reader has gone"
            self._failed[outlet.sink.name] = message
            if self._on_failure is not None:
                self._on_failure(outlet.sink.name, message)

    def _replay(self, before: Checkpoint, name: str, state: SourceState) -> None:
        """Give sinks from the journal what they had not made durable.

        A sink that needs pictures gets them again from a file, and misses them of a camera.
        """
        behind = [
            outlet
            for outlet in self._outlets
            if before.sinks[outlet.sink.name].done.get(name, 0) < state.items and not outlet.takes_pictures
        ]
        first = min(
            (before.sinks[outlet.sink.name].done.get(name, 0) for outlet in behind), default=state.items
        )
        for number, item in before.recorded(name, first):
            for outlet in behind:
                outlet.put(number, item)
        for outlet in behind:
            outlet.skip(name, state.items)


class _Flusher:
    """A thread that flushes at intervals."""

    def __init__(self, writing: _Writing, interval: float) -> None:
        self._writing, self._interval, self._over = writing, interval, threading.Event()
        self._thread = threading.Thread(target=self._run, name="trt-mogface-flush", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic() + self._interval
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = time.monotonic() + self._interval
            try:
                self._writing.flush()
            except Exception as error:  # noqa: BLE001 -- raised by the thread that writes
                self._writing.error = error
                return


def _key(item: Item) -> tuple[object, ...]:
    """Return a value by which an item of a file is known when it comes again."""
    if isinstance(item, SourceEvent):
        return item.event, item.frame, item.count
    return ("frame", item.frame)


def _without_picture(item: Item) -> Item:
    return replace(item, picture=None, audio=()) if isinstance(item, FrameFaces) else item


def _named(sink: Sink, error: Exception) -> Exception:
    """Return an exception that names the sink."""
    if isinstance(error, BrokenPipeError):
        return error
    if isinstance(error, MogFaceError):
        is_named = sink.name in str(error)
        return error if is_named else OutputError(f"{sink.name}: {error}")
    reason = first_line(error)
    problem = getattr(error, "strerror", None) or f"failed ({type(error).__name__}: {reason})"
    return OutputError(f"{sink.name}: {problem}; choose another place, or report the problem")
