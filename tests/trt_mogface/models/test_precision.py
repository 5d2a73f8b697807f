"""The precision of an ONNX file, read from its graph, whoever made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trt_mogface.errors import ModelError
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.files import precision_of
from trt_mogface.models.precision import read_precision, read_precisions

node = helper.make_node
WEIGHT = np.ones((2, 2, 1, 1), np.float32)
CONV = node("Conv", ["x", "w"], ["y"])


def saved(path: Path, nodes: list[onnx.NodeProto], stored: dict[str, Any]) -> Path:
    """Write a graph; its nodes need not be well typed, which the reader does not check."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )  # fmt: skip
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (np.float32, "fp32"),
        (np.float64, "fp32"),
        (np.float16, "fp16"),
        (ml_dtypes.bfloat16, "bf16"),
        (ml_dtypes.float8_e4m3fn, "fp8"),
        (np.int8, "int8"),
        (np.uint8, "int8"),
    ],
)
@pytest.mark.parametrize("form", ["stored", "constant", "moved", "dequantized"])
def test_the_weight_decides(tmp_path: Path, kind: type[np.generic], expected: str, form: str) -> None:
    value = WEIGHT.astype(kind)
    if form == "stored":
        path = saved(tmp_path / "a.onnx", [CONV], {"w": value})
    elif form == "constant":
        constant = node("Constant", [], ["w"], value=numpy_helper.from_array(value))
        path = saved(tmp_path / "a.onnx", [constant, CONV], {})
    else:
        between = node("Transpose" if form == "moved" else "DequantizeLinear", ["q", "s"], ["w"])
        path = saved(tmp_path / "a.onnx", [between, CONV], {"q": value, "s": np.ones(1, np.float16)})
    assert read_precision(path) == expected
    assert read_precisions(path) == {"y": expected}
    assert precision_of(path) == expected


def test_weights_that_are_only_stored_in_fp16_compute_in_fp32(tmp_path: Path) -> None:
    cast = node("Cast", ["half"], ["w"], to=TensorProto.FLOAT)
    assert (
        read_precision(saved(tmp_path / "a.onnx", [cast, CONV], {"half": WEIGHT.astype(np.float16)}))
        == "fp32"
    )


def test_weights_that_the_file_quantizes_itself(tmp_path: Path) -> None:
    stored = {"f": WEIGHT, "s": np.ones(1, np.float32), "z": np.zeros(1, np.int8)}
    pair = [node("QuantizeLinear", ["f", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["w"])]
    assert read_precision(saved(tmp_path / "a.onnx", [*pair, CONV], stored)) == "int8"
    pair[0] = node("QuantizeLinear", ["f", "s"], ["q"])
    assert read_precision(saved(tmp_path / "a.onnx", [*pair, CONV], stored)) == "int8"


def test_integer_operators(tmp_path: Path) -> None:
    stored = {"w": WEIGHT.astype(np.int8), "s": np.ones(1, np.float32), "z": np.zeros(1, np.int8)}
    convolution = node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"])
    assert read_precision(saved(tmp_path / "a.onnx", [convolution], stored)) == "int8"


def test_the_lowest_of_several(tmp_path: Path) -> None:
    nodes = [CONV, node("Conv", ["x", "v"], ["z"]), node("MatMul", ["x", "y"], ["m"])]
    path = saved(tmp_path / "a.onnx", nodes, {"w": WEIGHT, "v": WEIGHT.astype(np.float16)})
    assert read_precision(path) == "fp16"
    assert read_precisions(path) == {"y": "fp32", "z": "fp16"}
    assert read_precision(saved(tmp_path / "b.onnx", [], {})) == "fp32"


def test_named_models_and_damaged_files(tmp_path: Path) -> None:
    assert precision_of(DEFAULT) == precision_of("no such model") == "fp32"
    assert set(read_precisions(embedded_file(DEFAULT)).values()) == {"fp32"}
    (tmp_path / "a.onnx").write_bytes(embedded_file(DEFAULT).read_bytes()[:90_000])
    with pytest.raises(ModelError, match="not an ONNX model"):
        precision_of(tmp_path / "a.onnx")
