"""`Checkpoint`: how far a run has come, so that it can go on after it was killed.

It is a SQLite file, whose transactions survive a crash: the options of the run, the position of every sink
and source, and a journal of recorded items.  From the journal, trackers see the detections again, and sinks
get the items that they held.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trt_mogface._files import check_writable
from trt_mogface.errors import ArgumentError, OutputError
from trt_mogface.models.files import digest_of
from trt_mogface.video.analysis import Position
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.records import decode, encode
from trt_mogface.video.sinks.base import Sink
from trt_mogface.video.sinks.opening import KINDS, STDOUT, Specification

FORMAT = 1
"""Version of the file."""

SUFFIX = ".checkpoint"

WINDOW = 1000
"""Latest frames of a live source that stay in the journal; no tracker looks further back."""

EVERY_FRAME = range(1 << 62)

PAGE = 500
"""Items that are read from the journal at a time."""

PAGE_OF_ITEMS = """
select number, record from items where source = ? and number >= ? and frame >= ? and frame < ?
order by number limit ?
"""

TABLES = """
create table if not exists run (key text primary key, value text not null) without rowid;
create table if not exists items (
    source text, number integer, frame integer, record blob not null, primary key (source, number)
) without rowid;
create table if not exists sources (source text primary key, state text not null) without rowid;
"""


@dataclass(frozen=True)
class SourceState:
    """How far a source has come.

    Attributes:
        items: Number of its items.
        frame: Number of the frame behind the last one that was recorded.
        opening: How often it was opened.
        is_live: Whether its frames cannot be read again.
        is_over: Whether it has ended or failed.
        last_id: Largest ``tracker_id`` that was recorded.
    """

    items: int = 0
    frame: int = 0
    opening: int = 0
    is_live: bool = False
    is_over: bool = False
    last_id: int = 0

    def after(self, item: Item) -> SourceState:
        """Return the state behind a further item."""
        items, opening = self.items + 1, max(self.opening, item.opening)
        if isinstance(item, SourceEvent):
            is_over = item.event in ("ended", "failed")
            return replace(self, items=items, opening=opening, is_over=is_over)
        return SourceState(
            items, item.frame + 1, opening, item.lag is not None, False, _last_id(self.last_id, item)
        )


@dataclass(frozen=True)
class SinkState:
    """How far a sink has come.

    Attributes:
        position: The sink's own.
        done: Number of durable items by source.
    """

    position: Any
    done: dict[str, int]


def checkpoint_path(sinks: Iterable[Specification]) -> Path | None:
    """Return the place of the checkpoint of a run: beside its first file, or in its first folder.

    Returns:
        None if all sinks are streams, which cannot be resumed.
    """
    for each in sinks:
        kind = KINDS[each.kind].target
        if kind == "DIR":
            return Path(each.target, SUFFIX)
        if kind == "FILE" and each.target != STDOUT:
            path = Path(each.target)
            if path.is_file() or not path.exists():
                return path.with_name(f"{path.name}{SUFFIX}")
    return None


def run_identity(model: Path, options: Mapping[str, Any]) -> dict[str, str]:
    """Return everything that the records of a run depend on, but the sources.

    Args:
        model: Contract file, engine, or folder of a cascade.
        options: Options of the analysis by name.
    """
    return {"model": digest_of(model), **{name: repr(value) for name, value in options.items()}}


class Checkpoint:
    """How far a run has come.

    Args:
        path: File.
        run: Facts that a resumed run must share, such as `run_identity`.
        resume: Whether to go on where an earlier run ended, if the file is there.

    Raises:
        ArgumentError: If the earlier run had other facts.
        OutputError: If the file cannot be written, is damaged, or is in use by another run.
    """

    def __init__(self, path: Path, run: Mapping[str, str], *, resume: bool = False) -> None:
        self.path, self._run = path, dict(run)
        self._file: sqlite3.Connection | None = None
        self._lock = threading.Lock()  # a tracker reads the journal while another thread commits
        self.sources: dict[str, SourceState] = {}
        self.sinks: dict[str, SinkState] = {}
        self.is_resumed = resume and path.exists()
        if self.is_resumed:
            with self._errors():
                self._open()
                self._load()

    def positions(self, sinks: Sequence[Sink]) -> dict[str, Position]:
        """Return where each source goes on, so that sinks get the pictures again that they had to hold.

        Raises:
            ArgumentError: If the earlier run had other sinks.
        """
        self._check(sinks)
        return {name: self._position(name, state, sinks) for name, state in self.sources.items()}

    def begin(self, sinks: Sequence[Sink]) -> None:
        """Cut the sinks back to the checkpoint, or replace an old checkpoint by an empty one.

        Raises:
            OutputError: If a sink is not as it was, or the file cannot be written.
            ArgumentError: If the earlier run had other sinks.
        """
        if not self.is_resumed:
            check_writable(self.path)
            self.sinks = {sink.name: SinkState(sink.position(), {}) for sink in sinks}
            with self._errors():
                self._open()
                self._clear()
            return
        self._check(sinks)
        for sink in sinks:
            sink.cut(self.sinks[sink.name].position)

    def _check(self, sinks: Sequence[Sink]) -> None:
        names = [sink.name for sink in sinks]
        if self.is_resumed and sorted(names) != sorted(self.sinks):
            problem = f"differ from those of the run to resume ({', '.join(self.sinks)})"
            raise ArgumentError("sinks", problem, ", ".join(names))

    def commit(
        self,
        items: Sequence[tuple[int, Item]],
        sources: Mapping[str, SourceState],
        sinks: Mapping[str, SinkState],
    ) -> None:
        """Make a new state durable, as a whole.

        Args:
            items: Items since the last commit, each with its number in its source.
            sources: State of the sources that have changed.
            sinks: State of the sinks that have changed.

        Raises:
            OutputError: If the file cannot be written.
        """
        self.sources.update(sources)
        self.sinks.update(sinks)
        rows = [(item.source, number, item.frame, encode(item)) for number, item in items]
        states = [(name, json.dumps(vars(state))) for name, state in sources.items()]
        with self._errors(), self._lock, self._connection as file:
            file.executemany("insert or replace into items values (?, ?, ?, ?)", rows)
            file.executemany("insert or replace into sources values (?, ?)", states)
            file.execute("insert or replace into run values ('sinks', ?)", (self._saved_sinks(),))
            for name in sources:
                self._forget(name)

    def recorded(
        self, source: str, first: int = 0, frames: range = EVERY_FRAME
    ) -> Iterator[tuple[int, Item]]:
        """Yield items of a source from the journal, with their numbers.

        Args:
            source: Name.
            first: Number of the first item.
            frames: Frames of the items.

        Raises:
            OutputError: If the file is damaged.
        """
        while True:
            with self._errors(), self._lock:
                rows = self._connection.execute(
                    PAGE_OF_ITEMS, (source, first, frames.start, frames.stop, PAGE)
                )
                page = [(number, *decode(record.splitlines(keepends=True))) for number, record in rows]
            yield from page
            if len(page) < PAGE:
                return
            first = page[-1][0] + 1

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _connection(self) -> sqlite3.Connection:
        assert self._file is not None  # noqa: S101 -- `begin` has opened it
        return self._file

    def _open(self) -> None:
        # One thread at a time uses it: the one that writes, then the one that commits.
        self._file = sqlite3.connect(self.path, timeout=0, check_same_thread=False)
        self._file.execute("pragma locking_mode = exclusive")
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = full")
        self._file.executescript(TABLES)

    def _clear(self) -> None:
        with self._connection as file:
            for table in ("run", "items", "sources"):
                file.execute(f"delete from {table}")  # noqa: S608 -- the names above
            facts = {"format": str(FORMAT), "run": json.dumps(self._run), "sinks": self._saved_sinks()}
            file.executemany("insert into run values (?, ?)", facts.items())

    def _saved_sinks(self) -> str:
        return json.dumps({name: vars(state) for name, state in self.sinks.items()})

    def _load(self) -> None:
        stored = dict(self._connection.execute("select key, value from run"))
        if not stored:  # killed before the first commit
            self.is_resumed = False
            self.close()
            return
        if stored.get("format") != str(FORMAT):
            raise ValueError(f"format {stored.get('format')}")
        before = json.loads(stored["run"])
        differing = [key for key in {**before, **self._run} if before.get(key) != self._run.get(key)]
        if differing:
            changes = ", ".join(
                f"{key}: {_short(before, key)}, now {_short(self._run, key)}" for key in differing
            )
            raise ArgumentError(
                "resume", f"not the same run ({changes}); repeat its options, or begin anew elsewhere"
            )
        self.sinks = {name: SinkState(**state) for name, state in json.loads(stored["sinks"]).items()}
        rows = self._connection.execute("select source, state from sources")
        self.sources = {name: SourceState(**json.loads(state)) for name, state in rows}

    def _position(self, name: str, state: SourceState, sinks: Sequence[Sink]) -> Position:
        first = self._first_again(name, sinks)
        frame = state.frame
        if first < state.items:
            again = (item.frame for _, item in self.recorded(name, first) if isinstance(item, FrameFaces))
            frame = next(again, state.frame)
        return Position(
            frame,
            state.opening,
            state.is_over and first == state.items,
            _Replay(self, name, frame),
            state.last_id,
        )

    def _first_again(self, name: str, sinks: Sequence[Sink]) -> int:
        """Return the number of the first item of a source that comes again for the sake of its picture."""
        state = self.sources[name]
        if state.is_live:
            return state.items
        held = [self.sinks[sink.name].done.get(name, 0) for sink in sinks if needs_pictures(sink)]
        return min([state.items, *held])

    def _forget(self, name: str) -> None:
        """Delete the items of a source that no tracker and no sink needs any more."""
        state = self.sources[name]
        needed = min([state.items, *(each.done.get(name, 0) for each in self.sinks.values())])
        if not state.is_over:
            needed = min(needed, state.items - WINDOW) if state.is_live else 0
        if needed > 0:
            self._connection.execute("delete from items where source = ? and number < ?", (name, needed))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            self._give_up()
            if "locked" in str(error):
                raise OutputError(f"{self.path}: in use by another run; end that one") from error
            remedy = "free disk space, allow writing, or choose another place"
            raise OutputError(f"{self.path}: cannot be written ({error}); {remedy}") from error
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._give_up()
            if isinstance(error, ArgumentError):
                raise
            problem = f"not a checkpoint of this release, or damaged ({error!s:.80})"
            raise OutputError(f"{self.path}: {problem}; begin anew elsewhere") from error

    def _give_up(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


@dataclass(frozen=True)
class _Replay:
    """The recorded frames of a source before a frame, read again from the journal whenever it is iterated."""

    checkpoint: Checkpoint
    source: str
    frame: int

    def __iter__(self) -> Iterator[FrameFaces]:
        for _, item in self.checkpoint.recorded(self.source, frames=range(self.frame)):
            if isinstance(item, FrameFaces):
                yield item


def needs_pictures(sink: Sink) -> bool:
    """Return whether a sink uses the pictures of items, which are not in the journal."""
    return bool(getattr(sink, "needs_pictures", True))


def _last_id(before: int, item: FrameFaces) -> int:
    ids = item.faces.tracker_id
    return before if ids is None or not len(ids) else max(before, int(ids.max()))


def _short(facts: Mapping[str, str], key: str) -> str:
    return facts.get(key, "not set")[:24]
