"""Recipes: found in the family modules, light to import, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import engine_build.models
from engine_build.models.registry import aliases, recipe_of, recipes
from tests.support.project import REPOSITORY
from tests.support.specs import one_line
from trt_mogface import Detector, read_image
from trt_mogface.backends.onnxruntime import OnnxNetwork, read_spec
from trt_mogface.errors import CheckpointError, DownloadError, ModelError
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
        assert list(recipes())[:2] == [DEFAULT, "another"]
        assert read_spec(contract_file("another")).landmarks == 5
        with pytest.raises(ModelError) as error:
            contract_file("nothing")
        assert f"(choose from {DEFAULT}, another, " in one_line(error.value)
    finally:
        sys.modules.pop("engine_build.models.added_family", None)
    monkeypatch.undo()
    assert "another" not in recipes()


def test_cards_and_names_agree() -> None:
    names = list(recipes())
    assert names == [DEFAULT, *sorted(names[1:])]
    assert all(name == recipe.card.name for name, recipe in recipes().items())
    assert [name for name, recipe in recipes().items() if recipe.weights is None] == [DEFAULT]
    assert [name for name, recipe in recipes().items() if recipe.card.embedded] == [DEFAULT]


def test_listing_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys; from engine_build.models.registry import recipes; recipes(); "
        "print(sorted({'torch', 'onnx', 'modelscope_hub', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_that_shares_its_tensors_is_known_by_its_digest(test_data: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="weights are read by torch")
    name = f"{DEFAULT}-1mb"
    file = test_data / "weights" / "retinaface_mobilenet0.25_Final_1MB.pth"
    assert [level.sides[0] for level in read_spec(contract_file(name, file)).levels] == [10, 32, 128]
    torch.save(torch.load(file, map_location="cpu", weights_only=True), tmp_path / "other.pth")
    with pytest.raises(CheckpointError) as error:
        contract_file(name, tmp_path / "other.pth")
    assert f"not the weights of {name}, as only their sha256" in one_line(error.value)


@pytest.mark.parametrize("name", [each.card.name for each in recipes().values() if each.weights])
def test_missing_weights_are_refused_in_a_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        contract_file(name, tmp_path / "missing.pt")
    assert f"{tmp_path / 'missing.pt'}: " in one_line(error.value)


def test_aliases_stand_for_one_model_each() -> None:
    words = aliases()
    assert set(words) == {"fast", "balanced", "accurate"}
    assert len(set(words.values())) == 3
    assert not set(words) & set(recipes())
    for word, name in words.items():
        recipe = recipe_of(word)
        assert recipe is not None
        assert recipe.card.name == name


@pytest.mark.parametrize("size", [(161, 203), (97, 130), (33, 31)])
@pytest.mark.parametrize("name", [name for name, recipe in recipes().items() if recipe.network])
def test_networks_have_the_cells_of_the_contract_at_any_size(name: str, size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="the networks need torch")
    from engine_build.onnx.export import output_shapes

    recipe = recipes()[name]
    assert recipe.network is not None
    assert recipe.family is not None
    with torch.device("meta"):
        shapes = output_shapes(recipe.network().eval(), (2, 3, *size))
    expected = {tuple(-(-side // level.stride) for side in size) for level in recipe.family.spec.levels}
    assert {shape[2:] for shape in shapes} == expected


def test_the_guide_adds_a_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo_folder: Path
) -> None:
    torch = pytest.importorskip("torch", reason="the network needs torch")
    guide = (REPOSITORY / "docs" / "adding-a-detector.md").read_text(encoding="utf-8")
    (tmp_path / "example.py").write_text(guide.split("```python\n")[1].split("```")[0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(engine_build.models, "__path__", [*engine_build.models.__path__, str(tmp_path)])
    try:
        recipe = recipes()["example"]
        assert recipe.network is not None
        torch.manual_seed(0)
        network = recipe.network().eval()
        torch.save(network.state_dict(), tmp_path / "example.pth")
        image = read_image(photo_folder / "portrait.jpg")
        with OnnxNetwork(contract_file("example", tmp_path / "example.pth")) as running:
            outputs = running.run(image[None])
        planes = (image[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None] - 127.5) / 128
        with torch.no_grad():
            scores, deltas = network(torch.from_numpy(planes))
        np.testing.assert_allclose(outputs.scores, scores.sigmoid().flatten(1), atol=1e-5)
        np.testing.assert_allclose(outputs.deltas, deltas.flatten(2).transpose(1, 2), atol=1e-4)
        with Detector("example", weights=tmp_path / "example.pth", conf=0.01) as detect:
            assert len(detect(image)) > 0
        with pytest.raises(DownloadError) as error:
            contract_file("example")
        assert "example.org/detector" in one_line(error.value)
        with pytest.raises(CheckpointError) as refusal:
            contract_file("ulfd-slim", tmp_path / "example.pth")
        assert "not the weights of ulfd-slim, but of example; keys" in one_line(refusal.value)
    finally:
        sys.modules.pop("engine_build.models.example", None)
