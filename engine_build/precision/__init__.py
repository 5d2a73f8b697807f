"""Precision as part of the graph: casts, Q/DQ nodes and what makes INT8 keep its accuracy.

A strongly typed network runs every layer in the type its tensors have, in TensorRT 10, 11 and RTX alike, so a
model of another precision is another ONNX file of the same contract.
"""

from __future__ import annotations

from typing import Literal, get_args

Precision = Literal["fp32", "fp16", "bf16", "int8", "fp8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

QUANTIZED: tuple[Precision, ...] = ("int8", "fp8")
"""Those with Q/DQ nodes; what they do not quantize is FP16."""
