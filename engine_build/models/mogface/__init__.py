"""MogFace, ResNet-101 (Liu et al., CVPR 2022), as ModelScope publishes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.models.registry import Recipe
from engine_build.weights import fetch
from trt_mogface._files import sha256_of
from trt_mogface.models.cards import ModelCard

if TYPE_CHECKING:
    import onnx

MODEL_ID = "damo/cv_resnet101_face-detection_cvpr22papermogface"


def build(weights: Path | None) -> onnx.ModelProto:
    """Return the contract model of a checkpoint; see `checkpoint.load_mogface`."""
    from engine_build.models.mogface.checkpoint import load_mogface
    from engine_build.models.mogface.network import on_pixels
    from engine_build.models.mogface.spec import mogface_spec
    from engine_build.onnx.export import export

    path = weights or published()
    return export(on_pixels(load_mogface(path)), mogface_spec(sha256_of(path)))


def published() -> Path:
    """Download the checkpoint of ModelScope; see `fetch`."""
    return fetch(MODEL_ID, "pytorch_model.pt")


RECIPES = (
    Recipe(
        ModelCard(
            name="mogface",
            network="MogFace, ResNet-101",
            origin=f"ModelScope {MODEL_ID}",
            license="see the model page",
            megabytes=244,
            landmarks=0,
        ),
        build,
        published,
    ),
)
