from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.support.specs import one_line
from tests.trt_mogface.bench.roofline.test_bound import found
from trt_mogface.bench.roofline import HEAD, Roofline, Times, draw, rows
from trt_mogface.errors import ArgumentError

TIMES = Times({"heavy": 10.0, "moved": 3.0}, total=22.0, matched=0.6, runs=3)


def drawn(*found: Roofline) -> Axes:
    axes = Figure().subplots()
    draw(axes, found)
    return axes


def points(whole: Roofline) -> list[tuple[float, float]]:
    axes = drawn(whole)
    offsets = [np.asarray(each.get_offsets(), np.float64) for each in axes.collections]
    return sorted((float(across), float(up)) for across, up in np.concatenate(offsets))


def test_the_table_has_the_longest_layers_first_and_the_whole_last() -> None:
    table = rows(found(), top=2)
    assert [row[0] for row in table] == ["heavy", "moved", "all layers (4)"]
    assert {len(row) for row in table} == {len(HEAD)}
    assert table[0] == ("heavy", "Conv", "0.0", "0.00", "50.0", "5000000.0", "45.5%", "compute", "", "")
    assert table[-1][5:] == ("11000000.0", "100.0%", "memory 45%", "", "")


def test_measured_layers_have_their_time_and_share_and_others_have_none() -> None:
    table = {row[0]: row[-2:] for row in rows(found(TIMES))}
    assert table == {
        "heavy": ("10000000.0", "50%"),
        "moved": ("3000000.0", "100%"),
        "light": ("", ""),
        "edge": ("", ""),
        "all layers (4)": ("22000000.0", "50%"),
    }


def test_layers_stand_at_their_bound_or_where_they_were_measured() -> None:
    # Intensity, and operations a second at the bound: 5000 / 5 s, 1000 / 2 s, 1000 / 1 s.
    assert points(found()) == [(5.0, 500.0), (10.0, 1000.0), (50.0, 1000.0)]
    assert points(found(TIMES)) == [(5.0, 500.0), (10.0, 1000.0), (50.0, 500.0)]


def test_a_roof_rises_with_the_bandwidth_up_to_the_rate() -> None:
    axes = drawn(found())
    (line,) = axes.lines
    assert np.asarray(line.get_xdata()).tolist() == [2.5, 10.0, 100.0]
    assert np.asarray(line.get_ydata()).tolist() == [250.0, 1000.0, 1000.0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_several_roofs_share_a_chart() -> None:
    axes = drawn(found(), found(TIMES))
    assert len(axes.lines) == 2
    assert len({line.get_color() for line in axes.lines}) == 2


def test_nothing_to_draw_is_refused_in_a_line() -> None:
    with pytest.raises(ArgumentError, match="at least one") as caught:
        drawn()
    one_line(caught.value)
