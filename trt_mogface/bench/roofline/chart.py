"""Rooflines as a chart and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trt_mogface._optional import require
from trt_mogface.bench.roofline.bound import BoundLayer, Roofline
from trt_mogface.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 10

HEAD = (
    "layer",
    "kind",
    "MFLOP",
    "MB",
    "FLOP/byte",
    "at least, us",
    "of it all",
    "bound by",
    "took, us",
    "ceiling",
)
"""The columns of `rows`; the last one is the share of the ceiling that was reached."""

TOTAL = "all layers"


def rows(found: Roofline, top: int = TOP) -> list[tuple[str, ...]]:
    """The layers with the longest least times, longest first, and all of them together as the last row.

    Returns:
        Texts under `HEAD`; empty ones where nothing was measured.
    """
    longest = sorted(found.layers, key=lambda bound: -bound.seconds)[:top]
    moved = found.bytes_moved
    total = (
        f"{TOTAL} ({len(found.layers)})",
        "",
        f"{found.operations / 1e6:.1f}",
        f"{moved / 1e6:.2f}",
        f"{found.operations / moved:.1f}",
        f"{found.seconds * 1e6:.1f}",
        "100.0%",
        f"memory {found.memory_share:.0%}",
        _microseconds(found.times.total if found.times else None),
        _share(found.share),
    )
    return [*(_row(bound, found.seconds) for bound in longest), total]


def _row(bound: BoundLayer, whole: float) -> tuple[str, ...]:
    layer = bound.layer
    return (
        layer.name,
        layer.kind,
        f"{layer.operations / 1e6:.1f}",
        f"{layer.bytes_moved / 1e6:.2f}",
        f"{layer.intensity:.1f}",
        f"{bound.seconds * 1e6:.1f}",
        f"{bound.seconds / whole:.1%}",
        bound.limit,
        _microseconds(bound.measured),
        _share(bound.share),
    )


def _microseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:.1f}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def draw(found: Sequence[Roofline]) -> Figure:
    """Roofs, with the layers as points: where they were measured, else at their bound (hollow).

    Layers without operations have no place on logarithmic axes; the table has them.

    Args:
        found: One or more, each with a roof of its own in a color of its own.

    Raises:
        UsageError: Nothing to draw.
        MissingExtraError: matplotlib is not installed.
    """
    if not found:
        raise UsageError("a roofline chart needs at least one roofline")
    require("matplotlib", extra="bench")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    intensities = [b.layer.intensity for each in found for b in each.layers if b.layer.operations]
    ridges = [each.ceilings.ridge(each.precision) for each in found]
    ends = min(intensities + ridges) / 2, max(intensities + ridges) * 2
    for number, each in enumerate(found):
        _roof(axes, each, ends, f"C{number % 10}")
        _points(axes, each, f"C{number % 10}")
    axes.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="operations a second")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(
        fontsize="small",
        loc="lower right",
        title="layers: filled where measured, hollow at their bound",
        title_fontsize="small",
    )
    axes.set_title(
        ", ".join(dict.fromkeys(f"{e.model} {e.width}x{e.height}, batch {e.batch}" for e in found))
    )
    return figure


def _roof(axes: Axes, found: Roofline, ends: tuple[float, float], color: str) -> None:
    rate, bandwidth = found.ceilings.rate(found.precision), found.ceilings.bytes_per_s
    corners = sorted({ends[0], found.ceilings.ridge(found.precision), ends[1]})
    label = f"{found.ceilings.machine}, {found.precision}: {found.pictures_per_s:.4g} pictures/s at most"
    axes.plot(corners, [min(rate, bandwidth * each) for each in corners], color=color, label=label)


def _points(axes: Axes, found: Roofline, color: str) -> None:
    working = [bound for bound in found.layers if bound.layer.operations]
    for is_measured in (True, False):
        points = [
            (bound.layer.intensity, bound.layer.operations / (bound.measured or bound.seconds))
            for bound in working
            if bool(bound.measured) is is_measured
        ]
        if points:
            across, up = zip(*points)
            face = color if is_measured else "none"
            axes.scatter(across, up, s=14, facecolors=face, edgecolors=color, linewidths=0.7, alpha=0.7)
