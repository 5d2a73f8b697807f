"""`Calibration`: what calibration found, as readable JSON that belongs to one network."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine_build.calibration.pictures import Pictures
from engine_build.calibration.ranges import METHODS, Method, channel_means, channel_peaks, tensor_ranges
from engine_build.precision.bias import corrections
from engine_build.precision.equalize import equalize, factors
from engine_build.precision.quantize import quantized_tensors
from trt_mogface._files import write_text
from trt_mogface._untrusted import Fields
from trt_mogface.errors import ImageError, ModelError

if TYPE_CHECKING:
    import onnx

FORMAT = 1

MEANS_PICTURES = 32
"""Means need fewer pictures than extremes do."""

FEWEST = 4
"""Pictures below which statistics are those of single pictures."""


@dataclass(frozen=True)
class Calibration:
    """All that turns a contract model into an INT8 or FP8 one, without pictures.

    Attributes:
        network: Name of the network it belongs to.
        graph_sha256, weights_sha256: Of that network's nodes (the preprocessing among them) and weights.
        method: How ranges were chosen, see `engine_build.calibration.ranges`.
        pictures: Number of pictures seen.
        pictures_sha256: Of their contents and placement.
        divisors: Of each equalized activation, by channel; see `engine_build.precision.equalize`.
        largest: Largest magnitude of each quantized activation: the range of FP8, whose steps shrink with
            the numbers, so that nothing is gained by cutting.
        ranges: Magnitude up to which INT8 represents each of them.
        biases: What is added to the bias of each INT8 convolution, see `engine_build.precision.bias`.
    """

    network: str
    graph_sha256: str
    weights_sha256: str
    method: Method
    pictures: int
    pictures_sha256: str
    divisors: dict[str, list[float]]
    largest: dict[str, float]
    ranges: dict[str, float]
    biases: dict[str, list[float]]

    def __str__(self) -> str:
        return f"{self.method} on {self.pictures} pictures, sha256 {self.pictures_sha256}"

    def to_json(self) -> str:
        """Readable JSON; `from_json` reads it back equal."""
        fields = {"format": FORMAT, **dataclasses.asdict(self)}
        lines = [f" {json.dumps(key)}: {_one_line_each(value)}" for key, value in fields.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @staticmethod
    def from_json(text: str, path: Path) -> Calibration:
        """Read a calibration file, which is untrusted input.

        Raises:
            ModelError: Not such a file, or impossible values.
        """
        try:
            read = Fields(json.loads(text))
            if read.integer("format") != FORMAT:
                raise ValueError("it is of another release's format")
            return _calibration_from(read)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ModelError(
                f"{path}: not a calibration file that can be read ({error!s:.100}): "
                "calibrate again with --calib"
            ) from error

    def check_belongs_to(self, model: onnx.ModelProto, name: str, path: Path) -> None:
        """Refuse a calibration of another network.

        Raises:
            ModelError: It names what differs.
        """
        graph, weights = fingerprint(model)
        if self.network != name:
            differs = f"it was made for {self.network}, this is {name}"
        elif self.graph_sha256 != graph:
            missing = [tensor for tensor in quantized_tensors(model) if tensor not in self.ranges]
            differs = "the graphs differ"
            if missing:
                differs += f", {len(missing)} activations such as {missing[0]!r} are not in it"
        elif self.weights_sha256 != weights:
            differs = "the graphs are the same, but the weights differ"
        else:
            return
        raise ModelError(f"{path}: a calibration of another network ({differs}): calibrate with --calib")


def calibrate(
    model: onnx.ModelProto,
    name: str,
    method: Method,
    pictures: Pictures,
    status: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Go through the pictures and find divisors and ranges.

    The pictures pass up to three times: for the peaks that equalization needs, for the ranges of the
    equalized network (``minmax`` needs no such pass), and some of them for the means that correct biases.

    Args:
        model: FP32, of an opset for quantized precisions; equalized in place.
        name: The network's name.
        method: How ranges are chosen.
        pictures: What is seen.
        status: Told how far it is.

    Raises:
        ImageError: Too few usable pictures.
        ModelError: An activation that is not finite.
    """
    graph, weights = fingerprint(model)
    tensors = quantized_tensors(model)

    def passing(what: str, over: Pictures = pictures) -> Iterator[NDArray[np.uint8]]:
        return over.batches(lambda text: status(f"calibrating, {what}: {text}"))

    count, peaks = channel_peaks(model, tensors, passing("peaks"))
    if count < FEWEST:
        raise ImageError(_too_few(pictures, count))
    divisors = factors(model, peaks)
    largest = {
        name: float((peaks[name] / divisors[name] if name in divisors else peaks[name]).max())
        for name in tensors
    }
    equalize(model, divisors)
    ranges = tensor_ranges(model, largest, method, passing("ranges"))
    few = dataclasses.replace(pictures, limit=min(pictures.limit, MEANS_PICTURES))
    biases = corrections(model, channel_means(model, ranges, passing("means", few)))
    return Calibration(
        network=name,
        graph_sha256=graph,
        weights_sha256=weights,
        method=method,
        pictures=count,
        pictures_sha256=pictures.digest(),
        divisors={tensor: [float(v) for v in values] for tensor, values in divisors.items()},
        largest=largest,
        ranges=ranges,
        biases={node: [float(v) for v in values] for node, values in biases.items()},
    )


def _too_few(pictures: Pictures, count: int) -> str:
    skipped = ""
    if pictures.skipped:
        first = next(iter(pictures.skipped.values()))
        skipped = f", {len(pictures.skipped)} could not be used ({first})"
    return (
        f"{pictures.sources[0].parent}: {count} pictures to calibrate on{skipped}: "
        f"give at least {FEWEST}, better some hundred"
    )


def load_calibration(path: Path) -> Calibration:
    """A calibration from its file.

    Raises:
        ModelError: Missing or unusable.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ModelError(f"{path}: cannot be read ({reason}): make it with --calib") from error
    return Calibration.from_json(text, path)


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration, whole or not at all.

    Raises:
        OutputError: The place cannot be written.
    """
    write_text(path, calibration.to_json())


def fingerprint(model: onnx.ModelProto) -> tuple[str, str]:
    """SHA-256 of a graph's nodes and of its weights."""
    nodes, weights = hashlib.sha256(), hashlib.sha256()
    for node in model.graph.node:
        nodes.update(node.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        weights.update(tensor.SerializeToString(deterministic=True))
    return nodes.hexdigest(), weights.hexdigest()


def _one_line_each(value: object) -> str:
    """A JSON value; a table one line an entry."""
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n }"


def _calibration_from(read: Fields) -> Calibration:
    divisors, largest, ranges, biases = (
        read.inner(name) for name in ("divisors", "largest", "ranges", "biases")
    )
    method = read.text("method")
    if method not in METHODS:
        raise ValueError(f"no method {method!r}")
    found = Calibration(
        network=read.text("network"),
        graph_sha256=read.text("graph_sha256"),
        weights_sha256=read.text("weights_sha256"),
        method=method,
        pictures=read.integer("pictures"),
        pictures_sha256=read.text("pictures_sha256"),
        divisors={name: list(divisors.numbers(name)) for name in divisors.names()},
        largest={name: largest.number(name) for name in largest.names()},
        ranges={name: ranges.number(name) for name in ranges.names()},
        biases={name: list(biases.numbers(name)) for name in biases.names()},
    )
    if any(value <= 0 for values in found.divisors.values() for value in values):
        raise ValueError("a divisor is not positive")
    if any(value < 0 for value in (*found.largest.values(), *found.ranges.values())):
        raise ValueError("a range is negative")
    return found
