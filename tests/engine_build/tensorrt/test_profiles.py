"""Optimization profiles from texts, and the messages for other texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_build.tensorrt.profiles import parse_profiles
from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError
from trt_mogface.models.manifest import Profile

DEFAULT = Profile((1, 224, 224), (1, 640, 640), (8, 1280, 1280))


def fixed(batch: int, height: int, width: int) -> Profile:
    return Profile(*[(batch, height, width)] * 3)


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("1x224x224:1x640x640:8x1280x1280", DEFAULT),
        ("1x224x224x3:1x640x640x3:8x1280x1280x3", DEFAULT),
        ("1x224x224:1x640x640x3:8x1280x1280", DEFAULT),
        ("1x480x640", fixed(1, 480, 640)),  # height before width
        ("4x480x640x3", fixed(4, 480, 640)),
        ("1x1x1", fixed(1, 1, 1)),
        ("16x16384x16384", fixed(16, 16384, 16384)),
        ("001x0032x64", fixed(1, 32, 64)),
        ("1x8x8:1x8x8:1x8x8", fixed(1, 8, 8)),
        ("1x32x64:2x32x64:3x64x64", Profile((1, 32, 64), (2, 32, 64), (3, 64, 64))),
    ],
)
def test_forms(text: str, profile: Profile) -> None:
    assert parse_profiles([text]) == (profile,)


@pytest.mark.parametrize("given", [None, []])
def test_without_shapes_there_is_a_default(given: list[str] | None) -> None:
    assert parse_profiles(given) == (DEFAULT,)


def test_several_profiles_keep_their_order() -> None:
    texts = ["8x64x64", "1x32x32:1x64x64:1x96x96", "8x64x64"]
    changing = Profile((1, 32, 32), (1, 64, 64), (1, 96, 96))
    assert parse_profiles(texts) == (fixed(8, 64, 64), changing, fixed(8, 64, 64))


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    sizes = [sorted(draw(st.tuples(*[st.integers(1, limit)] * 3))) for limit in (1024, 2048, 2048)]
    shapes = [(batch, height, width) for batch, height, width in zip(*sizes)]
    return Profile(*shapes)


@given(profiles())
def test_what_a_profile_says_is_understood(profile: Profile) -> None:
    assert parse_profiles([str(profile)]) == (profile,)


def test_a_batch_too_large_for_tensorrt_is_refused() -> None:
    assert "4096 megapixels" in refused("17x16384x16384")
    assert "4096 megapixels" in refused("1x64x64:1x64x64:1024x8192x8192")


def refused(*texts: str) -> str:
    with pytest.raises(ArgumentError) as error:
        parse_profiles(list(texts))
    message = one_line(error.value)
    assert "shapes" in message
    return message


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("2x32x32:1x32x32:2x32x32", "batch goes 2, 1, 2"),
        ("1x64x32:1x32x32:1x64x32", "height goes 64, 32, 64"),
        ("1x32x64:1x32x64:1x32x32", "width goes 64, 64, 32"),
        ("1x640x640:1x320x320:1x160x160", "height goes 640, 320, 160"),
    ],
)
def test_the_axis_that_falls_is_named(text: str, axis: str) -> None:
    message = refused(text)
    assert axis in message
    assert text in message


@pytest.mark.parametrize(
    "text",
    ["0x32x32", "1x0x32", "1x32x0", "0x0x0", "1025x32x32", "1x16385x32", "1x32x16385", "999999x1x1"],
)
def test_sizes_that_make_no_sense_are_refused(text: str) -> None:
    assert "1x1x1 and 1024x16384x16384" in refused(text)
    assert "1x1x1 and 1024x16384x16384" in refused(f"1x1x1:{text}:1024x16384x16384")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "nonsense", "1", "320x320", "1x320", "1x320x320x4", "1x320x320x3x3", "1x3x320x320"),
        *("-1x320x320", "1x-320x320", "1.0x320x320", "1e2x3x3", "1xNaNx320", "infx1x1", "axbxc", "1x x1"),
        *("1X320X320", "1,320,320", "1*320*320", " 1x320x320", "1x320x320 ", "1x320x320\n", "0x1x2x3"),
        *("1x320x320:", ":1x320x320", "::", "1x320x320:1x640x640", "1x8x8:1x8x8:1x8x8:1x8x8", "1x8x8::1x8x8"),
        *("1000000x1x1", f"1x{'9' * 5000}x1", "1x320x320;1x320x320;1x320x320", "images:1x320x320x3", "\x00"),
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    if text.isprintable() and len(text) < 100:  # messages show other text shortened, or escaped
        assert text in refused(text)
    with pytest.raises(ArgumentError):
        parse_profiles([text])


def test_one_bad_profile_among_good_ones_is_refused() -> None:
    assert "1x2x" in refused("1x32x32", "1x2x", "1x64x64")
