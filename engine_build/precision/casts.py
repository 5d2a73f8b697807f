"""FP16 and BF16: casts in the graph, with FP32 where it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from engine_build.onnx.graph import constants, float_tensors, replace_nodes

if TYPE_CHECKING:
    import onnx

Low = Literal["fp16", "bf16"]

STATISTICS = frozenset(
    {
        *("InstanceNormalization", "GroupNormalization", "LayerNormalization", "BatchNormalization"),
        *("ReduceMean", "ReduceSum", "ReduceL2", "Pow", "Sqrt", "Reciprocal", "Div"),
        *("Sigmoid", "Softmax", "Exp", "Log"),
    }
)
"""Operators that stay FP32: sums over many values, and functions that amplify rounding errors."""

MOVES = frozenset(
    {
        *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather", "Concat", "Split"),
        *("Identity", "Pad", "Expand", "Tile"),
    }
)
"""Operators that change no value: they run in the type of their input."""

VALUES: dict[str, tuple[int, ...]] = {"Resize": (0,)}
"""Inputs that carry values, by operator whose other float inputs must stay FP32."""


def to_low_precision(model: onnx.ModelProto, kind: Low, *, simulate: bool = False) -> None:
    """Compute in FP16 or BF16 wherever FP32 is not needed, in place; inputs and outputs keep their types.

    The image's normalization, statistics and saturating functions stay FP32.  An initializer is stored
    once in each type it is read in, however many nodes share it.

    Args:
        model: FP32, of the contract, with sorted nodes, of an opset whose operators have the type
            (`engine_build.precision.opset`).
        kind: Type to compute in.
        simulate: Whether to keep FP32 and round to the type wherever it would be used: the same values up to
            the order of sums, for runtimes that lack the type (ONNX Runtime has no BF16 on CPUs).
    """
    _Casting(model, kind, simulate).run()


class _Casting:
    """One walk through a graph; ``low`` holds the tensors that are no longer FP32."""

    def __init__(self, model: onnx.ModelProto, kind: Low, simulate: bool) -> None:
        from onnx import TensorProto

        self.model = model
        self.simulate = simulate
        self.type = TensorProto.FLOAT16 if kind == "fp16" else TensorProto.BFLOAT16
        self.floats = float_tensors(model)
        self.constants = constants(model)
        self.low: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.copies: dict[tuple[str, bool], str] = {}
        self.stored: list[onnx.TensorProto] = []
        self.seen_convolution: set[str] = set()

    def run(self) -> None:
        graph = self.model.graph
        results = [value.name for value in graph.output]
        for node in graph.node:
            self._add(node)
        for name in results:
            self._give_back(name)
        replace_nodes(self.model, self.nodes, self.stored)

    def _add(self, node: onnx.NodeProto) -> None:
        values = VALUES.get(node.op_type, range(len(node.input)))
        low = self._is_low(node)
        for i, name in enumerate(node.input):
            if name in self.floats:
                node.input[i] = self._read(name, low=low and i in values)
        self.nodes.append(node)
        computed = [name for name in node.output if low and name in self.floats]
        self.low.update(computed)
        if self.simulate and node.op_type not in MOVES:
            for name in computed:
                exact = f"{name}.exact"
                node.output[list(node.output).index(name)] = exact
                self._round(exact, name)

    def _is_low(self, node: onnx.NodeProto) -> bool:
        values = [name for name in node.input if name in self.floats]
        if not values and node.op_type != "DequantizeLinear":
            return False
        after = node.op_type in ("Conv", "QuantizeLinear", "DequantizeLinear") or any(
            name in self.seen_convolution for name in values
        )
        if not after or node.op_type in STATISTICS or node.op_type == "Cast":  # a cast names its own type
            low = False
        elif node.op_type in MOVES:
            low = all(name in self.low for name in values if name not in self.constants)
        else:
            low = True
        if after:
            self.seen_convolution.update(node.output)
        return low

    def _read(self, name: str, *, low: bool) -> str:
        """Return the tensor in the wanted type, converted once for all its readers."""
        if (name in self.low) == low:
            return name
        if (name, low) not in self.copies:
            self.copies[name, low] = self._store(name) if name in self.constants else self._cast(name, low)
        return self.copies[name, low]

    def _store(self, name: str) -> str:
        from onnx import helper, numpy_helper

        value = numpy_helper.to_array(self.constants[name])
        kind = helper.tensor_dtype_to_np_dtype(self.type)
        with np.errstate(over="ignore"):  # comparing with FP32 finds an infinite weight
            stored = value.astype(kind)
        renamed = f"{name}.{kind.name}"
        if self.simulate:
            self.stored.append(numpy_helper.from_array(stored.astype(np.float32), renamed))
        else:
            self.stored.append(
                helper.make_tensor(renamed, self.type, value.shape, stored.tobytes(), raw=True)
            )
        return renamed

    def _cast(self, name: str, low: bool) -> str:
        from onnx import TensorProto, helper

        kind = self.type if low else TensorProto.FLOAT
        cast = f"{name}.{helper.tensor_dtype_to_np_dtype(kind).name}"
        if self.simulate:
            self._round(name, cast)
            return cast
        self.nodes.append(helper.make_node("Cast", [name], [cast], f"Cast:{cast}", to=kind))
        return cast

    def _round(self, name: str, rounded: str) -> None:
        from onnx import TensorProto, helper

        self.nodes += [
            helper.make_node("Cast", [name], [f"{rounded}.bits"], f"Round:{rounded}", to=self.type),
            helper.make_node("Cast", [f"{rounded}.bits"], [rounded], f"Back:{rounded}", to=TensorProto.FLOAT),
        ]

    def _give_back(self, result: str) -> None:
        """Cast a result in the low type to the FP32 of the contract."""
        from onnx import TensorProto, helper

        if result not in self.low:
            return
        inner = f"{result}.low"
        for node in self.nodes:
            node.input[:] = [inner if name == result else name for name in node.input]
            node.output[:] = [inner if name == result else name for name in node.output]
        self.nodes.append(helper.make_node("Cast", [inner], [result], f"Cast:{result}", to=TensorProto.FLOAT))
