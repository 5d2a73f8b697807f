"""The evaluator against figures computed elsewhere, on files in good and in bad order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from trt_mogface.errors import EvaluationError
from trt_mogface.evaluation.evaluation import evaluate
from trt_mogface.evaluation.face_sizes import SIZES
from trt_mogface.evaluation.predictions import NOTHING, Predicted, read_predictions
from trt_mogface.evaluation.wider_face import SETTINGS, Annotated, read_ground_truth

ALL = {"easy": 0.892823, "medium": 0.884836, "hard": 0.816437}
SUBSET = {"easy": 0.891782, "medium": 0.878326, "hard": 0.807549}


def settings(ap: dict[str, float]) -> dict[str, float]:
    return {name: ap[name] for name in SETTINGS}


def test_the_whole_set_gives_the_known_figures_in_seconds(test_data: Path, yunet: Path) -> None:
    started = time.monotonic()
    truth = read_ground_truth(test_data / "gt")
    result = evaluate(truth, read_predictions(yunet, truth).found)
    assert settings(result.ap) == pytest.approx(ALL, abs=1e-6)
    assert {name: result.faces[name] for name in SETTINGS} == {"easy": 7211, "medium": 13319, "hard": 31958}
    assert sum(result.faces[label] for label in SIZES) == result.faces["hard"]
    assert time.monotonic() - started < 30


def test_the_subset_is_normalized_by_its_own_scores(yunet: Path, subset: Sequence[Annotated]) -> None:
    result = evaluate(subset, read_predictions(yunet, subset).found)
    assert settings(result.ap) == pytest.approx(SUBSET, abs=1e-6)


def shuffled(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for path in folder.rglob("*.txt"):
        name, count, *rows = path.read_text().splitlines()
        path.write_text("\n".join([name, count, *rng.permutation(rows)]) + "\n")


def with_further_files(folder: Path) -> None:
    (folder / "62--No_Such_Event").mkdir()
    (folder / "62--No_Such_Event" / "a.txt").write_text("a\n1\n1 2 3 4 0.5\n")
    (folder / "0--Parade" / "no_such_image.txt").write_text("no text of this form")
    (folder / "notes.md").write_text("")


@pytest.mark.parametrize("change", [shuffled, with_further_files])
def test_order_and_further_files_do_not_matter(
    yunet: Path, subset: Sequence[Annotated], tmp_path: Path, change: Callable[[Path], None]
) -> None:
    copy = copied(yunet, subset, tmp_path)
    change(copy)
    result = evaluate(subset, read_predictions(copy, subset).found)
    assert settings(result.ap) == pytest.approx(SUBSET, abs=1e-6)


def test_missing_and_empty_files_lose_their_faces_alike(
    yunet: Path, subset: Sequence[Annotated], tmp_path: Path
) -> None:
    copy = copied(yunet, subset, tmp_path)
    lost = subset[::7]
    for image in lost:
        (copy / image.event / f"{image.name}.txt").write_text("")
    empty = read_predictions(copy, subset)
    for image in lost[::2]:
        (copy / image.event / f"{image.name}.txt").unlink()
    missing = read_predictions(copy, subset)
    assert empty.missing == []
    assert list(missing.missing) == [image.key for image in lost[::2]]
    first, second = evaluate(subset, empty.found), evaluate(subset, missing.found)
    assert first.ap == second.ap
    assert first.faces["hard"] == 1765
    assert first.ap["hard"] < SUBSET["hard"] - 0.03


def copied(yunet: Path, subset: Sequence[Annotated], place: Path) -> Path:
    for image in subset:
        target = place / image.event
        target.mkdir(exist_ok=True)
        shutil.copy(yunet / image.event / f"{image.name}.txt", target)
    return place


def annotated(faces: list[list[float]], counted: list[bool]) -> Annotated:
    flags = np.array(counted)
    return Annotated("e", "n", np.array(faces, np.float64).reshape(-1, 4), dict.fromkeys(SETTINGS, flags))


def predicted(boxes: list[list[float]], scores: list[float]) -> Predicted:
    return Predicted(np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64))


def test_classes_without_a_face_are_left_out() -> None:
    result = evaluate(
        [annotated([[0, 0, 40, 40]], [True])], [predicted([[0, 0, 40, 40], [200, 0, 5, 5]], [0.9, 0.1])]
    )
    assert result.ap == pytest.approx(dict.fromkeys([*SETTINGS, "32-64 px"], 1.0))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (NOTHING, "no predictions"),
        (predicted([[0, 0, 9, 9]] * 3, [0.5] * 3), "all 3 scores equal 0.5"),
        (predicted([[0, 0, 9, 9]] * 2, [0.5, float("nan")]), "not finite"),
    ],
)
def test_what_cannot_be_ranked_is_no_silent_zero(found: Predicted, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        evaluate([annotated([[0, 0, 9, 9]], [True])], [found])


def test_images_without_a_face_that_counts_are_refused() -> None:
    with pytest.raises(EvaluationError, match="no face counts in any setting"):
        evaluate([annotated([[0, 0, 9, 9]], [False])], [predicted([[0, 0, 9, 9], [1, 1, 9, 9]], [0.5, 0.6])])
