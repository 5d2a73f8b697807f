"""Peaks and ranges of activations over a stream of images.  Statistics are kept, never activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.probe import probe
from engine_build.precision.bias import Means
from engine_build.precision.equalize import Peaks
from engine_build.precision.quantize import scale_of
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.errors import ModelError

if TYPE_CHECKING:
    import onnx

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = get_args(Method)

BINS = 2048
PERCENTILE = 0.99999
"""Share of an activation's values within its range."""

QUANTIZED_BINS = 128
"""Number of magnitudes of INT8, which entropy calibration compares with."""

Batches = Iterable[NDArray[np.uint8]]


def channel_peaks(
    model: onnx.ModelProto, tensors: Sequence[str], batches: Batches
) -> tuple[int, dict[str, Peaks]]:
    """Find the largest magnitude of each channel of some activations [N, C, H, W]; refuse infinite ones.

    Args:
        model: FP32, opset 18 or newer.
        tensors: Names of the activations.
        batches: Network inputs, uint8 [N, H, W, 3].

    Returns:
        Number of batches, and float32 [C] by name of the activation.
    """
    from onnx import helper, numpy_helper

    axes = numpy_helper.from_array(np.array([0, 2, 3]), "calibration.axes")
    nodes, results = [], []
    for i, tensor in enumerate(tensors):
        size, peak = f"calibration.abs{i}", f"calibration.peak{i}"
        results.append(peak)
        nodes.append(helper.make_node("Abs", [tensor], [size]))
        nodes.append(helper.make_node("ReduceMax", [size, axes.name], [peak], keepdims=0))
    peaks: dict[str, Peaks] = {}
    count = 0
    for values in map(probe(model, nodes, results, stored=[axes], arena=False), batches):
        count += 1
        for tensor, value in zip(tensors, values):
            if not np.isfinite(value).all():
                raise ModelError(f"{tensor}: not finite on a calibration image; repair the FP32 model")
            peaks[tensor] = np.maximum(peaks.get(tensor, np.float32(0)), value.astype(np.float32))
    return count, peaks


def tensor_ranges(
    model: onnx.ModelProto, largest: Mapping[str, float], method: Method, batches: Batches
) -> dict[str, float]:
    """Find the magnitude up to which each activation is worth representing.

    Args:
        model: FP32, equalized.
        largest: Largest magnitude by name of the activation.
        method: ``minmax`` takes the largest magnitude, ``percentile`` the one that `PERCENTILE` of all values
            lie below, ``entropy`` the threshold of least information loss (Migacz, GTC 2017) as ONNX Runtime
            computes it.
        batches: See `channel_peaks`.
    """
    if method == "minmax":
        return dict(largest)
    used = {name: value for name, value in largest.items() if value > 0}
    counts = _histograms(model, used, batches) if used else {}
    threshold = _percentile if method == "percentile" else _entropy
    return {name: threshold(counts[name], largest[name]) if name in counts else 0.0 for name in largest}


def channel_means(model: onnx.ModelProto, ranges: Mapping[str, float], batches: Batches) -> Means:
    """Find the mean of each channel of some activations [N, C, H, W], before and after quantization to INT8.

    Args:
        model: FP32, equalized, opset 19 or newer.
        ranges: Largest represented magnitude by name of the activation.
        batches: See `channel_peaks`.
    """
    from onnx import helper, numpy_helper

    axes = numpy_helper.from_array(np.array([0, 2, 3]), "calibration.axes")
    stored = [axes, numpy_helper.from_array(np.array(0, np.int8), "calibration.zero")]
    nodes, results = [], []
    for i, (tensor, largest) in enumerate(ranges.items()):
        scale = numpy_helper.from_array(scale_of(largest, "int8"), f"calibration.scale{i}")
        stored.append(scale)
        steps, rounded, before, after = (
            f"calibration.{part}{i}" for part in ("steps", "rounded", "before", "after")
        )
        results += [before, after]
        nodes += [
            helper.make_node("QuantizeLinear", [tensor, scale.name, stored[1].name], [steps]),
            helper.make_node("DequantizeLinear", [steps, scale.name, stored[1].name], [rounded]),
            helper.make_node("ReduceMean", [tensor, axes.name], [before], keepdims=0),
            helper.make_node("ReduceMean", [rounded, axes.name], [after], keepdims=0),
        ]
    sums = [np.zeros(1)] * len(results)
    count = 0
    for values in map(probe(model, nodes, results, stored=stored, arena=False), batches):
        count += 1
        sums = [total + value.astype(np.float64) for total, value in zip(sums, values)]
    means = [total / count for total in sums]
    return dict(zip(ranges, zip(means[::2], means[1::2])))


def _histograms(
    model: onnx.ModelProto, largest: dict[str, float], batches: Batches
) -> dict[str, NDArray[np.int64]]:
    """Count magnitudes in `BINS` equal steps from 0 to the largest.  The graph does the binning."""
    from onnx import TensorProto, helper, numpy_helper

    stored = [numpy_helper.from_array(np.array(BINS - 1, np.float32), "calibration.last")]
    nodes, results = [], []
    for i, (tensor, peak) in enumerate(largest.items()):
        step = numpy_helper.from_array(np.array(BINS / peak, np.float32), f"calibration.step{i}")
        stored.append(step)
        names = [tensor, *(f"calibration.{part}{i}" for part in ("abs", "scaled", "limited", "bin"))]
        results.append(names[-1])
        nodes += [
            helper.make_node("Abs", [names[0]], [names[1]]),
            helper.make_node("Mul", [names[1], step.name], [names[2]]),
            helper.make_node("Min", [names[2], stored[0].name], [names[3]]),
            helper.make_node("Cast", [names[3]], [names[4]], to=TensorProto.UINT16),
        ]
    counts = {tensor: np.zeros(BINS, np.int64) for tensor in largest}
    for values in map(probe(model, nodes, results, stored=stored, arena=False), batches):
        for tensor in reversed(largest):
            # Freed one by one: the rest of the list would lie in memory beside the next image's activations.
            counts[tensor] += np.bincount(values.pop().ravel(), minlength=BINS)
    return counts


def _percentile(counts: NDArray[np.int64], largest: float) -> float:
    cumulated = np.cumsum(counts)
    last = int(np.searchsorted(cumulated, PERCENTILE * cumulated[-1]))
    return float(largest * (last + 1) / BINS)


def _entropy(counts: NDArray[np.int64], largest: float) -> float:
    onnxruntime()  # not imported here first, see there
    from onnxruntime.quantization.calibrate import HistogramCollector

    both = np.concatenate([counts[::-1], counts])
    edges = np.linspace(-largest, largest, len(both) + 1, dtype=np.float32)
    collector = HistogramCollector("entropy", True, BINS, QUANTIZED_BINS, 100 * PERCENTILE, "same")
    limit = np.float32(largest)
    low, high = collector.get_entropy_threshold((both, edges, -limit, limit, limit), QUANTIZED_BINS)
    return float(max(abs(low), abs(high)))
