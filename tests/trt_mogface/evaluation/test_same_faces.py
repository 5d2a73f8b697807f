"""The comparison of an engine's faces with the CPU's, which tests/gpu relies on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.support.photos import Photo
from tests.support.same_faces import assert_same_faces
from trt_mogface import Detections, Detector


@pytest.fixture(scope="module")
def faces(group: Photo) -> Detections:
    with Detector(threads=1) as detect:
        return detect(group)


def changed(faces: Detections, order: list[int], **arrays: float) -> Detections:
    """Faces in another order, with a number added to some of their arrays."""
    values = {name: getattr(faces, name)[order] for name in ("xyxy", "confidence", "landmarks")}
    for name, added in arrays.items():
        values[name] = values[name] + np.float32(added)
    return dataclasses.replace(faces, **values)


def test_faces_are_compared_in_any_order(faces: Detections) -> None:
    assert len(faces) == 6
    assert_same_faces(changed(faces, [5, 1, 2, 4, 3, 0], xyxy=0.5, confidence=0.001, landmarks=-0.5), faces)


@pytest.mark.parametrize("added", [{"xyxy": 1.5}, {"confidence": 0.01}, {"landmarks": 1.5}, {"xyxy": 900.0}])
def test_faces_that_differ_are_found(faces: Detections, added: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        assert_same_faces(changed(faces, list(range(6)), **added), faces)


def test_a_missing_face_and_nothing_at_all_are_found(faces: Detections) -> None:
    with pytest.raises(AssertionError):
        assert_same_faces(changed(faces, [0, 1, 2, 3, 4]), faces)
    with pytest.raises(AssertionError, match="nothing to compare"):
        assert_same_faces(changed(faces, []), changed(faces, []))
