"""The spec as JSON: a round trip for good ones, one line of `ModelError` for the others."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.specs import MOGFACE, one_line, small_spec
from trt_mogface.errors import ModelError
from trt_mogface.spec import (
    BoxCoding,
    Coding,
    DetectorSpec,
    InputSpec,
    Level,
    Origin,
    Thresholds,
)

FRACTIONS = st.floats(0, 1)
LONGEST = st.tuples(st.integers(1, 5000), st.integers(1, 5000)) | st.just((None, None))


@st.composite
def specs(draw: st.DrawFn) -> DetectorSpec:
    strides = sorted(draw(st.sets(st.integers(1, 512), min_size=1, max_size=6)))
    sides = st.lists(st.floats(0.125, 4096), min_size=1, max_size=3).map(tuple)
    over, to = draw(LONGEST)
    return DetectorSpec(
        name=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}", fullmatch=True)),
        levels=tuple(Level(stride, draw(sides)) for stride in strides),
        coding=BoxCoding(
            draw(st.sampled_from(get_args(Coding))),
            variances=(draw(st.floats(0.01, 2)), draw(st.floats(0.01, 2))),
            center=draw(FRACTIONS),
        ),
        thresholds=Thresholds(
            draw(FRACTIONS),
            draw(FRACTIONS),
            draw(st.integers(1, 10**6)),
            draw(st.integers(1, 9999)),
            draw(st.booleans()),
        ),
        input=InputSpec(draw(st.integers(1, 256)), draw(st.tuples(*[st.integers(0, 255)] * 3)), over, to),
        origin=Origin(draw(st.text()), draw(st.text()), draw(st.text())),
        landmarks=draw(st.sampled_from([0, 5])),
    )


@settings(max_examples=100, deadline=None)
@given(specs())
def test_json_round_trip(spec: DetectorSpec) -> None:
    text = spec.to_json()
    assert "\n" not in text
    again = DetectorSpec.from_json(text)
    assert again == spec
    assert hash(again) == hash(spec)


def changed(path: str, value: Any) -> str:
    """JSON of a good spec with one value replaced; the path's parts are joined by dots."""
    fields = json.loads(MOGFACE.to_json())
    *parents, last = path.split(".")
    place = fields
    for parent in parents:
        place = place[parent]
    assert last in place
    place[last] = value
    return json.dumps(fields)


def missing(path: str) -> str:
    fields = json.loads(MOGFACE.to_json())
    *parents, last = path.split(".")
    place = fields
    for parent in parents:
        place = place[parent]
    del place[last]
    return json.dumps(fields)


def refused(text: str) -> str:
    with pytest.raises(ModelError) as error:
        DetectorSpec.from_json(text)
    return one_line(error.value)


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "7", '"spec"', "{}", '{"contract": 1}', "\x00\xff", "[" * 500]
)
def test_garbage_is_refused(text: str) -> None:
    refused(text)


@settings(max_examples=40, deadline=None)
@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        DetectorSpec.from_json(text)


@pytest.mark.parametrize("version", [0, 2, "1", None, 99])
def test_another_contract_version_is_named(version: Any) -> None:
    message = refused(changed("contract", version))
    assert f"contract version {version}" in message
    assert "export the model again" in message


@pytest.mark.parametrize(
    "path",
    [
        "contract",
        "name",
        "levels",
        "coding",
        "coding.kind",
        "coding.variances",
        "selection",
        "selection.score_threshold",
        "selection.iou_threshold",
        "resize",
        "resize.pad",
        "origin",
        "origin.license",
    ],
)
def test_a_missing_field_is_refused(path: str) -> None:
    refused(missing(path))


def test_an_unknown_field_is_refused() -> None:
    fields = json.loads(MOGFACE.to_json())
    for inner in (fields, fields["coding"], fields["levels"][0]):
        inner["color"] = "blue"
        assert "does not know" in refused(json.dumps(fields))
        del inner["color"]


IMPOSSIBLE = [
    ("levels", []),
    ("levels", [{"stride": 8, "sides": []}]),
    ("levels", [{"stride": 0, "sides": [16]}]),
    ("levels", [{"stride": -8, "sides": [16]}]),
    ("levels", [{"stride": 16, "sides": [16]}, {"stride": 8, "sides": [16]}]),
    ("levels", [{"stride": 8, "sides": [16]}, {"stride": 8, "sides": [32]}]),
    ("levels", [{"stride": 8, "sides": [0]}]),
    ("levels", [{"stride": 8, "sides": [math.nan]}]),
    ("levels", [{"stride": 8, "sides": [math.inf]}]),
    ("levels", [{"stride": math.inf, "sides": [8]}]),
    ("levels", "none"),
    ("coding.kind", "yolo"),
    ("coding.kind", ["ssd"]),
    ("coding.variances", [0.1]),
    ("coding.variances", "no"),
    ("selection.score_threshold", 1.5),
    ("selection.score_threshold", -0.1),
    ("selection.score_threshold", math.nan),
    ("selection.score_threshold", "0.5"),
    ("selection.iou_threshold", 7),
    ("selection.top_k", 0),
    ("selection.max_detections", -1),
    ("resize.multiple", 0),
    ("resize.pad", [0, 0]),
    ("resize.pad", [0, 0, 256]),
    ("resize.pad", [-1, 0, 0]),
    ("resize.longest_over", None),
    ("resize.longest_to", None),
    ("resize.longest_to", -5),
    ("landmarks", 3),
    ("landmarks", -5),
]


@pytest.mark.parametrize(("path", "value"), IMPOSSIBLE)
def test_impossible_values_are_refused(path: str, value: Any) -> None:
    refused(changed(path, value))


ACCEPTED_BY_MISTAKE = [
    ("selection.top_k", 2.5),
    ("selection.top_k", math.inf),
    ("selection.max_detections", 1.5),
    ("selection.inclusive_areas", "no"),
    ("coding.center", math.nan),
    ("coding.center", "middle"),
    ("coding.variances", [math.nan, 1.0]),
    ("coding.variances", [0.1, math.inf]),
    ("resize.multiple", 1.5),
    ("name", 5),
    ("origin.license", ["MIT"]),
]


@pytest.mark.parametrize(("path", "value"), ACCEPTED_BY_MISTAKE)
def test_values_of_another_type_or_not_finite_are_refused(path: str, value: Any) -> None:
    refused(changed(path, value))


def test_a_name_that_is_a_path_is_refused() -> None:
    refused(changed("name", "../../escaped"))


def test_deeply_nested_json_is_refused() -> None:
    refused("[" * 100_000)


def test_impossible_values_are_refused_in_python_too() -> None:
    with pytest.raises(ModelError, match=r"0\.\.1"):
        dataclasses.replace(MOGFACE, thresholds=Thresholds(2.0, 0.4))


@pytest.mark.parametrize(("height", "width", "count"), [(8, 8, 4), (1, 1, 4), (9, 17, 16), (640, 640, 16000)])
def test_anchor_count(height: int, width: int, count: int) -> None:
    assert small_spec().anchor_count(height, width) == count
