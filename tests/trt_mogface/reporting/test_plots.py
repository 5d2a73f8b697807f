"""Axes that fit their data, and SVG that a page can color."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trt_mogface.reporting.html import TEMPLATES, plot
from trt_mogface.reporting.plots import (
    NAME_WIDTH,
    SERIES,
    VARIABLES,
    bars,
    fit_counts,
    lines_or_bars,
    shortened,
    svg,
)

Points = Sequence[tuple[float, float]]


def drawn(*series: Points) -> Axes:
    axes = Figure().subplots()
    lines_or_bars(axes, {f"series {number}": each for number, each in enumerate(series)}, "batch", "images/s")
    return axes


def test_a_single_batch_is_bars_from_zero() -> None:
    axes = drawn([(1, 400.0)], [(1, 300.0)])
    assert not axes.lines
    assert [bar.get_width() for bar in axes.patches] == [400, 300]  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["series 0", "series 1"]
    assert axes.get_xlim()[0] == 0
    assert "400" in [text.get_text() for text in axes.texts]


def test_several_batches_are_lines_over_the_batches_measured() -> None:
    axes = drawn([(8, 300.0), (1, 100.0), (2, 200.0)])
    (line,) = axes.lines
    assert np.asarray(line.get_xdata()).tolist() == [1, 2, 8]
    assert axes.get_xticks().tolist() == [1, 2, 8]
    assert axes.get_ylim()[0] == 0
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


def test_an_axis_is_logarithmic_only_if_its_values_span_it() -> None:
    assert drawn([(1, 1.0), (2, 99.0)]).get_yscale() == "linear"
    assert drawn([(1, 1.0), (2, 100.0)]).get_yscale() == "log"
    assert drawn([(1, 0.0), (2, 1000.0)]).get_yscale() == "linear"
    assert drawn([(1, 1.0), (128, 2.0)]).get_xscale() == "log"


def test_values_that_are_all_the_same_have_an_axis_from_zero() -> None:
    assert drawn([(1, 5.0), (2, 5.0)]).get_ylim() == pytest.approx((0, 5.25))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn([(1, 0.0), (2, 0.0)]).get_ylim() == (0, 1)
        assert drawn([(1, 0.0)]).get_xlim()[0] == 0


def test_few_counts_have_a_linear_axis_of_whole_numbers() -> None:
    for counts in ([1], [0, 3, 7], [1, 99], [0, 0]):
        axes = Figure().subplots()
        fit_counts(axes, counts)
        assert axes.get_yscale() == "linear"
        assert axes.get_ylim()[0] == 0
        assert all(float(tick).is_integer() for tick in axes.get_yticks())
    axes = Figure().subplots()
    fit_counts(axes, [0, 2, 500])
    assert axes.get_yscale() == "symlog"


def test_bars_may_be_negative_or_missing() -> None:
    axes = Figure().subplots()
    bars(axes, [("a", -1.0), ("b", 2.0), ("c", float("nan"))], "drift")
    assert axes.get_xlim()[0] < -1
    assert axes.get_xlim()[1] > 2


def test_long_names_lose_their_middle() -> None:
    assert shortened("a" * NAME_WIDTH) == "a" * NAME_WIDTH
    name = shortened("begin" + "x" * 99 + "end")
    assert len(name) == NAME_WIDTH - 1
    assert name.startswith("begin")
    assert name.endswith("end")


def test_text_stays_text_and_colors_are_those_of_the_page() -> None:
    label = "a$b$ <c> & 猫 \udcff"
    text = svg(partial(lines_or_bars, series={label: [(1, 2), (2, 1e4)]}, across="a", up="b"))
    assert text.startswith("<svg")
    assert "a$b$ &lt;c&gt; &amp; 猫 \\udcff" in text
    assert "mathdefault" not in text
    assert not re.search(r"#[0-9a-f]{6}\b", text)
    assert {*re.findall(r"var\((--[\w-]+)\)", text)} <= {*VARIABLES.values()}
    assert "--series-1" in text


def test_element_names_of_two_plots_differ() -> None:
    draw = partial(lines_or_bars, series={"a": [(1, 2), (2, 3)]}, across="a", up="b")
    both = [re.findall(r' id="([^"]+)"', str(plot(draw, caption, "text"))) for caption in ("first", "second")]
    assert all(both)
    assert len({*both[0], *both[1]}) == len(both[0]) + len(both[1])
    assert str(plot(draw, "first", "text")) == str(plot(draw, "first", "text"))


def _page_colors(dark: bool) -> NDArray[np.float64]:
    """Return the colors of the series in the style sheet, RGB within 0..1."""
    style = (TEMPLATES / "page.css").read_text()
    found = re.findall(r"--series-\d: light-dark\(#(\w{6}), #(\w{6})\)", style)
    assert len(found) == len(SERIES)
    return np.array([[int(each[dark][i : i + 2], 16) / 255 for i in (0, 2, 4)] for each in found])


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "none": np.eye(3).tolist(),
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("kind", BLINDNESS)
def test_colors_differ_with_color_blindness(kind: str, dark: bool) -> None:
    colors = _page_colors(dark)
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1)
    lab = _lab(seen)
    closest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2))
    assert closest > 20  # CIE76; 2.3 is just noticeable


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratios = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
