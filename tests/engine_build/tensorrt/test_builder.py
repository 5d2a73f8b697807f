"""Plans that TensorRT-RTX really builds, the types it understood, and what it refuses."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine_build.calibration.images import find_images
from engine_build.calibration.record import Calibration, calibrate
from engine_build.onnx import contract
from engine_build.precision import PRECISIONS, QUANTIZED, Precision
from engine_build.precision.casts import to_low_precision
from engine_build.precision.prepare import at_precision, normalized
from engine_build.precision.quantize import quantize, quantized_tensors
from engine_build.tensorrt.builder import BuilderOptions, Built, _config, build
from engine_build.tensorrt.engine_layers import check_computes_in
from engine_build.tensorrt.network_types import check_types
from engine_build.tensorrt.profiles import parse_profiles
from tests.support.onnx_files import default_model
from tests.support.project import REPOSITORY
from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError, EngineError
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import Flavor, find_tensorrt, make_logger
from trt_mogface.models.cards import DEFAULT
from trt_mogface.spec import InputSpec

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

SIDE = 128
FAST = BuilderOptions(parse_profiles([f"1x{SIDE}x{SIDE}"]), builder_optimization_level=0)


@pytest.fixture(scope="module")
def flavor() -> Flavor:
    return find_tensorrt("tensorrt-rtx")


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return default_model()


@pytest.fixture(scope="module")
def calibration(model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    """Of smooth and of noisy images."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(6):
        coarse = rng.integers(0, 256, (4 * 2**i, 4 * 2**i, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(coarse, (SIDE, SIDE)))
    images = find_images(str(folder), InputSpec(), (SIDE, SIDE), 6)
    return calibrate(normalized(model, "int8"), DEFAULT, "percentile", images)


@pytest.fixture(scope="module")
def built(flavor: Flavor, model: onnx.ModelProto, calibration: Calibration) -> Mapping[Precision, Built]:
    """The default model in every precision."""
    return {kind: build(flavor, lowered(model, kind, calibration), FAST, name=DEFAULT) for kind in PRECISIONS}


def lowered(
    model: onnx.ModelProto, kind: Precision, calibration: Calibration, kept: Sequence[str] = ()
) -> bytes:
    found = calibration if kind in QUANTIZED else None
    result: bytes = at_precision(normalized(model, kind), kind, found, kept).SerializeToString()
    return result


def convolution_names(model: onnx.ModelProto) -> list[str]:
    """Straight from the file, whatever this project takes for a convolution."""
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize("kind", PRECISIONS)
def test_every_convolution_has_the_type_that_was_requested(
    built: Mapping[Precision, Built], model: onnx.ModelProto, kind: Precision
) -> None:
    names = convolution_names(model)
    assert len(names) > 50
    assert built[kind].convolution_types == dict.fromkeys(names, kind)
    check_types(dict.fromkeys(names, kind), built[kind].convolution_types, find_tensorrt("tensorrt-rtx"))


def test_plans_hold_weights_of_their_type(built: Mapping[Precision, Built], model: onnx.ModelProto) -> None:
    weights = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    sizes = {kind: len(built[kind].plan) for kind in PRECISIONS}
    assert sizes["fp32"] > 4 * weights
    assert 2 * weights < sizes["fp16"] < sizes["fp32"]
    assert sizes["bf16"] < sizes["fp32"]
    assert len({built[kind].plan for kind in PRECISIONS}) == len(PRECISIONS)


@pytest.mark.parametrize("kind", QUANTIZED)
def test_exactly_the_kept_convolutions_are_fp16(
    flavor: Flavor, model: onnx.ModelProto, calibration: Calibration, kind: Precision
) -> None:
    names = convolution_names(model)
    kept = {names[0], names[7], names[-1]}
    types = build(flavor, lowered(model, kind, calibration, sorted(kept)), FAST).convolution_types
    assert types == {name: "fp16" if name in kept else kind for name in names}


def test_types_that_were_not_requested_are_refused(
    flavor: Flavor, built: Mapping[Precision, Built], model: onnx.ModelProto
) -> None:
    names = convolution_names(model)
    given = built["int8"].convolution_types
    requested = dict.fromkeys(names, "int8") | {names[3]: "fp8"}
    with pytest.raises(EngineError) as error:
        check_types(requested, given, flavor)
    message = one_line(error.value)
    assert f"1 of {len(names)}" in message
    assert f"{names[3]!r}: int8, not fp8" in message
    with pytest.raises(EngineError, match=f"{len(names)} of {len(names)}"):
        check_types(dict.fromkeys(names, "fp16"), given, flavor)
    with pytest.raises(EngineError, match="'/lost/Conv': not there, not int8"):
        check_types({**given, "/lost/Conv": "int8"}, given, flavor)


def test_the_plan_bears_the_network_s_name(built: Mapping[Precision, Built], model: onnx.ModelProto) -> None:
    assert model.graph.name == DEFAULT
    assert DEFAULT.encode() in built["fp16"].plan


@pytest.mark.parametrize("kind", PRECISIONS)
def test_layers_of_the_engine_are_known_with_their_types(
    built: Mapping[Precision, Built], kind: Precision
) -> None:
    layers = built[kind].layers
    assert len(layers) > 20
    assert all(layer.name and layer.kind for layer in layers)
    types = {layer.type for layer in layers}
    assert kind in types
    assert "uint8" in types  # the pixels
    check_computes_in(layers, kind)
    for other in set(PRECISIONS) - types:
        with pytest.raises(EngineError, match=f"{other} was requested"):
            check_computes_in(layers, other)


def test_the_plan_names_the_layers_for_inspect(
    built: Mapping[Precision, Built], model: onnx.ModelProto
) -> None:
    assert convolution_names(model)[0].encode() in built["fp16"].plan


# Small networks


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], f"/made/up/{output}", **attributes)


def weight(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.3 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def network(
    nodes: Sequence[onnx.NodeProto], weights: Mapping[str, NDArray[Any]], output_type: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """From ``pixels``, float32 [N, 3, H, W], to ``y``."""
    beginning = [
        node("Cast", ["images"], "planes", to=TensorProto.FLOAT),
        node("Transpose", ["planes"], "pixels", perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        [*beginning, *nodes],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("y", output_type, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)  # outputs need their shapes
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="module")
def small() -> onnx.ModelProto:
    return network([node("Conv", ["pixels", "w"], "y")], {"w": weight(8, 3, 3, 3)})


def test_a_residual_sum_is_understood(flavor: Flavor) -> None:
    """Both summands are quantized: convolution, sum and activation can become one INT8 kernel."""
    model = network(
        [
            node("Conv", ["pixels", "w0"], "a", pads=[1] * 4),
            node("Relu", ["a"], "skip"),
            node("Conv", ["skip", "w1"], "b", pads=[1] * 4),
            node("Add", ["b", "skip"], "sum"),
            node("Relu", ["sum"], "y"),
        ],
        {"w0": weight(16, 3, 3, 3), "w1": weight(16, 16, 3, 3, seed=1)},
    )
    tensors = quantized_tensors(model)
    assert sorted(tensors) == ["pixels", "skip"]
    quantize(model, "int8", dict.fromkeys(tensors, 255.0), ["/made/up/a", "/made/up/b"])
    to_low_precision(model, "fp16")
    (added,) = (each for each in model.graph.node if each.op_type == "Add")
    assert list(added.input) == ["b", "skip.dq"]
    found = build(flavor, model.SerializeToString(), FAST)
    assert found.convolution_types == {"/made/up/a": "int8", "/made/up/b": "int8"}
    assert found.plan


def test_an_activation_quantized_alone_is_not_taken_for_int8(flavor: Flavor, small: onnx.ModelProto) -> None:
    """With a weight that is not quantized the convolution computes in the type of its input."""
    model = onnx.ModelProto()
    model.CopyFrom(small)
    scale = numpy_helper.from_array(np.array(2.0, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(0, np.int8), "zero")
    model.graph.initializer.extend([scale, zero])
    convolution = model.graph.node.pop()
    convolution.input[0] = "back"
    model.graph.node.extend(
        [
            node("QuantizeLinear", ["pixels", "scale", "zero"], "steps"),
            node("DequantizeLinear", ["steps", "scale", "zero"], "back"),
            convolution,
        ]
    )
    assert build(flavor, model.SerializeToString(), FAST).convolution_types == {"/made/up/y": "fp32"}


def refused(flavor: Flavor, model: bytes, options: BuilderOptions = FAST) -> str:
    with pytest.raises(EngineError) as error:
        build(flavor, model, options)
    message = one_line(error.value)
    assert len(message) < 600
    return message


def with_operator(kind: str, inputs: Sequence[str], **attributes: Any) -> bytes:
    """A network with one node of that kind."""
    stored = [
        numpy_helper.from_array(np.zeros((1, 4, 4), np.float32), "boxes"),
        numpy_helper.from_array(np.zeros((1, 1, 4), np.float32), "ratings"),
    ]
    graph = helper.make_graph(
        [
            node("Cast", ["images"], "planes", to=TensorProto.FLOAT),
            helper.make_node(kind, inputs, ["y"], "/the/one/to/name", **attributes),
        ],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("y", 7 if kind == "NonMaxSuppression" else 1, None)],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    result: bytes = model.SerializeToString()
    return result


@pytest.mark.parametrize("kind", ["Det", "Unique", "Frobnicate"])
def test_an_operator_that_tensorrt_lacks_is_named(flavor: Flavor, kind: str) -> None:
    message = refused(flavor, with_operator(kind, ["planes"]))
    assert f"tensorrt-rtx {flavor.version} cannot read the model" in message
    assert f"'/the/one/to/name' ({kind})" in message


def test_an_operator_without_a_kernel_is_named(flavor: Flavor) -> None:
    """RTX parses NonMaxSuppression, and finds while it builds that it cannot run it."""
    message = refused(flavor, with_operator("NonMaxSuppression", ["boxes", "ratings"]))
    assert "could not build the engine" in message
    assert "/the/one/to/name" in message


@pytest.mark.parametrize("damage", ["nothing", "text", "half", "zeros", "noise"])
def test_a_corrupt_model_is_refused(flavor: Flavor, small: onnx.ModelProto, damage: str) -> None:
    whole = small.SerializeToString()
    noise = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    data = {
        "nothing": b"",
        "text": b"not a model\n" * 99,
        "half": whole[: len(whole) // 2],
        "zeros": bytes(4096),
        "noise": noise,
    }
    message = refused(flavor, data[damage])
    if damage in ("nothing", "zeros"):  # bytes that are a model without anything in it
        assert "at least one output" in message
    else:
        assert "cannot read the model" in message


def test_scratch_memory_is_the_callers_so_that_inference_can_be_captured(
    flavor: Flavor, small: onnx.ModelProto
) -> None:
    trt = flavor.module
    flag = trt.BuilderFlag.REQUIRE_USER_ALLOCATION
    builder = trt.Builder(make_logger(trt))
    assert _config(trt, builder, FAST, flavor).get_flag(flag)
    assert build(flavor, small.SerializeToString(), FAST).plan

    class Older:
        """A release without the flag, such as any TensorRT."""

        BuilderFlag = SimpleNamespace()

        def __getattr__(self, name: str) -> Any:
            return getattr(trt, name)

    assert not _config(Older(), builder, FAST, flavor).get_flag(flag)


def test_compute_capabilities(flavor: Flavor, small: onnx.ModelProto) -> None:
    model = small.SerializeToString()
    several = dataclasses.replace(FAST, compute_capabilities=("8.9", "12.0"))
    assert build(flavor, model, several).plan != build(flavor, model, FAST).plan
    message = refused(flavor, model, dataclasses.replace(FAST, compute_capabilities=("8.9", "3.5")))
    assert "no SM35" in message
    for name in flavor.module.ComputeCapability.__members__:
        assert name in message


def test_an_older_builder_that_became_garbage_does_not_hang_a_build(tmp_path: Path) -> None:
    """TensorRT logs while it holds the lock that the destruction of a builder takes."""
    program = tmp_path / "builds.py"
    program.write_text(
        "import gc, onnx, sys\n"
        "from engine_build.tensorrt.builder import BuilderOptions, build\n"
        "from engine_build.tensorrt.profiles import parse_profiles\n"
        "from trt_mogface.machine.tensorrt import find_tensorrt, make_logger\n"
        "flavor = find_tensorrt('tensorrt-rtx')\n"
        "garbage = [flavor.module.Builder(make_logger(flavor.module))]\n"
        "garbage.append(garbage)\n"
        "del garbage\n"
        "def log(message):\n"
        "    gc.isenabled() and gc.collect()\n"
        "options = BuilderOptions(parse_profiles(['1x64x64']), builder_optimization_level=0)\n"
        "build(flavor, open(sys.argv[1], 'rb').read(), options, log=log)\n"
        "gc.collect()\n"
        "print('built')\n"
    )
    contract.save(default_model(), tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "model.onnx")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout == "built\n", done.stderr


def test_a_dla_core_that_is_not_there_is_refused(flavor: Flavor, small: onnx.ModelProto) -> None:
    for core in (0, 7):
        options = dataclasses.replace(FAST, use_dla_core=core, allow_gpu_fallback=True)
        with pytest.raises(ArgumentError, match="has 0 DLA cores") as error:
            build(flavor, small.SerializeToString(), options)
        assert one_line(error.value).startswith(f"use_dla_core {core}:")


@pytest.mark.parametrize("compatibility", ["ampere+", "same-compute-capability"])
def test_hardware_compatibility_is_taken(flavor: Flavor, small: onnx.ModelProto, compatibility: Any) -> None:
    options = dataclasses.replace(FAST, hardware_compatibility_level=compatibility)
    assert build(flavor, small.SerializeToString(), options).plan


def test_too_little_workspace_is_reported_by_tensorrt(
    flavor: Flavor, model: onnx.ModelProto, calibration: Calibration
) -> None:
    options = dataclasses.replace(FAST, workspace_mib=1)
    message = refused(flavor, lowered(model, "fp16", calibration), options)
    assert "could not build the engine" in message
    assert "workspace" in message


def test_weights_are_left_out_where_a_gpu_lets_them(
    flavor: Flavor, built: Mapping[Precision, Built], model: onnx.ModelProto, calibration: Calibration
) -> None:
    data, options = lowered(model, "fp16", calibration), dataclasses.replace(FAST, strip_weights=True)
    if find_gpu() is None:  # TensorRT-RTX builds such plans through CUDA
        assert "could not build the engine" in refused(flavor, data, options)
        return
    weights = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    stripped = build(flavor, data, options)
    assert len(stripped.plan) < len(built["fp16"].plan) - weights
    assert stripped.convolution_types == built["fp16"].convolution_types


class Follower:
    """Counts the steps, and stops the build at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.started: list[str] = []
        self.finished: list[str] = []
        self.steps = 0
        self.inside = False

    @contextmanager
    def building(self) -> Iterator[None]:
        self.inside = True
        yield
        self.inside = False

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        assert self.inside
        assert steps >= 0
        assert parent is None or parent in self.started
        self.started.append(phase)

    def step(self, phase: str, step: int) -> bool:
        assert phase in self.started
        assert step >= 0
        self.steps += 1
        return self.steps != self.stop_at

    def finish(self, phase: str) -> None:
        self.finished.append(phase)


def test_progress_follows_the_build(flavor: Flavor, small: onnx.ModelProto) -> None:
    follower = Follower()
    build(flavor, small.SerializeToString(), FAST, follower)
    assert follower.steps > 0
    assert follower.started
    assert not follower.inside
    assert sorted(follower.started) == sorted(follower.finished)


@pytest.mark.parametrize("stop_at", [1, 2])
def test_progress_stops_the_build(flavor: Flavor, small: onnx.ModelProto, stop_at: int) -> None:
    follower = Follower(stop_at)
    with pytest.raises(EngineError) as error:
        build(flavor, small.SerializeToString(), FAST, follower)
    assert "could not build the engine" in one_line(error.value)
    assert follower.steps == stop_at


def test_the_log_is_given_tensorrt_s_messages(flavor: Flavor, small: onnx.ModelProto) -> None:
    lines: list[str] = []
    build(flavor, small.SerializeToString(), FAST, log=lines.append)
    kinds = {line.partition(": ")[0] for line in lines}
    assert len(lines) > 5
    assert kinds <= {"verbose", "info", "warning", "error", "internal_error"}
    assert "verbose" in kinds
    assert any("/made/up/y" in line for line in lines)


@pytest.mark.filterwarnings(
    "ignore:.*:DeprecationWarning"
)  # TensorRT-RTX will drop them, TensorRT keeps them
@pytest.mark.parametrize("stored", [None, b"", b"garbage" * 99])
def test_the_timing_cache_is_made_whatever_was_there(
    flavor: Flavor, small: onnx.ModelProto, tmp_path: Path, stored: bytes | None
) -> None:
    cache = tmp_path / "timing.cache"
    if stored is not None:
        cache.write_bytes(stored)
    options = dataclasses.replace(FAST, timing_cache_file=cache)
    first = build(flavor, small.SerializeToString(), options)
    assert first.timings is not None
    assert first.timings not in (b"", stored)
    cache.write_bytes(first.timings)
    again = build(flavor, small.SerializeToString(), options)
    assert (again.plan, again.timings) == (first.plan, first.timings)


def test_an_engine_may_read_float_planes(flavor: Flavor, small: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(small)
    (images,) = model.graph.input
    images.CopyFrom(helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, "H", "W"]))
    first, second = model.graph.node[:2]
    assert sorted((first.op_type, second.op_type)) == ["Cast", "Transpose"]
    del model.graph.node[:2]
    for each in model.graph.node:
        each.input[:] = ["images" if name == second.output[0] else name for name in each.input]
    several = dataclasses.replace(FAST, profiles=parse_profiles([f"1x32x48:2x{SIDE}x{SIDE}:4x256x192"]))
    assert build(flavor, model.SerializeToString(), several).plan


def test_every_profile_is_in_the_network_s_configuration(flavor: Flavor, small: onnx.ModelProto) -> None:
    profiles = parse_profiles(["1x32x32:1x64x64:2x96x96", "4x64x64"])
    plan = build(flavor, small.SerializeToString(), dataclasses.replace(FAST, profiles=profiles)).plan
    first = build(flavor, small.SerializeToString(), dataclasses.replace(FAST, profiles=profiles[:1])).plan
    assert plan != first
