"""Options of the builder: refused where they are given, or where the TensorRT or GPU lacks them."""

from __future__ import annotations

from typing import Any

import pytest

from engine_build.precision import PRECISIONS, Precision, parse_precisions
from engine_build.tensorrt.builder import BuilderOptions, parse_workspace
from engine_build.tensorrt.profiles import parse_profiles
from engine_build.tensorrt.target import (
    check_end_to_end,
    check_options,
    check_precision,
    describe_target,
    parse_capabilities,
    target_capabilities,
    timing_cache_path,
)
from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor

PROFILES = parse_profiles(None)
FULL, RTX = Flavor("tensorrt", "10.3.0", None), Flavor("tensorrt-rtx", "1.7.1", None)
TURING, ORIN = Gpu("RTX 2080", (7, 5), "12.6"), Gpu("Orin", (8, 7), "12.6")


def options(**values: Any) -> BuilderOptions:
    return BuilderOptions(PROFILES, **values)


@pytest.mark.parametrize(
    ("flavor", "gpu", "values", "argument"),
    [
        (FULL, ORIN, {"compute_capabilities": ("8.9",)}, "compute_capabilities"),
        (RTX, ORIN, {"version_compatible": True}, "version_compatible"),
        (RTX, None, {"timing_cache_file": "x"}, "timing_cache_file"),
        (RTX, None, {"hardware_compatibility_level": "ampere+"}, "hardware_compatibility_level"),
        (RTX, None, {"strip_weights": True}, "strip_weights"),
        (RTX, ORIN, {"use_dla_core": 0}, "use_dla_core"),
        (RTX, None, {"refit": True}, "refit"),
    ],
)
def test_options_that_a_flavor_lacks(
    flavor: Flavor, gpu: Gpu | None, values: dict[str, Any], argument: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        check_options(flavor, gpu, options(**values))
    assert caught.value.argument == argument
    one_line(caught.value)
    check_options(flavor, gpu, options())


def test_options_that_a_flavor_has() -> None:
    full: dict[str, Any] = {
        "timing_cache_file": "x",
        "hardware_compatibility_level": "ampere+",
        "refit": True,
    }
    check_options(FULL, None, options(version_compatible=True, strip_weights=True, **full))
    check_options(RTX, ORIN, options(compute_capabilities=("8.9",), strip_weights=True, refit=True))


@pytest.mark.parametrize(
    ("precision", "gpu", "needed"), [("bf16", TURING, "8.0"), ("fp8", TURING, "8.9"), ("fp8", ORIN, "8.9")]
)
def test_a_precision_that_the_gpu_lacks(precision: Precision, gpu: Gpu, needed: str) -> None:
    with pytest.raises(ArgumentError, match=f"{gpu.name} lacks it, .* {needed} or newer") as caught:
        check_precision(precision, FULL, gpu, options())
    assert caught.value.argument == "precision"
    check_precision(precision, RTX, gpu, options())  # compiled on the machine that runs it
    check_precision("int8", FULL, gpu, options())


def test_a_dla_takes_fixed_shapes_only() -> None:
    fixed, dynamic = parse_profiles(["1x640x640"]), parse_profiles(["2x640x480", "1x32x32:1x64x96:2x96x96"])
    check_options(FULL, ORIN, BuilderOptions(fixed, use_dla_core=0))
    for profiles, shape in ((dynamic, "1x64x96"), (PROFILES, "1x640x640")):
        with pytest.raises(ArgumentError, match=f"a DLA runs fixed shapes only; use {shape}$") as caught:
            check_options(FULL, ORIN, BuilderOptions(profiles, use_dla_core=1))
        assert caught.value.argument == "shapes"
        assert parse_profiles([shape])[0].min == parse_profiles([shape])[0].max
        one_line(caught.value)


@pytest.mark.parametrize(
    ("version", "has_dla"),
    [
        *(("10.3.0", True), ("10.7.0.23", True), ("10.8.0.43", False), ("10.16.1.11", False)),
        *(("11.0.0", False), ("11.4.0.106", False), ("11.4.1", True), ("11.5.0", True)),
    ],
)
def test_releases_without_a_dla_say_so(version: str, has_dla: bool) -> None:
    asked = BuilderOptions(parse_profiles(["1x640x640"]), use_dla_core=0)
    if has_dla:
        return check_options(Flavor("tensorrt", version, None), ORIN, asked)
    with pytest.raises(
        ArgumentError, match=rf"{version} has no DLA, which 10\.7 and earlier .*GPU$"
    ) as caught:
        check_options(Flavor("tensorrt", version, None), ORIN, asked)
    assert caught.value.argument == "use_dla_core"
    one_line(caught.value)
    return None


def test_detection_in_the_engine_is_for_the_full_tensorrt() -> None:
    check_end_to_end(FULL)
    with pytest.raises(ArgumentError, match=r"^end_to_end: "):
        check_end_to_end(RTX)


def test_targets_in_words_and_numbers() -> None:
    ampere = options(hardware_compatibility_level="ampere+")
    assert target_capabilities(FULL, ORIN, options()) == ("8.7",)
    assert target_capabilities(FULL, ORIN, ampere) == target_capabilities(FULL, None, options()) == ()
    assert target_capabilities(RTX, ORIN, options(compute_capabilities=("8.9",))) == ("8.9",)
    assert describe_target("fp16", FULL, ORIN, options()) == "Orin, compute capability 8.7"
    assert describe_target("fp8", RTX, None, options()) == "any Ampere or newer, from 8.9 on"
    assert describe_target("int8", FULL, ORIN, ampere) == "any Ampere or newer, from 8.0 on (built on Orin)"
    assert timing_cache_path(RTX, ORIN) is None
    path = timing_cache_path(FULL, Gpu("RTX 2080 (Ti)", (7, 5), "12.6"))
    assert path is not None
    assert path.name == "timing-RTX-2080-Ti-10.3.0.cache"


def test_an_unknown_compatibility_level() -> None:
    with pytest.raises(ArgumentError, match=r"hardware_compatibility_level all: .*ampere"):
        options(hardware_compatibility_level="all")


@pytest.mark.parametrize(("text", "mib"), [(None, None), ("512", 512), ("workspace:2048", 2048)])
def test_workspaces(text: str | None, mib: int | None) -> None:
    assert parse_workspace(text) == mib


@pytest.mark.parametrize("text", ["", "0", "workspace:", "workspace:0", "2 GB", "-1", "12345678"])
def test_other_workspaces_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="workspace:2048"):
        parse_workspace(text)


def test_precisions_come_in_their_own_order() -> None:
    assert parse_precisions("int8,fp32") == ["fp32", "int8"]
    assert parse_precisions(",".join(PRECISIONS)) == list(PRECISIONS)


@pytest.mark.parametrize("text", ["", "fp16,", "FP16", "fp16 fp32", "int4"])
def test_unknown_precisions_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="choose from fp32, fp16, bf16, int8, fp8"):
        parse_precisions(text)


def test_compute_capabilities() -> None:
    assert parse_capabilities(None) == ()
    assert parse_capabilities("8.9,12.0") == ("8.9", "12.0")
    with pytest.raises(ArgumentError, match=r"compute_capabilities 8.9,x: use the form 8\.9"):
        parse_capabilities("8.9,x")
