"""Plots for HTML pages: axes that fit their data, and SVG whose colors follow the page's color scheme."""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from trt_mogface._optional import require
from trt_mogface.reporting.matplotlib import matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.0
"""Width of a plot in inches: at 390 pixels, a phone's width, its text is still readable."""

HEIGHT = 3.0

LOG_SPAN = 100.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""

CROWDED = 0.06
"""Distance of two ticks, as a fraction of the axis, below which their labels would touch."""

LABEL_WIDTH = 52
"""Characters of a legend's line, which fit the width of a plot."""

NAME_WIDTH = 28
"""Characters of a bar's name; longer ones lose their middle."""

# Stand-ins, which `svg` replaces by the custom properties of page.css.
INK, SOFT, GRID = "#010203", "#040506", "#070809"
SERIES = ("#0a0b0c", "#0d0e0f", "#101112", "#131415", "#161718", "#191a1b")
VARIABLES = {INK: "--ink", SOFT: "--soft", GRID: "--line"} | {
    color: f"--series-{number}" for number, color in enumerate(SERIES, start=1)
}

# Five dashes and six colors give 30 different lines, also without color.
DASHES: tuple[object, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = "osD^vP"

Point = tuple[float, float]
Draw = Callable[["Axes"], None]


def svg(draw: Draw, height: float = HEIGHT, salt: str = "") -> str:
    """Return a plot as an ``<svg>`` element that fills the width of its parent.

    Args:
        draw: Draws onto the axes; a legend is added if it labels anything.
        height: Height of the axes in inches.
        salt: Text that differs between the plots of a page, whose element names must differ.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    rc_context = matplotlib().rc_context
    figures = require("matplotlib.figure", extra="reports")
    with rc_context(_style() | {"svg.hashsalt": printable(salt)}), warnings.catch_warnings():
        # The browser has fonts for the characters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = figures.Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        handles, labels = axes.get_legend_handles_labels()
        if labels:
            texts = [textwrap.fill(printable(label), LABEL_WIDTH) for label in labels]
            lines = sum(text.count("\n") + 1 for text in texts)
            figure.set_figheight(height + 0.18 * lines)
            figure.legend(handles, texts, loc="outside lower left")
        written = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=nothing)
    return _for_page(written.getvalue())


def lines_or_bars(axes: Axes, series: Mapping[str, Sequence[Point]], across: str, up: str) -> None:
    """Plot series of positive values over a number, or bars where that number is one and the same.

    Args:
        axes: Axes to draw onto.
        series: Points x, y by label; at least one point each.
        across, up: Labels of x and y.
    """
    places = {x for points in series.values() for x, _ in points}
    if len(places) == 1:
        bars(axes, [(label, points[-1][1]) for label, points in series.items()], up)
        return
    for number, (label, points) in enumerate(series.items()):
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(*zip(*sorted(points)), marker=marker, label=label)
    values = [y for points in series.values() for _, y in points]
    axes.set(xlabel=across, ylabel=up)
    if _spans_log(places):
        log_scale(axes, "x")
    elif min(np.diff(sorted(places))) >= CROWDED * (max(places) - min(places)):
        axes.set_xticks(sorted(places))
    if _spans_log(values):
        log_scale(axes, "y")
    else:
        axes.set_ylim(0, max(values) * 1.05 or 1)
    axes.grid()


def bars(axes: Axes, values: Sequence[tuple[str, float]], across: str, colors: Sequence[str] = ()) -> None:
    """Draw a horizontal bar from zero for each named value, the first on top, with its value beside it.

    Args:
        axes: Axes to draw onto.
        values: Names and values; a value that is not finite has no bar.
        across: Label of the values.
        colors: Color of each bar, from `SERIES`; the first color by default.
    """
    places = range(len(values))
    numbers = [value for _, value in values]
    finite = [value for value in numbers if math.isfinite(value)]
    low, high = min([0, *finite]), max([0, *finite])
    span = high - low or 1
    axes.barh(places, numbers, height=0.65, color=colors or SERIES[0])
    for place, value in zip(places, numbers):
        beside = max(value, 0) if math.isfinite(value) else 0
        axes.annotate(
            f"{value:.4g}", (beside, place), (3, 0), textcoords="offset points", va="center", size=9
        )
    axes.set_yticks(places, [shortened(printable(name)) for name, _ in values])
    axes.tick_params(axis="y", length=0)
    room = 0.18 * span  # for the number beside the longest bar
    axes.set(xlim=(low - (0.04 * span if low else 0), high + room), ylim=(len(values) - 0.4, -0.6))
    axes.set_xlabel(across)
    axes.grid(axis="x")


def bars_height(count: int) -> float:
    """Return the height in inches of a plot of this many bars."""
    return 0.8 + 0.24 * max(count, 1)


def fit_counts(axes: Axes, counts: Iterable[float]) -> None:
    """Make the y axis start at zero with whole numbers: logarithmic only if the counts span it."""
    from matplotlib.ticker import MaxNLocator

    positive = [count for count in counts if count > 0]
    if positive and max(positive) >= LOG_SPAN * min(positive):
        log_scale(axes, "y", "symlog")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_ylim(0, max(positive, default=1) * 1.08)


def log_scale(axes: Axes, name: Literal["x", "y"], scale: Literal["log", "symlog"] = "log") -> None:
    """Make an axis logarithmic, with the unit prefixes k, M, G, T for large numbers."""
    from matplotlib.ticker import EngFormatter, FuncFormatter

    prefixed = EngFormatter(sep="")
    axes.set(**{f"{name}scale": scale})
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: prefixed(value) if value >= 1 else f"{value:g}"))


def shortened(name: str) -> str:
    """Return a name of at most `NAME_WIDTH` characters, without its middle if it is longer."""
    half = (NAME_WIDTH - 1) // 2
    return name if len(name) <= NAME_WIDTH else f"{name[:half]}…{name[-half:]}"


def printable(text: str) -> str:
    r"""Return a text that can be encoded: a byte of a file name that is not UTF-8 becomes ``\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode()


def _spans_log(values: Iterable[float]) -> bool:
    """Return whether values are positive and span a logarithmic axis."""
    found = list(values)
    return min(found) > 0 and max(found) >= LOG_SPAN * min(found)


def _style() -> dict[str, object]:
    """Return matplotlib's settings: text as text, which scales, is found by a search and can be copied."""
    from cycler import cycler

    looks = math.lcm(len(SERIES), len(DASHES))
    dashes = [DASHES[number % len(DASHES)] for number in range(looks)]
    colors = [SERIES[number % len(SERIES)] for number in range(looks)]
    return {
        "svg.fonttype": "none",
        "text.parse_math": False,  # a label may contain two dollar signs
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9.5,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "legend.fontsize": 9,
        "legend.frameon": False,
        "legend.handlelength": 3,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.edgecolor": SOFT,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "grid.color": GRID,
        "patch.facecolor": SERIES[0],
        "lines.markersize": 5,
        "axes.prop_cycle": cycler(color=colors) + cycler(linestyle=dashes),
    }


def _for_page(written: str) -> str:
    """Return the ``<svg>`` of a file of matplotlib, for a page that sets its size, colors and font."""
    text = written[written.index("<svg") :]
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    # Groups are numbered from one in each plot, and nothing refers to them.
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = text.replace("font-family: 'DejaVu Sans', sans-serif; ", "").replace(
        "font-family: 'DejaVu Sans'; ", ""
    )
    return re.sub("|".join(VARIABLES), lambda color: f"var({VARIABLES[color[0]]})", text)
