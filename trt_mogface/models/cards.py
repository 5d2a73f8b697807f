"""`ModelCard`: facts about a named model, for choosing one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from trt_mogface.errors import ModelError

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
        alias: Word that stands for the model, if it is the one to choose for a purpose.
        note: Difference between the published pipeline and this project, in a sentence or two; may be empty.
    """

    name: str
    network: str
    origin: str
    license: str
    megabytes: float
    landmarks: int
    embedded: bool = False
    alias: str = ""
    note: str = ""


def embedded_file(name: str) -> Path:
    """Return the path of a contract file that comes with the package.

    Raises:
        ModelError: If the package was installed without it.
    """
    try:
        return Path(str(resources.files("trt_mogface.embedded") / f"{name}.onnx"))
    except ModuleNotFoundError as error:
        raise ModelError(f"{name}: the package was installed without this model; pip install .") from error
