"""`watching`: an analysis follows a file of sources while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from trt_mogface.errors import MogFaceError
from trt_mogface.video.analysis import Analysis, Position
from trt_mogface.video.sources import Source, read_source_file

INTERVAL = 1.0
"""Seconds between two looks at the file."""

RETRY = 30.0
"""Seconds after which a live source that failed is opened again."""


@contextmanager
def watching(
    analysis: Analysis,
    path: Path,
    report: Callable[[str], None],
    interval: float = INTERVAL,
    positions: Mapping[str, Position] | None = None,
) -> Iterator[None]:
    """Add and remove sources of an analysis as a file of them changes, for the time of a block.

    Meanwhile the iteration does not end when all sources have ended, but with `Analysis.stop`.  A live source
    that failed, because it was not there yet, is tried again.  A file that cannot be read changes nothing.
    A change counts once two looks in a row have seen it.

    Args:
        analysis: Analysis; sources that it has from elsewhere are left alone.
        path: File of sources; see `trt_mogface.video.sources.read_source_file`.
        report: Receives one line for each problem with the file.
        interval: Seconds between two looks at the file.
        positions: Where sources of an earlier run go on, by name.

    Raises:
        ArgumentError, ImageError: If the file cannot be used at first.
    """
    follower = Follower(analysis, path, positions or {})
    found = read_source_file(path)
    follower.update(found)
    analysis.keep_open(kept=True)
    ended = threading.Event()
    thread = threading.Thread(
        target=_follow,
        args=(follower, path, found, report, ended, interval),
        name="trt-mogface-watch",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        analysis.keep_open(kept=False)


def _follow(
    follower: Follower,
    path: Path,
    seen: list[Source],
    report: Callable[[str], None],
    ended: threading.Event,
    interval: float,
) -> None:
    problem = ""
    while not ended.wait(interval):
        before, problem = problem, ""
        try:
            found = read_source_file(path)
            if found == seen:  # else an editor may be writing it, and the rest comes
                follower.update(found)
            seen = found
        except MogFaceError as error:
            problem = str(error)
        if problem and problem != before:
            report(problem)


class Follower:
    """The sources of an analysis that come from one file.

    Args:
        analysis: Analysis.
        path: File, for messages.
        positions: Where sources of an earlier run go on, by name.
    """

    def __init__(
        self, analysis: Analysis, path: Path, positions: Mapping[str, Position] | None = None
    ) -> None:
        self._positions = dict(positions or {})
        self._analysis, self._path = analysis, path
        self._ours: dict[str, Source] = {}
        self._failed: dict[str, float] = {}

    def update(self, wanted: list[Source]) -> None:
        """Make the sources of the analysis those of the file.

        Raises:
            MogFaceError: If one cannot be added; the others are.
        """
        problems: list[MogFaceError] = []
        names = {source.name: source for source in wanted}
        for name, source in list(self._ours.items()):
            if names.get(name) != source:
                self._analysis.remove(name)
                del self._ours[name]
        states = {name: each.state for name, each in self._analysis.stats().sources.items()}
        for name, source in names.items():
            is_ours = name in self._ours
            if is_ours and not (source.is_live and states.get(name) == "failed" and self._is_due(name)):
                continue
            if not is_ours and name in states and states[name] not in ("ended", "failed"):
                continue  # its removal is under way
            try:
                self._analysis.add(source, self._positions.pop(name, None))
                self._ours[name] = source
            except MogFaceError as error:
                problems.append(error)
        if problems:
            raise problems[0]

    def _is_due(self, name: str) -> bool:
        """Return whether a source failed long enough ago."""
        now = time.monotonic()
        since = self._failed.setdefault(name, now)
        if now - since < RETRY:
            return False
        del self._failed[name]
        return True
