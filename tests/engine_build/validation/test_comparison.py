"""Checks of a lowered model without images, in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from engine_build.precision.casts import to_low_precision
from engine_build.precision.prepare import normalized
from engine_build.precision.quantize import convolutions, quantize, quantized_tensors
from engine_build.validation.comparison import check_optimized
from tests.support.networks import ENDS, contract_file, heads, node, weight
from tests.support.specs import one_line
from trt_mogface.backends import onnxruntime
from trt_mogface.errors import EngineError

SMALL = 2.0**-14


def with_small_steps(folder: Path) -> onnx.ModelProto:
    """Return an INT8 model whose steps are FP16 and so small that their product is not."""
    nodes = [
        node("Mul", ["pixels", "small"], ["x"], "normalize"),
        node("Conv", ["x", "wa", "ba"], ["a0"], "a", pads=[1, 1, 1, 1]),
        node("Relu", ["a0"], ["a"], "relu a"),
        node("Conv", ["a", "ws", "bs"], ["s0"], "s"),
        node("Sigmoid", ["s0"], ["s"], "sigmoid"),
        node("Conv", ["a", "wd", "bd"], ["d"], "d"),
        *heads("s", "d"),
    ]
    stored = {
        "small": np.float32(SMALL / 255),
        "wa": SMALL * weight(8, 3, 3, 3),
        "ba": np.linspace(-1, 1, 8, dtype=np.float32),
        "ws": weight(1, 8, 1, 1),
        "bs": weight(1),
        "wd": weight(4, 8, 1, 1),
        "bd": weight(4),
    }
    model = normalized(onnx.load(contract_file(folder / "small.onnx", nodes, {**stored, **ENDS})), "int8")
    ranges = {"x": SMALL, "a": 1.0}
    assert set(quantized_tensors(model)) == set(ranges)
    quantize(model, "int8", ranges, [each.name for each in convolutions(model)])
    to_low_precision(model, "fp16")
    return model


def test_small_steps_keep_their_biases(tmp_path: Path) -> None:
    check_optimized(with_small_steps(tmp_path), "int8")


def test_an_optimizer_that_changes_results_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "HARMFUL", [])
    with pytest.raises(EngineError) as error:
        check_optimized(with_small_steps(tmp_path), "int8")
    assert "int8 refused: graph optimization by ONNX Runtime changes its" in one_line(error.value)
