"""The evaluator against figures computed elsewhere, and what it refuses."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from trt_mogface.accuracy.average_precision import ImageResult, average_precision

Boxes = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@pytest.fixture(scope="module")
def yunet(test_data: Path) -> dict[str, Boxes]:
    """YuNet's boxes by picture: x, y, w, h, score."""
    boxes: dict[str, Boxes] = {}
    with tarfile.open(test_data / "predictions" / "yunet_made_here.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".txt") else None
            if file is not None:
                rows = [line.split() for line in file.read().decode().splitlines()[2:]]
                boxes[Path(member.name).stem] = np.array(rows, np.float64).reshape(-1, 5)
    return boxes


@pytest.mark.parametrize(
    ("setting", "expected"), [("easy", 0.891782), ("medium", 0.878326), ("hard", 0.807549)]
)
@pytest.mark.parametrize("shuffled", [False, True])
def test_reproduces_published_figures(
    yunet: dict[str, Boxes],
    test_data: Path,
    setting: str,
    expected: float,
    shuffled: bool,
) -> None:
    rng = np.random.default_rng(0)
    results = []
    for entry in json.loads((test_data / "wider_val_subset" / "annotations.json").read_text()):
        rows = yunet[entry["file"]]
        rows = rng.permutation(rows) if shuffled else rows
        faces = np.array(entry["boxes_xywh"], np.float64).reshape(-1, 4)
        counted = np.isin(np.arange(len(faces)), entry[setting])
        results.append(ImageResult(rows[:, :4], rows[:, 4], faces, counted))
    assert average_precision(results) == pytest.approx(expected, abs=1e-6)


def image(scores: list[float]) -> ImageResult:
    boxes = np.array([[10.0 * i, 0, 8, 8] for i in range(len(scores))]).reshape(-1, 4)
    return ImageResult(boxes, np.array(scores), np.array([[0.0, 0, 8, 8]]), np.array([True]))


def test_a_perfect_ranking_is_one_and_a_face_found_last_is_not() -> None:
    assert average_precision([image([0.9, 0.1])]) == pytest.approx(1.0)
    assert average_precision([image([0.1, 0.9])]) == pytest.approx(0.5)


@pytest.mark.parametrize("scores", [[], [0.5, 0.5], [0.5, float("nan")], [float("inf"), 0.1]])
def test_scores_that_cannot_be_ranked_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError):
        average_precision([image(scores)])
