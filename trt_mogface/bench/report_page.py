"""Report of a benchmark as one HTML page with plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from trt_mogface._optional import require
from trt_mogface.bench.report import Report, bounds_table, load_table, readings_line, row_table, stages_line
from trt_mogface.bench.roofline import HEAD, draw
from trt_mogface.bench.roofline import rows as layer_rows
from trt_mogface.bench.trials import LoadRow, Row
from trt_mogface.reporting.html import Section, page, plot, table

if TYPE_CHECKING:
    from markupsafe import Markup

PERCENTILES = ("median", "p90", "p99", "max")


def report_page(report: Report) -> str:
    """Return the page; needs Jinja2 and matplotlib."""
    sections = [
        Section(text=" — ".join(report.conditions()), parts=[table(["command"], [[report.command]])]),
        Section("Machine", parts=[table(["", ""], _facts(report))]),
    ]
    if report.rows:
        lines = [[stages_line(row), readings_line(row.readings)] for row in report.rows if row.stages]
        parts = [throughput_plot(report.rows), table(*row_table(report.rows))]
        if lines:
            parts.append(table(["stages", "sensors"], lines))
        text = "The next image is submitted when one is done; latency in ms."
        sections.append(Section("Closed loop", text, parts))
    if report.load:
        text = "Images arrive at a fixed rate; latency, in ms, counts from the scheduled arrival."
        sections.append(Section("Open loop", text, [load_plot(report.load), table(*load_table(report.load))]))
    if report.rooflines:
        text = (
            "Bounds: the least time that operations and bytes allow.  Bounds by data sheet were not measured."
        )
        parts = [plot(draw(report.rooflines)), table(*bounds_table(report.rooflines))]
        measured = [each for each in report.rooflines if each.times and each.times.layers]
        parts += [table(HEAD, layer_rows(each)) for each in measured]
        sections.append(Section("Roofline", text, parts))
    return page(f"trt-mogface bench: {report.model[0]}", sections)


def throughput_plot(rows: Iterable[Row]) -> Markup:
    """Plot images per second over the batch, one line for each mode and precision."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        lines[f"{row.mode}, {row.precision}"].append((row.batch, row.measurement.images_per_s))
    return _plotted(lines, "batch", "images/s")


def load_plot(rows: Iterable[LoadRow]) -> Markup:
    """Plot percentiles of the latency over the rate, without rates at which no image was done."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        for name in PERCENTILES if row.result.latency else ():
            point = row.result.offered, getattr(row.result.latency, name)
            lines[f"{name}, {row.precision}, batch {row.batch}"].append(point)
    return _plotted(lines, "offered images/s", "latency, ms")


def _plotted(lines: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> Markup:
    figure = require("matplotlib.figure", extra="bench").Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points)), marker="o", label=name)
    axes.set(xlabel=across, ylabel=up, ylim=(0, None))
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(fontsize="small")
    return plot(figure)


def _facts(report: Report) -> list[list[str]]:
    facts = [[name, str(value)] for name, value in report.machine.items() if name != "versions"]
    return facts + [[name, version] for name, version in report.machine["versions"].items()]
