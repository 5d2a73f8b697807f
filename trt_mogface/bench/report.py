"""Report of a benchmark: JSON, and tables on a terminal named as in trtexec."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from trt_mogface.bench.measurement import Latency, MeasureOptions
from trt_mogface.bench.roofline.bound import Roofline
from trt_mogface.bench.roofline.ceilings import MEASURED
from trt_mogface.bench.trials import LoadRow, Row
from trt_mogface.machine.sensors import Readings
from trt_mogface.reporting.tables import print_whole

SCHEMA = 2

TEXTS = ("mode", "precision", "machine", "ceilings")
"""Columns of words."""

BUSY = 0.5
"""Load average per core above which the machine is not idle."""

LATENCY = ("min", "mean", "median", "p90", "p95", "p99", "max")

Columns = tuple[list[str], list[list[str]]]
"""Head and lines of a table."""


@dataclass(frozen=True)
class Report:
    """Results of a benchmark and their conditions.

    Attributes:
        command: Command line that was run.
        started: UTC, ISO 8601.
        machine: See `trt_mogface.machine.facts.machine`.
        load_before: Load average over the minute before the start.
        model: Name and file of the model.
        runs_on: Device of the network.
        size: Width and height of the network input.
        passes: Width and height of the network input in each pass over an image of this size; mode
            ``network`` and rooflines count the first.
        threads: CPU threads of a network on the CPU.
        images: Source of the images.
        options: Length of each measurement.
        rows: Closed loops.
        load: Open loops.
        rooflines: Rooflines of this machine, then of other cards.
        notes: Figures that are missing, with the reason.
    """

    command: str
    started: str
    machine: dict[str, Any]
    load_before: float
    model: tuple[str, str]
    runs_on: str
    size: tuple[int, int]
    passes: Sequence[tuple[int, int]]
    threads: int
    images: str
    options: MeasureOptions
    rows: Sequence[Row]
    load: Sequence[LoadRow]
    rooflines: Sequence[Roofline] = ()
    notes: Sequence[str] = ()

    def to_json(self) -> str:
        """Return indented JSON; figures that were not measured are null."""
        plain = dataclasses.asdict(dataclasses.replace(self, rooflines=()))
        rooflines = [each.to_dict() for each in self.rooflines]
        return json.dumps({"schema": SCHEMA, **plain, "rooflines": rooflines}, indent=1) + "\n"

    def conditions(self) -> list[str]:
        """Return the conditions of the measurement, one line each."""
        machine, options = self.machine, self.options
        gpu = f", {machine['gpu']} (CUDA {machine['driver']})" if "gpu" in machine else ""
        width, height = self.size
        cores, commit = f"{machine['cores']} cores, {self.threads} threads", machine["commit"] or "unknown"
        length = f"at least {options.duration:g} s and {options.iterations} runs"
        method = (
            f"warm-up {options.warm_up * 1e3:g} ms, {length} (trtexec's defaults: 200 ms, 3 s, 10); mode "
            "network of an engine has no transfers, CUDA graph or spin-wait, whose defaults differ between "
            "trtexec 10 and 11"
        )
        setup = f"{self.model[0]} at {width}x{height} on {self.runs_on}; {self.images}"
        if len(self.passes) > 1:
            further = " and ".join(f"{columns}x{rows}" for columns, rows in self.passes[1:])
            setup += (
                f"; {len(self.passes)} passes over an image, further ones at {further}; mode network and "
                "rooflines count the first"
            )
        lines = [setup, f"{machine['cpu']}, {cores}{gpu}; commit {commit}", method]
        if self.load_before > BUSY * machine["cores"]:
            load = f"load average {self.load_before:.1f}, {machine['cores']} cores"
            lines.append(f"machine was not idle ({load}); results may be unreliable")
        return lines


def row_table(rows: Iterable[Row]) -> Columns:
    """Return the table of closed loops."""
    lines = []
    for row in rows:
        found, what = row.measurement, [row.mode, row.precision, str(row.batch)]
        lines.append([*what, f"{found.images_per_s:.2f}", *latency_cells(found.latency), str(found.count)])
    return ["mode", "precision", "batch", "images/s", *LATENCY, "count"], lines


def load_table(rows: Iterable[LoadRow]) -> Columns:
    """Return the table of open loops."""
    head = ["precision", "batch", "offered", "achieved", "rejected", "failed", *LATENCY, "count", "lag"]
    lines = []
    for row in rows:
        found = row.result
        rates = [f"{found.offered:.2f}", f"{found.achieved:.2f}", str(found.rejected), str(found.failed)]
        times = [*latency_cells(found.latency), str(found.count), f"{found.lag:.2f}"]
        lines.append([row.precision, str(row.batch), *rates, *times])
    return head, lines


def bounds_table(rooflines: Iterable[Roofline]) -> Columns:
    """Return the table of rooflines: the bound of a machine, and the share that was reached."""
    head = ["machine", "ceilings", "precision", "batch"]
    head += ["min ms", "max images/s", "memory-bound", "of ceiling"]
    lines = []
    for each in rooflines:
        source = "measured" if each.ceilings.source == MEASURED else "data sheet"
        bounds = [f"{each.seconds * 1e3:.3g}", f"{each.images_per_s:.4g}", f"{each.memory_share:.0%}"]
        share = "" if each.share is None else f"{each.share:.0%}"
        lines.append([each.ceilings.machine, source, each.precision, str(each.batch), *bounds, share])
    return head, lines


def latency_cells(latency: Latency | None) -> list[str]:
    """Return the cells in the order of `LATENCY`; empty without a measurement."""
    return ["" if latency is None else f"{getattr(latency, name):.2f}" for name in LATENCY]


def stages_line(row: Row) -> str:
    """Return the mean times of a pipeline's stages and the number of faces, as one line."""
    stages = ", ".join(f"{name} {value:.2f}" for name, value in row.stages.items())
    dropped = f", {row.dropped} candidates not finite" if row.dropped else ""
    return f"{row.mode}, {row.precision}, batch {row.batch}: {row.faces} faces{dropped}; mean ms: {stages}"


def readings_line(readings: Readings) -> str:
    """Return the readings that this machine has, as one line."""
    units = {
        "power_w": "power {:.0f} W",
        "sm_clock_mhz": "SM clock {:.0f} MHz",
        "memory_clock_mhz": "memory clock {:.0f} MHz",
        "gpu_memory_mb": "GPU memory {:.0f} MB",
        "process_memory_mb": "process peak {:.0f} MB",
    }
    values = ((text, getattr(readings, name)) for name, text in units.items())
    return ", ".join(text.format(value) for text, value in values if value is not None)


def show(report: Report, console: Console) -> None:
    """Print a report."""

    def say(text: str) -> None:
        console.print(escape(text), soft_wrap=True, highlight=False)

    for line in report.conditions():
        say(line)
    if report.rows:
        title = "closed loop: throughput, and latency in ms"
        print_whole(console, rich_table(title, *row_table(report.rows)))
        for row in report.rows:
            if row.stages:
                say(stages_line(row))
        say(f"during the last row: {readings_line(report.rows[-1].readings)} (all rows: --json)")
    if report.load:
        title = f"open loop, {report.load[0].arrivals} arrivals: images/s, and latency in ms"
        print_whole(console, rich_table(title, *load_table(report.load)))
    if report.rooflines:
        title = "roofline: bounds of a batch; memory-bound: share of the time that memory limits"
        print_whole(console, rich_table(title, *bounds_table(report.rooflines)))
    for note in report.notes:
        say(note)


def rich_table(title: str, head: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    """Return a table for the terminal; the columns of `TEXTS` are left-aligned."""
    columns = (Column(name, justify="left" if name in TEXTS else "right", no_wrap=True) for name in head)
    table = Table(*columns, title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for line in lines:
        table.add_row(*map(escape, line))
    return table
