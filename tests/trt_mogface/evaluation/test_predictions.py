"""WIDER FACE's text files: written, read back, and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trt_mogface.errors import EvaluationError, OutputError
from trt_mogface.evaluation.predictions import Predicted, read_predictions, write_prediction
from trt_mogface.evaluation.wider_face import Annotated

IMAGE = Annotated("0--Parade", "one", np.empty((0, 4)), {})
OTHER = Annotated("0--Parade", "two", np.empty((0, 4)), {})


def test_what_is_written_is_read_back_to_the_decimals(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    predicted = Predicted(rng.uniform(-5, 2000, (50, 4)), rng.random(50))
    write_prediction(tmp_path, IMAGE, predicted)
    write_prediction(tmp_path, OTHER, Predicted(np.empty((0, 4)), np.empty(0)))
    one, two = read_predictions(tmp_path, [IMAGE, OTHER]).found
    np.testing.assert_allclose(one.boxes, predicted.boxes, atol=0.00501)
    np.testing.assert_allclose(one.scores, predicted.scores, atol=5.1e-7)
    assert two.boxes.shape == (0, 4)
    text = (tmp_path / "0--Parade" / "one.txt").read_text().splitlines()
    assert text[:2] == ["0--Parade/one.jpg", "50"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\n2\n1 2 3 4 0.5\n", "says 2 faces, 1 lines follow"),
        ("one\n1\n1 2 3 4 0.5\n1 2 3 4 0.5\n", "says 1 faces, 2 lines follow"),
        ("one\n", "says none faces, 0 lines follow"),
        ("one\n1\n1 2 3 4\n", "a line is not `x y w h score`"),
        ("one\n2\n1 2 3 4 5 6\n1 2 3 4\n0", "says 2 faces, 3 lines follow"),
        ("one\n1\n1 2 3 4 good\n", "a line is not `x y w h score`"),
        ("one\n2\n1 2 3 4 0.5\n1 2 3 4 nan\n", "line 4 has a number that is not finite: 1 2 3 4 nan"),
        ("one\n1\n1 inf 3 4 0.5\n", "line 3 has a number that is not finite"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "0--Parade" / "one.txt"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(EvaluationError) as error:
        read_predictions(tmp_path, [IMAGE])
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


def test_lines_that_share_their_numbers_wrongly_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "0--Parade" / "one.txt"
    path.parent.mkdir()
    path.write_text("one\n2\n1 2 3 4 0.5 1\n2 3 4 0.5\n")
    with pytest.raises(EvaluationError, match="a line is not"):
        read_predictions(tmp_path, [IMAGE])


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        EvaluationError, match=r"any of the 1 images; the first file would be 0--Parade/one\.txt"
    ):
        read_predictions(tmp_path, [IMAGE])


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "0--Parade" / "one.txt"
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_predictions(tmp_path, [IMAGE])


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "0--Parade").write_text("a file in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write_prediction(tmp_path, IMAGE, Predicted(np.empty((0, 4)), np.empty(0)))
