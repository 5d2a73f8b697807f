"""INT8 in ONNX Runtime where the product of an input step and a weight step is zero in FP16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from engine_build.onnx import contract
from engine_build.precision.casts import to_low_precision
from engine_build.precision.prepare import normalized
from engine_build.precision.quantize import convolutions, quantize, quantized_tensors
from engine_build.validation.comparison import check_optimized
from tests.support.networks import faint_file
from tests.support.specs import one_line
from trt_mogface.backends import onnxruntime
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.errors import EngineError

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3), np.uint8)
RANGES = {"x": 0.01, "a": 0.0016}


@pytest.fixture(scope="module", params=["nhwc-uint8", "nchw-float32"])
def files(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """The network in FP32 and in INT8."""
    folder = tmp_path_factory.mktemp("faint")
    full, low = faint_file(folder / "fp32.onnx", layout=request.param), folder / "int8.onnx"
    model = normalized(contract.load(full), "int8")
    assert set(quantized_tensors(model)) == set(RANGES)
    quantize(model, "int8", RANGES, [each.name for each in convolutions(model)])
    to_low_precision(model, "fp16")
    contract.save(model, low)
    return full, low


def scores(file: Path) -> NDArray[np.float32]:
    with OnnxNetwork(file) as network:
        return network.run(IMAGE).scores


def test_the_product_of_the_steps_is_zero_in_fp16(files: tuple[Path, Path]) -> None:
    stored = {each.name: numpy_helper.to_array(each) for each in onnx.load(str(files[1])).graph.initializer}
    steps = [stored[name] for name in ("x.scale.float16", "wa.scale.float16")]
    assert all(step.dtype == np.float16 and step.all() for step in steps)
    assert not (steps[0] * steps[1]).any()


def test_int8_is_close_to_fp32(files: tuple[Path, Path]) -> None:
    full, low = files
    assert np.ptp(scores(full)) > 0.2
    assert np.abs(scores(low) - scores(full)).max() < 0.01
    check_optimized(contract.load(low), "int8")


def test_an_optimizer_that_changes_results_is_noticed(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, ONNX Runtime is mended; the exception can go with the last broken release."""
    monkeypatch.setattr(onnxruntime, "HARMFUL", [])
    full, low = files
    assert np.abs(scores(low) - scores(full)).max() > 0.2
    with pytest.raises(EngineError) as error:
        check_optimized(contract.load(low), "int8")
    assert "int8 refused: graph optimization by ONNX Runtime changes its" in one_line(error.value)
