"""A benchmark's result: as JSON, and as tables on a terminal in trtexec's words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.peers.contest import Standing
from trt_mogface.bench.measurement import Latency, Settings
from trt_mogface.bench.roofline.bound import Roofline
from trt_mogface.bench.roofline.ceilings import MEASURED
from trt_mogface.bench.trials import LoadRow, Row
from trt_mogface.machine.sensors import Readings
from trt_mogface.reporting.tables import print_whole

SCHEMA = 1

TEXTS = ("mode", "precision", "peer", "does", "remarks", "machine", "ceilings")
"""Columns of words."""

BUSY = 0.5
"""Of the cores: a load above which the machine was not idle."""

REMARK = 50
"""Characters of a remark's line."""

LATENCY = ("min", "mean", "median", "p90", "p95", "p99", "max")


@dataclass(frozen=True)
class Report:
    """All of a benchmark.

    Attributes:
        command: That made it.
        started: UTC, ISO 8601.
        machine: See `trt_mogface.machine.facts.machine`.
        load_before: Mean number of processes that wanted a core in the minute before it began.
        model: The model's name, then its file.
        runs_on: What ran it.
        size: Width and height of the network's input.
        threads: CPU threads of a run on the CPU.
        pictures: Where the pictures came from.
        settings: How long was measured.
        rows: Closed loops.
        load: Open loops.
        contests: Standings by batch.
        rooflines: What was reached of this machine's ceilings, then bounds of others.
        notes: What there is no figure of, and why.
    """

    command: str
    started: str
    machine: dict[str, Any]
    load_before: float
    model: tuple[str, str]
    runs_on: str
    size: tuple[int, int]
    threads: int
    pictures: str
    settings: Settings
    rows: Sequence[Row]
    load: Sequence[LoadRow]
    contests: dict[int, Sequence[Standing]]
    rooflines: Sequence[Roofline] = ()
    notes: Sequence[str] = ()

    def to_json(self) -> str:
        """Readable JSON; what was not measured is null."""
        plain = dataclasses.asdict(dataclasses.replace(self, rooflines=()))
        rooflines = [each.to_dict() for each in self.rooflines]
        return json.dumps({"schema": SCHEMA, **plain, "rooflines": rooflines}, indent=1) + "\n"

    def conditions(self) -> list[str]:
        """What a reader needs to know before the figures, a line each."""
        machine, settings = self.machine, self.settings
        gpu = f", {machine['gpu']} (CUDA {machine['driver']})" if "gpu" in machine else ""
        width, height = self.size
        lines = [
            f"{self.model[0]} at {width}x{height} on {self.runs_on}; {self.pictures}",
            f"{machine['cpu']}, {machine['cores']} cores, {self.threads} threads{gpu}; "
            f"commit {machine['commit'] or 'unknown'}",
            f"warm-up {settings.warm_up * 1e3:g} ms, at least {settings.duration:g} s and "
            f"{settings.iterations} runs (trtexec's defaults: 200 ms, 3 s, 10); an engine alone runs without "
            "transfers, CUDA graph and spin-wait, of which trtexec 11 has other defaults than trtexec 10",
        ]
        if self.load_before > BUSY * machine["cores"]:
            lines.append(
                f"others kept this machine busy before it began (load average {self.load_before:.1f}, "
                f"{machine['cores']} cores): figures and ratios may be theirs, measure again when it is idle"
            )
        return lines


def row_table(rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of closed loops."""
    head = ["mode", "precision", "batch", "pictures/s", *LATENCY, "count"]
    lines = [
        [
            row.mode,
            row.precision,
            str(row.batch),
            f"{row.measurement.pictures_per_s:.2f}",
            *latency_cells(row.measurement.latency),
            str(row.measurement.count),
        ]
        for row in rows
    ]
    return head, lines


def load_table(rows: Iterable[LoadRow]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of open loops."""
    head = ["precision", "batch", "offered", "achieved", "rejected", "failed", *LATENCY, "count", "lag"]
    lines = [
        [
            *(row.precision, str(row.batch)),
            *(f"{row.result.offered:.2f}", f"{row.result.achieved:.2f}", str(row.result.rejected)),
            str(row.result.failed),
            *latency_cells(row.result.latency),
            *(str(row.result.count), f"{row.result.lag:.2f}"),
        ]
        for row in rows
    ]
    return head, lines


def contest_table(standings: Iterable[Standing]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of a contest; who has no figures says why."""
    head = [
        *("peer", "does", "pictures/s", "least", "most", "median", "p99", "runs", "faces"),
        *("ours / it", "remarks"),
    ]
    lines = [
        [
            *(each.peer, each.does or each.status),
            *(number(each.pictures_per_s), number(each.least_per_s), number(each.most_per_s)),
            *(number(each.median_ms), number(each.p99_ms)),
            *("" if value is None else str(value) for value in (each.runs, each.faces)),
            "" if each.ratio is None else f"{each.ratio:.2f}x",
            each.why or each.note,
        ]
        for each in standings
    ]
    return head, lines


def bounds_table(found: Iterable[Roofline]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of rooflines: what a machine allows at most, and what was reached."""
    head = [
        "machine",
        "ceilings",
        "precision",
        "batch",
        "at least",
        "pictures/s at most",
        "memory",
        "reached",
    ]
    lines = [
        [
            each.ceilings.machine,
            "measured" if each.ceilings.source == MEASURED else "data sheet",
            *(each.precision, str(each.batch)),
            f"{each.seconds * 1e3:.3g}",
            f"{each.pictures_per_s:.4g}",
            f"{each.memory_share:.0%}",
            "" if each.share is None else f"{each.share:.0%}",
        ]
        for each in found
    ]
    return head, lines


def latency_cells(latency: Latency | None) -> list[str]:
    """In the order of `LATENCY`; empty where nothing was measured."""
    return ["" if latency is None else f"{getattr(latency, name):.2f}" for name in LATENCY]


def number(value: float | None) -> str:
    """With two decimals; empty where nothing was measured."""
    return "" if value is None else f"{value:.2f}"


def stages_line(row: Row) -> str:
    """Mean times of a pipeline's stages, and what was found."""
    stages = ", ".join(f"{name} {value:.2f}" for name, value in row.stages.items())
    return f"{row.mode}, {row.precision}, batch {row.batch}: {row.faces} faces; mean ms: {stages}"


def readings_line(readings: Readings) -> str:
    """What the sensors told; what they did not is left out."""
    units = {
        "power_w": "power {:.0f} W",
        "sm_clock_mhz": "SM clock {:.0f} MHz",
        "memory_clock_mhz": "memory clock {:.0f} MHz",
        "gpu_memory_mb": "GPU memory {:.0f} MB",
        "process_memory_mb": "process peak {:.0f} MB",
    }
    told = ((text, getattr(readings, name)) for name, text in units.items())
    return ", ".join(text.format(value) for text, value in told if value is not None)


def show(report: Report, console: Console) -> None:
    """Print it."""

    def say(text: str) -> None:
        console.print(escape(text), soft_wrap=True, highlight=False)

    for line in report.conditions():
        say(line)
    if report.rows:
        print_whole(console, _rich("closed loop: throughput, and latency in ms", *row_table(report.rows)))
        for row in report.rows:
            if row.stages:
                say(stages_line(row))
        say(f"while measuring: {readings_line(report.rows[-1].readings)} (last row; --json has all)")
    if report.load:
        print_whole(
            console,
            _rich(
                f"open loop, {report.load[0].arrivals} arrivals: pictures/s, and latency in ms",
                *load_table(report.load),
            ),
        )
    if report.rooflines:
        title = "roofline: ms of a batch at least, pictures/s at most; memory: the time that memory decides"
        print_whole(console, _rich(title, *bounds_table(report.rooflines)))
    for note in report.notes:
        say(note)
    for batch, standings in report.contests.items():
        title = f"batch {batch}, same pictures and thresholds, in turn: pictures/s, and ms of a run"
        print_whole(console, _rich(title, *contest_table(standings)))


def _rich(title: str, head: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for name in head:
        wraps = name == "remarks"
        table.add_column(
            name,
            justify="left" if name in TEXTS else "right",
            no_wrap=not wraps,
            max_width=REMARK if wraps else None,
        )
    for line in lines:
        table.add_row(*map(escape, line))
    return table
