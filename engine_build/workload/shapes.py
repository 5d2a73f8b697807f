"""Shapes of all tensors of a network at one input size, without running it.

ONNX infers the shapes node by node.  The arithmetic on shapes that slices and resizes depend on is computed
along the way, so that odd sizes are exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.probe import shapes_by_running
from trt_mogface.errors import ModelError, first_line
from trt_mogface.spec import INPUT

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]

SMALL = 64
"""Largest number of elements of a tensor whose values are followed: shapes, axes and scales, not weights."""


@dataclass(frozen=True)
class Tensors:
    """Shapes of the tensors of a network.

    Attributes:
        shapes: Shape by name.
        stored: Names of tensors that do not depend on the image: weights, constants and their results.
    """

    shapes: dict[str, Shape]
    stored: frozenset[str]

    def elements(self, name: str) -> int:
        """Return the number of elements of a tensor."""
        return int(np.prod(self.shapes[name], dtype=np.int64))


def tensors(model: onnx.ModelProto, shape: Shape) -> Tensors:
    """Find the shapes in a contract model whose input is uint8 ``shape``, [N, H, W, 3].

    If an operator has no shape inference, the network is run once for the missing shapes.
    """
    found = _Following(model, shape)
    for node in model.graph.node:
        found.follow(node)
    missing = [name for node in model.graph.node for name in node.output if name and name not in found.shapes]
    if missing:
        try:
            found.shapes.update(shapes_by_running(model, missing, shape))
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise ModelError(f"the network does not run at this size: {first_line(error)}") from error
    return Tensors(found.shapes, frozenset(found.stored))


class _Following:
    """Follows types, shapes and small constant values through a graph.

    Attributes:
        shapes, stored: See `Tensors`.
        values: Values of small tensors that do not depend on the image's pixels.
    """

    def __init__(self, model: onnx.ModelProto, shape: Shape) -> None:
        from onnx import TensorProto, helper, numpy_helper

        self.model = model
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        self.types = {INPUT: helper.make_tensor_type_proto(TensorProto.UINT8, shape)}
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.values: dict[str, NDArray[Any]] = {}
        self.stored: set[str] = set()
        for tensor in model.graph.initializer:
            self.types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            self.shapes[tensor.name] = tuple(tensor.dims)
            self.stored.add(tensor.name)
            if np.prod(tensor.dims) <= SMALL:
                self.values[tensor.name] = numpy_helper.to_array(tensor)

    def follow(self, node: onnx.NodeProto) -> None:
        """Find types, shapes and values of a node's outputs; refuse a node that contains a graph."""
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ModelError(
                f"{node.op_type} {node.name!r}: its work depends on the image, which cannot be counted"
            )
        for name, value in self._types_of(node).items():
            self.types[name] = value
            dims = value.tensor_type.shape.dim
            # An image too small for the network has negative sides here; running it gives the error.
            if value.tensor_type.HasField("shape") and all(
                d.HasField("dim_value") and d.dim_value >= 0 for d in dims
            ):
                self.shapes[name] = tuple(d.dim_value for d in dims)
        self.values.update(self._values_of(node))
        if node.op_type == "Shape" or all(name in self.stored for name in node.input if name):
            self.stored.update(node.output)

    def _types_of(self, node: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        import onnx

        inputs = [name for name in node.input if name]
        try:
            schema = onnx.defs.get_schema(node.op_type, self.opsets[node.domain], node.domain)
            return onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                {name: self.types[name] for name in inputs},
                {n: onnx.numpy_helper.from_array(self.values[n], n) for n in inputs if n in self.values},
                opset_imports=list(self.model.opset_import),
                ir_version=self.model.ir_version,
            )
        except (KeyError, onnx.defs.SchemaError, onnx.shape_inference.InferenceError):
            return {}  # an operator that ONNX does not know, or one that follows it: found by running

    def _values_of(self, node: onnx.NodeProto) -> dict[str, NDArray[Any]]:
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        if node.op_type == "Shape":
            shape = self.shapes.get(node.input[0])
            ends = {a.name: a.i for a in node.attribute}
            part = None if shape is None else shape[ends.get("start") : ends.get("end")]
            return {} if part is None else {node.output[0]: np.array(part, np.int64)}
        inputs = [name for name in node.input if name]
        if not all(name in self.values for name in inputs) or self._is_large(node.output):
            return {}
        described = [helper.make_value_info(name, self.types[name]) for name in inputs]
        results = [helper.make_empty_tensor_value_info(name) for name in node.output]
        graph = helper.make_graph([node], "constant", described, results)
        model = helper.make_model(graph, opset_imports=self.model.opset_import)
        try:
            values = ReferenceEvaluator(model).run(None, {name: self.values[name] for name in inputs})
        except Exception:  # noqa: BLE001 -- shapes that depend on the missing values are found by running
            return {}
        return dict(zip(node.output, map(np.asarray, values)))

    def _is_large(self, names: Iterable[str]) -> bool:
        """Return whether a tensor is too large to be followed, or has an unknown shape."""
        return any(np.prod(self.shapes.get(name, (SMALL + 1,))) > SMALL for name in names)
