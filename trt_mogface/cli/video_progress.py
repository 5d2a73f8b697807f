"""Progress of an analysis: a table on a terminal, lines of JSON for machines, and a summary at the end."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Column, Table
from typing_extensions import Self, override

from trt_mogface.cli import output
from trt_mogface.machine.sensors import Sample
from trt_mogface.video.analysis import Analysis
from trt_mogface.video.feed import State
from trt_mogface.video.items import Item, SourceEvent
from trt_mogface.video.stats import AnalysisStats, SourceStats

ProgressKind = Literal["auto", "json", "none"]
KINDS: tuple[ProgressKind, ...] = get_args(ProgressKind)

SAID = ("failed", "lost", "reopened", "corrupt")
"""Events that are said when they happen."""

INTERVAL = 1.0
"""Seconds between two lines of JSON."""

PER_SECOND = 4
"""Updates of the table in a second."""

MARGIN = 8
"""Lines of a terminal for the head and the totals of the table, and for messages."""

FIRST: tuple[State, ...] = ("failed", "lost", "opening", "running", "waiting", "ended")
"""States in the order of the table: what needs attention comes first."""

Sensor = Callable[[], Sample]


class Progress(AbstractContextManager["Progress"]):
    """Messages of what goes wrong, and a summary.

    Args:
        analysis: Analysis to report on.
        read_gpu: Function that reads the sensors of the GPU, or None without one.
    """

    def __init__(self, analysis: Analysis, read_gpu: Sensor | None = None) -> None:
        self._analysis, self._read_gpu = analysis, read_gpu

    @override
    def __exit__(self, *_: object) -> None:
        pass

    def watched(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, and say which of them are events that people have to know."""
        for item in items:
            if isinstance(item, SourceEvent) and item.event in SAID:
                self.say_event(item)
            yield item

    def say(self, message: str) -> None:
        """Say that something has failed."""
        output.say(f"trt-mogface: {message}")

    def say_event(self, event: SourceEvent) -> None:
        """Say that something happened to a source."""
        self.say(f"{event.source}: {event.event}{f': {event.message}' if event.message else ''}")

    def finish(self, written: Sequence[str]) -> None:
        """Say what was analyzed and written.

        Args:
            written: Names of the sinks that are complete.
        """
        output.say(summary(self._analysis.stats()))
        for name in written:
            output.say(f"written: {name}")


class LiveTable(Progress):
    """A table on a terminal that is drawn anew several times a second."""

    @override
    def __enter__(self) -> Self:
        self._live = Live(
            self,
            console=output.err,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)
        return self

    @override
    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, _: ConsoleOptions) -> RenderResult:
        readings = self._read_gpu() if self._read_gpu else {}
        yield table(self._analysis.stats(), readings, max(console.height - MARGIN, 1))


class JsonLines(Progress):
    """A line of JSON on stderr every `INTERVAL`, for each event, and at the end."""

    @override
    def __enter__(self) -> Self:
        self._before: dict[str, SourceStats] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._report, name="progress", daemon=True)
        self._thread.start()
        return self

    @override
    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @override
    def say(self, message: str) -> None:
        self._write({"error": message})

    @override
    def say_event(self, event: SourceEvent) -> None:
        self._write({"event": event.event, "source": event.source, "message": event.message})

    @override
    def finish(self, written: Sequence[str]) -> None:
        self._write({**self._counts(), "written": list(written)})

    def _report(self) -> None:
        while not self._over.wait(INTERVAL):
            self._write(self._counts())

    def _counts(self) -> dict[str, Any]:
        """Return totals, and the counts of the sources that have changed since the last line."""
        stats = self._analysis.stats()
        changed = {name: each for name, each in stats.sources.items() if self._before.get(name) != each}
        self._before = stats.sources
        return {
            "seconds": round(stats.seconds, 3),
            "frames": stats.frames,
            "faces": stats.faces,
            "dropped": stats.dropped,
            "fps": round(stats.fps, 3),
            "batches": stats.batches,
            "states": Counter(each.state for each in stats.sources.values()),
            "gpu": self._read_gpu() if self._read_gpu else None,
            "sources": {name: dataclasses.asdict(each) for name, each in changed.items()},
        }

    def _write(self, record: dict[str, Any]) -> None:
        output.err.out(json.dumps(record), highlight=False)


def open_progress(
    kind: ProgressKind, analysis: Analysis, read_gpu: Sensor | None, *, is_mixed: bool
) -> Progress:
    """Return the progress of an analysis.

    Args:
        kind: ``auto`` (a table on a terminal), ``json`` or ``none``.
        analysis: Analysis to report on.
        read_gpu: See `Progress`.
        is_mixed: Whether a table would mix with other output of the terminal.
    """
    if kind == "json":
        return JsonLines(analysis, read_gpu)
    if kind == "auto" and output.err.is_terminal and not is_mixed:
        return LiveTable(analysis, read_gpu)
    return Progress(analysis, read_gpu)


def table(stats: AnalysisStats, readings: Sample, rows: int) -> Table:
    """Return the table of an analysis.

    Args:
        stats: Counts.
        readings: Readings of the GPU's sensors, or nothing.
        rows: Largest number of sources; the others are counted.
    """
    columns = [Column(name, justify="right") for name in ("frames", "fps", "faces", "dropped", "lag ms")]
    found = Table(Column("source", overflow="ellipsis", no_wrap=True), "state", *columns, box=SIMPLE)
    ordered = sorted(stats.sources.items(), key=lambda row: FIRST.index(row[1].state))
    for name, each in ordered[:rows]:
        lag = "" if each.lag is None or each.state != "running" else f"{each.lag * 1e3:.0f}"
        counts = str(each.frames), f"{each.fps:.1f}", str(each.faces), str(each.dropped), lag
        found.add_row(output.plain(name), each.state, *counts)
    if len(ordered) > rows:
        found.add_row(f"{len(ordered) - rows} more", states(each for _, each in ordered[rows:]))
    found.add_section()
    totals = str(stats.frames), f"{stats.fps:.1f}", str(stats.faces), str(stats.dropped)
    found.add_row("all", f"{stats.seconds:.0f} s", *totals)
    names = {"gpu_percent": "GPU", "decoder_percent": "decoder"}
    used = [f"{name} {readings[key]:.0f}%" for key, name in names.items() if key in readings]
    found.caption = ", ".join(used) or None
    return found


def states(sources: Iterable[SourceStats]) -> str:
    """Return the number of sources in each state, such as ``2 ended, 1 failed``."""
    counts = Counter(each.state for each in sources)
    return ", ".join(f"{counts[state]} {state}" for state in reversed(FIRST) if counts[state])


def summary(stats: AnalysisStats) -> str:
    """Return the totals of an analysis as one line."""
    sources = (
        f"{len(stats.sources)} source{'s' * (len(stats.sources) != 1)}: {states(stats.sources.values())}"
    )
    rate = stats.frames / stats.seconds if stats.seconds else 0.0
    counts = f"{stats.frames} frames, {stats.faces} faces, {stats.dropped} dropped"
    return f"{sources}; {counts} in {stats.seconds:.1f} s ({rate:.1f} frames/s)"
