"""`ModelCard`: facts about a named model, for choosing one."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT = "retinaface-mnet025"
"""Name of the model that is used where none is named."""


@dataclass(frozen=True)
class ModelCard:
    """Facts about a named model; each stands in its family's file in `engine_build.models`.

    Attributes:
        name: Name of the model.
        network: Architecture in a few words.
        origin: Source of the weights.
        license: Terms of the weights.
        megabytes: Size of the FP32 contract file in MB.
        landmarks: Number of landmark points of a face.
        embedded: Whether the contract file comes with the package.
    """

    name: str
    network: str
    origin: str
    license: str
    megabytes: float
    landmarks: int
    embedded: bool = False
