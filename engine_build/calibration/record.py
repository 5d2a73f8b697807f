"""`Calibration`: the result of a calibration as readable JSON that belongs to one network."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine_build.calibration.images import Images
from engine_build.calibration.ranges import Method, channel_means, channel_peaks, tensor_ranges
from engine_build.precision.bias import corrections, most_correction
from engine_build.precision.equalize import MAX_FACTOR, equalize, factors, links
from engine_build.precision.quantize import quantized_tensors
from trt_mogface import _json
from trt_mogface._files import write_text
from trt_mogface._text import read_text
from trt_mogface.errors import ImageError, ModelError

if TYPE_CHECKING:
    import onnx

FORMAT = 3

MEANS_IMAGES = 32
"""Largest number of images for the means, which need fewer than extremes do."""

MIN_IMAGES = 4
"""Number of images below which statistics are those of single images."""

ROUNDING = 1.01
"""Factor by which a limit may be exceeded: scales are rounded to FP16, sums to FP32."""

Magnitude = Annotated[float, msgspec.Meta(ge=0)]
Divisor = Annotated[float, msgspec.Meta(ge=np.float32(1 / MAX_FACTOR).item(), le=MAX_FACTOR)]


@dataclass(frozen=True)
class Calibration:
    """Everything that turns a contract model into an INT8 or FP8 one, without images.

    Attributes:
        network: Name of the network.
        graph_sha256, weights_sha256: Digests of the network's nodes (with the preprocessing) and weights.
        method: Method that chose the ranges, see `engine_build.calibration.ranges`.
        images: Number of images.
        images_sha256: Digest of their contents and placement.
        divisors: Divisor of each channel by equalized activation, see `engine_build.precision.equalize`.
        largest: Largest magnitude by quantized activation: the range of FP8, whose steps shrink with the
            numbers, so that nothing is gained by clipping.
        ranges: Largest magnitude that INT8 represents, by quantized activation.
        biases: Additions to the bias of each INT8 convolution, see `engine_build.precision.bias`.
    """

    network: str
    graph_sha256: _json.Sha256
    weights_sha256: _json.Sha256
    method: Method
    images: Annotated[int, msgspec.Meta(ge=MIN_IMAGES)]
    images_sha256: _json.Sha256
    divisors: dict[str, list[Divisor]]
    largest: dict[str, Magnitude]
    ranges: dict[str, Magnitude]
    biases: dict[str, list[float]]

    def __str__(self) -> str:
        return f"{self.method} on {self.images} images, sha256 {self.images_sha256}"

    def to_json(self) -> str:
        """Return readable JSON; `from_json` reads it back equal."""
        fields = _json.sealed({"format": FORMAT, **dataclasses.asdict(self)})
        lines = [f" {json.dumps(key)}: {_one_line_each(value)}" for key, value in fields.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @staticmethod
    def from_json(text: str, path: Path, *, force: bool = False) -> Calibration:
        """Read a calibration file, which is untrusted input.  Formats 1 and 2 are upgraded.

        Args:
            text: Content.
            path: File, for messages.
            force: Whether to take a file that was changed after it was written.

        Raises:
            ModelError: If the text is not such a file, was changed, or a value is impossible.
        """
        try:
            fields = json.loads(text)
            version = fields["format"]
            if type(version) is not int or version not in (1, 2, FORMAT):
                raise ValueError("the format is that of another release")
            whole = version < FORMAT or _json.unseal(fields)  # releases before format 3 wrote no digest
            del fields["format"]
            if version == 1:
                fields |= {f"images{end}": fields.pop(f"pictures{end}") for end in ("", "_sha256")}
            found = _json.convert(fields, Calibration)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ModelError(
                f"{path}: not a calibration file ({error!s:.100}); calibrate again, on images (calib)"
            ) from error
        if not (whole or force):
            problem = "it was changed after it was written"
            raise ModelError(
                f"{path}: {problem}; calibrate again, on images (calib), or use it as it is (force)"
            )
        return found

    def check_belongs_to(self, model: onnx.ModelProto, name: str, path: Path) -> None:
        """Refuse a calibration of another network than ``model`` of this name, which is changed in place.

        Raises:
            ModelError: If name, graph or weights differ, or a value is impossible for the network; the
                message says which, of the file ``path``.
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
            return self._check_values(model, path)
        raise ModelError(f"{path}: calibration of another network ({differs}); calibrate on images (calib)")

    def _check_values(self, model: onnx.ModelProto, path: Path) -> None:
        """Refuse values that no images can give for this network, which is equalized in place."""
        channels = {link.tensor: link.channels(model) for link in links(model)}
        tensors = quantized_tensors(model)
        problem = None
        if {name: len(values) for name, values in self.divisors.items()} != channels:
            problem = "divisors are not those of its channels"
        elif not self.largest.keys() == self.ranges.keys() == set(tensors):
            problem = "ranges are not those of its activations"
        elif any(self.ranges[name] > ROUNDING * self.largest[name] for name in tensors):
            problem = "a range is greater than the largest magnitude"
        else:
            equalize(model, self.divisors)
            limits = most_correction(model, self.largest)
            if {name: len(values) for name, values in self.biases.items()} != {
                name: len(limit) for name, limit in limits.items()
            }:
                problem = "biases are not those of its convolutions"
            elif any((np.abs(self.biases[name]) > ROUNDING * limit).any() for name, limit in limits.items()):
                problem = "a bias is out of reach of its convolution"
        if problem:
            raise ModelError(f"{path}: impossible for this network ({problem}); calibrate on images (calib)")


def calibrate(
    model: onnx.ModelProto,
    name: str,
    method: Method,
    images: Images,
    status: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Find divisors, ranges and corrections of the biases on images.

    The images pass up to three times: for the peaks that equalization needs, for the ranges of the
    equalized network (``minmax`` needs no such pass), and some of them for the means that correct biases.

    Args:
        model: FP32, of an opset for quantized precisions; equalized in place.
        name: Name of the network.
        method: See `tensor_ranges`.
        status: Called with a line on the progress.

    Raises:
        ImageError: If fewer than `MIN_IMAGES` images are usable.
        ModelError: If an activation is not finite.
    """
    graph, weights = fingerprint(model)
    tensors = quantized_tensors(model)

    def passing(purpose: str, over: Images = images) -> Iterator[NDArray[np.uint8]]:
        return over.batches(lambda text: status(f"calibrating, {purpose}: {text}"))

    count, peaks = channel_peaks(model, tensors, passing("peaks"))
    if count < MIN_IMAGES:
        raise ImageError(_too_few(images, count))
    divisors = factors(model, peaks)
    largest = {name: float((peaks[name] / divisors.get(name, np.float32(1))).max()) for name in tensors}
    equalize(model, divisors)
    ranges = tensor_ranges(model, largest, method, passing("ranges"))
    few = dataclasses.replace(images, limit=min(images.limit, MEANS_IMAGES))
    biases = corrections(model, channel_means(model, ranges, passing("means", few)))
    return Calibration(
        network=name,
        graph_sha256=graph,
        weights_sha256=weights,
        method=method,
        images=count,
        images_sha256=images.digest(),
        divisors={tensor: [float(v) for v in values] for tensor, values in divisors.items()},
        largest=largest,
        ranges=ranges,
        biases={node: [float(v) for v in values] for node, values in biases.items()},
    )


def _too_few(images: Images, count: int) -> str:
    skipped = ""
    if images.skipped:
        first = next(iter(images.skipped.values()))
        skipped = f", {len(images.skipped)} could not be used ({first})"
    return (
        f"{images.sources[0].parent}: {count} images to calibrate on{skipped}; "
        f"give at least {MIN_IMAGES}, better some hundred"
    )


def load_calibration(path: Path, *, force: bool = False) -> Calibration:
    """Read a calibration from its file; see `Calibration.from_json`.

    Raises:
        ModelError: If the file is missing or unusable.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ModelError(f"{path}: cannot be read ({reason}); make it with images (calib)") from error
    return Calibration.from_json(text, path, force=force)


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration, whole or not at all; see `write_text`."""
    write_text(path, calibration.to_json())


def fingerprint(model: onnx.ModelProto) -> tuple[str, str]:
    """Return the SHA-256 of a graph's nodes and that of its weights."""
    nodes, weights = hashlib.sha256(), hashlib.sha256()
    for node in model.graph.node:
        nodes.update(node.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        weights.update(tensor.SerializeToString(deterministic=True))
    return nodes.hexdigest(), weights.hexdigest()


def _one_line_each(value: object) -> str:
    """Return a JSON value, with each entry of a dictionary on a line of its own."""
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n }"
