"""The order of the first two nodes: pixels to floats, NHWC to NCHW."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks._lib.weights import weights_of
from engine_build.onnx import contract, pixels
from tests.support.onnx_files import default_model
from tests.support.specs import small_spec
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import ModelError
from trt_mogface.models.files import contract_file
from trt_mogface.spec import METADATA_KEY

CAST = helper.make_node("Cast", ["images"], ["a"], "to floats", to=TensorProto.FLOAT)
TRANSPOSE = helper.make_node("Transpose", ["a"], ["b"], "to planes", perm=[0, 3, 1, 2])
TRANSPOSE_FIRST = helper.make_node("Transpose", ["images"], ["a"], "to planes", perm=[0, 3, 1, 2])
CAST_SECOND = helper.make_node("Cast", ["a"], ["b"], "to floats", to=TensorProto.FLOAT)
LAST = helper.make_node("Sub", ["b", "mean"], ["y"], "normalize")


def model_of(*nodes: onnx.NodeProto, value_info: int | None = None) -> onnx.ModelProto:
    mean = numpy_helper.from_array(np.array([104, 117, 123], np.float32).reshape(1, 3, 1, 1), "mean")
    graph = helper.make_graph(
        nodes,
        "pixels",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "c", "h", "w"])],
        [mean],
    )
    if value_info is not None:
        shape: list[str | int | None] = ["N", "H", "W", 3]
        if nodes[0].op_type != "Cast":
            shape = ["N", 3, "H", "W"]
        graph.value_info.append(helper.make_tensor_value_info("a", value_info, shape))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def assert_same_output(one: onnx.ModelProto, other: onnx.ModelProto) -> None:
    onnx.checker.check_model(other, full_check=True)
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    expected, got = (
        session(model.SerializeToString(), 1).run(None, {"images": images})[0] for model in (one, other)
    )
    assert got.shape == (2, 3, 5, 7)
    np.testing.assert_array_equal(got, expected)


def test_both_orders_compute_the_same_and_undo_each_other() -> None:
    cast = model_of(CAST, TRANSPOSE, LAST)
    transpose = model_of(TRANSPOSE_FIRST, CAST_SECOND, LAST)
    model = copy_of(cast)
    pixels.transpose_first(model)
    assert model == transpose  # names of nodes and attributes go with their operators
    assert_same_output(cast, model)
    pixels.cast_first(model)
    assert model == cast
    assert_same_output(cast, model)


def test_what_is_in_order_stays() -> None:
    for model, change in (
        (model_of(CAST, TRANSPOSE, LAST), pixels.cast_first),
        (model_of(TRANSPOSE_FIRST, CAST_SECOND, LAST), pixels.transpose_first),
    ):
        before = copy_of(model)
        change(model)
        assert model == before


OTHER_GRAPHS = {
    "pixels read twice": [
        TRANSPOSE_FIRST,
        CAST_SECOND,
        helper.make_node("Shape", ["images"], ["sizes"]),
        helper.make_node("Cast", ["sizes"], ["counts"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["counts"], ["total"], keepdims=0),
        helper.make_node("Add", ["b", "total"], ["c"]),
        helper.make_node("Sub", ["c", "mean"], ["y"]),
    ],
    "planes read twice": [
        TRANSPOSE_FIRST,
        CAST_SECOND,
        helper.make_node("Cast", ["a"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["b", "mean"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ],
    "something between": [
        TRANSPOSE_FIRST,
        helper.make_node("Identity", ["a"], ["between"]),
        helper.make_node("Cast", ["between"], ["b"], to=TensorProto.FLOAT),
        LAST,
    ],
    "two casts": [
        helper.make_node("Cast", ["images"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["a"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["c"], ["b"], perm=[0, 3, 1, 2]),
        LAST,
    ],
}


@pytest.mark.parametrize("name", OTHER_GRAPHS)
@pytest.mark.parametrize("change", [pixels.cast_first, pixels.transpose_first])
def test_other_graphs_are_left_alone(name: str, change: object) -> None:
    model = model_of(*OTHER_GRAPHS[name])
    before = copy_of(model)
    assert callable(change)
    change(model)
    assert model == before


@pytest.mark.parametrize("change", [pixels.cast_first, pixels.transpose_first])
def test_graphs_without_pixels(change: object) -> None:
    graph = helper.make_graph([], "empty", [], [])
    assert callable(change)
    change(helper.make_model(graph))
    source = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.zeros(3, np.float32)))
    model = helper.make_model(helper.make_graph([source], "constant", [], []))
    change(model)
    assert list(model.graph.node) == [source]


def test_types_noted_in_the_file_follow() -> None:
    model = model_of(TRANSPOSE_FIRST, CAST_SECOND, LAST, value_info=TensorProto.UINT8)
    pixels.cast_first(model)
    onnx.checker.check_model(model, full_check=True)


def test_the_default_model() -> None:
    model = default_model()
    assert [node.op_type for node in model.graph.node][:2] == ["Cast", "Transpose"]
    turned = copy_of(model)
    pixels.transpose_first(turned)
    onnx.checker.check_model(turned, full_check=True)
    assert [node.op_type for node in turned.graph.node][:2] == ["Transpose", "Cast"]
    images = np.random.default_rng(0).integers(0, 256, (1, 40, 64, 3), np.uint8)
    expected, got = (
        session(one.SerializeToString(), 1).run(["scores", "deltas"], {"images": images})
        for one in (model, turned)
    )
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])
    pixels.cast_first(turned)
    assert turned == model


SIZES = [(1, 40, 64), (2, 97, 131), (1, 33, 250), (1, 1, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("change", [pixels.cast_first, pixels.transpose_first])
def test_float_planes_give_the_same_outputs(
    size: tuple[int, int, int], change: Callable[[onnx.ModelProto], None]
) -> None:
    model = default_model()
    change(model)
    planes = copy_of(model)
    pixels.float_planes(planes)
    onnx.checker.check_model(planes, full_check=True)
    images = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    given = np.ascontiguousarray(images.transpose(0, 3, 1, 2).astype(np.float32))
    names = ["scores", "deltas", "landmarks"]
    expected = session(model.SerializeToString(), 1).run(names, {"images": images})
    got = session(planes.SerializeToString(), 1).run(names, {"images": given})
    for ours, theirs in zip(got, expected):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["scrfd-500m", "ulfd-slim", "yunet", "yunet-s"])
def test_float_planes_of_other_detectors_give_the_same_outputs(
    name: str, test_data: Path, tmp_path: Path
) -> None:
    model = contract.load(contract_file(name, weights_of(name, test_data, tmp_path), for_cpu=False))
    planes = copy_of(model)
    pixels.float_planes(planes)
    images = np.random.default_rng(0).integers(0, 256, (2, 97, 131, 3), np.uint8)
    given = np.ascontiguousarray(images.transpose(0, 3, 1, 2).astype(np.float32))
    expected = session(model.SerializeToString(), 1).run(None, {"images": images})
    got = session(planes.SerializeToString(), 1).run(None, {"images": given})
    for ours, theirs in zip(got, expected):
        np.testing.assert_array_equal(ours, theirs)


def test_a_model_with_float_planes_says_so() -> None:
    model = default_model()
    spec = contract.spec_of(model)
    pixels.float_planes(model)
    changed = contract.spec_of(model)
    assert changed == dataclasses.replace(spec, input=dataclasses.replace(spec.input, layout="nchw-float32"))
    (given,) = model.graph.input
    sizes = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
    assert (given.name, given.type.tensor_type.elem_type) == ("images", TensorProto.FLOAT)
    assert sizes == ["N", 3, "H", "W"]
    again = copy_of(model)
    pixels.float_planes(again)
    assert again == model


@pytest.mark.parametrize("name", OTHER_GRAPHS)
def test_float_planes_of_other_graphs_are_refused(name: str) -> None:
    model = model_of(*OTHER_GRAPHS[name])
    helper.set_model_props(model, {METADATA_KEY: small_spec().to_json()})
    with pytest.raises(ModelError, match="cast and a transpose"):
        pixels.float_planes(model)


def test_a_graph_whose_pixels_both_nodes_read_is_left_alone() -> None:
    both = [
        helper.make_node("Cast", ["images"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["images"], ["b"], perm=[0, 3, 1, 2]),
    ]
    model = helper.make_model(helper.make_graph(both, "both", [], []))
    before = copy_of(model)
    pixels.cast_first(model)
    pixels.transpose_first(model)
    assert model == before
