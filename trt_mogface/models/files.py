"""From a model's name or path to its contract ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

from trt_mogface._optional import needs
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.manifest import is_engine, load_manifest
from trt_mogface.models.precision import Precision, read_precision


def precision_of(model: str | Path) -> Precision:
    """Return the precision that a named model, a contract ONNX file or an engine computes in.

    An engine's is the one that it was built with, an ONNX file's is read from its graph.

    Raises:
        ModelError: If a file is not ONNX.
        EngineError: If an engine has no usable manifest.
    """
    from engine_build.models import registry

    if is_engine(model):
        return load_manifest(Path(model)).precision
    if registry.recipe_of(str(model)) or not os.path.isfile(model):  # noqa: PTH113 -- see below
        return "fp32"
    return read_precision(Path(model))


def contract_file(
    model: str | Path = DEFAULT,
    weights: str | Path | None = None,
    min_face: float | None = None,
    *,
    for_cpu: bool = True,
) -> Path:
    """Return the contract ONNX file of a model; make and cache it first if necessary.

    Args:
        model: Name of a model, or path of a contract file.
        weights: Trained weights of a named model; None downloads them.
        min_face: Side in pixels of the smallest face; pyramid levels for smaller ones are left out.
        for_cpu: Whether a named model's file is made faster for CPUs, as TensorRT cannot use it.

    Raises:
        ModelError: If the model is unknown, or an engine.
        ArgumentError: If the model has its own weights, or sees no faces of ``min_face`` pixels.
        CheckpointError: If the weights are damaged or those of another network.
        DownloadError: If the weights cannot be downloaded.
        MissingExtraError: If a package that makes the file is not installed.
    """
    from engine_build.models import registry

    recipe = registry.recipe_of(str(model))
    if recipe is None and not os.path.isfile(model):  # noqa: PTH113 -- also answers to impossible names
        names = ", ".join([*registry.recipes(), *registry.aliases()])
        raise ModelError(f"unknown model {str(model)!r} (choose from {names}); or pass a file")
    if weights is not None and (recipe is None or recipe.weights is None):
        raise ArgumentError("weights", f"{model} has its own weights; omit the argument", weights)
    with needs("build"):
        if recipe is not None:
            return registry.made(recipe, None if weights is None else Path(weights), min_face, for_cpu)
        path = Path(model)
        if is_engine(path):
            raise ModelError(f"{path}: an engine, not a contract ONNX file; pass the file it was built from")
        return registry.without_levels(path, min_face)
