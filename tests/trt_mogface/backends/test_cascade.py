"""MTCNN as a backend: the published detections, and no exception whatever the image or the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cascades import all_cells, far_away, huge, made, not_a_number, not_finite, seal, too_large
from tests.support.photos import Photo
from tests.support.published_mtcnn import detect, published, trained, write_npy
from tests.support.specs import one_line
from trt_mogface import Detections, Detector, Runner, read_image
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.models.cascade import MANIFEST, STAGES, load_cascade, network_file
from trt_mogface.models.files import contract_file, model_path
from trt_mogface.reference.stages import LIMITS

torch = pytest.importorskip("torch", reason="the networks come out of torch")


SMALL = 1_200_000
"""Pixels of an image that the published code does in a second."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npy(trained(), tmp_path_factory.mktemp("npy"))


@pytest.fixture(scope="module")
def folder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade with the trained weights."""
    return made(tmp_path_factory.mktemp("mtcnn"), weights)


@pytest.fixture(scope="module")
def detector(folder: Path) -> Iterator[Detector]:
    with Detector(folder, threads=1) as opened:
        yield opened


def assert_same(ours: Detections, boxes: Any, landmarks: Any) -> None:
    """Compare in the single precision of `Detections`: the networks add in another order than torch."""
    assert len(ours) == len(boxes)
    assert ours.landmarks is not None
    np.testing.assert_allclose(ours.confidence, boxes[:, 4], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.xyxy, boxes[:, :4], rtol=0, atol=2e-4)
    np.testing.assert_allclose(ours.landmarks.reshape(-1, 10), landmarks, rtol=0, atol=2e-4)
    assert (ours.dropped, ours.truncated) == (0, 0)


@pytest.mark.slow
def test_published_detections(detector: Detector, weights: Path, test_data: Path) -> None:
    theirs = published("detector").MtcnnFaceDetector(str(weights), device="cpu")
    faces = 0
    for path in sorted(
        [*(test_data / "demo_images").glob("*.jpg"), *(test_data / "dlib_faces").glob("*.jpg")]
    ):
        image = read_image(path)
        if image.shape[0] * image.shape[1] <= SMALL:
            found = detector(image)
            assert_same(found, *detect(theirs, image))
            faces += len(found)
    assert faces >= 50


def test_published_detections_of_the_group(detector: Detector, weights: Path, group: Photo) -> None:
    theirs = published("detector").MtcnnFaceDetector(str(weights), device="cpu")
    small = np.ascontiguousarray(group[::2, ::2])
    assert_same(detector(small), *detect(theirs, small))
    assert len(detector(small)) == 6


def test_a_batch_gives_what_its_images_give(detector: Detector, portrait: Photo, group: Photo) -> None:
    images = [portrait, np.ascontiguousarray(group[:512, :512]), portrait[:, ::-1].copy()]
    for one, of_batch in zip((detector(image) for image in images), detector(images)):
        np.testing.assert_array_equal(one.xyxy, of_batch.xyxy)
        np.testing.assert_array_equal(one.confidence, of_batch.confidence)
        assert len(one)


def test_runner(folder: Path, detector: Detector, portrait: Photo) -> None:
    with Runner(folder, batch=2, slots=2) as runner:
        results = list(runner.map([portrait] * 4))
    expected = detector(portrait)
    for result in results:
        np.testing.assert_array_equal(result.xyxy, expected.xyxy)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 5000), (5000, 1), (11, 40), (20, 20), (21, 21), (22, 3000), (200, 200)]
)
def test_images_without_a_face(detector: Detector, shape: tuple[int, int]) -> None:
    for image in (np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 127, np.uint8)):
        found = detector(image)
        assert (len(found), found.dropped, found.truncated) == (0, 0, 0)
        assert found.landmarks is not None
        assert found.landmarks.shape == (0, 5, 2)


def test_a_gray_file(detector: Detector, portrait: Photo, tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "gray.png"), cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY))
    assert len(detector(read_image(tmp_path / "gray.png"))) == 1


def test_a_face_at_the_edge(detector: Detector, weights: Path, portrait: Photo) -> None:
    theirs = published("detector").MtcnnFaceDetector(str(weights), device="cpu")
    found = detector(portrait)
    x0, y0, x1, y1 = found.xyxy[0].astype(int).tolist()
    width, height = x1 - x0, y1 - y0
    cut = np.ascontiguousarray(portrait[y0 + height // 8 : y1 + 40, x0 + width // 8 : x1 + 40])
    faces = detector(cut)
    assert_same(faces, *detect(theirs, cut))
    assert len(faces) == 1


def test_ten_thousand_candidates(weights: Path, tmp_path: Path, portrait: Photo) -> None:
    image = np.ascontiguousarray(portrait[:400, :400])
    with Detector(made(tmp_path, weights, all_cells), threads=1) as detect_all:
        found = detect_all(image)
    assert found.truncated >= 115**2 - LIMITS.cells  # windows of the finest level, 240 x 240 pixels
    assert found.to_dict()["truncated"] == found.truncated
    assert found.dropped == 0


@pytest.mark.parametrize("change", [far_away, huge])
def test_crops_wholly_outside(
    weights: Path, tmp_path: Path, portrait: Photo, change: Callable[[dict[str, Any]], None]
) -> None:
    with Detector(made(tmp_path, weights, change), threads=1) as detect_outside:
        found = detect_outside(np.ascontiguousarray(portrait[:90, :90]))
    assert (len(found), found.dropped) == (0, 0)


@pytest.mark.parametrize("change", [not_finite, not_a_number, too_large])
def test_candidates_that_are_not_finite_are_counted(
    weights: Path, tmp_path: Path, portrait: Photo, change: Callable[[dict[str, Any]], None]
) -> None:
    with Detector(made(tmp_path, weights, change), threads=1) as detect_broken:
        found = detect_broken(portrait)
    assert len(found) == 0
    assert found.dropped > 0


def test_options(folder: Path, portrait: Photo, group: Photo) -> None:
    with Detector(folder, conf=0.0, max_det=2) as many:
        assert len(many(group[::2, ::2].copy())) == 2
    with Detector(folder, size=(256, 256)) as scaled, Detector(folder) as native:
        (small,), (large,) = scaled(portrait).xyxy, native(portrait).xyxy
        np.testing.assert_allclose(small, large, atol=15)
        assert scaled(portrait).image_size == (512, 512)
        assert native.info.inclusive_boxes
        assert native.info.landmarks == 5
    for option in ({"scales": 2}, {"min_face": 30}, {"weights": folder}, {"device": 0}):
        with pytest.raises(ArgumentError) as error:
            Detector(folder, **option)
        assert one_line(error.value).startswith(next(iter(option)))


def test_has_no_contract_file(folder: Path) -> None:
    for model in ("mtcnn", folder):
        with pytest.raises(ModelError) as error:
            contract_file(model)
        assert "a cascade of networks" in one_line(error.value)
    with pytest.raises(ArgumentError):
        model_path("mtcnn", min_face=40)


def test_reads_its_manifest_strictly(folder: Path, tmp_path: Path) -> None:
    for stage in STAGES:
        network_file(tmp_path, stage).write_bytes(network_file(folder, stage).read_bytes())
    text = (folder / MANIFEST).read_text()
    path = tmp_path / MANIFEST
    path.write_text(text)
    assert load_cascade(tmp_path) == load_cascade(folder)

    def refused() -> str:
        with pytest.raises(ModelError) as error:
            Detector(tmp_path)
        return one_line(error.value)

    path.write_text(text.replace("0.9", "0.1"))
    assert "changed after it was written" in refused()
    for broken in ("", "[]", "{}", "null", text[:90], "\x00", '{"format": true}', "[" * 100_000):
        path.write_text(broken)
        assert "not the manifest of a cascade" in refused()
    for name, value in (("format", 2), ("files", {}), ("name", "../x"), ("thresholds", {}), ("more", 1)):
        seal(tmp_path, **{name: value})
        assert "not the manifest of a cascade" in refused()
    seal(tmp_path)
    network_file(tmp_path, "rnet").write_bytes(b"other")
    assert "rnet.onnx: not the network of cascade.json" in refused()
    network_file(tmp_path, "rnet").write_bytes(network_file(folder, "pnet").read_bytes())
    seal(tmp_path)
    assert "rnet.onnx: not the network rnet of a cascade" in refused()
    network_file(tmp_path, "rnet").unlink()
    assert "rnet.onnx: cannot be read" in refused()
