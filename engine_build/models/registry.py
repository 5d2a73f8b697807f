"""Named models: how each becomes a contract model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.cache import cached
from engine_build.onnx import contract, cpu, pixels
from engine_build.onnx.pyramid import without_small_faces
from engine_build.weights import fetch
from trt_mogface._files import sha256_of
from trt_mogface._optional import require
from trt_mogface.errors import ModelError
from trt_mogface.models import files as models
from trt_mogface.models.files import CARDS, DEFAULT, embedded_file
from trt_mogface.models.pyramid import levels_left_out

if TYPE_CHECKING:
    import onnx

MOGFACE_WEIGHTS = "pytorch_model.pt"


def make(
    name: str, weights: Path | None = None, min_face: float | None = None, *, for_cpu: bool = False
) -> onnx.ModelProto:
    """A named model as a contract model.

    Args:
        name: One of `trt_mogface.models.files.CARDS`.
        weights: Trained weights; None takes those the model's card names, fetched if need be.
        min_face: See `engine_build.onnx.pyramid.without_small_faces`.
        for_cpu: See `engine_build.onnx.cpu`; larger, and faster on a CPU alone.

    Raises:
        ModelError: No such name, or an impossible ``min_face``.
        CheckpointError: Weights of another network.
        DownloadError: Weights that could not be fetched.
        MissingExtraError: A package for this is not installed.
    """
    require("onnx", extra="build")
    if name == DEFAULT:
        if weights is not None:
            raise ModelError(f"{name}: takes no --weights, it brings its own")
        model = contract.load(embedded_file(name))
        pixels.cast_first(model)
    elif name in CARDS:
        model = _mogface(weights or fetch_weights())
    else:
        raise ModelError(f"{name}: no such model ({', '.join(CARDS)})")
    if min_face is not None:
        without_small_faces(model, contract.spec_of(model, Path(name)), min_face)
    if for_cpu:
        cpu.for_cpu(model)
    return model


def contract_file(name: str, weights: str | Path | None, min_face: float | None) -> Path:
    """The cached contract file, for the CPU, of a model that does not come with the package."""
    path = Path(weights) if weights is not None else fetch_weights()
    digest = sha256_of(path) if path.is_file() else "missing"
    return cached(name, (digest, min_face), lambda: make(name, path, min_face, for_cpu=True))


def exported_file(model: str, weights: Path | None, min_face: float | None) -> Path:
    """The contract file that an engine is built from: a file itself, or the cached export of a name."""
    if model not in CARDS:
        if weights is not None:
            raise ModelError(f"{model}: takes no --weights, it brings its own")
        return models.contract_file(model, None, min_face)
    if CARDS[model].embedded:
        return models.contract_file(model, weights, min_face)
    path = weights or fetch_weights()
    digest = sha256_of(path) if path.is_file() else "missing"
    return cached(f"{model}-export", (digest, min_face), lambda: make(model, path, min_face))


def contract_file_for_min_face(path: Path, min_face: float) -> Path:
    """The cached copy of a contract file without its finest levels; the file itself if none is left out."""
    model = contract.load(path)
    spec = contract.spec_of(model, path)
    if not levels_left_out(spec, min_face):
        return path

    def cut() -> onnx.ModelProto:
        without_small_faces(model, spec, min_face)
        return model

    return cached(spec.name, (sha256_of(path), min_face), cut)


def fetch_weights() -> Path:
    """MogFace's checkpoint from its ModelScope page, or from the cache."""
    from engine_build.models.mogface.spec import MODEL_ID

    return fetch(MODEL_ID, MOGFACE_WEIGHTS)


def _mogface(weights: Path) -> onnx.ModelProto:
    require("torch", extra="build")
    from engine_build.models.mogface.checkpoint import load_mogface
    from engine_build.models.mogface.spec import mogface_spec
    from engine_build.onnx.export import export_mogface

    return export_mogface(load_mogface(weights), mogface_spec(sha256_of(weights)))
