"""`Recipe`: how a named model becomes a contract file; family modules beside this one hold the recipes."""

from __future__ import annotations

import hashlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import engine_build.models
from engine_build.onnx import contract, cpu, pixels
from engine_build.onnx.pyramid import levels_left_out, without_small_faces
from engine_build.weights import cached, cached_folder
from trt_mogface._files import sha256_of, write_text
from trt_mogface.models.cards import DEFAULT, ModelCard, embedded_file
from trt_mogface.models.cascade import MANIFEST, STAGES, CascadeManifest, network_file
from trt_mogface.spec import Origin, Thresholds

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

    from engine_build.models.one_stage import OneStage


@dataclass(frozen=True)
class Recipe:
    """A named model and how it is made; modules of `engine_build.models` list theirs as ``RECIPES``.

    Attributes:
        build: Function from a file of trained weights to the contract model, in the form that engines are
            built from.  It gets None if ``weights`` is None.
        weights: Function that returns, or downloads, the published weights; None if the model's source has
            them inside and takes no others.
        network: Function that returns the torch network of the checkpoints; None if the model has none.
        sha256: Digest of the only weights that fit, for a model whose tensors do not tell it from another.
        family: Family of other people's ONNX files that can be adapted as this model; None if none can.
    """

    card: ModelCard
    build: Callable[[Path | None], onnx.ModelProto]
    weights: Callable[[], Path] | None = None
    network: Callable[[], nn.Module] | None = None
    sha256: str = ""
    family: OneStage | None = None


@dataclass(frozen=True)
class CascadeRecipe:
    """A named cascade of networks and how it is made; listed beside `Recipe`.

    Attributes:
        build: Function from files of trained weights, by the names of the networks, to the networks' ONNX
            models, by the same names.
        weights: Function from a folder of trained weights to its files by the names of the networks; None
            stands for the published weights.
        fits: Function from the tensors of a checkpoint to whether they are those of one of the networks.
        thresholds: Thresholds of the last network.
    """

    card: ModelCard
    build: Callable[[Mapping[str, Path]], Mapping[str, onnx.ModelProto]]
    weights: Callable[[Path | None], Mapping[str, Path]]
    fits: Callable[[Mapping[str, Tensor]], bool]
    thresholds: Thresholds


def recipes() -> dict[str, Recipe]:
    """Return the recipes of all one-stage detectors by name, the default model first.

    A family's module is imported for this and imports neither torch nor onnx before it builds.
    """
    return {name: recipe for name, recipe in _all().items() if isinstance(recipe, Recipe)}


def cascades() -> dict[str, CascadeRecipe]:
    """Return the recipes of all cascades by name; see `recipes`."""
    return {name: recipe for name, recipe in _all().items() if isinstance(recipe, CascadeRecipe)}


def cards() -> dict[str, ModelCard]:
    """Return the cards of all named models by name, the default model first."""
    return {name: recipe.card for name, recipe in _all().items()}


def _all() -> dict[str, Recipe | CascadeRecipe]:
    families = pkgutil.iter_modules(engine_build.models.__path__, f"{engine_build.models.__name__}.")
    modules = [import_module(family.name) for family in families]
    found: dict[str, Recipe | CascadeRecipe] = {
        recipe.card.name: recipe for module in modules for recipe in getattr(module, "RECIPES", ())
    }
    return dict(sorted(found.items(), key=lambda item: (item[0] != DEFAULT, item[0])))


def aliases() -> dict[str, str]:
    """Return the names of models by the words that stand for them, such as ``fast``."""
    return {card.alias: name for name, card in cards().items() if card.alias}


def recipe_of(model: str) -> Recipe | None:
    """Return the recipe of a one-stage detector's name or alias, or None."""
    return recipes().get(aliases().get(model, model))


def cascade_of(model: str) -> CascadeRecipe | None:
    """Return the recipe of a cascade's name or alias, or None."""
    return cascades().get(aliases().get(model, model))


def card_of(model: str) -> ModelCard | None:
    """Return the card of a model's name or alias, or None."""
    return cards().get(aliases().get(model, model))


def made_cascade(recipe: CascadeRecipe, weights: Path | None) -> Path:
    """Return the cached folder of a cascade, made now if it is missing.

    Arguments and exceptions are those of `trt_mogface.models.files.model_path`.
    """
    card, files = recipe.card, recipe.weights(weights)
    digests = {stage: sha256_of(files[stage]) for stage in STAGES}
    digest = hashlib.sha256("".join(digests.values()).encode()).hexdigest()

    def make(folder: Path) -> None:
        networks = recipe.build(files)
        for stage in STAGES:
            contract.save(networks[stage], network_file(folder, stage))
        exported = {stage: sha256_of(network_file(folder, stage)) for stage in STAGES}
        origin = Origin(card.origin, card.license, digest)
        manifest = CascadeManifest(card.name, recipe.thresholds, origin, exported)
        write_text(folder / MANIFEST, manifest.to_json())

    return cached_folder(card.name, (digest,), make)


def made(recipe: Recipe, weights: Path | None, min_face: float | None, for_cpu: bool) -> Path:
    """Return the contract file of a recipe: embedded in the package, cached, or made now.

    Arguments and exceptions are those of `trt_mogface.models.files.model_path`.
    """
    embedded = embedded_file(recipe.card.name) if recipe.card.embedded else None
    if embedded and for_cpu:  # the form that embedded files have
        return without_levels(embedded, min_face)
    source = embedded or weights or (recipe.weights and recipe.weights())

    def make() -> onnx.ModelProto:
        model = contract.load(embedded) if embedded else recipe.build(source)
        pixels.cast_first(model)
        if min_face is not None:
            without_small_faces(model, min_face)
        if for_cpu:
            cpu.for_cpu(model)
        return model

    digest = sha256_of(source) if source and source.is_file() else ""
    return cached(recipe.card.name, (digest, min_face, for_cpu), make)


def without_levels(path: Path, min_face: float | None) -> Path:
    """Return the cached copy of a contract file without its finest levels; the file itself if all stay."""
    if min_face is None:
        return path
    model = contract.load(path)
    spec = contract.spec_of(model, path)
    if not levels_left_out(spec, min_face):
        return path
    return cached(spec.name, (sha256_of(path), min_face), lambda: without_small_faces(model, min_face))
