"""From what the user wrote to a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.specs import one_line
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.errors import ModelError
from trt_mogface.models.files import CARDS, DEFAULT, contract_file, embedded_file


def test_the_default_is_embedded_and_its_card_is_true() -> None:
    path = contract_file()
    assert path == embedded_file(DEFAULT)
    spec, card = read_spec(path), CARDS[DEFAULT]
    assert (spec.name, spec.landmarks, spec.origin.license) == (card.name, card.landmarks, card.license)
    assert path.stat().st_size / 1e6 == pytest.approx(card.megabytes, abs=0.1)


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "any.onnx"
    path.touch()
    assert contract_file(path) == contract_file(str(path)) == path


@pytest.mark.parametrize("name", ["yolo", "", ".", "MOGFACE", "no/such.onnx"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError) as error:
        contract_file(name)
    assert all(known in one_line(error.value) for known in CARDS)


def test_weights_for_a_model_that_has_its_own_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    for model in (DEFAULT, tmp_path / "a.onnx"):
        with pytest.raises(ModelError, match="--weights"):
            contract_file(model, weights="w.pt")
