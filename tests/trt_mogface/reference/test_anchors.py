"""Anchor tables against the published code and against a plain loop."""

from __future__ import annotations

import dataclasses
import math
from types import ModuleType

import numpy as np
import pytest

from tests.support.specs import MOGFACE, small_spec
from trt_mogface.reference.anchors import anchors
from trt_mogface.spec import BoxCoding, DetectorSpec

SIZES = [(640, 640), (97, 131), (1, 1), (33, 5000), (128, 4)]


@pytest.mark.parametrize("size", SIZES)
def test_mogface_anchors_equal_the_published_ones_bit_for_bit(
    mogface_reference: ModuleType, size: tuple[int, int]
) -> None:
    published = mogface_reference.MogPriorBox(scale_list=[0.68])(*size)
    assert published.dtype == np.float32
    assert np.array_equal(anchors(MOGFACE, *size), published)


@pytest.mark.parametrize("size", [(64, 64), (97, 131), (1, 1), (9, 500)])
def test_ssd_anchors_equal_a_plain_loop(size: tuple[int, int]) -> None:
    spec, expected = small_spec("ssd"), []
    for level in spec.levels:
        for row in range(math.ceil(size[0] / level.stride)):
            for column in range(math.ceil(size[1] / level.stride)):
                for side in level.sides:
                    x, y = (column + 0.5) * level.stride, (row + 0.5) * level.stride
                    expected.append([x, y, side, side])
    assert anchors(spec, *size).tolist() == expected


SPREAD = dataclasses.replace(small_spec("ssd"), coding=BoxCoding("ssd", spread=True))


@pytest.mark.parametrize("size", [(64, 64), (97, 131), (1, 1), (9, 500), (240, 320)])
def test_spread_anchors_equal_a_plain_loop(size: tuple[int, int]) -> None:
    """Priors of ULFD (`define_img_size`, `generate_priors`), in pixels."""
    expected = []
    for level in SPREAD.levels:
        rows, columns = (math.ceil(side / level.stride) for side in size)
        for row in range(rows):
            for column in range(columns):
                for side in level.sides:
                    x, y = (column + 0.5) * size[1] / columns, (row + 0.5) * size[0] / rows
                    expected.append([x, y, min(side, size[1]), min(side, size[0])])
    assert np.array_equal(anchors(SPREAD, *size), np.array(expected, np.float32))


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_spread_anchors_are_on_the_strides_where_these_divide_the_size(size: tuple[int, int]) -> None:
    levels = tuple(dataclasses.replace(level, sides=(8.0, 16.0)) for level in SPREAD.levels)
    one, other = (dataclasses.replace(spec, levels=levels) for spec in (SPREAD, small_spec("ssd")))
    assert np.array_equal(anchors(one, *size), anchors(other, *size))


@pytest.mark.parametrize("spec", [MOGFACE, SPREAD, small_spec("ssd"), small_spec("distance")])
@pytest.mark.parametrize("size", SIZES)
def test_the_count_is_the_specs(spec: DetectorSpec, size: tuple[int, int]) -> None:
    table = anchors(spec, *size)
    assert table.shape == (spec.anchor_count(*size), 4)
    assert table.dtype == np.float32


def test_a_cached_table_cannot_be_spoiled() -> None:
    with pytest.raises(ValueError, match="read-only"):
        anchors(MOGFACE, 64, 64)[0, 0] = 1


def test_tables_of_two_specs_or_of_a_turned_size_are_not_mixed_up() -> None:
    assert anchors(small_spec("ssd"), 64, 32).tolist() != anchors(small_spec("ssd"), 32, 64).tolist()
    assert len(anchors(MOGFACE, 64, 32)) != len(anchors(small_spec("ssd"), 64, 32))
