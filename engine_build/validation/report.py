"""Sensitivity report beside an engine: JSON for programs, an HTML page with a plot for people."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.validation.sensitivity import Sensitivity
from trt_mogface._files import write_text
from trt_mogface.reporting.html import Section, page, plot, table
from trt_mogface.reporting.plots import SERIES, bars, bars_height

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes


def report_paths(engine: Path) -> tuple[Path, Path]:
    """Return the paths ``NAME.engine.sensitivity.json`` and ``.html``."""
    stem = f"{engine.name}.sensitivity"
    return engine.with_name(f"{stem}.json"), engine.with_name(f"{stem}.html")


def write_report(engine: Path, network: str, precision: str, found: Sensitivity) -> None:
    """Write the files of `report_paths`.

    Raises:
        OutputError: If a file cannot be written.
    """
    data, report = report_paths(engine)
    fields = {"network": network, "precision": precision, "summary": str(found), **dataclasses.asdict(found)}
    write_text(data, json.dumps(fields, indent=1) + "\n")
    write_text(report, sensitivity_page(network, precision, found))


def sensitivity_page(network: str, precision: str, found: Sensitivity) -> str:
    """Return the page; see `write_report`."""
    rows = [
        (group.name, f"{group.drift:.4f}", f"{100 * group.share:.1f}%", "yes" if i < found.kept else "")
        for i, group in enumerate(found.groups)
    ]
    head = ["group", "drift", "share of multiply-adds", "in FP16"]
    groups = table("Layer groups, worst first", head, rows, marked=range(found.kept))
    sections = [
        Section(text=str(found)),
        Section("Layer groups", parts=[_plot(found), groups] if found.groups else [groups]),
    ]
    if found.by_size:
        labels = list(found.by_size["FP32"])
        sizes = [(name, *(f"{each[label]:.4f}" for label in labels)) for name, each in found.by_size.items()]
        sections.append(Section("Face sizes", parts=[table("AP by face size", ["network", *labels], sizes)]))
    return page(f"Sensitivity of {network} to {precision.upper()}", sections)


def _plot(found: Sensitivity) -> Markup:
    worst = found.groups[0]
    summary = (
        f"Bars of the drift of {len(found.groups)} layer groups, worst first; the first is {worst.name}, "
        f"{worst.drift:.4f}. The first {found.kept} are kept in FP16."
    )
    caption = "Drift with only this group quantized"
    return plot(partial(_draw, found=found), caption, summary, bars_height(len(found.groups)))


def _draw(axes: Axes, found: Sensitivity) -> None:
    kept, quantized = SERIES[1], SERIES[0]
    colors = [kept if i < found.kept else quantized for i in range(len(found.groups))]
    bars(axes, [(group.name, group.drift) for group in found.groups], "drift", colors)
    if found.kept:
        axes.plot([], [], "s", color=kept, label="kept in FP16")
        axes.plot([], [], "s", color=quantized, label="quantized")
