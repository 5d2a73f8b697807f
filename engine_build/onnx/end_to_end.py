"""Decoding and suppression as the last node of a network: the TensorRT plugin ``MogFaceDetect``.

The node's outputs replace those of the contract: ``num_detections`` int32 [N], ``boxes`` float32 [N, M, 4],
``scores`` float32 [N, M] and, if the model has them, ``landmarks`` float32 [N, M, points, 2], in pixels of
the network input, best first, zeros behind the last. M is ``Thresholds.most_faces``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from engine_build.onnx.contract import PRODUCER
from engine_build.onnx.graph import rename_tensor
from trt_mogface.errors import ArgumentError
from trt_mogface.kernels.interface import MAX_TOP_K
from trt_mogface.spec import INPUT, LANDMARKS, METADATA_KEY, NUM_DETECTIONS, SCORES, DetectorSpec, Thresholds

if TYPE_CHECKING:
    import onnx

PLUGIN, PLUGIN_VERSION = "MogFaceDetect", "2"
DOMAIN = PRODUCER
"""Domain of the operator; TensorRT finds plugins by name only."""

BOXES = "boxes"


def append_detection(model: onnx.ModelProto, spec: DetectorSpec, thresholds: Thresholds) -> DetectorSpec:
    """Append the node to a contract model at any precision, in place.

    The node fixes thresholds and limits; `UNLIMITED` candidates become `MAX_TOP_K`.

    Returns:
        The spec with these thresholds, which the model's metadata has too.
    """
    from onnx import helper

    thresholds = thresholds.bounded(MAX_TOP_K)
    if thresholds.top_k > MAX_TOP_K:
        raise ArgumentError("top_k", f"must be at most {MAX_TOP_K} in the kernels", thresholds.top_k)
    spec = dataclasses.replace(spec, thresholds=thresholds)
    graph = model.graph
    network = {name: f"network_{name}" for name in spec.outputs}
    for name, inner in network.items():
        rename_tensor(model, name, inner)
    outputs, inputs = _outputs(spec), [*network.values(), "pixels_of_one_channel"]
    settings = {"domain": DOMAIN, "plugin_version": PLUGIN_VERSION, **attributes(spec)}
    graph.node.extend(_size_carrier(model, inputs[-1]))
    graph.node.append(helper.make_node(PLUGIN, inputs, list(outputs), name=PLUGIN, **settings))
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(name, *of) for name, of in outputs.items())
    if all(known.domain != DOMAIN for known in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    return spec


def attributes(spec: DetectorSpec) -> dict[str, Any]:
    """Return the node's attributes, which ``plugins/tensorrt/attributes.h`` describes."""
    chosen, coding = spec.thresholds, spec.coding
    return {
        # Text for double precision, which ONNX attributes do not have.
        "levels": ";".join(f"{level.stride}:{','.join(map(repr, level.sides))}" for level in spec.levels),
        "coding": coding.kind,
        "center": repr(coding.center),
        "variances": list(coding.variances),
        "inclusive": int(coding.inclusive),
        "spread": int(coding.spread),
        "landmarks": spec.landmarks,
        "score_threshold": float(chosen.score_threshold),
        "iou_threshold": float(chosen.iou_threshold),
        "top_k": chosen.top_k,
        "max_detections": chosen.most_faces,
        "inclusive_areas": int(chosen.inclusive_areas),
        "clip": int(chosen.clip),
    }


def _outputs(spec: DetectorSpec) -> dict[str, tuple[int, list[str | int]]]:
    """Return type and shape of each output by name, in the node's order."""
    from onnx import TensorProto

    most = spec.thresholds.most_faces
    outputs: dict[str, tuple[int, list[str | int]]] = {
        NUM_DETECTIONS: (TensorProto.INT32, ["N"]),
        BOXES: (TensorProto.FLOAT, ["N", most, 4]),
        SCORES: (TensorProto.FLOAT, ["N", most]),
    }
    if spec.landmarks:
        outputs[LANDMARKS] = (TensorProto.FLOAT, ["N", most, spec.landmarks, 2])
    return outputs


def _size_carrier(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    """Return nodes that make a float tensor [1, H, W, 1], whose shape tells the plugin H and W."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    whole, parts = f"{name}_of_all", {"starts": [0, 0], "ends": [1, 1], "axes": [0, 3]}
    stored = [numpy_helper.from_array(np.array(v, np.int64), f"{name}_{part}") for part, v in parts.items()]
    model.graph.initializer.extend(stored)
    return [
        helper.make_node("Cast", [INPUT], [whole], name=f"{name}_cast", to=TensorProto.FLOAT),
        helper.make_node("Slice", [whole, *(t.name for t in stored)], [name], name=f"{name}_slice"),
    ]
