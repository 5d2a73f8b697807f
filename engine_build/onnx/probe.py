"""Run a contract model with nodes of one's own beside it, to see what its tensors hold."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.onnxruntime import session
from trt_mogface.spec import INPUT

if TYPE_CHECKING:
    import onnx

Probe = Callable[[NDArray[np.uint8]], list[NDArray[Any]]]


def probe(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    results: Sequence[str],
    *,
    stored: Sequence[onnx.TensorProto] = (),
    optimize: bool = True,
    arena: bool = True,
) -> Probe:
    """Load a model with further nodes, whose results take the place of its outputs.

    Args:
        model: Contract model; left as it is.
        nodes: Nodes that read tensors of the model or of each other.
        results: Names of the tensors to return.
        stored: Initializers that ``nodes`` read.
        optimize, arena: See `trt_mogface.backends.onnxruntime.session`.

    Returns:
        A function from a batch, uint8 [N, H, W, 3], to the values of ``results``.  It passes on any exception
        of ONNX Runtime, as loading does.
    """
    from onnx import helper

    probed = copy.deepcopy(model)
    probed.graph.node.extend(nodes)
    probed.graph.initializer.extend(stored)
    del probed.graph.output[:]
    probed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in results)
    running = session(probed.SerializeToString(), optimize=optimize, arena=arena)
    names = list(results)
    return lambda images: list(running.run(names, {INPUT: images}))


def shapes_by_running(
    model: onnx.ModelProto, tensors: Sequence[str], shape: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors for an input of ``shape``, [N, H, W, 3], by running the model once."""
    from onnx import helper

    results = [f"probe.shape{i}" for i in range(len(tensors))]
    nodes = [helper.make_node("Shape", [name], [result]) for name, result in zip(tensors, results)]
    found = probe(model, nodes, results, optimize=False)(np.zeros(shape, np.uint8))
    return {name: tuple(map(int, value)) for name, value in zip(tensors, found)}
