"""Sensitivity report beside an engine: JSON for programs, an HTML page with a plot for people."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.validation.sensitivity import Sensitivity
from trt_mogface._files import write_text
from trt_mogface.reporting.html import Section, page, plot, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    write_text(report, _page(f"{network} in {precision.upper()}", found))


def _page(title: str, found: Sensitivity) -> str:
    rows = [
        (group.name, f"{group.drift:.4f}", f"{100 * group.share:.1f}%", "yes" if i < found.kept else "")
        for i, group in enumerate(found.groups)
    ]
    groups = table(["group", "drift", "share of multiply-adds", "in FP16"], rows, marked=range(found.kept))
    ranking = Section("Layer groups, worst first", parts=[groups])
    return page(title, [Section(text=str(found), parts=[plot(_bars(found))]), ranking, *_sizes(found)])


def _sizes(found: Sensitivity) -> list[Section]:
    if not found.by_size:
        return []
    labels = list(found.by_size["FP32"])
    rows = [(name, *(f"{figures[label]:.4f}" for label in labels)) for name, figures in found.by_size.items()]
    return [Section("AP by face size", parts=[table(["", *labels], rows)])]


def _bars(found: Sensitivity) -> Figure:
    """Plot the drift of each group, with the groups kept in FP16 in red."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.8 + 0.18 * len(found.groups)), layout="constrained")
    axes = figure.subplots()
    colors = ["tab:red" if i < found.kept else "tab:blue" for i in range(len(found.groups))]
    axes.barh([group.name for group in found.groups], [group.drift for group in found.groups], color=colors)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=6)
    axes.set_xlabel("drift with only this group quantized (red: kept in FP16)")
    return figure
