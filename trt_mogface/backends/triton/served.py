"""`ServedModel`: facts about a model on a Triton server, in the parameters of its configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from trt_mogface import _json
from trt_mogface.backends.base import ModelInfo
from trt_mogface.errors import ModelError
from trt_mogface.spec import DetectorSpec

Form = Literal["images", "network input"]

FORMAT = 1
FILE, OPTIONS = "trt_mogface.file", "trt_mogface.options"
"""Parameters of the Python model: name of the model's file, and options of its `Runner` as JSON."""

IMAGES = "images"
COUNTS, BOXES, SCORES, LANDMARKS = "num_detections", "boxes", "scores", "landmarks"
DROPPED, TRUNCATED = "dropped", "truncated"
"""Names of the tensors.  The faces have the names of an engine that ends in faces."""


def parameter(version: int) -> str:
    """Return the name of the parameter that has the facts about a version."""
    return f"trt_mogface.model.{version}"


@dataclass(frozen=True)
class ServedModel:
    """Facts about a version of a model on a server.

    Attributes:
        info: Facts about the model, with the thresholds that the server uses.
        form: What the model reads: ``images``, uint8 [N, H, W, 3] of any size in BGR, with faces in their
            pixels; or ``network input``, images that the client has scaled, with faces in its pixels.
        spec: Spec of the model, with which a client prepares a network input; None for ``images``.
    """

    info: ModelInfo
    form: Form
    spec: DetectorSpec | None = None

    def to_json(self) -> str:
        """Return the facts as one line of JSON; `from_json` reads them back equal."""
        return json.dumps({"format": FORMAT, **_json.dump(self)})

    @staticmethod
    def from_json(text: str) -> ServedModel:
        """Read the facts from a server's configuration, which is untrusted input.

        Raises:
            ModelError: If the text is not JSON, or has another format.
        """
        try:
            fields: Any = json.loads(text)
            if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
                raise ValueError("unknown format")
            found = _json.convert(fields, ServedModel, complete=True)
            if (found.spec is None) != (found.form == "images"):
                raise ValueError("the spec belongs to the form 'network input'")
        except (ValueError, RecursionError) as error:
            raise ModelError(
                f"facts about the served model: not readable ({error!s:.120}); write its repository again"
            ) from error
        return found
