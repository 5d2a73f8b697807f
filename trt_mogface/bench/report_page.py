"""A benchmark's result as one HTML page, with its plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trt_mogface._optional import require
from trt_mogface.bench.report import (
    Report,
    bounds_table,
    contest_table,
    load_table,
    readings_line,
    row_table,
    stages_line,
)
from trt_mogface.bench.roofline import HEAD, Roofline, draw
from trt_mogface.bench.roofline import rows as layer_rows
from trt_mogface.bench.trials import LoadRow, Row
from trt_mogface.reporting.html import Section, page, plot, table

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

PERCENTILES = ("median", "p90", "p99", "max")


def report_page(report: Report) -> str:
    """The page.

    Raises:
        MissingExtraError: A package is missing.
    """
    sections = [
        Section(text=" — ".join(report.conditions()), parts=[table(["made by"], [[report.command]])]),
        Section("Machine", parts=[table(["", ""], _facts(report))]),
    ]
    if report.rows:
        lines = [[stages_line(row), readings_line(row.readings)] for row in report.rows if row.stages]
        parts = [throughput_plot(report.rows), table(*row_table(report.rows))]
        if lines:
            parts.append(table(["stages", "while measuring"], lines))
        sections.append(
            Section("Closed loop", "The next picture comes when one is done; latency in ms.", parts)
        )
    if report.load:
        text = "Pictures come at a rate; latency, in ms, counts from the moment they were to come."
        sections.append(Section("Open loop", text, [load_plot(report.load), table(*load_table(report.load))]))
    for batch, standings in report.contests.items():
        marked = [index for index, each in enumerate(standings) if each.peer.startswith("trt-mogface ")]
        text = "The same pictures and thresholds, in turn, each in a process of its own; ms of a run."
        parts = [table(*contest_table(standings), marked=marked)]
        sections.append(Section(f"Beside others, batch {batch}", text, parts))
    if report.rooflines:
        sections.append(_rooflines(report.rooflines))
    return page(f"trt-mogface bench: {report.model[0]}", sections)


def _rooflines(found: Sequence[Roofline]) -> Section:
    """All bounds, and the layers of those that were measured."""
    text = (
        "The least time that operations and bytes allow; by a data sheet it is a bound that nobody measured."
    )
    parts = [plot(draw(found)), table(*bounds_table(found))]
    parts += [table(HEAD, layer_rows(each)) for each in found if each.times is not None and each.times.layers]
    return Section("Roofline", text, parts)


def throughput_plot(rows: Sequence[Row]) -> Markup:
    """Pictures a second against the batch, a line a mode and precision."""
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        lines[f"{row.mode}, {row.precision}"].append((row.batch, row.measurement.pictures_per_s))

    def draw(axes: Axes) -> None:
        for name, points in lines.items():
            axes.plot(*zip(*sorted(points)), marker="o", label=name)
        axes.set(xlabel="batch", ylabel="pictures/s", ylim=(0, None))

    return _plotted(draw)


def load_plot(rows: Sequence[LoadRow]) -> Markup:
    """Percentiles of the latency against the rate; rates of which nothing came out have none."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        for name in PERCENTILES:
            if row.result.latency is not None:
                point = row.result.offered, getattr(row.result.latency, name)
                lines[f"{name}, {row.precision}, batch {row.batch}"].append(point)

    def draw(axes: Axes) -> None:
        for name, points in lines.items():
            axes.plot(*zip(*sorted(points)), marker="o", label=name)
        axes.set(xlabel="offered pictures/s", ylabel="latency, ms", ylim=(0, None))

    return _plotted(draw)


def _plotted(draw: object) -> Markup:
    figure = require("matplotlib.figure", extra="bench").Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    draw(axes)  # type: ignore[operator]
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
    return plot(figure)


def _facts(report: Report) -> list[list[str]]:
    facts = [[name, str(value)] for name, value in report.machine.items() if name != "versions"]
    return facts + [[name, version] for name, version in report.machine["versions"].items()]
