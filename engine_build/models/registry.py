"""`Recipe`: how a named model becomes a contract file; family modules beside this one hold the recipes."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import engine_build.models
from engine_build.onnx import contract, cpu, pixels
from engine_build.onnx.pyramid import levels_left_out, without_small_faces
from engine_build.weights import cached
from trt_mogface._files import sha256_of
from trt_mogface.models.cards import DEFAULT, ModelCard, embedded_file

if TYPE_CHECKING:
    import onnx
    from torch import nn


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
    """

    card: ModelCard
    build: Callable[[Path | None], onnx.ModelProto]
    weights: Callable[[], Path] | None = None
    network: Callable[[], nn.Module] | None = None
    sha256: str = ""


def recipes() -> dict[str, Recipe]:
    """Return all recipes by name, the default model first.

    A family's module is imported for this and imports neither torch nor onnx before it builds.
    """
    families = pkgutil.iter_modules(engine_build.models.__path__, f"{engine_build.models.__name__}.")
    modules = [import_module(family.name) for family in families]
    found = {recipe.card.name: recipe for module in modules for recipe in getattr(module, "RECIPES", ())}
    return dict(sorted(found.items(), key=lambda item: (item[0] != DEFAULT, item[0])))


def aliases() -> dict[str, str]:
    """Return the names of models by the words that stand for them, such as ``fast``."""
    return {recipe.card.alias: name for name, recipe in recipes().items() if recipe.card.alias}


def recipe_of(model: str) -> Recipe | None:
    """Return the recipe of a model's name or alias; None if there is none."""
    return recipes().get(aliases().get(model, model))


def made(recipe: Recipe, weights: Path | None, min_face: float | None, for_cpu: bool) -> Path:
    """Return the contract file of a recipe: embedded in the package, cached, or made now.

    Arguments and exceptions are those of `trt_mogface.models.files.contract_file`.
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
