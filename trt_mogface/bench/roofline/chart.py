"""Rooflines as a chart and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trt_mogface._optional import require
from trt_mogface.bench.roofline.bound import BoundLayer, Roofline
from trt_mogface.errors import ArgumentError

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
    "min us",
    "share",
    "limit",
    "us",
    "of ceiling",
)
"""Columns of `rows`."""

TOTAL = "all layers"


def rows(found: Roofline, top: int = TOP) -> list[tuple[str, ...]]:
    """Return the layers with the longest least times, longest first; the last row is the whole network.

    Returns:
        Texts under `HEAD`; empty without a measurement.
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
    """Draw roofs, and layers as points: filled where measured, else hollow at their bound.

    Layers without operations are left out: the axes are logarithmic.

    Args:
        found: One or more rooflines; each gets a color.

    Raises:
        ArgumentError: If there is no roofline.
        MissingExtraError: If matplotlib is not installed.
    """
    if not found:
        raise ArgumentError("found", "at least one roofline is needed")
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
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="operations per second")
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
    label = f"{found.ceilings.machine}, {found.precision}: at most {found.images_per_s:.4g} images/s"
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
