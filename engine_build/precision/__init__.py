"""Precision as part of the graph: casts, Q/DQ nodes and corrections that keep INT8 accurate.

A strongly typed network runs every layer in the type of its tensors, in TensorRT 10, 11 and RTX alike, so a
model at another precision is another ONNX file of the same contract.
"""

from __future__ import annotations

from trt_mogface._names import parse_names
from trt_mogface.models.precision import PRECISIONS as PRECISIONS
from trt_mogface.models.precision import Precision as Precision

QUANTIZED: tuple[Precision, ...] = ("int8", "fp8")
"""Precisions with Q/DQ nodes; what they do not quantize is FP16."""


def parse_precisions(precision: str) -> list[Precision]:
    """Return the precisions of a list separated by commas, in the order of `PRECISIONS`."""
    names = parse_names("precision", precision, PRECISIONS)
    return [name for name in PRECISIONS if name in names]
