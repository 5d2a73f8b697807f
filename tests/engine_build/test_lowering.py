"""What a precision is refused for, by its accuracy."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from engine_build.lowering import Lowering, LoweringOptions
from engine_build.onnx import contract
from engine_build.onnx.graph import attribute, constants
from engine_build.precision.equalize import links
from tests.support.onnx_files import default_model
from trt_mogface.errors import EngineError

BEYOND_FP16 = 1e6


@pytest.fixture
def overflowing(tmp_path: Path) -> Path:
    """The default model, the same in FP32, with an activation that FP16 cannot hold."""
    model = default_model()
    stored = constants(model)
    link = links(model)[0]

    def scale(name: str, by: float) -> None:
        stored[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored[name]) * by, name))

    for name in link.source.input[1:]:
        scale(name, BEYOND_FP16)
    for node in link.readers:
        assert attribute(node, "group", 1) > 1
        scale(node.input[1], 1 / BEYOND_FP16)
    path = tmp_path / "overflowing.onnx"
    contract.save(model, path)
    return path


def test_an_overflow_in_fp16_is_refused(overflowing: Path) -> None:
    with pytest.raises(EngineError, match=r"not finite|differ from FP32"):
        Lowering(LoweringOptions(overflowing)).at("fp16")


def test_bf16_holds_it(overflowing: Path) -> None:
    onnx.checker.check_model(Lowering(LoweringOptions(overflowing)).at("bf16").model, full_check=True)
