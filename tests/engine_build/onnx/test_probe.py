"""A model run with nodes of one's own beside it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from engine_build.onnx.probe import probe, shapes_by_running
from tests.support.onnx_files import default_model


@pytest.mark.parametrize("options", [{}, {"optimize": False}, {"arena": False}], ids=str)
def test_nodes_beside_a_network_see_its_tensors(options: dict[str, bool]) -> None:
    model = default_model()
    before = onnx.ModelProto()
    before.CopyFrom(model)
    stored = [numpy_helper.from_array(np.array(2, np.float32), "two")]
    nodes = [
        helper.make_node("Mul", ["scores", "two"], ["doubled"]),
        helper.make_node("Shape", ["doubled"], ["size"]),
    ]
    run = probe(model, nodes, ["doubled", "scores", "size"], stored=stored, **options)
    for batch, anchors in ((1, 84), (2, 84)):
        doubled, scores, size = run(np.zeros((batch, 32, 64, 3), np.uint8))
        np.testing.assert_array_equal(doubled, 2 * scores)
        assert size.tolist() == [batch, anchors]
    assert model == before


def test_shapes_are_those_of_the_input_size() -> None:
    found = shapes_by_running(default_model(), ["deltas", "pixels"], (2, 32, 64, 3))
    assert found == {"deltas": (2, 84, 4), "pixels": (2, 32, 64, 3)}
