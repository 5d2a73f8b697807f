"""An engine's manifest: a round trip for good ones, one line of `EngineError` for everything else."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.manifests import COMMAND, FIXED, GOOD, ORIN, PLAN, WIDE
from tests.support.specs import MOGFACE, one_line, small_spec
from trt_mogface._json import sealed
from trt_mogface.errors import EngineError
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor, FlavorName
from trt_mogface.models.manifest import (
    FORMAT,
    Layer,
    Manifest,
    Profile,
    load_manifest,
    load_plan,
    manifest_path,
)
from trt_mogface.models.precision import PRECISIONS

HERE = Path("here.engine")

SHAPES = st.tuples(*[st.integers(1, 20000)] * 3)
PROFILES = st.lists(SHAPES, min_size=3, max_size=3).map(
    lambda shapes: Profile(*zip(*map(sorted, zip(*shapes))))
)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
MANIFESTS = st.builds(
    Manifest,
    spec=st.sampled_from([MOGFACE, small_spec(landmarks=5)]),
    precision=st.sampled_from(PRECISIONS),
    multiply_adds=st.dictionaries(st.text(), st.floats(0, 1), max_size=3),
    profiles=st.lists(PROFILES, min_size=1, max_size=3).map(tuple),
    compute_capabilities=st.lists(st.text(), max_size=2).map(tuple),
    layers=st.lists(st.builds(Layer, st.text(), st.text(), st.text()), max_size=3).map(tuple),
    seconds=st.floats(0, allow_infinity=False),
    onnx_sha256=DIGESTS,
    plan_sha256=DIGESTS,
    plan_bytes=st.integers(1, 10**12),
    inputs_sha256=DIGESTS | st.just(""),
)


@settings(max_examples=60, deadline=None)
@given(MANIFESTS)
def test_json_round_trip(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json(), HERE) == manifest


def test_json_is_readable_and_says_its_format() -> None:
    text = GOOD.to_json()
    assert text.endswith("\n")
    assert text.count("\n") > len(dataclasses.fields(Manifest))
    fields = json.loads(text)
    assert fields["format"] == FORMAT
    assert fields["profiles"][1] == [[1, 320, 320], [1, 640, 640], [8, 1280, 1280]]
    assert fields["spec"] == json.loads(MOGFACE.to_json())


def refused(text: str) -> str:
    with pytest.raises(EngineError) as error:
        Manifest.from_json(text, HERE)
    message = one_line(error.value)
    assert str(HERE) in message
    return message


def changed(**values: Any) -> str:
    fields = json.loads(GOOD.to_json())
    assert set(values) <= set(fields)
    del fields["sha256"]
    return json.dumps(sealed(fields | values))


NAMES = ["format", *(field.name for field in dataclasses.fields(Manifest))]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_field_is_refused(name: str) -> None:
    fields = json.loads(GOOD.to_json())
    del fields[name]
    assert "build" in refused(json.dumps(fields))


WRONG: dict[str, list[Any]] = {
    **{name: [None, {"a": None}, [None], [[]], [7]] for name in NAMES},
    "format": [None, "1", True, 1.0, [], {}],
    "seconds": [None, "12.5", True, [], {}],
    "plan_bytes": [None, "5", True, 5.0, math.nan, []],
    "version_compatible": [None, 0, 1, "false", "", []],
    "multiply_adds": [None, [], "int8", 1.0, {"int8": "all"}, {"int8": None}, {"int8": True}],
    "profiles": [None, 5, {"a": 1}, "abc", [5], [[]], [[1, 2, 3]], [[[1, 2, 3]] * 2], [[[1, 2]] * 3]],
    "compute_capabilities": [None, "8.7", 8.7, [8.7], [None], {}],
    "layers": [None, 5, "abc", [5], [[]], ["abc"], [["a", "b"]], [["a", "b", 3]], [["a", "b", "c", "d"]]],
    "spec": [None, 5, [], {}, "spec", {"contract": 1}],
}
OFTEN = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("name", "value"), OFTEN)
def test_a_value_of_another_type_is_refused(name: str, value: Any) -> None:
    refused(changed(**{name: value}))


PROFILE = [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize("size", [1.0, "1", True, None, math.nan, math.inf, [1]])
def test_a_size_that_is_no_whole_number_is_refused(size: Any) -> None:
    refused(changed(profiles=[[*PROFILE, [size, 2, 3]]]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["seconds", "multiply_adds"])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    refused(changed(**{name: {"int8": value} if name == "multiply_adds" else value}))


@pytest.mark.parametrize("version", [0, 1, 5, -1, 99, 10**30])
def test_another_format_is_named(version: int) -> None:
    assert "another release" in refused(changed(format=version))


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", "null", "[]", "7", "NaN", '"manifest"', "{}", "\x00", "\ufeff{}", '{"format": 3}'),
        *("[" * 100_000, '{"a":' * 100_000, '{"format": 3, "spec": ' + "[" * 100_000, "1" * 5000),
        '{"format": ' + "1" * 5000 + "}",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_garbage_is_refused(text: str) -> None:
    refused(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner),
)


@settings(max_examples=60, deadline=None)
@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_refused(text: str) -> None:
    refused(text)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(NAMES), JSON)
def test_any_value_is_read_or_refused(name: str, value: Any) -> None:
    with suppress(EngineError):
        read = Manifest.from_json(changed(**{name: value}), HERE)
        assert isinstance(read, Manifest)


@pytest.mark.parametrize("name", ["seconds", "multiply_adds"])
def test_a_number_that_no_float_holds_is_refused(name: str) -> None:
    huge = 10**400
    refused(changed(**{name: {"int8": huge} if name == "multiply_adds" else huge}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("precision", "fp12"),
        ("flavor", "tensorflow"),
        ("seconds", -1),
        ("plan_bytes", 0),
        ("plan_bytes", -5),
        ("multiply_adds", {"int8": -0.1}),
        ("multiply_adds", {"int8": 1.5}),
        ("plan_sha256", "1" * 63),
        ("onnx_sha256", "G" * 64),
        ("inputs_sha256", "short"),
        ("profiles", [[[2, 64, 64], [1, 64, 64], [1, 64, 64]]]),
        ("profiles", [[[1, 64, 64], [1, 64, 64], [1, 64, 32]]]),
        ("profiles", [[[0, 64, 64], [1, 64, 64], [1, 64, 64]]]),
    ],
)
def test_an_impossible_value_is_refused(name: str, value: object) -> None:
    assert "not a manifest" in refused(changed(**{name: value}))


def test_a_manifest_that_was_changed_is_refused() -> None:
    text = GOOD.to_json()
    for old, new in (
        ('"score_threshold": 0.82', '"score_threshold": 0.28'),
        ("10.3.0", "10.4.0"),
        ("Orin", "Onir"),
    ):
        assert old in text
        assert "changed after it was written" in refused(text.replace(old, new, 1))
    fields = json.loads(text)
    assert Manifest.from_json(json.dumps(fields, sort_keys=True), HERE) == GOOD  # the same content
    fields["format"] = 3
    refused(json.dumps(fields))


def test_a_manifest_of_format_3_is_read() -> None:
    fields = json.loads(GOOD.to_json()) | {"format": 3}
    del fields["sha256"]
    assert Manifest.from_json(json.dumps(fields), HERE) == GOOD


def test_a_manifest_of_format_2_is_upgraded() -> None:
    text = (Path(__file__).parents[2] / "data" / "manifest_format_2.json").read_text(encoding="utf-8")
    assert json.loads(text)["flavour"] == "tensorrt"
    assert json.loads(text)["spec"]["contract"] == 1
    assert Manifest.from_json(text, HERE) == GOOD


@pytest.mark.parametrize(("version", "name"), [(2, "flavor"), (3, "flavour")])
def test_names_of_the_other_format_are_refused(version: int, name: str) -> None:
    fields = json.loads(GOOD.to_json())
    fields[name] = fields.pop("flavor")
    del fields["sha256"]
    refused(json.dumps(fields | {"format": version}))


def test_an_unknown_field_is_refused() -> None:
    refused(json.dumps(json.loads(GOOD.to_json()) | {"a\nb": 1}))


def test_a_refused_spec_is_one_line() -> None:
    refused(changed(spec=json.loads(MOGFACE.to_json()) | {"contract": "1\n2"}))


def test_no_profile_at_all_is_refused() -> None:
    refused(changed(profiles=[]))


def test_a_spec_that_cannot_be_is_refused() -> None:
    spec = json.loads(MOGFACE.to_json())
    spec["thresholds"]["score_threshold"] = 7
    assert "0..1" in refused(changed(spec=spec))


# Files


def test_the_manifest_lies_beside_the_engine() -> None:
    assert manifest_path(Path("folder", "a.b.engine")) == Path("folder", "a.b.engine.json")
    assert manifest_path(Path("model.plan")) == Path("model.plan.json")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "model.engine"
    path.write_bytes(PLAN)
    (tmp_path / "model.engine.json").write_text(GOOD.to_json(), encoding="utf-8")
    return path


def test_both_files_are_read(engine: Path) -> None:
    manifest = load_manifest(engine)
    assert manifest == GOOD
    assert load_plan(engine, manifest) == PLAN


def as_missing(path: Path) -> None:
    path.unlink()


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00" * 99)


def as_empty(path: Path) -> None:
    path.write_bytes(b"")


def as_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", [as_missing, as_folder, as_binary, as_empty, as_half])
def test_a_damaged_manifest_is_one_line(engine: Path, damage: Callable[[Path], None]) -> None:
    damage(manifest_path(engine))
    with pytest.raises(EngineError) as error:
        load_manifest(engine)
    message = one_line(error.value)
    assert str(manifest_path(engine)) in message
    assert "build" in message


def altered(at: int) -> bytes:
    return PLAN[:at] + bytes([PLAN[at] ^ 1]) + PLAN[at + 1 :]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (PLAN[:-1], "truncated"),
        (b"", "truncated"),
        (PLAN + b"\0", "not the engine of its manifest"),
        (altered(0), "contents differ"),
        (altered(len(PLAN) - 1), "contents differ"),
    ],
)
def test_another_plan_is_refused(engine: Path, plan: bytes, expected: str) -> None:
    engine.write_bytes(plan)
    with pytest.raises(EngineError) as error:
        load_plan(engine, GOOD)
    message = one_line(error.value)
    assert expected in message
    assert str(engine) in message
    assert COMMAND in message
    if len(plan) != len(PLAN):
        assert f"{len(plan)} bytes" in message
        assert str(len(PLAN)) in message


@pytest.mark.parametrize("damage", [as_missing, as_folder])
def test_a_plan_that_is_not_there_is_one_line(engine: Path, damage: Callable[[Path], None]) -> None:
    damage(engine)
    with pytest.raises(EngineError, match="cannot be read") as error:
        load_plan(engine, GOOD)
    assert str(engine) in one_line(error.value)


# Machines


def flavor(name: FlavorName = "tensorrt", version: str = "10.3.0") -> Flavor:
    return Flavor(name, version, None)


def mismatch(manifest: Manifest, here: Flavor, gpu: Gpu | None = ORIN) -> str:
    with pytest.raises(EngineError) as error:
        manifest.check_runs_on(here, gpu, HERE)
    message = one_line(error.value)
    assert str(HERE) in message
    return message


def test_the_machine_it_was_built_for_runs_it() -> None:
    GOOD.check_runs_on(flavor(), ORIN, HERE)


@pytest.mark.parametrize(("built", "here"), [("tensorrt", "tensorrt-rtx"), ("tensorrt-rtx", "tensorrt")])
def test_the_other_flavor_is_refused(built: FlavorName, here: FlavorName) -> None:
    message = mismatch(dataclasses.replace(GOOD, flavor=built), flavor(here))
    assert f"built for {built}," in message
    assert f"this is {here};" in message
    assert COMMAND in message


@pytest.mark.parametrize(
    ("built", "here", "compatible", "runs"),
    [
        ("10.3.0", "10.3.0", False, True),
        ("10.3.0.26", "10.3.0.30", False, True),  # the fourth number is a build
        ("10.3.0", "10.3.1", False, False),
        ("10.3.0", "10.2.9", False, False),
        ("10.3.0", "11.3.0", False, False),
        ("10.3.0", "10.3.0", True, True),
        ("10.3.0", "10.3.1", True, True),
        ("10.3.0", "10.14.0", True, True),  # 14 comes after 3
        ("10.3.0", "10.2.9", True, False),
        ("10.14.1", "10.3.0", True, False),
        ("10.3.0", "11.0.0", True, False),
        ("11.0.0", "10.3.0", True, False),
    ],
)
def test_versions(built: str, here: str, compatible: bool, runs: bool) -> None:
    manifest = dataclasses.replace(GOOD, tensorrt=built, version_compatible=compatible)
    if runs:
        manifest.check_runs_on(flavor(version=here), ORIN, HERE)
        return
    message = mismatch(manifest, flavor(version=here))
    assert f"tensorrt {built}," in message
    assert f"this is {here};" in message
    assert COMMAND in message


@pytest.mark.parametrize("version", ["10.3.0.1.2.3", "v10.3.0", "10.3.0rc1"])
def test_the_first_three_numbers_of_a_version_count(version: str) -> None:
    dataclasses.replace(GOOD, tensorrt=version).check_runs_on(flavor(), ORIN, HERE)


@pytest.mark.parametrize("compatible", [False, True])
@pytest.mark.parametrize("version", ["", "abc", "10.x", "11..3", "9" * 50, "1" * 5000, "\n"])
def test_a_version_of_another_form_is_no_other_error(version: str, compatible: bool) -> None:
    text = changed(tensorrt=version, version_compatible=compatible)
    manifest = Manifest.from_json(text, HERE)
    if compatible and version == "10.x":  # older than 10.3, and meant for later ones
        manifest.check_runs_on(flavor(), ORIN, HERE)
        return
    with pytest.raises(EngineError) as error:
        manifest.check_runs_on(flavor(), ORIN, HERE)
    assert "10.3.0" in str(error.value)


def test_another_compute_capability_is_refused() -> None:
    message = mismatch(GOOD, flavor(), Gpu("RTX 4090", (8, 9), "13.0"))
    for part in ("Orin, compute capability 8.7", "RTX 4090 of compute capability 8.9", COMMAND):
        assert part in message


def test_compute_capabilities_are_compared_whole() -> None:
    manifest = dataclasses.replace(GOOD, compute_capabilities=("12.0", "8.9"))
    manifest.check_runs_on(flavor(), Gpu("GeForce", (12, 0), ""), HERE)
    manifest.check_runs_on(flavor(), Gpu("GeForce", (8, 9), ""), HERE)
    mismatch(manifest, flavor(), Gpu("GeForce", (1, 20), ""))
    mismatch(manifest, flavor(), Gpu("GeForce", (12, 1), ""))


def test_an_engine_for_any_gpu_runs_on_any() -> None:
    manifest = dataclasses.replace(GOOD, compute_capabilities=())
    manifest.check_runs_on(flavor(), Gpu("whatever", (99, 9), ""), HERE)


@pytest.mark.parametrize("bound", [("8.7",), ()])
def test_without_a_gpu_nothing_runs(bound: tuple[str, ...]) -> None:
    message = mismatch(dataclasses.replace(GOOD, compute_capabilities=bound), flavor(), None)
    assert "needs an NVIDIA GPU" in message


# Shapes


@pytest.mark.parametrize("axis", range(3))
def test_a_profile_holds_its_edges_and_nothing_beyond(axis: int) -> None:
    for edge, beyond in ((WIDE.min, -1), (WIDE.max, 1)):
        assert WIDE.holds(edge)
        outside = [size + beyond * (i == axis) for i, size in enumerate(edge)]
        assert not WIDE.holds((outside[0], outside[1], outside[2]))
    assert WIDE.holds(WIDE.opt)


def test_a_profile_in_words() -> None:
    assert str(WIDE) == "1x320x320:1x640x640:8x1280x1280"
    assert str(FIXED) == "1x640x640"
    half_open = Profile((1, 64, 64), (1, 64, 64), (2, 64, 64))
    assert str(half_open) == "1x64x64:1x64x64:2x64x64"


@pytest.mark.parametrize(
    ("shape", "profile"),
    [
        ((1, 640, 640), 0),  # the first that takes it
        ((1, 640, 641), 1),
        ((1, 320, 320), 1),
        ((8, 1280, 1280), 1),
        ((2, 320, 1280), 1),
    ],
)
def test_the_profile_of_a_shape(shape: tuple[int, int, int], profile: int) -> None:
    assert GOOD.check_shape(shape, HERE) == profile


@pytest.mark.parametrize(
    "shape",
    [
        (9, 640, 640),
        (1, 319, 320),
        (1, 320, 319),
        (1, 1281, 640),
        (1, 640, 1281),
        (0, 640, 640),
        (1, -640, 640),
    ],
)
def test_a_shape_outside_is_told_with_all_profiles(shape: tuple[int, int, int]) -> None:
    with pytest.raises(EngineError) as error:
        GOOD.check_shape(shape, HERE)
    message = one_line(error.value)
    for part in ("x".join(map(str, shape)), str(FIXED), str(WIDE), str(HERE), "other shapes"):
        assert part in message
