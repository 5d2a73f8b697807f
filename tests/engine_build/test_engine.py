"""What an engine is refused for, by its accuracy."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from engine_build import contract, zoo
from engine_build.engine import EngineBuild, Request
from engine_build.graph import attribute, constants
from engine_build.precision.equalise import links
from engine_build.tensorrt.builder import Options
from engine_build.tensorrt.profiles import parse_profiles
from trt_mogface.errors import EngineError

OPTIONS = Options(parse_profiles(["1x128x128"]))
BEYOND_FP16 = 1e6


@pytest.fixture
def overflowing(tmp_path: Path) -> Path:
    """The default model, the same in FP32, with an activation that FP16 cannot hold."""
    model = zoo.make("retinaface-mnet025")
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


def test_an_overflow_in_fp16_is_refused(overflowing: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"not finite|differ from FP32"):
        EngineBuild(Request(overflowing, OPTIONS)).onnx_file("fp16", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_bf16_holds_it(overflowing: Path, tmp_path: Path) -> None:
    EngineBuild(Request(overflowing, OPTIONS)).onnx_file("bf16", tmp_path / "out.onnx")
    onnx.checker.check_model(str(tmp_path / "out.onnx"), full_check=True)
