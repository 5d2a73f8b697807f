"""Rooflines as a chart and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trt_mogface._optional import require
from trt_mogface.bench.roofline.bound import Roofline
from trt_mogface.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 10

HEAD = ("layer", "kind", "MFLOP", "MB", "FLOP/byte", "min us", "share", "limit", "us", "of ceiling")
"""Columns of `rows`."""

TOTAL = "all layers"


def rows(found: Roofline, top: int = TOP) -> list[tuple[str, ...]]:
    """Return the layers with the longest least times, longest first; the last row is the whole network.

    Returns:
        Texts under `HEAD`; empty without a measurement.
    """
    whole, moved, lines = found.seconds, found.bytes_moved, []
    for bound in sorted(found.layers, key=lambda bound: -bound.seconds)[:top]:
        layer, share = bound.layer, f"{bound.seconds / whole:.1%}"
        work = _work(layer.operations, layer.bytes_moved, layer.intensity, bound.seconds)
        reached = _reached(bound.measured, bound.share)
        lines.append((layer.name, layer.kind, *work, share, bound.limit, *reached))
    work = _work(found.operations, moved, found.operations / moved, whole)
    reached = _reached(found.times.total if found.times else None, found.share)
    title, limit = f"{TOTAL} ({len(found.layers)})", f"memory {found.memory_share:.0%}"
    return [*lines, (title, "", *work, "100.0%", limit, *reached)]


def _work(operations: int, moved: int, intensity: float, seconds: float) -> tuple[str, ...]:
    return f"{operations / 1e6:.1f}", f"{moved / 1e6:.2f}", f"{intensity:.1f}", f"{seconds * 1e6:.1f}"


def _reached(seconds: float | None, share: float | None) -> tuple[str, str]:
    return "" if seconds is None else f"{seconds * 1e6:.1f}", "" if share is None else f"{share:.0%}"


def draw(found: Sequence[Roofline]) -> Figure:
    """Draw roofs, each in a color, and layers as points: filled where measured, else hollow at their bound.

    Layers without operations are left out: the axes are logarithmic.

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
    legend = "layers: filled where measured, hollow at their bound"
    axes.legend(fontsize="small", loc="lower right", title=legend, title_fontsize="small")
    networks = dict.fromkeys(f"{e.model} {e.width}x{e.height}, batch {e.batch}" for e in found)
    axes.set_title(", ".join(networks))
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
