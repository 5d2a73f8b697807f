"""A contract model at a precision: all passes in their order."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING

from engine_build.onnx import pixels
from engine_build.onnx.graph import name_convolutions
from engine_build.precision import Precision
from engine_build.precision.bias import correct_biases
from engine_build.precision.casts import to_low_precision
from engine_build.precision.equalize import equalize
from engine_build.precision.opset import upgraded
from engine_build.precision.quantize import convolutions, quantize
from trt_mogface.errors import ArgumentError, ModelError

if TYPE_CHECKING:
    import onnx

    from engine_build.calibration.record import Calibration


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a contract model with its convolutions named and its pixels cast first, changed in place."""
    if model.functions:
        raise ModelError("the model is for CPUs only (Winograd convolutions); export it again for GPUs")
    name_convolutions(model)
    pixels.cast_first(model)
    return model


def normalized(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """Return a contract model as every pass expects it: convolutions named, pixels cast first, opset raised.

    The model itself is changed, or replaced by a new one in the newer opset.
    """
    return upgraded(named(model), precision)


def at_precision(
    model: onnx.ModelProto,
    precision: Precision,
    calibration: Calibration | None = None,
    keep_fp16: Collection[str] = (),
    *,
    simulate: bool = False,
) -> onnx.ModelProto:
    """Return the model computing in another precision; inputs, outputs and spec stay.

    Args:
        model: Result of `normalized` for the same precision; left as it is.
        precision: Precision of the convolutions; the rest of a quantized model becomes FP16.
        calibration: Calibration of this model, for INT8 and FP8.
        keep_fp16: Names of convolutions to keep in FP16 instead of INT8 or FP8.
        simulate: Whether to compute BF16's values in FP32, for ONNX Runtime on a CPU, which has no BF16.
    """
    result = copy.deepcopy(model)
    if precision in ("int8", "fp8"):
        if calibration is None:
            raise ArgumentError("calibration", f"{precision} needs one")
        equalize(result, calibration.divisors)
        names = [node.name for node in convolutions(result) if node.name not in keep_fp16]
        if precision == "int8":
            correct_biases(result, calibration.biases, names)
        ranges = calibration.ranges if precision == "int8" else calibration.largest
        quantize(result, precision, ranges, names)
        to_low_precision(result, "fp16")
    elif precision == "fp16" or precision == "bf16":
        to_low_precision(result, precision, simulate=simulate and precision == "bf16")
    return result
