"""Our MogFace against the published one: the torch network, the exported file, and whole detections."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine_build.models.mogface import EXTRA_DIVISOR, MEAN, STD
from tests.support.mogface import Pair, outputs_of_ours, write
from tests.support.photos import Photo
from trt_mogface import Detections, Detector
from trt_mogface.backends.onnxruntime import OnnxNetwork

torch = pytest.importorskip("torch", reason="MogFace's network needs torch")

SIZES = [(1, 97, 131), (1, 150, 203), (3, 97, 131), (1, 1, 33)]
LARGE_SIZES = [(1, 320, 320), (1, 480, 640)]


def pixels(batch: int, height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (batch, height, width, 3), np.uint8)


def normalized(images: NDArray[np.uint8]) -> Any:
    """The published preprocessing: mean, std, 255, as RGB planes."""
    values = (images[..., ::-1].astype(np.float32) - np.array(MEAN)) / np.array(STD) / EXTRA_DIVISOR
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2))).float()


def outputs_of_published(network: Any, images: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    with torch.no_grad():
        scores, deltas = network(normalized(images))
    return scores[..., 0].numpy(), deltas.numpy()


@pytest.mark.parametrize("size", SIZES)
def test_torch_network_equals_the_published_one(mogface: Pair, size: tuple[int, int, int]) -> None:
    images = pixels(*size)
    scores, deltas = outputs_of_published(mogface.published, images)
    our_scores, our_deltas = outputs_of_ours(mogface.ours, normalized(images))
    np.testing.assert_allclose(our_scores, scores, rtol=0, atol=1e-5)
    np.testing.assert_allclose(our_deltas, deltas, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "size", [*SIZES, *(pytest.param(size, marks=pytest.mark.slow) for size in LARGE_SIZES)]
)
def test_exported_file_equals_the_published_network(mogface: Pair, size: tuple[int, int, int]) -> None:
    images = pixels(*size)
    scores, deltas = outputs_of_published(mogface.published, images)
    with OnnxNetwork(mogface.onnx) as executor:
        outputs = executor.run(images)
    np.testing.assert_allclose(outputs.scores, scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(outputs.deltas, deltas, rtol=0, atol=1e-4)


def test_the_scores_spread(mogface: Pair) -> None:
    """Guards the tests above: with scores all alike, equality would prove little."""
    scores, _ = outputs_of_published(mogface.published, pixels(1, 97, 131))
    assert np.ptp(scores) > 0.3


def test_weights_as_initialized(mogface_reference: ModuleType, tmp_path: Path) -> None:
    write(mogface_reference, tmp_path, spread=False)
    plain = Pair(mogface_reference, tmp_path, spread=False)
    images = pixels(2, 97, 131)
    scores, deltas = outputs_of_published(plain.published, images)
    our_scores, our_deltas = outputs_of_ours(plain.ours, normalized(images))
    np.testing.assert_allclose(our_scores, scores, rtol=0, atol=1e-5)
    np.testing.assert_allclose(our_deltas, deltas, rtol=0, atol=1e-5)
    with OnnxNetwork(plain.onnx) as executor:
        outputs = executor.run(images)
    np.testing.assert_allclose(outputs.scores, scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(outputs.deltas, deltas, rtol=0, atol=1e-4)


def test_exported_file_stores_the_head_once(mogface: Pair) -> None:
    assert mogface.onnx.stat().st_size <= 250e6


def published_selection(
    utils: Any, size: tuple[int, ...], scores: NDArray[Any], deltas: NDArray[Any], threshold: float
) -> NDArray[np.float32]:
    """The steps of ModelScope's MogFaceDetector after the network: x0, y0, x1, y1, score."""
    priors = torch.tensor(utils.MogPriorBox(scale_list=[0.68])(*size))
    boxes = utils.mogdecode(torch.from_numpy(deltas), priors).numpy()
    chosen = np.where(scores > threshold)[0]
    order = scores[chosen].argsort()[::-1][:5000]
    found = np.hstack((boxes[chosen][order], scores[chosen][order][:, None])).astype(np.float32)
    kept: NDArray[np.float32] = found[utils.py_cpu_nms(found, 0.4)][:750]
    return kept


@pytest.mark.slow
def test_whole_detections_equal_the_published_ones(
    mogface: Pair, mogface_reference: Any, group: Photo
) -> None:
    image = group[:509, :637]
    assert max(image.shape) <= 1500  # below the rule for long sides
    scores, deltas = outputs_of_published(mogface.published, image[None])
    # Random weights have no faces to find, so the threshold keeps the best hundredth of the anchors.
    threshold = float(np.quantile(scores, 0.99))
    expected = published_selection(mogface_reference, image.shape[:2], scores[0], deltas[0], threshold)
    with Detector(mogface.onnx, pad=False, conf=threshold) as detect:
        faces = detect(image)
    assert len(expected) > 50
    assert_same_faces(faces, expected, threshold)


def assert_same_faces(faces: Detections, expected: NDArray[np.float32], threshold: float) -> None:
    """Equal but for what float rounding decides: neighbors in score order, and the threshold's edge."""
    doubtful = np.abs(expected[:, 4] - threshold) < 1e-5
    certain = expected[~doubtful]
    assert abs(len(faces) - len(expected)) <= np.count_nonzero(doubtful) + 2
    # The export's 1e-4 on deltas is relative to a box's size.
    sides = np.maximum(certain[:, 2:4] - certain[:, :2], 10).max(axis=1)
    near = np.abs(faces.xyxy[None] - certain[:, None, :4]).max(axis=2) < 1e-3 * sides[:, None]
    alike = np.abs(faces.confidence[None] - certain[:, None, 4]) < 1e-3
    missed = np.count_nonzero(~(near & alike).any(axis=1))
    assert missed <= max(2, len(certain) // 100)
