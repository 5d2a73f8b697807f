"""Tiny contract files whose operations can be counted by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine_build.onnx.graph import rename_tensor
from tests.support.specs import small_spec
from trt_mogface.spec import INPUT, METADATA_KEY, DetectorSpec, InputSpec, Layout, Level

node = helper.make_node

BEGINNING = [
    node("Cast", ["images"], ["floats"], "cast", to=TensorProto.FLOAT),
    node("Transpose", ["floats"], ["pixels"], "transpose", perm=[0, 3, 1, 2]),
]
"""uint8 ``images`` [N, H, W, 3] to float32 ``pixels`` [N, 3, H, W]."""


def weight(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def contract_file(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    stored: dict[str, NDArray[Any]],
    *,
    domains: Sequence[str] = (),
    opset: int = 17,
    spec: DetectorSpec | None = None,
) -> Path:
    """Write a contract file; ``nodes`` read ``pixels`` and write ``scores`` and ``deltas``."""
    spec = spec or small_spec()
    planes = spec.input.layout == "nchw-float32"
    image = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])
    if planes:
        image = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, "H", "W"])
    outputs: dict[str, list[str | int]] = {"scores": ["N", "A"], "deltas": ["N", "A", 4]}
    graph = helper.make_graph(
        nodes if planes else [*BEGINNING, *nodes],
        "tiny",
        [image],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    if planes:
        rename_tensor(model, "pixels", INPUT)
        model.graph.input[0].name = INPUT
    onnx.save(model, str(path))
    return path


ENDS = {"row": np.array([0, -1]), "rows": np.array([0, -1, 4])}
"""Shapes that `heads` reads."""


def heads(scores: str, deltas: str) -> list[onnx.NodeProto]:
    """Return views from maps to outputs: the map of one channel to scores, the map of four to deltas."""
    return [
        node("Reshape", [scores, "row"], ["scores"], "reshape scores"),
        node("Transpose", [deltas], ["turned"], "turn", perm=[0, 2, 3, 1]),
        node("Reshape", ["turned", "rows"], ["deltas"], "reshape deltas"),
    ]


def residual_file(path: Path, opset: int = 17) -> Path:
    """Three 3x3 convolutions, the second with a skip, and two 1x1 heads.

    With H x W pixels: a is [N, 8, H, W]; b the same, added to a; c [N, 16, H/2, W/2] for even sides.
    """
    nodes = [
        node("Conv", ["pixels", "wa", "ba"], ["a0"], "a", pads=[1, 1, 1, 1]),
        node("Relu", ["a0"], ["a"], "relu a"),
        node("Conv", ["a", "wb"], ["b0"], "b", pads=[1, 1, 1, 1]),
        node("Add", ["b0", "a"], ["b1"], "skip"),
        node("Relu", ["b1"], ["b"], "relu b"),
        node("Conv", ["b", "wc"], ["c"], "c", pads=[1, 1, 1, 1], strides=[2, 2], group=2),
        node("Conv", ["c", "ws"], ["s0"], "s"),
        node("Sigmoid", ["s0"], ["s"], "sigmoid"),
        node("Conv", ["c", "wd"], ["d"], "d"),
        *heads("s", "d"),
    ]
    stored = {
        "wa": weight(8, 3, 3, 3),
        "ba": weight(8),
        "wb": weight(8, 8, 3, 3),
        "wc": weight(16, 4, 3, 3),
        "ws": weight(1, 16, 1, 1),
        "wd": weight(4, 16, 1, 1),
    }
    return contract_file(path, nodes, {**stored, **ENDS}, opset=opset)


def faint_file(path: Path, *, layout: Layout = "nhwc-uint8") -> Path:
    """A 4x4 convolution with a bias on pixels scaled to 0..0.01, as MogFace's are, and two 1x1 heads.

    At INT8 the steps of the first input and weight are so small that their product is zero in FP16.
    """
    nodes = [
        node("Mul", ["pixels", "scale"], ["x"], "scale"),
        node("Conv", ["x", "wa", "ba"], ["a0"], "a", strides=[4, 4]),
        node("Relu", ["a0"], ["a"], "relu a"),
        node("Conv", ["a", "ws", "bs"], ["s0"], "s"),
        node("Sigmoid", ["s0"], ["s"], "sigmoid"),
        node("Conv", ["a", "wd"], ["d"], "d"),
        *heads("s", "d"),
    ]
    stored = {
        "scale": np.array([0.01 / 255], np.float32),
        "wa": 0.01 * weight(8, 3, 4, 4),
        "ba": 0.001 * weight(8),
        "ws": 3000 * weight(1, 8, 1, 1),
        "bs": np.array([-6.0], np.float32),
        "wd": 2000 * weight(4, 8, 1, 1),
    }
    spec = dataclasses.replace(
        small_spec(top_k=1000, max_detections=300),
        name="faint",
        levels=(Level(4, (8.0,)),),
        input=InputSpec(layout=layout),
    )
    return contract_file(path, nodes, {**stored, **ENDS}, spec=spec)
