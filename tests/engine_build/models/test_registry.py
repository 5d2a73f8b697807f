"""Recipes: found in the family modules, light to import, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import engine_build.models
from engine_build.models.registry import recipes
from tests.support.specs import one_line
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.errors import ModelError
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file

FAMILY = """
from engine_build.models.registry import Recipe
from engine_build.onnx import contract
from trt_mogface.models.cards import ModelCard
from trt_mogface.models.cards import embedded_file

CARD = ModelCard("another", "a network", "a place", "MIT", 1.7, 5)
RECIPES = (Recipe(CARD, lambda _: contract.load(embedded_file("retinaface-mnet025"))),)
"""


def test_a_detector_is_added_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "added_family.py").write_text(FAMILY)
    monkeypatch.setattr(engine_build.models, "__path__", [*engine_build.models.__path__, str(tmp_path)])
    try:
        assert list(recipes()) == [DEFAULT, "another", "mogface"]
        assert read_spec(contract_file("another")).landmarks == 5
        with pytest.raises(ModelError) as error:
            contract_file("nothing")
        assert f"(choose from {DEFAULT}, another, mogface)" in one_line(error.value)
    finally:
        sys.modules.pop("engine_build.models.added_family", None)
    monkeypatch.undo()
    assert "another" not in recipes()


def test_cards_and_names_agree() -> None:
    assert list(recipes()) == [DEFAULT, "mogface"]
    assert all(name == recipe.card.name for name, recipe in recipes().items())
    assert [name for name, recipe in recipes().items() if recipe.weights is None] == [DEFAULT]


def test_listing_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys; from engine_build.models.registry import recipes; recipes(); "
        "print(sorted({'torch', 'onnx', 'modelscope_hub', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
