"""A contract model at a precision: the passes in their order."""

from __future__ import annotations

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
from trt_mogface.errors import ModelError

if TYPE_CHECKING:
    import onnx

    from engine_build.calibration.record import Calibration


def normalized(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """A contract model as every pass expects it: convolutions named, pixels cast first, a fitting opset.

    The model itself is changed, or taken over by a new one in the newer opset.

    Raises:
        ModelError: A file for CPUs alone, or one that cannot be raised to the opset.
    """
    if model.functions:
        raise ModelError("a file made for CPUs (Winograd convolutions): export it again without --cpu")
    name_convolutions(model)
    pixels.cast_first(model)
    return upgraded(model, precision)


def at_precision(
    model: onnx.ModelProto,
    precision: Precision,
    calibration: Calibration | None = None,
    keep_fp16: Collection[str] = (),
    *,
    simulate: bool = False,
) -> onnx.ModelProto:
    """The model computing in another precision; inputs, outputs and spec stay.

    Args:
        model: From `normalized`, for the same precision; left as it is.
        precision: The type of the convolutions; what is not quantized becomes FP16.
        calibration: For INT8 and FP8; of this model.
        keep_fp16: Names of convolutions that are not quantized.
        simulate: For ONNX Runtime on a CPU, which has no BF16: the same values in FP32.
    """
    result = type(model)()
    result.CopyFrom(model)
    if precision in ("int8", "fp8"):
        if calibration is None:
            raise ModelError(f"{precision} needs calibration: --calib DIR, or --calib-cache FILE")
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
