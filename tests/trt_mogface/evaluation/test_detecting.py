"""Several images at a time: in order, few in memory, and some that fail."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.photos import Photo
from trt_mogface.detector import Detector
from trt_mogface.evaluation.detecting import Failed, at_a_time, detect_all
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.procedure import PROCEDURES, Procedure
from trt_mogface.images import read_image


@pytest.fixture
def images(group: Photo, tmp_path: Path) -> list[Path]:
    """The same photo at falling sizes."""
    paths = [tmp_path / f"{width}.png" for width in range(320, 160, -16)]
    for path in paths:
        width = int(path.stem)
        cv2.imwrite(str(path), cv2.resize(group, (width, width * 2 // 3)))
    return paths


@pytest.mark.parametrize("together", [1, 2, 3])
def test_predictions_come_in_the_order_of_the_images(images: list[Path], together: int) -> None:
    procedure = PROCEDURES["original"]
    with Detector(conf=0.01) as detect:
        found = list(detect_all(detect, procedure, images, together))
        for path, predicted in zip(images, found):
            expected = procedure.predict(detect, read_image(path))
            assert isinstance(predicted, Predicted)
            np.testing.assert_array_equal(predicted.boxes, expected.boxes)
            np.testing.assert_array_equal(predicted.scores, expected.scores)
    assert len(found) == len(images)


def test_few_images_are_read_ahead(images: list[Path]) -> None:
    begun = []

    class Counting(Procedure):
        def predict(
            self, detect: Detector, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
        ) -> Predicted:
            begun.append(image.shape)
            return super().predict(detect, image)

    with Detector(conf=0.01) as detect:
        running = detect_all(detect, Counting(), images, 2)
        next(running)
        assert len(begun) <= 5
        running.close()  # type: ignore[attr-defined]
    assert len(begun) < len(images)


@pytest.mark.parametrize("together", [1, 2])
def test_images_that_fail_do_not_end_it(images: list[Path], together: int) -> None:
    images[4].write_bytes(b"no image")

    class Large(Procedure):
        def predict(
            self, detect: Detector, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
        ) -> Predicted:
            if image.shape[1] == 304:
                raise MemoryError
            return super().predict(detect, image)

    with Detector(conf=0.01) as detect:
        found = list(detect_all(detect, Large(), images, together))
    failed = {index: each.reason for index, each in enumerate(found) if isinstance(each, Failed)}
    assert failed == {
        1: "too large for the memory; scale it down, or use a smaller size",
        4: "not an image in a known format",
    }
    assert len(found) == len(images)


def test_networks_of_few_threads_share_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    model, engine = tmp_path / "a.onnx", tmp_path / "a.engine"
    engine.touch()
    assert [at_a_time(model, threads) for threads in (None, 1, 3, 8, 16)] == [1, 8, 2, 1, 1]
    assert at_a_time(engine, None) == 2
