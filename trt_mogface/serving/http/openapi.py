"""OpenAPI document: the types of questions and answers, with examples."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from trt_mogface.serving.http.refusal import MEANINGS
from trt_mogface.spec import UNLIMITED

Fraction = Annotated[float | None, Field(ge=0, le=1)]


class Query(BaseModel):
    """Options of a detection; what is left out is the service's own value."""

    model_config = ConfigDict(extra="forbid")

    conf: Annotated[Fraction, Field(description="Score threshold.", examples=[0.5])] = None
    iou: Annotated[
        Fraction, Field(description="IoU threshold of the non-maximum suppression.", examples=[0.4])
    ] = None
    max_det: Annotated[
        int | None,
        Field(ge=1, le=UNLIMITED, description="Largest number of faces of an image.", examples=[100]),
    ] = None


OWN = Query()
"""The options of a request that names none."""


class Face(BaseModel):
    """A face, in pixels of the upright image."""

    box: Annotated[
        list[float],
        Field(min_length=4, max_length=4, description="x0, y0, x1, y1; may reach beyond the edges."),
    ]
    confidence: float
    landmarks: Annotated[
        list[list[float]] | None,
        Field(
            description="x, y of each point: right eye, left eye, nose, right and left corner of the mouth; "
            "missing if the model has none."
        ),
    ] = None


class Faces(BaseModel):
    """The faces of an image, best first."""

    name: Annotated[str | None, Field(description="Name of the file in a multipart form.")] = None
    width: int
    height: int
    dropped: Annotated[int, Field(description="Candidates that were not finite; the model is broken.")] = 0
    faces: list[Face]


class Answer(BaseModel):
    """The faces of each image, in the order of the request."""

    model: str
    images: list[Faces]


class Thresholds(BaseModel):
    """Values of a detection that names none."""

    conf: float
    iou: float
    max_det: int


class Model(BaseModel):
    """A model that the service runs."""

    name: str
    landmarks: Annotated[int, Field(description="Landmark points of a face.")]
    thresholds: Thresholds
    adjustable: Annotated[
        bool,
        Field(
            description="Whether conf, iou and max_det of a request may have any value; else conf and "
            "max_det can only leave out faces."
        ),
    ]
    source: str
    license: str


class Models(BaseModel):
    """The models that the service runs."""

    models: list[Model]


class State(BaseModel):
    """State of the service."""

    status: Annotated[str, Field(examples=["ready"])]


class Problem(BaseModel):
    """A refusal."""

    error: Annotated[str, Field(description="Word for programs.", examples=["too_large"])]
    reason: Annotated[str, Field(description="What is wrong, and what to do.")]


ANSWER = {
    "model": "retinaface-mnet025",
    "images": [
        {
            "name": None,
            "width": 640,
            "height": 480,
            "dropped": 0,
            "faces": [
                {
                    "box": [211.4, 96.2, 301.9, 214.6],
                    "confidence": 0.998,
                    "landmarks": [[234.1, 142], [277.8, 141.3], [256, 168.4], [238.9, 188.2], [275.1, 187.7]],
                }
            ],
        }
    ],
}
"""An answer, as an example."""

_BINARY = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "properties": {"images": {"type": "array", "items": _BINARY, "minItems": 1}},
    "required": ["images"],
}

QUESTION: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in Query.model_json_schema()["properties"].items()
    ],
    "requestBody": {
        "required": True,
        "description": "An image file, in any format that `detect` reads; or a form with several.",
        "content": {
            "image/jpeg": {"schema": _BINARY},
            "image/png": {"schema": _BINARY},
            "image/webp": {"schema": _BINARY},
            "multipart/form-data": {"schema": _FORM, "encoding": {"images": {"contentType": "image/*"}}},
        },
    },
}
"""Options and body of a detection.  The service reads both by itself, which is faster."""

_NUMBERS = {"schema": {"type": "string"}, "example": "12.31"}

DETECTED: dict[str, Any] = {
    "model": Answer,
    "description": "The faces, or with `Accept: image/jpeg` the image with the faces drawn on it.",
    "content": {"application/json": {"example": ANSWER}, "image/jpeg": {"schema": _BINARY}},
    "headers": {
        "X-Decode-Ms": {"description": "Milliseconds of decoding, for each image.", **_NUMBERS},
        "X-Queue-Ms": {"description": "Milliseconds of waiting, for each image.", **_NUMBERS},
        "X-Network-Ms": {"description": "Milliseconds of the network, for each image.", **_NUMBERS},
        "X-Batch-Size": {
            "description": "Images that ran together, for each image.",
            "schema": {"type": "string"},
            "example": "4",
        },
    },
}
"""The answer of a detection."""


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of refusals."""
    return {status: {"model": Problem, "description": MEANINGS[status]} for status in statuses}
