from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.support.networks import residual_file, weight
from tests.support.specs import one_line
from trt_mogface.bench.roofline import Layer, cpu_times, layers_of
from trt_mogface.bench.roofline.measured import times_of
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.models.cards import DEFAULT, embedded_file

A = Layer("a", "Conv", 1, 1, 1, frozenset({"a", "a0", "relu a", "ra"}))
B = Layer("b", "Conv", 1, 1, 1, frozenset({"b", "b0", "both"}))
C = Layer("c", "Conv", 1, 1, 1, frozenset({"c", "c0", "both"}))


def run(start: int, duration: int, **kernels: int) -> list[dict[str, Any]]:
    """The events of one run; nodes come before the run they are in, as in ONNX Runtime's profile."""
    events = [
        {"cat": "Node", "name": f"{name}_kernel_time", "ts": start + 1, "dur": took}
        for name, took in kernels.items()
    ]
    return [*events, {"cat": "Session", "name": "model_run", "ts": start, "dur": duration}]


def test_a_layer_takes_the_median_of_its_runs_and_the_sum_of_its_nodes() -> None:
    events = [
        {"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 9000},
        *run(1000, 900, a0_nchwc=800, b=50),  # warms up
        *run(2000, 100, a0_nchwc=40, ra=2, b=10),
        *run(3000, 300, a0_nchwc=60, ra=4, b=30),
        *run(4000, 200, a0_nchwc=50, ra=3, b=20),
    ]
    found = times_of(events, [A, B, C], skip=1)
    assert found.layers == pytest.approx({"a": 53e-6, "b": 20e-6})
    assert found.total == pytest.approx(200e-6)
    assert found.matched == pytest.approx(73 / 200)  # of 52/100, 94/300, 73/200
    assert found.runs == 3


@pytest.mark.parametrize(
    "name", ["a", "a0", "relu a", "a0_nchwc", "fused a", "fused relu a", "a_token_12", "a0_nchwc_token_3"]
)
def test_names_that_onnx_runtime_gives_to_fused_nodes_are_found(name: str) -> None:
    assert times_of(run(0, 10, **{name: 5}), [A]).layers == pytest.approx({"a": 5e-6})


@pytest.mark.parametrize("name", ["ReorderOutput_token_3", "both", "", "aa", "a_", "_nchwc", "fused "])
def test_other_names_belong_to_no_layer(name: str) -> None:
    found = times_of(run(0, 10, **{name: 5}), [A, B, C])
    assert found.layers == {}
    assert found.matched == 0.0


def test_a_node_name_that_ends_like_an_event_is_taken_as_it_is() -> None:
    layer = Layer("odd", "Conv", 1, 1, 1, frozenset({"x_nchwc", "y_kernel_time"}))
    assert times_of(run(0, 10, x_nchwc=5, y_kernel_time=2), [layer]).layers == pytest.approx({"odd": 7e-6})


@pytest.mark.parametrize("events", [[], run(0, 5, a=1)])
def test_a_profile_without_runs_that_count_is_refused(events: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelError, match="no runs") as caught:
        times_of(events, [A], skip=1)
    one_line(caught.value)


def test_the_default_model_is_found_layer_by_layer_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = embedded_file(DEFAULT)
    known = layers_of(path, batch=1, height=96, width=160, precision="fp32")
    found = cpu_times(path, known, batch=1, size=(160, 96), threads=1, runs=3)
    assert found.runs == 3
    assert set(found.layers) <= {layer.name for layer in known}
    assert len(found.layers) >= 0.9 * len(known)
    assert 0 < found.matched <= 1  # how much it is varies with the machine and its load
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_tiny_network_is_found_too(tmp_path: Path) -> None:
    path = residual_file(tmp_path / "m.onnx")
    known = layers_of(path, batch=2, height=64, width=64, precision="fp32")
    found = cpu_times(path, known, batch=2, size=(64, 64), threads=1, runs=2)
    assert {"a", "c", "d"} <= set(found.layers)


def test_nodes_of_functions_and_without_names_are_found(tmp_path: Path) -> None:
    body = """
    <opset_import: ["" : 17], domain: "tests"> twice (x, w) => (y) { z = Conv (x, w) y = Conv (z, w) }
    """
    path = residual_file(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    head = next(node for node in model.graph.node if node.name == "c")
    twice = onnx.helper.make_node("twice", ["b", "square"], ["b2"], "twice", domain="tests")
    head.input[0] = "b2"
    model.graph.node.insert(list(model.graph.node).index(head), twice)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight(8, 8, 1, 1), "square"))
    model.functions.append(onnx.parser.parse_function(body))
    model.opset_import.append(onnx.helper.make_opsetid("tests", 1))
    onnx.save(model, str(path))
    known = layers_of(path, batch=2, height=64, width=64, precision="fp32")
    assert [layer.kind for layer in known] == ["Conv"] * 7
    found = cpu_times(path, known, batch=2, size=(64, 64), threads=1, runs=2)
    assert set(found.layers) == {layer.name for layer in known}


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("?")
    with pytest.raises(ModelError) as caught:
        cpu_times(tmp_path / "a.onnx", [A], batch=1, size=(8, 8))
    one_line(caught.value)


def test_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="must be positive"):
        cpu_times(residual_file(tmp_path / "m.onnx"), [A], batch=1, size=(8, 8), runs=0)


def test_a_size_the_network_cannot_take_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be profiled") as caught:
        cpu_times(residual_file(tmp_path / "m.onnx"), [A], batch=0, size=(0, 0))
    one_line(caught.value)
