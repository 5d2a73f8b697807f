"""Report of a benchmark as one HTML page with plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from trt_mogface.bench.report import Report, bounds_table, load_table, readings_line, row_table
from trt_mogface.bench.roofline import HEAD, Roofline, draw
from trt_mogface.bench.roofline import rows as layer_rows
from trt_mogface.bench.trials import LoadRow, Row
from trt_mogface.reporting.html import Section, bullets, facts, page, plot, plots, table
from trt_mogface.reporting.plots import HEIGHT, Point, bars_height, lines_or_bars

if TYPE_CHECKING:
    from markupsafe import Markup

PERCENTILES = ("median", "p90", "p99", "max")
ROOFLINE_HEIGHT = 4.0


def report_page(report: Report) -> str:
    """Return the page; needs Jinja2 and matplotlib."""
    sections = [Section(parts=[facts("Run", [("command", report.command), ("started", report.started)])])]
    if report.rows:
        sections.append(_closed_loop(report.rows))
    if report.load:
        sections.append(_open_loop(report.load))
    if report.rooflines:
        sections.append(_roofline(report.rooflines))
    sections.append(Section("Conditions", parts=[bullets([*report.conditions(), *report.notes])]))
    sections.append(Section("Machine", parts=[facts("Hardware and versions", _facts(report))]))
    return page(f"Benchmark of {report.model[0]}", sections)


def _closed_loop(rows: Sequence[Row]) -> Section:
    parts = [throughput_plot(rows), table("Throughput, and latency in ms", *row_table(rows))]
    pipelines = [row for row in rows if row.stages]
    if pipelines:
        parts.append(table("Mean times of the stages in ms", *_stages(pipelines)))
    readings = [[row.mode, row.precision, str(row.batch), readings_line(row.readings)] for row in rows]
    if any(line for *_, line in readings):
        parts.append(table("Sensors", ["mode", "precision", "batch", "readings"], readings))
    return Section("Closed loop", "The next image is submitted when one is done.", parts)


def _open_loop(rows: Sequence[LoadRow]) -> Section:
    text = "Images arrive at a fixed rate; latency counts from the scheduled arrival."
    drawn = [load_plots(rows)] if any(row.result.latency for row in rows) else []
    return Section(
        "Open loop", text, [*drawn, table("Images per second, and latency in ms", *load_table(rows))]
    )


def _roofline(found: Sequence[Roofline]) -> Section:
    text = "Bounds: the least time that operations and bytes allow. Bounds by data sheet were not measured."
    batches: dict[int, list[Roofline]] = defaultdict(list)
    for each in found:
        batches[each.batch].append(each)
    parts = [plots([_roofs(batch, each) for batch, each in batches.items()])]
    parts.append(table("Bounds of a batch", *bounds_table(found)))
    for number, each in enumerate((each for each in found if each.times and each.times.layers), start=1):
        *layers, total = layer_rows(each)
        name = f"Layers with the longest least times, {each.precision}, batch {each.batch} ({number})"
        parts.append(table(name, HEAD, layers, total=total))
    return Section("Roofline", text, parts)


def _roofs(batch: int, found: Sequence[Roofline]) -> Markup:
    bounds = "; ".join(
        f"{each.ceilings.machine}, {each.precision}: {each.images_per_s:.4g} images/s" for each in found
    )
    summary = f"Operations per second over operations per byte at batch {batch}. Bounds: {bounds}."
    caption = f"Batch {batch}. Layers are filled points where measured, else hollow ones at their bound."
    return plot(partial(draw, found=found), caption, summary, ROOFLINE_HEIGHT)


def throughput_plot(rows: Iterable[Row]) -> Markup:
    """Plot images per second over the batch, one line for each mode and precision; bars of a single batch."""
    lines: dict[str, list[Point]] = defaultdict(list)
    for row in rows:
        lines[f"{row.mode}, {row.precision}"].append((row.batch, row.measurement.images_per_s))
    return _plotted("Throughput", lines, "batch size", "images/s")


def load_plots(rows: Iterable[LoadRow]) -> Markup:
    """Plot percentiles of the latency over the rate: one plot for each precision and batch.

    Rates at which no image was done are left out.
    """
    lines: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name in PERCENTILES if row.result.latency else ():
            point = row.result.offered, getattr(row.result.latency, name)
            lines[f"{row.precision}, batch {row.batch}"][name].append(point)
    return plots(
        [_plotted(f"Latency of {what}", each, "offered images/s", "ms") for what, each in lines.items()]
    )


def _plotted(caption: str, lines: Mapping[str, Sequence[Point]], across: str, up: str) -> Markup:
    values = "; ".join(
        f"{name}: " + ", ".join(f"{y:.4g} at {x:g}" for x, y in sorted(points))
        for name, points in lines.items()
    )
    places = {x for points in lines.values() for x, _ in points}
    if len(places) == 1:
        where, height = f"({across}: {places.pop():g})", bars_height(len(lines))
    else:
        where, height = f"by {across}", HEIGHT
    text = f"{caption} {where}"
    drawn = partial(lines_or_bars, series=lines, across=across, up=up)
    return plot(drawn, text, f"{text}, in {up}. {values}.", height)


def _stages(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the table of the pipelines' stages: a column for each stage that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row.stages))
    head, lines = ["mode", "precision", "batch", "faces", "not finite", *names], []
    for row in rows:
        times = [f"{row.stages[name]:.2f}" if name in row.stages else "" for name in names]
        lines.append([row.mode, row.precision, str(row.batch), str(row.faces), str(row.dropped), *times])
    return head, lines


def _facts(report: Report) -> list[list[str]]:
    found = [[name, str(value)] for name, value in report.machine.items() if name != "versions"]
    return found + [[name, version] for name, version in report.machine["versions"].items()]
