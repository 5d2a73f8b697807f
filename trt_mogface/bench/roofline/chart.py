"""Rooflines as a chart and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trt_mogface.bench.roofline.bound import Roofline
from trt_mogface.errors import ArgumentError
from trt_mogface.reporting.plots import log_scale, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import ColorType

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


def draw(axes: Axes, found: Sequence[Roofline]) -> None:
    """Draw roofs, each in a color, and layers as points: filled where measured, else hollow at their bound.

    Layers without operations are left out: the axes are logarithmic.

    Raises:
        ArgumentError: If there is no roofline.
    """
    if not found:
        raise ArgumentError("found", "at least one roofline is needed")
    intensities = [b.layer.intensity for each in found for b in each.layers if b.layer.operations]
    ridges = [each.ceilings.ridge(each.precision) for each in found]
    ends = min(intensities + ridges) / 2, max(intensities + ridges) * 2
    for each in found:
        _points(axes, each, _roof(axes, each, ends))
    log_scale(axes, "x")
    log_scale(axes, "y")
    axes.set(xlabel="operations per byte", ylabel="operations per second")
    axes.grid(visible=True, which="major")
    networks = dict.fromkeys(f"{e.model} {e.width}x{e.height}, batch {e.batch}" for e in found)
    axes.set_title("\n".join(map(printable, networks)))


def _roof(axes: Axes, found: Roofline, ends: tuple[float, float]) -> ColorType:
    """Draw a roof and return its color."""
    rate, bandwidth = found.ceilings.rate(found.precision), found.ceilings.bytes_per_s
    corners = sorted({ends[0], found.ceilings.ridge(found.precision), ends[1]})
    label = f"{found.ceilings.machine}, {found.precision}: at most {found.images_per_s:.4g} images/s"
    (line,) = axes.plot(corners, [min(rate, bandwidth * each) for each in corners], label=label)
    return line.get_color()


def _points(axes: Axes, found: Roofline, color: ColorType) -> None:
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
            axes.scatter(across, up, s=14, facecolors=[face], edgecolors=[color], linewidths=0.7)
