"""ONNX operator sets with the types that a precision needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_build.onnx.opset import raised
from engine_build.precision import Precision

if TYPE_CHECKING:
    import onnx

NEEDED: dict[Precision, int] = {"fp32": 11, "fp16": 13, "bf16": 22, "int8": 19, "fp8": 19}
"""Q/DQ nodes take FP16 scales, and FP8 exists, from 19 on; convolutions are BF16 from 22 on.

No higher than needed: TensorRT 10.3, which JetPack 6 brings, reads opsets up to 20.
"""


def upgraded(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """Return the model in an opset that has the precision's types, unchanged if it is in one already."""
    return raised(model, NEEDED[precision], precision)
