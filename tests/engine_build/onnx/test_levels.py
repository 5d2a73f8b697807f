"""Which levels a smallest face leaves out."""

from __future__ import annotations

import math

import pytest

from engine_build.onnx.pyramid import levels_left_out
from tests.support.specs import MOGFACE, one_line
from trt_mogface.errors import ArgumentError
from trt_mogface.spec import Level


@pytest.mark.parametrize("level", MOGFACE.levels, ids=str)
def test_the_largest_face_overlaps_its_anchor_just_enough(level: Level) -> None:
    side = level.largest_face
    assert level.sides[0] ** 2 / side**2 == pytest.approx(0.35)  # IoU of a square inside another


def test_levels_go_one_by_one_as_faces_grow() -> None:
    limits = [level.largest_face for level in MOGFACE.levels]
    for index, limit in enumerate(limits[:-1]):
        assert levels_left_out(MOGFACE, limit) == index
        assert levels_left_out(MOGFACE, math.nextafter(limit, math.inf)) == index + 1


@pytest.mark.parametrize("min_face", [0, -5, math.nan, math.inf, -math.inf, 1e9])
def test_impossible_sizes_are_one_line(min_face: float) -> None:
    with pytest.raises(ArgumentError) as error:
        levels_left_out(MOGFACE, min_face)
    assert error.value.argument == "min_face"
    assert "min_face" in one_line(error.value)
