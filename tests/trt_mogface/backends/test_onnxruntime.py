"""Model files: good ones run, and every other file is one line of `ModelError`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.support.onnx_files import answers, constant_network
from tests.support.specs import one_line, small_spec
from trt_mogface.backends.onnxruntime import OnnxNetwork, read_spec
from trt_mogface.errors import ModelError, RunnerError
from trt_mogface.models.cards import embedded_file

SPEC = small_spec()
SPEC5 = small_spec(landmarks=5)
PIXELS = np.zeros((1, 8, 8, 3), np.uint8)
COUNT = SPEC.anchor_count(8, 8)


def refused(path: Path) -> str:
    """The message of both ways to open a file."""
    messages = []
    for open_file in (OnnxNetwork, read_spec):
        with pytest.raises(ModelError) as error:
            open_file(path)
        messages.append(one_line(error.value))
    assert messages[0] == messages[1]
    assert path.name in messages[0] or "detector spec" in messages[0]
    return messages[0]


def test_a_contract_file_runs_and_tells_its_spec(tmp_path: Path) -> None:
    outputs = answers(COUNT, landmarks=5)
    outputs["scores"][:] = np.linspace(0, 1, COUNT)
    path = constant_network(tmp_path / "good.onnx", outputs, spec=SPEC5.to_json())
    assert read_spec(path) == SPEC5
    with OnnxNetwork(path) as network:
        found = network.run(PIXELS)
    assert np.array_equal(found.scores, outputs["scores"])
    assert found.landmarks is not None
    assert found.landmarks.shape == (1, COUNT, 10)


def test_without_landmarks_there_are_none(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "good.onnx", answers(COUNT), spec=SPEC.to_json())
    with OnnxNetwork(path, threads=1) as network:
        assert network.run(PIXELS).landmarks is None


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nope.onnx")
    assert "no such file" in refused(tmp_path)


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x08\x07\x12", bytes(range(256)) * 20])
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    refused(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model_is_refused(tmp_path: Path, part: float) -> None:
    data = embedded_file("retinaface-mnet025").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * part)])
    refused(path)


def test_an_onnx_file_without_a_spec_is_told_what_to_do(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "other.onnx", answers(COUNT))
    assert "trt-mogface export" in refused(path)


@pytest.mark.parametrize("text", ["", "not json", "{}", "[1]", '{"contract": 2}'])
def test_an_onnx_file_with_a_bad_spec_is_refused(tmp_path: Path, text: str) -> None:
    refused(constant_network(tmp_path / "bad.onnx", answers(COUNT), spec=text))


@pytest.mark.parametrize(
    "changes", [{"input_name": "input"}, {"input_type": TensorProto.FLOAT}, {"input_rank": 3}], ids=str
)
def test_another_input_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = constant_network(tmp_path / "bad.onnx", answers(COUNT), spec=SPEC.to_json(), **changes)
    assert "one input 'images'" in refused(path)


def test_other_outputs_are_refused(tmp_path: Path) -> None:
    good = answers(COUNT)
    wrong = [
        {"scores": good["scores"]},
        {**good, "extra": good["scores"]},
        {**good, "scores": good["scores"][0]},
        {**good, "scores": good["scores"].astype(np.float64)},
        {"boxes": good["scores"], "deltas": good["deltas"]},
        answers(COUNT, landmarks=5),  # the spec has none
    ]
    for number, outputs in enumerate(wrong):
        path = constant_network(tmp_path / f"bad{number}.onnx", outputs, spec=SPEC.to_json())
        assert "float32 outputs" in refused(path)
    path = constant_network(tmp_path / "bad.onnx", good, spec=SPEC5.to_json())
    assert "landmarks" in refused(path)


def run_refused(path: Path, images: Any = PIXELS) -> str:
    with OnnxNetwork(path) as network, pytest.raises(ModelError) as error:
        network.run(images)
    return one_line(error.value)


@pytest.mark.parametrize("count", [0, COUNT - 1, COUNT + 1, 4000])
def test_outputs_that_do_not_fit_the_specs_anchors_are_refused(tmp_path: Path, count: int) -> None:
    path = constant_network(tmp_path / "bad.onnx", answers(count), spec=SPEC.to_json())
    assert "export the model again" in run_refused(path)


def test_outputs_of_another_batch_size_are_refused(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "bad.onnx", answers(COUNT, batch=2), spec=SPEC.to_json())
    run_refused(path)


def test_deltas_of_another_shape_are_refused(tmp_path: Path) -> None:
    outputs = {**answers(COUNT), "deltas": np.zeros((1, COUNT, 5), np.float32)}
    run_refused(constant_network(tmp_path / "bad.onnx", outputs, spec=SPEC.to_json()))


@pytest.mark.parametrize("shape", [(1, COUNT, 8), (1, COUNT, 7), (1, COUNT - 1, 10), (2, COUNT, 10)])
def test_landmarks_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    outputs = {**answers(COUNT), "landmarks": np.zeros(shape, np.float32)}
    run_refused(constant_network(tmp_path / "bad.onnx", outputs, spec=SPEC5.to_json()))


def test_a_picture_of_another_type_is_refused() -> None:
    path = embedded_file("retinaface-mnet025")
    assert "the network failed" in run_refused(path, PIXELS.astype(np.float32))


def test_a_closed_network_says_so(tmp_path: Path) -> None:
    network = OnnxNetwork(constant_network(tmp_path / "a.onnx", answers(COUNT), spec=SPEC.to_json()))
    network.close()
    network.close()
    with pytest.raises(RunnerError, match="closed"):
        network.run(PIXELS)


def test_float_planes_hold_the_same_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(SPEC, input=dataclasses.replace(SPEC.input, layout="nchw-float32"))
    path = constant_network(
        tmp_path / "planes.onnx", answers(COUNT), spec=spec.to_json(), input_type=TensorProto.FLOAT
    )
    images = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    with OnnxNetwork(path) as network:
        running = network._session
        fed: list[Any] = []

        class Watched:
            def run(self, names: list[str], values: dict[str, Any]) -> Any:
                fed.append(values["images"])
                return running.run(names, values)

        monkeypatch.setattr(network, "_session", Watched())
        network.run(images)
    assert fed[0].dtype == np.float32
    assert np.array_equal(fed[0], images.transpose(0, 3, 1, 2))
    wrong = constant_network(tmp_path / "bytes.onnx", answers(COUNT), spec=spec.to_json())
    assert "float32" in refused(wrong)
