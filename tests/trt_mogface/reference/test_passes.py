"""Which further passes an image needs, and where it lies in them."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.specs import MOGFACE, small_spec
from trt_mogface.reference.passes import (
    MAX_PASSES,
    Scales,
    content_limit,
    largest_face,
    merge_limits,
    reduce,
    reductions,
    smallest_face,
)
from trt_mogface.reference.resize import place_letterbox, place_native, place_stretch
from trt_mogface.spec import DetectorSpec, Level

SPEC = dataclasses.replace(
    small_spec(), levels=(Level(8, (16.0, 32.0)), Level(16, (64.0, 128.0)), Level(32, (256.0, 512.0)))
)
LARGEST = 512 / math.sqrt(0.35)  # 865 pixels

specs = st.builds(
    lambda first, count, limit: dataclasses.replace(
        SPEC, levels=tuple(Level(8 << i, (first * 2.0**i,), limit) for i in range(count))
    ),
    st.floats(4, 64),
    st.integers(1, 6),
    st.sampled_from([None, 100.0, 4000.0]),
)
sides = st.integers(1, 10_000)


def test_the_limits_of_a_network_follow_from_its_anchors() -> None:
    assert largest_face(SPEC) == pytest.approx(LARGEST)
    assert smallest_face(SPEC) == pytest.approx(16 * math.sqrt(0.35))


@pytest.mark.parametrize("canvas", [(1, 1), (640, 640), (864, 864), (480, 9000)])
def test_where_no_larger_face_fits_there_is_one_pass(canvas: tuple[int, int]) -> None:
    assert reductions(canvas, SPEC) == reductions(canvas, SPEC, "native") == reductions(canvas, SPEC, 1) == ()


@pytest.mark.parametrize(
    ("canvas", "scales"),
    [((896, 896), (0.35,)), ((1088, 1920), (0.35,)), ((3008, 4000), (LARGEST / 3008,))],
)
def test_one_pass_covers_what_the_first_does_not(canvas: tuple[int, int], scales: tuple[float, ...]) -> None:
    assert reductions(canvas, SPEC) == pytest.approx(scales)
    assert reductions(canvas, SPEC, "native") == ()


def test_a_network_of_few_anchors_needs_several_passes() -> None:
    spec = dataclasses.replace(SPEC, levels=(Level(32, (512.0,)),))
    first, second = reductions((3000, 3000), spec)
    assert second == pytest.approx(0.35**2)
    assert first == pytest.approx(0.35)


@given(specs, sides, sides)
def test_all_faces_are_covered_without_a_gap(spec: DetectorSpec, height: int, width: int) -> None:
    found = reductions((height, width), spec)
    scales = (1.0, *found)
    assert list(scales) == sorted(set(scales), reverse=True)
    assert len(scales) < MAX_PASSES
    assert min(height, width) * scales[-1] <= largest_face(spec) * (1 + 1e-9)
    assert bool(found) == (min(height, width) > largest_face(spec))
    if spec.levels[0].max_face != 100:  # else the spec may say that no face suits an anchor
        for finer, coarser in pairwise(scales):
            assert smallest_face(spec) / coarser <= largest_face(spec) / finer * (1 + 1e-9)


@given(specs, sides, sides, st.integers(1, MAX_PASSES))
def test_a_number_is_that_of_all_passes(spec: DetectorSpec, height: int, width: int, number: int) -> None:
    found = reductions((height, width), spec, number)
    assert len(found) == number - 1
    assert min(height, width) * min(found, default=0.0) <= largest_face(spec) * (1 + 1e-9)
    assert all(coarser < finer for finer, coarser in zip((1.0, *found), found))


def test_images_that_hold_no_larger_face_take_part_in_no_further_pass() -> None:
    assert content_limit(SPEC, "full") == largest_face(SPEC)
    assert content_limit(SPEC, 2) == 0


@pytest.mark.parametrize("size", [(1080, 1920), (3000, 3000), (866, 5000), (1, 7000), (1499, 1001)])
@pytest.mark.parametrize("scales", ["full", 2, 4])
def test_a_reduced_image_keeps_its_shape_and_lies_in_its_canvas(
    size: tuple[int, int], scales: Scales
) -> None:
    for first in (
        place_native(*size, MOGFACE.input),
        place_letterbox(*size, (1088, 1920)),
        place_stretch(*size, (1000, 900)),
    ):
        for scale in reductions(first.canvas, SPEC, scales):
            placed = reduce(first, *size, scale, 32)
            assert placed.scale == (first.scale[0] * scale, first.scale[1] * scale)
            for side, content, across, canvas, of in zip(
                size, placed.content, placed.scale[::-1], placed.canvas, first.canvas
            ):
                assert content == max(1, round(side * across))
                assert content <= canvas <= of
                assert canvas % 32 == 0 or canvas == of
                assert canvas - of * scale < 32


def test_images_of_one_canvas_share_the_reduced_one() -> None:
    canvas = (1088, 1920)
    (scale,) = reductions(canvas, SPEC)
    sizes = [(1080, 1920), (3000, 4000), (1920, 1080), (1080, 1081)]
    assert {reduce(place_letterbox(*size, canvas), *size, scale, 32).canvas for size in sizes} == {(384, 672)}


def test_a_canvas_smaller_than_the_multiple_stays_as_it_is() -> None:
    first = place_letterbox(40, 40, (20, 20))
    assert reduce(first, 40, 40, 0.35, 32).canvas == (20, 20)


@given(specs, sides, sides, st.sampled_from(["full", 2, 4]))
def test_large_faces_have_anchors_in_the_pass_that_overrules_them(
    spec: DetectorSpec, height: int, width: int, scales: Scales
) -> None:
    passes = (1.0, *reductions((height, width), spec, scales))
    for finer, scale in pairwise(passes):
        limits = merge_limits(spec, finer, scale)
        assert math.sqrt(limits.large) * scale >= spec.levels[0].sides[0] * (1 - 1e-9)
        assert math.sqrt(limits.large) * finer >= 0.35 * largest_face(spec) * (1 - 1e-9)
        assert math.sqrt(limits.visible) * scale == pytest.approx(smallest_face(spec))


def test_at_full_hd_faces_from_303_pixels_on_are_large() -> None:
    limits = merge_limits(SPEC, 1.0, 0.35)
    assert math.sqrt(limits.large) == pytest.approx(0.35 * LARGEST)
    assert math.sqrt(limits.visible) == pytest.approx(27, abs=0.1)
