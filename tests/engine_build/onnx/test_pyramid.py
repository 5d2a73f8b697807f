"""min_face: the finest levels go, the outputs of the others stay the same, and most of the work is gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine_build.models import mogface, retinaface
from engine_build.onnx import contract
from engine_build.onnx.pyramid import levels_left_out, without_small_faces
from engine_build.workload.layers import layers_of
from tests.support.mogface import Pair
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.errors import ArgumentError
from trt_mogface.models.cards import embedded_file

MOGFACE = mogface.FAMILY.spec


def cut(path: Path, min_face: float, target: Path) -> Path:
    model = contract.load(path)
    contract.save(without_small_faces(model, min_face), target)
    return target


@pytest.mark.parametrize(
    ("min_face", "levels"), [(1, 0), (18, 0), (19, 1), (24, 1), (36, 1), (37, 2), (580, 5)]
)
def test_levels_are_left_out_by_the_faces_they_see(min_face: float, levels: int) -> None:
    assert levels_left_out(MOGFACE, min_face) == levels


@pytest.mark.parametrize("min_face", [0.0, -1.0, float("nan"), 600.0, float("inf")])
def test_impossible_sizes_are_refused(min_face: float) -> None:
    with pytest.raises(ArgumentError, match="min_face") as caught:
        levels_left_out(MOGFACE, min_face)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_mogface_without_p2_keeps_the_rest_and_loses_two_thirds_of_the_work(
    mogface: Pair, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 97, 131, 3), np.uint8)
    with (
        OnnxNetwork(mogface.onnx) as whole,
        OnnxNetwork(cut(mogface.onnx, 24, tmp_path / "24.onnx")) as part,
    ):
        left = part.spec.anchor_count(97, 131)
        assert whole.spec.anchor_count(97, 131) - left == 25 * 33
        everything, rest = whole.run(images), part.run(images)
        # Exactly: the same arithmetic, up to the order in which threads add.
        np.testing.assert_allclose(rest.scores, everything.scores[:, -left:], rtol=0, atol=1e-6)
        np.testing.assert_allclose(rest.deltas, everything.deltas[:, -left:], rtol=0, atol=1e-5)
    assert work(tmp_path / "24.onnx") < 0.4 * work(mogface.onnx)


def work(path: Path) -> int:
    """Return the operations of a file at 224x224; times of runs vary with the load of the machine."""
    layers = layers_of(path, batch=1, height=224, width=224, precision="fp32")
    return sum(layer.operations for layer in layers)


def test_retinaface_without_its_finest_level(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 97, 131, 3), np.uint8)
    path = embedded_file("retinaface-mnet025")
    with OnnxNetwork(path) as whole, OnnxNetwork(cut(path, 60, tmp_path / "60.onnx")) as part:
        assert [level.stride for level in part.spec.levels] == [16, 32]
        left = part.spec.anchor_count(97, 131)
        everything, rest = whole.run(images), part.run(images)
        assert everything.landmarks is not None
        assert rest.landmarks is not None
        np.testing.assert_allclose(rest.scores, everything.scores[:, -left:], rtol=0, atol=1e-6)
        np.testing.assert_allclose(rest.deltas, everything.deltas[:, -left:], rtol=0, atol=1e-5)
        np.testing.assert_allclose(rest.landmarks, everything.landmarks[:, -left:], rtol=0, atol=1e-5)


def test_nothing_is_left_out_for_small_faces() -> None:
    assert levels_left_out(retinaface.FAMILY.spec, 24) == 0
