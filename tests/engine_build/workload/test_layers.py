from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from engine_build.precision import Precision
from engine_build.precision.quantize import Quantized, convolutions, quantize, quantized_tensors
from engine_build.workload.convolutions import SIDE, work_by_convolution
from tests.support.networks import (
    ENDS,
    contract_file,
    heads,
    node,
    residual_file,
    weight,
)
from tests.support.onnx_files import answers, constant_network
from tests.support.specs import one_line, small_spec
from trt_mogface.backends.onnxruntime import session
from trt_mogface.bench.roofline import Layer, layers_of
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.models.cards import DEFAULT, embedded_file

HEADS: dict[str, NDArray[Any]] = {"ws": weight(1, 8, 1, 1), "wd": weight(4, 8, 1, 1), **ENDS}


def at(
    path: Path, height: int = 8, width: int = 12, batch: int = 1, precision: Precision = "fp32"
) -> list[Layer]:
    return layers_of(path, batch=batch, height=height, width=width, precision=precision)


def figures(found: list[Layer]) -> dict[str, tuple[int, int, int]]:
    return {layer.name: (layer.operations, layer.read_bytes, layer.written_bytes) for layer in found}


def between(tmp_path: Path, nodes: list[onnx.NodeProto], stored: dict[str, NDArray[Any]], **how: Any) -> Path:
    """A convolution ``a`` of 8 channels, ``nodes`` from ``a`` to ``m``, and two heads of 8 channels."""
    whole = [
        node("Conv", ["pixels", "wa"], ["a"], "a", pads=[1, 1, 1, 1]),
        *nodes,
        node("Conv", ["m", "ws"], ["s"], "s"),
        node("Conv", ["m", "wd"], ["d"], "d"),
        *heads("s", "d"),
    ]
    return contract_file(tmp_path / "m.onnx", whole, {"wa": weight(8, 3, 3, 3), **HEADS, **stored}, **how)


def test_a_network_counted_by_hand(tmp_path: Path) -> None:
    maps = 8 * 8 * 12
    found = figures(at(residual_file(tmp_path / "m.onnx")))
    assert found == {
        # 8x12 places of 8 channels, 3x3x3 products each; bytes of the image, FP32 weights and biases.
        "a": (2 * 96 * 8 * 27, 96 * 3 + 4 * (8 * 27 + 8), 4 * maps),
        # The skip is what the convolution reads already, so it is read once.
        "b": (2 * 96 * 8 * 72, 4 * (8 * 72 + maps), 4 * maps),
        # Two groups of 4 channels; half the sides.
        "c": (2 * 24 * 16 * 36, 4 * (16 * 36 + maps), 4 * 16 * 24),
        "s": (2 * 24 * 16, 4 * (16 + 16 * 24), 4 * 24),
        "d": (2 * 24 * 64, 4 * (64 + 16 * 24), 4 * 4 * 24),
    }


def test_intensity_is_operations_by_bytes(tmp_path: Path) -> None:
    first = at(residual_file(tmp_path / "m.onnx"))[0]
    assert first.bytes_moved == 288 + 896 + 3072
    assert first.intensity == 2 * 96 * 8 * 27 / 4256
    assert Layer("empty", "Conv", 0, 0, 0).intensity == math.inf


@pytest.mark.parametrize(
    ("precision", "size"), [("fp32", 4), ("fp16", 2), ("bf16", 2), ("int8", 1), ("fp8", 1)]
)
def test_a_precision_sets_the_bytes_between_the_layers_but_not_those_of_the_contract(
    tmp_path: Path, precision: Precision, size: int
) -> None:
    found = figures(at(residual_file(tmp_path / "m.onnx"), precision=precision))
    assert found["a"][1:] == (288 + size * 224, size * 768)
    assert found["d"][1:] == (size * (64 + 384), 4 * 96)


def test_a_batch_reads_the_weights_once(tmp_path: Path) -> None:
    path = residual_file(tmp_path / "m.onnx")
    one, five = figures(at(path)), figures(at(path, batch=5))
    weights = {"a": 224, "b": 576, "c": 576, "s": 16, "d": 64}
    for name, (operations, read, written) in one.items():
        stored = 4 * weights[name]
        assert five[name] == (5 * operations, 5 * (read - stored) + stored, 5 * written)


def test_odd_sizes_round_as_the_network_rounds(tmp_path: Path) -> None:
    found = figures(at(residual_file(tmp_path / "m.onnx"), height=7, width=5))
    assert found["c"][2] == 4 * 16 * 4 * 3


def test_a_skip_from_further_back_is_read_by_the_latest_layer(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["a", "wb"], ["b"], "b"),
        node("Conv", ["b", "wb2"], ["c"], "c"),
        node("Add", ["a", "c"], ["m"], "add"),
    ]
    found = figures(at(between(tmp_path, nodes, {"wb": weight(2, 8, 1, 1), "wb2": weight(8, 2, 1, 1)})))
    assert found["c"][1:] == (4 * (16 + 2 * 96 + 8 * 96), 4 * 8 * 96)
    assert found["a"][2] == 4 * 8 * 96


def test_element_by_element_work_is_free(tmp_path: Path) -> None:
    plain = between(tmp_path, [node("Identity", ["a"], ["m"])], {})
    expected = figures(at(plain))
    nodes = [
        node("Mul", ["a", "factor"], ["t"], "t"),
        node("Sigmoid", ["t"], ["u"], "u"),
        node("Mul", ["t", "u"], ["m"], "swish"),
    ]
    assert figures(at(between(tmp_path, nodes, {"factor": weight(1, 8, 1, 1)}))) == expected


def test_a_group_normalization_reads_and_writes_its_map(tmp_path: Path) -> None:
    nodes = [
        node("Reshape", ["a", "groups"], ["g"], "g"),
        node("InstanceNormalization", ["g", "one", "nil"], ["n"], "norm"),
        node("Shape", ["a"], ["shape"], "shape"),
        node("Reshape", ["n", "shape"], ["back"], "back"),
        node("Mul", ["back", "factor"], ["m"], "mul"),
    ]
    stored = {
        "groups": np.array([0, 2, -1]),
        "one": np.ones(2, np.float32),
        "nil": np.zeros(2, np.float32),
        "factor": weight(1, 8, 1, 1),
    }
    found = figures(at(between(tmp_path, nodes, stored)))
    assert found["norm"] == (0, 4 * 768, 4 * 768)
    assert found["a"][2] == 4 * 768


def test_pooling_and_resizing_move_bytes_and_do_no_products(tmp_path: Path) -> None:
    nodes = [
        node("MaxPool", ["a"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", ["p", "", "twice"], ["r"], "resize", mode="nearest"),
        node("Shape", ["a"], ["shape"], "shape"),
        node("Slice", ["shape", "two", "four"], ["hw"], "hw"),
        node("Slice", ["r", "corner", "hw", "axes"], ["cut"], "cut"),
        node("Add", ["cut", "a"], ["m"], "add"),
    ]
    stored = {
        "twice": np.array([1, 1, 2, 2], np.float32),
        "two": np.array([2]),
        "four": np.array([4]),
        "corner": np.array([0, 0]),
        "axes": np.array([2, 3]),
    }
    found = figures(at(between(tmp_path, nodes, stored), height=8, width=12))
    assert found["pool"] == (0, 4 * 768, 4 * 192)
    assert found["resize"] == (0, 4 * (192 + 768), 4 * 768)  # the sum is its work, and the other summand read


def test_a_concatenation_is_in_place_and_work_after_it_is_done_by_its_parts(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["a", "wb"], ["b"], "b"),
        node("Conv", ["a", "wc"], ["c"], "c"),
        node("Concat", ["b", "c"], ["bc"], "bc", axis=1),
        node("Relu", ["bc"], ["m"], "relu"),
    ]
    found = figures(at(between(tmp_path, nodes, {"wb": weight(2, 8, 1, 1), "wc": weight(6, 8, 1, 1)})))
    assert list(found) == ["a", "b", "c", "s", "d"]
    assert found["b"][2] == 4 * 2 * 96
    assert found["c"][2] == 4 * 6 * 96
    assert found["s"][1] == 4 * (8 + 8 * 96)


def test_what_reads_a_slice_reads_no_more(tmp_path: Path) -> None:
    nodes = [
        node("Split", ["a", "half"], ["x", "y"], "split", axis=1),
        node("Conv", ["x", "wb"], ["b"], "b"),
        node("Conv", ["y", "wc"], ["m"], "m"),
        node("Conv", ["b", "wd2"], ["unused"], "unused"),
    ]
    stored = {
        "half": np.array([4, 4]),
        "wb": weight(2, 4, 1, 1),
        "wc": weight(8, 4, 1, 1),
        "wd2": weight(2, 2, 1, 1),
    }
    found = figures(at(between(tmp_path, nodes, stored)))
    assert found["b"][1] == 4 * (8 + 4 * 96)
    assert found["unused"][2] == 0


def test_what_is_computed_twice_counts_once(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["a", "wb"], ["b1"], "b1"),
        node("Conv", ["a", "wb"], ["b2"], "b2"),
        node("Relu", ["b1"], ["r1"], "r1"),
        node("Relu", ["b2"], ["r2"], "r2"),
        node("Add", ["r1", "r2"], ["m"], "add"),
    ]
    found = at(between(tmp_path, nodes, {"wb": weight(8, 8, 1, 1)}))
    assert [layer.name for layer in found] == ["a", "b1", "s", "d"]
    assert {"b1", "b2", "r1", "r2", "add"} < found[1].names
    assert figures(found)["b1"][1:] == (4 * (64 + 768), 4 * 768)


def counted_products(kind: str, first: NDArray[Any], second: NDArray[Any], **settings: Any) -> int:
    """Multiply-adds, by computing with ones: each product adds one to a sum."""
    model = helper.make_model(
        helper.make_graph(
            [node(kind, ["x", "y"], ["z"], **settings)],
            "ones",
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape)
                for name, value in (("x", first), ("y", second))
            ],
            [helper.make_empty_tensor_value_info("z")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    (result,) = session(model.SerializeToString()).run(
        None, {"x": np.ones_like(first), "y": np.ones_like(second)}
    )
    return int(result.sum())


def test_matrix_products_count_every_product(tmp_path: Path) -> None:
    nodes = [
        node("GlobalAveragePool", ["a"], ["pooled"], "pool"),
        node("Flatten", ["pooled"], ["flat"], "flat"),
        node("Gemm", ["flat", "wg", "bg"], ["gate"], "gemm", transB=1),
        node("Transpose", ["gate"], ["column"], "column"),
        node("Gemm", ["column", "wt"], ["outer"], "gemm2", transA=1),
        node("Unsqueeze", ["outer", "axes"], ["gate4"], "unsqueeze"),
        node("ConvTranspose", ["a", "wt4"], ["wide"], "transposed"),
        node("MatMul", ["wide", "wm"], ["product"], "matmul"),
        node("Mul", ["product", "gate4"], ["m"], "mul"),
    ]
    stored = {
        "wg": weight(8, 8),
        "bg": weight(8),
        "wt": weight(8, 8),
        "axes": np.array([2, 3]),
        "wt4": weight(8, 4, 3, 3),
        "wm": weight(14, 5),
    }
    nodes[6].attribute.append(helper.make_attribute("group", 2))
    path = between(tmp_path, nodes, stored)
    found = figures(at(path, height=8, width=12, batch=2))
    maps = np.ones((2, 8, 8, 12), np.float32)
    assert found["gemm"][0] == 2 * counted_products("Gemm", maps[:, :, 0, 0], stored["wg"], transB=1)
    assert found["gemm2"][0] == 2 * counted_products("Gemm", maps[:, :, 0, 0].T, stored["wt"], transA=1)
    assert found["transposed"][0] == 2 * counted_products("ConvTranspose", maps, stored["wt4"], group=2)
    wide = np.ones((2, 8, 10, 14), np.float32)
    assert found["matmul"][0] == 2 * counted_products("MatMul", wide, stored["wm"])
    # The gate is a image's 8 numbers, the product of width 5 is written with it applied.
    assert found["matmul"][1:] == (4 * (70 + 2 * 8 * 10 * 14 + 2 * 8), 4 * 2 * 8 * 10 * 5)


def test_two_maps_multiplied_are_both_read(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["a", "wb"], ["b"], "b"),
        node("Transpose", ["b"], ["t"], "t", perm=[0, 1, 3, 2]),
        node("MatMul", ["a", "t"], ["m"], "product"),
    ]
    found = figures(at(between(tmp_path, nodes, {"wb": weight(8, 8, 1, 1)})))
    assert found["product"] == (2 * 8 * 8 * 12 * 8, 4 * 2 * 768, 4 * 8 * 8 * 8)


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_a_quantized_file_is_counted_as_the_one_it_was_made_of(tmp_path: Path, kind: Quantized) -> None:
    path = residual_file(tmp_path / "m.onnx", opset=19)
    model = onnx.load(str(path))
    ranges = dict.fromkeys(quantized_tensors(model), 1.0)
    quantize(model, kind, ranges, [each.name for each in convolutions(model)])
    onnx.save(model, str(tmp_path / "q.onnx"))
    assert sum(each.op_type == "QuantizeLinear" for each in model.graph.node) >= 4
    assert figures(at(tmp_path / "q.onnx", precision=kind)) == figures(at(path, precision=kind))


@pytest.mark.parametrize("size", [(128, 128), (95, 161)])
def test_an_operator_without_shape_inference_is_run(tmp_path: Path, size: tuple[int, int]) -> None:
    unknown = node("Gelu", ["a"], ["m"], "gelu", domain="com.microsoft")
    known = node("Relu", ["a"], ["m"], "gelu")
    expected = figures(at(between(tmp_path, [known], {}), *size))
    assert figures(at(between(tmp_path, [unknown], {}, domains=["com.microsoft"]), *size)) == expected


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2)])
def test_a_image_too_small_for_the_network_is_refused_in_a_line(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    valid = node("Conv", ["a", "wb"], ["m"], "b")  # 5x5 without padding
    with pytest.raises(ModelError) as caught:
        at(between(tmp_path, [valid], {"wb": weight(8, 8, 5, 5)}), *size)
    assert str(tmp_path) in one_line(caught.value)


def test_nodes_without_names_get_names(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["a", "wb"], ["b"]),
        node("Conv", ["b", "wb"], ["m"]),
    ]
    found = at(between(tmp_path, nodes, {"wb": weight(8, 8, 1, 1)}))
    assert [layer.name for layer in found] == ["a", "Conv:b", "Conv:m", "s", "d"]


def test_the_default_model_has_the_products_that_the_workload_counts() -> None:
    path = embedded_file(DEFAULT)
    model = onnx.load(str(path))
    expected = work_by_convolution(model)
    found = {layer.name: layer for layer in at(path, SIDE, SIDE)}
    repeated = {name for name in expected if name not in found}
    # The context modules compute the first of their convolutions twice.
    assert repeated == {f"net[/ssh{level}/conv5X5_1/conv5X5_1.0_1/Conv]" for level in (1, 2, 3)}
    for name in expected.keys() - repeated:
        assert found[name].operations == 2 * expected[name]
    convolutions = {name for name, layer in found.items() if layer.kind == "Conv"}
    assert convolutions == expected.keys() - repeated


@pytest.mark.parametrize("size", [(480, 640), (37, 211), (1, 1)])
def test_the_default_model_writes_its_outputs_at_any_size(size: tuple[int, int]) -> None:
    path = embedded_file(DEFAULT)
    outputs = session(str(path)).run(None, {"images": np.zeros((1, *size, 3), np.uint8)})
    found = at(path, *size, precision="int8")
    heads_of = [layer for layer in found if "_head" in layer.name or layer.kind == "Softmax"]
    final = sum(layer.written_bytes for layer in heads_of if layer.kind == "Softmax")
    scores, others = sum(o.size for o in outputs if o.ndim == 2), sum(o.size for o in outputs if o.ndim == 3)
    # The softmax is over two classes of which the score is one, and the whole of it is written.
    assert final == 4 * 2 * scores
    assert sum(layer.written_bytes for layer in heads_of) - final == 4 * others + 2 * scores


def test_mogface_has_the_products_that_the_workload_counts(mogface_file: Path) -> None:
    expected = work_by_convolution(onnx.load(str(mogface_file)))
    found = {layer.name: layer.operations for layer in at(mogface_file, SIDE, SIDE) if layer.kind == "Conv"}
    assert found == {name: 2 * count for name, count in expected.items()}


def test_mogface_at_full_size_is_counted_without_being_run(mogface_file: Path) -> None:
    found = at(mogface_file, 640, 640, precision="fp16")
    quarter = at(mogface_file, 128, 128, precision="fp16")
    work, less = (sum(layer.operations for layer in each) for each in (found, quarter))
    assert 1.5e12 < work < 1.6e12
    assert abs(work / less - 25) < 0.1  # 25 times the pixels; every stride divides both sides
    assert sum(layer.kind == "InstanceNormalization" for layer in found) == 48
    assert not [layer for layer in found if layer.bytes_moved == 0]


@pytest.mark.slow
def test_winograd_functions_are_counted_as_they_compute(mogface_file: Path, tmp_path: Path) -> None:
    from engine_build.onnx import cpu

    model = onnx.load(str(mogface_file))
    cpu.for_cpu(model)
    onnx.save(model, str(tmp_path / "cpu.onnx"))
    fast, plain = at(tmp_path / "cpu.onnx", 320, 320), at(mogface_file, 320, 320)
    work, direct = (sum(layer.operations for layer in each) for each in (fast, plain))
    assert {"Conv", "MatMul"} <= {layer.kind for layer in fast}
    assert len({layer.name for layer in fast}) == len(fast)
    assert 0.3 < work / direct < 0.7


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09"])
def test_a_file_that_is_no_model_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        at(path)
    assert str(path) in one_line(caught.value)


def test_a_missing_file_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        at(tmp_path / "none.onnx")


def test_an_onnx_file_without_a_spec_is_refused_in_a_line(tmp_path: Path) -> None:
    path = residual_file(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="detector spec") as caught:
        at(path)
    one_line(caught.value)


def test_a_network_without_products_is_refused_in_a_line(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "m.onnx", answers(4), spec=small_spec().to_json())
    with pytest.raises(ModelError, match="no convolution") as caught:
        at(path)
    one_line(caught.value)


def test_control_flow_is_refused_in_a_line(tmp_path: Path) -> None:
    branches = [
        helper.make_graph([node("Relu", ["a"], [out])], out, [], [helper.make_empty_tensor_value_info(out)])
        for out in ("yes", "no")
    ]
    nodes = [node("If", ["always"], ["m"], "if", then_branch=branches[0], else_branch=branches[1])]
    with pytest.raises(ModelError, match="depends on the image") as caught:
        at(between(tmp_path, nodes, {"always": np.array(True)}))
    assert str(tmp_path) in one_line(caught.value)


@pytest.mark.parametrize(("batch", "height", "width"), [(0, 8, 8), (1, 0, 8), (1, 8, -3)])
def test_impossible_sizes_are_refused_in_a_line(tmp_path: Path, batch: int, height: int, width: int) -> None:
    with pytest.raises(ArgumentError, match="must be at least 1") as caught:
        at(residual_file(tmp_path / "m.onnx"), height, width, batch)
    one_line(caught.value)


def test_an_unknown_precision_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"fp4: .*choose from fp32, fp16, bf16, int8, fp8\)"):
        at(residual_file(tmp_path / "m.onnx"), precision="fp4")  # type: ignore[arg-type]
