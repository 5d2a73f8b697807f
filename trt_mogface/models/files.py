"""From a model's name or path to its contract ONNX file, or to the folder of a cascade."""

from __future__ import annotations

import os
from pathlib import Path

from trt_mogface._files import sha256_of
from trt_mogface._optional import needs
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.cascade import MANIFEST, is_cascade_folder
from trt_mogface.models.cascade_engine import load_cascade_engine
from trt_mogface.models.manifest import CASCADE_MANIFEST, is_cascade_engine, is_engine, load_manifest
from trt_mogface.models.precision import Precision, read_precision


def precision_of(model: str | Path) -> Precision:
    """Return the precision that a named model, a contract ONNX file or an engine computes in.

    An engine's is the one that it was built with, an ONNX file's is read from its graph.

    Raises:
        ModelError: If a file is not ONNX.
        EngineError: If an engine has no usable manifest.
    """
    from engine_build.models import registry

    if is_cascade_engine(model):
        return load_cascade_engine(Path(model)).precision
    if is_engine(model):
        return load_manifest(Path(model)).precision
    if registry.card_of(str(model)) or not os.path.isfile(model):  # noqa: PTH113 -- see below
        return "fp32"
    return read_precision(Path(model))


def digest_of(model: Path) -> str:
    """Return the SHA-256 that stands for a model: of its file, or of the manifest of a cascade's folder.

    Raises:
        OSError: If the file cannot be read.
    """
    if is_cascade_folder(model):
        return sha256_of(model / MANIFEST)
    return sha256_of(model / CASCADE_MANIFEST if is_cascade_engine(model) else model)


def is_cascade(model: str | Path) -> bool:
    """Return whether a name or a folder is that of a cascade, which has no single contract file."""
    from engine_build.models import registry

    name = str(model)
    return bool(registry.cascade_of(name)) or (not registry.recipe_of(name) and is_cascade_folder(model))


def contract_file(
    model: str | Path = DEFAULT,
    weights: str | Path | None = None,
    min_face: float | None = None,
    *,
    for_cpu: bool = True,
) -> Path:
    """Return the contract ONNX file of a one-stage detector; see `model_path`.

    Raises:
        ModelError: If the model is a cascade of networks, too.
    """
    if is_cascade(model):
        raise ModelError(
            f"{model}: a cascade of networks, not one contract file; faces inside the model, counts of work "
            "and other precisions on the CPU need a one-stage detector"
        )
    return model_path(model, weights, min_face, for_cpu=for_cpu)


def model_path(
    model: str | Path = DEFAULT,
    weights: str | Path | None = None,
    min_face: float | None = None,
    *,
    for_cpu: bool = True,
) -> Path:
    """Return the contract ONNX file of a model, or the folder of a cascade; make and cache it if necessary.

    Args:
        model: Name of a model, path of a contract file, or folder of a cascade.
        weights: Trained weights of a named model, a folder for a cascade; None downloads them.
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

    recipe, cascade = registry.recipe_of(str(model)), registry.cascade_of(str(model))
    if recipe is None and not is_cascade(model) and not os.path.isfile(model):  # noqa: PTH113 -- any name
        names = ", ".join([*registry.cards(), *registry.aliases()])
        raise ModelError(f"unknown model {str(model)!r} (choose from {names}); or pass a file")
    if weights is not None and cascade is None and (recipe is None or recipe.weights is None):
        raise ArgumentError("weights", f"{model} has its own weights; omit the argument", weights)
    if min_face is not None and is_cascade(model):
        problem = f"{model} is a cascade, whose pyramid begins at faces of 20 pixels; omit it"
        raise ArgumentError("min_face", problem, min_face)
    path, trained = Path(model), None if weights is None else Path(weights)
    with needs("build"):
        if cascade is not None:
            return registry.made_cascade(cascade, trained)
        if recipe is not None:
            return registry.made(recipe, trained, min_face, for_cpu)
        if is_cascade_folder(path):
            return path
        if is_engine(path):
            raise ModelError(f"{path}: an engine, not a contract ONNX file; pass the file it was built from")
        return registry.without_levels(path, min_face)
