"""The plot of accuracy against time, with a label beside each point."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from matplotlib.transforms import Bbox

CORNERS = ((7, 3), (7, -9), (-7, 3), (-7, -9))
"""Offsets of a label from its point."""


class Group(NamedTuple):
    """Points of one marker and color: milliseconds and AP by label."""

    name: str
    marker: str
    color: str
    points: Mapping[str, tuple[float, float]]


def accuracy_against_time(groups: Sequence[Group], xlabel: str, ticks: Sequence[int]) -> str:
    """Return the plot as SVG: one point for each detector, the further left and up the better.

    Args:
        groups: Points to draw.
        xlabel: Label of the logarithmic axis of milliseconds.
        ticks: Marks of that axis; the first and the last are its ends.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for group in groups:
        times, accuracies = zip(*group.points.values())
        axes.plot(times, accuracies, group.marker, color=group.color, label=group.name)
    axes.legend(loc="lower right")
    axes.set(xlabel=xlabel, ylabel="AP, hard", xscale="log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(ticks[0], ticks[-1])
    axes.grid(alpha=0.3)
    figure.draw_without_rendering()  # sets the scales that decide where labels overlap
    _label(axes, {label: point for group in groups for label, point in group.points.items()})
    svg = io.StringIO()
    with rc_context({"svg.hashsalt": "plot"}):  # the same figures give the same file
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()


def _label(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each label beside its point, at the corner where it overlaps the fewest points and labels."""
    half = 5 * axes.figure.dpi / 72  # half a marker, with some room around it
    taken = [
        Bbox.from_extents(x - half, y - half, x + half, y + half)
        for x, y in axes.transData.transform(list(points.values()))
    ]
    for label, point in points.items():
        texts = [
            axes.annotate(
                label, point, at, textcoords="offset points", fontsize=8, ha="left" if at[0] > 0 else "right"
            )
            for at in CORNERS
        ]
        best = min(texts, key=lambda text: text.get_window_extent().count_overlaps(taken))
        taken.append(best.get_window_extent())
        for text in texts:
            text.set_visible(text is best)
