"""Options: refused before a model is loaded, and resolved with a model's own values."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest

from tests.support.specs import one_line, small_spec
from trt_mogface.backends.options import DetectorOptions, SlotOptions, check_options
from trt_mogface.errors import ArgumentError
from trt_mogface.spec import UNLIMITED, DetectorSpec, InputSpec

SPEC = small_spec()
FIXED = dataclasses.replace(SPEC, input=InputSpec(size=(320, 240), resize="stretch", strict=True))


def resolved(spec: DetectorSpec = SPEC, **options: Any) -> SlotOptions:
    given = cast(DetectorOptions, options)
    check_options(given)
    return SlotOptions.resolve(spec, given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("conf", "iou") for value in (-0.1, 1.1, float("nan"), float("inf"))],
        *[(name, value) for name in ("top_k", "max_det") for value in (0, -1, UNLIMITED + 1)],
        *[("min_face", value) for value in (0, -3, float("nan"), float("inf"))],
        *[("threads", value) for value in (0, -1)],
        *[("size", value) for value in ((0, 640), (640, -1), (1 << 20, 1 << 20), (640,))],
        *[("scales", value) for value in ("half", 0, -1, 9, 1.0, True, (1, 2))],
        *[(name, value) for name in ("conf", "iou", "top_k", "threads") for value in ("1", [1], True)],
        *[("threads", value) for value in (1.5, None.__class__)],
        *[("size", value) for value in (0, -640, True, 640.0, "640", (640, "x"), (640, 640, 3), {640})],
        *[("providers", value) for value in ([], "CUDAExecutionProvider", [1], {"a": 1}, 3)],
        *[(name, value) for name in ("pad", "shrink", "clip") for value in ("no", 1)],
        *[(name, 3) for name in ("weights", "provider")],
        ("confidence", 0.5),
    ],
)
def test_impossible_options_name_their_argument(name: str, value: object) -> None:
    with pytest.raises(ArgumentError) as error:
        check_options(cast(DetectorOptions, {name: value}))
    assert error.value.argument == name
    one_line(error.value)


def test_none_leaves_everything_to_the_model() -> None:
    names = DetectorOptions.__annotations__
    options = resolved(SPEC, **{name: None for name in names if name not in ("pad", "shrink", "clip")})
    assert options == resolved() == SlotOptions(SPEC, SPEC.thresholds)
    assert options.info.thresholds == SPEC.thresholds
    assert (options.info.name, options.info.landmarks) == (SPEC.name, SPEC.landmarks)


def test_thresholds_are_the_callers_else_the_models() -> None:
    found = resolved(conf=0.25, max_det=7).thresholds
    assert found == dataclasses.replace(SPEC.thresholds, score_threshold=0.25, max_detections=7)
    assert resolved(conf=0.0, iou=0.0).thresholds.score_threshold == 0.0


def test_a_size_is_the_callers_else_the_models() -> None:
    loose = dataclasses.replace(FIXED, input=dataclasses.replace(FIXED.input, strict=False))
    assert resolved(size=(64, 32)).canvas == (32, 64)
    assert resolved(loose).canvas == (240, 320)
    assert resolved(loose, size=(64, 32)).canvas == (32, 64)
    assert resolved(loose, size="native").canvas is None
    assert resolved(size="native").canvas is None
    assert resolved(size=64).canvas == resolved(size=np.int64(64)).canvas == (64, 64)
    assert resolved(size=np.array([64, 32]).tolist()).canvas == (32, 64)


def test_a_strict_network_refuses_other_sizes() -> None:
    assert resolved(FIXED).canvas == resolved(FIXED, size=(320, 240)).canvas == (240, 320)
    multiples = dataclasses.replace(SPEC, input=InputSpec(multiple=32, strict=True))
    assert resolved(multiples, size=(64, 32)).canvas == (32, 64)
    refused: list[tuple[DetectorSpec, str, dict[str, Any]]] = [
        (FIXED, "size", {"size": "native"}),
        (FIXED, "size", {"size": (240, 320)}),
        (multiples, "size", {"size": (65, 32)}),
        (multiples, "pad", {"pad": False}),
        (FIXED, "scales", {"scales": 2}),
    ]
    for spec, argument, options in refused:
        with pytest.raises(ArgumentError) as error:
            resolved(spec, **options)
        assert error.value.argument == argument
        one_line(error.value)


def test_images_are_placed_as_the_options_say() -> None:
    assert resolved().place(30, 40).canvas == (32, 64)
    assert resolved(pad=False).place(30, 40).canvas == (30, 40)
    letterbox = resolved(size=(64, 64)).place(30, 60)
    assert (letterbox.content, letterbox.canvas) == ((32, 64), (64, 64))
    stretched = resolved(FIXED).place(120, 640)
    assert (stretched.content, stretched.scale) == ((240, 320), (0.5, 2.0))
    limited = dataclasses.replace(SPEC, input=InputSpec(longest_over=100, longest_to=50, multiple=1))
    assert resolved(limited).place(100, 200).content == (25, 50)
    assert resolved(limited, shrink=False).place(100, 200).content == (100, 200)


def test_scales_are_passes_over_the_image() -> None:
    large, small = (resolved().place(*size) for size in ((300, 300), (100, 100)))  # faces up to 108 pixels
    assert resolved() == resolved(scales="full") == resolved(scales=None)
    assert len(resolved().further([small, large])) == 1
    assert resolved().further([small]) == resolved(scales="native").further([large]) == ()
    assert [len(resolved(scales=np.int64(n)).further([small])) for n in (1, 2, 3)] == [0, 1, 2]
    canvas = resolved(size=(1920, 1088))  # the content decides which images of a canvas take part
    assert [canvas.needs_further(canvas.place(*size)) for size in ((1080, 1920), (100, 4000))] == [
        True,
        False,
    ]
    assert resolved(scales=2).needs_further(small)
    assert not resolved().needs_further(small)
    assert resolved().reduce(large, 300, 300, 0.35).canvas == (128, 128)
    assert resolved(pad=False).reduce(resolved(pad=False).place(300, 300), 300, 300, 0.35).canvas == (
        105,
        105,
    )


def test_a_network_of_one_size_has_one_pass() -> None:
    for scales in (None, "full", "native", 1):
        options = resolved(FIXED, scales=scales)
        assert options.further([options.place(900, 900)]) == ()
