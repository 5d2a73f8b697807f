"""Refusals of a precision by its accuracy, and of options that are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from engine_build.calibration.images import find_images
from engine_build.lowering import Lowering, LoweringOptions
from engine_build.onnx import contract
from engine_build.onnx.graph import attribute, constants
from engine_build.precision import QUANTIZED, Precision
from engine_build.precision.equalize import links
from engine_build.validation import candidates
from tests.support.onnx_files import default_model
from trt_mogface.backends.onnxruntime import OnnxNetwork, read_spec
from trt_mogface.errors import ArgumentError, EngineError
from trt_mogface.models.cards import DEFAULT, embedded_file

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


def test_fp32_runs_once_for_all_precisions(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    class Counted(OnnxNetwork):
        def __init__(self, path: Path, **options: Any) -> None:
            super().__init__(path, **options)
            opened.append(path)

    monkeypatch.setattr(candidates, "OnnxNetwork", Counted)
    file = embedded_file(DEFAULT)
    images = find_images(str(photo_folder), read_spec(file).input, (160, 160), 500)
    lowering = Lowering(LoweringOptions(file, calib=images))
    agreements = [lowering.at(precision).agreement for precision in ("fp16", "bf16")]
    assert [each and each.images for each in agreements] == [2, 2]
    assert len(opened) == 3


@pytest.mark.parametrize("precision", QUANTIZED)
def test_quantization_needs_calibration(precision: Precision) -> None:
    with pytest.raises(ArgumentError, match=rf"^calib: {precision} needs calibration; .*calib_cache"):
        Lowering(LoweringOptions(embedded_file(DEFAULT))).at(precision)


def test_an_unknown_calibration_method() -> None:
    with pytest.raises(ArgumentError, match=r"^calib_method guess: .*minmax, percentile, entropy"):
        LoweringOptions(Path("x.onnx"), calib_method="guess")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "groups"), [("none", None), ("auto", None), ("0", 0), ("12", 12), ("-1", None)]
)
def test_a_number_of_groups_to_keep(text: str, groups: int | None) -> None:
    assert LoweringOptions(Path("x.onnx"), keep_fp16=text).kept_groups == groups
