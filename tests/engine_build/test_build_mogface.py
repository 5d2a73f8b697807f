"""MogFace at the precisions people deploy: what TensorRT-RTX understands of it, and how large it gets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from engine_build.build import EngineBuild
from engine_build.calibration.images import find_images
from engine_build.calibration.record import calibrate
from engine_build.lowering import Lowering, LoweringOptions
from engine_build.onnx import contract
from engine_build.precision.prepare import at_precision, normalized
from engine_build.precision.quantize import convolutions
from engine_build.tensorrt.builder import BuilderOptions, build
from engine_build.tensorrt.profiles import parse_profiles
from tests.support.mogface import Pair
from trt_mogface.machine.tensorrt import Flavor, find_tensorrt
from trt_mogface.spec import InputSpec

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

OPTIONS = BuilderOptions(parse_profiles(["1x320x320:1x640x640:8x1280x1280"]))


@pytest.fixture(scope="module")
def flavor() -> Flavor:
    return find_tensorrt("tensorrt-rtx")


@pytest.mark.slow
def test_fp16_engine(mogface: Pair, tmp_path: Path, flavor: Flavor) -> None:
    building = EngineBuild(Lowering(LoweringOptions(mogface.onnx)), OPTIONS, flavor)
    outcome = building.engine("fp16", tmp_path / "mogface.engine")
    assert outcome.manifest.multiply_adds == {"fp16": 1.0}
    assert outcome.engine.stat().st_size <= 130e6
    kinds = {layer.type for layer in outcome.manifest.layers if "conv" in layer.name.lower()}
    assert kinds == {"fp16"}


def test_fp16_file_keeps_shared_weights_shared(mogface: Pair, tmp_path: Path) -> None:
    source = contract.load(mogface.onnx)
    weights = {node.input[1] for node in convolutions(source)}
    contract.save(at_precision(normalized(source, "fp16"), "fp16"), tmp_path / "fp16.onnx")
    assert (tmp_path / "fp16.onnx").stat().st_size <= 125e6
    lowered = onnx.load(tmp_path / "fp16.onnx")
    assert len({node.input[1] for node in convolutions(lowered)}) == len(weights)


@pytest.mark.slow
def test_int8_engine(mogface: Pair, tmp_path: Path, flavor: Flavor) -> None:
    for i in range(4):
        coarse = np.random.default_rng(i).integers(0, 256, (8 * 2**i, 8 * 2**i, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), cv2.resize(coarse, (128, 128)))
    images = find_images(str(tmp_path), InputSpec(), (128, 128), 4)
    calibration = calibrate(normalized(contract.load(mogface.onnx), "int8"), "mogface", "minmax", images)
    model = normalized(contract.load(mogface.onnx), "int8")
    lowered = at_precision(model, "int8", calibration)
    contract.save(lowered, tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size <= 260e6
    stored = [
        t for t in lowered.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    ]
    assert len(stored) == len({node.input[1] for node in convolutions(model)})
    assert sum(len(t.raw_data) for t in stored) <= 62e6
    skips = [
        node for node in lowered.graph.node if node.op_type == "Add" and any(".dq" in n for n in node.input)
    ]
    assert len(skips) >= 33  # one for each bottleneck of ResNet-101

    built = build(flavor, lowered.SerializeToString(), OPTIONS)
    assert len(built.plan) <= 95e6
    assert set(built.convolution_types.values()) == {"int8"}
    assert set(built.convolution_types) == {node.name for node in convolutions(model)}
