"""From a model's name or path to a contract file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine_build.models.registry import recipes
from engine_build.onnx import contract
from tests.support.specs import one_line
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.errors import ArgumentError, CheckpointError, MissingExtraError, ModelError
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.files import contract_file
from trt_mogface.models.manifest import manifest_path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "trt-mogface"


def test_the_default_is_embedded_and_its_card_is_true() -> None:
    path = contract_file()
    assert path == embedded_file(DEFAULT)
    spec, card = read_spec(path), recipes()[DEFAULT].card
    assert (spec.name, spec.landmarks, spec.origin.license) == (card.name, card.landmarks, card.license)
    assert path.stat().st_size / 1e6 == pytest.approx(card.megabytes, abs=0.1)


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "any.onnx"
    path.touch()
    for for_cpu in (True, False):
        assert contract_file(path, for_cpu=for_cpu) == contract_file(str(path), for_cpu=for_cpu) == path


@pytest.mark.parametrize("name", ["yolo", "", ".", "MOGFACE", "no/such.onnx", "a\nb"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError) as error:
        contract_file(name)
    assert f"unknown model {name!r} (choose from " in one_line(error.value)
    assert all(known in str(error.value) for known in recipes())


def test_weights_for_a_model_that_has_its_own_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    for model in (DEFAULT, tmp_path / "a.onnx"):
        with pytest.raises(ArgumentError) as error:
            contract_file(model, weights="w.pt")
        assert error.value.argument == "weights"


def test_missing_weights_are_named(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(CheckpointError, match="no such file"):
        contract_file("mogface", tmp_path / "w.pt")


def test_an_engine_is_not_a_contract_file(tmp_path: Path) -> None:
    engine = tmp_path / "a.engine"
    engine.touch()
    manifest_path(engine).touch()
    with pytest.raises(ModelError, match="not a contract ONNX file"):
        contract_file(engine)


def test_engines_are_built_from_a_file_that_casts_first(cache: Path) -> None:
    path = contract_file(for_cpu=False)
    assert path.parent == cache
    assert [node.op_type for node in contract.load(path).graph.node][:2] == ["Cast", "Transpose"]
    assert contract_file(DEFAULT, for_cpu=False) == path
    assert read_spec(path) == read_spec(embedded_file(DEFAULT))


@pytest.mark.parametrize("for_cpu", [True, False])
@pytest.mark.parametrize("source", [lambda: DEFAULT, lambda: embedded_file(DEFAULT)])
def test_levels_for_smaller_faces_are_left_out(source: Callable[[], str | Path], for_cpu: bool) -> None:
    path = contract_file(source(), min_face=60, for_cpu=for_cpu)
    assert [level.stride for level in read_spec(path).levels] == [16, 32]
    assert contract_file(source(), min_face=60, for_cpu=for_cpu) == path


def test_a_smallest_face_that_leaves_nothing_out_makes_no_file(cache: Path) -> None:
    assert contract_file(min_face=20) == embedded_file(DEFAULT)
    assert not cache.exists()


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert contract_file() == embedded_file(DEFAULT)
    for arguments in ({"min_face": 60.0}, {"for_cpu": False}):
        with pytest.raises(MissingExtraError) as error:
            contract_file(**arguments)
        assert "'onnx'" in one_line(error.value)
        assert "pip install 'trt-mogface[build]'" in str(error.value)
