"""The preparation of the image in another's model: normalization and layout in front of its convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx.foreign import end_in, image_input
from engine_build.onnx.graph import constants, without_dead_ends
from engine_build.onnx.head_maps import CONVOLUTIONS
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import ModelError
from trt_mogface.frame import MAX_PIXELS

if TYPE_CHECKING:
    import onnx

Values = NDArray[Any]

CHANNELS = 3
SIDES = (192, 256)
"""Height and width at which a model without fixed sizes is tried: multiples of every stride."""

CLOSE = 1e-3
"""Largest difference of normalized images, relative to their largest value."""


@dataclass(frozen=True)
class Preparation:
    """How pixels become the input of another's model.

    Attributes:
        batch, height, width: Size that it runs at.
        feed: Function from pixels, float [N, 3, H, W], 0..255, in the order of the network's channels, to
            what the model's input takes.
    """

    batch: int
    height: int
    width: int
    feed: Callable[[Values], Values]


def without_preparation(
    model: onnx.ModelProto, path: Path, mean: Sequence[float], std: Sequence[float]
) -> Preparation:
    """Let a model begin at its first convolution, in place, without a normalization that is inside.

    Args:
        model: Model with a single input.
        path: Its file, for messages.
        mean, std: Normalization of the family, of each channel in the order of the network.

    Returns:
        What its input took before.

    Raises:
        ModelError: If anything stands in front of the first convolution but that normalization, of pixels
            0..255, 0..1 or -1..1, in either order of the channels, or a change of the layout.
    """
    source = image_input(model, path)
    planes = _first_planes(model, source.name, path)
    batch, height, width, is_nhwc = _size(source, path)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, CHANNELS, height, width), np.uint8)
    wanted = _normalized(pixels, mean, std)
    front = _front(model, planes, source)
    for feed in _feeds(source, mean, std, is_nhwc):
        found = front(feed(pixels))
        if found.shape == wanted.shape and np.abs(found - wanted).max() < CLOSE * np.abs(wanted).max():
            break
    else:
        raise ModelError(
            f"{path}: prepares the image in a way that is not this family's; export the model without it"
        )
    if planes != source.name:
        _begin_with(model, planes)
    return Preparation(batch, height, width, feed)


def _normalized(pixels: Values, mean: Sequence[float], std: Sequence[float]) -> Values:
    shift, scale = (np.reshape(each, (1, 3, 1, 1)) for each in (mean, std))
    normalized: Values = (pixels - shift) / scale
    return normalized


def _size(source: onnx.ValueInfoProto, path: Path) -> tuple[int, int, int, bool]:
    """Return batch, height and width that an input has or may have, and whether its channels are last."""
    fixed = [size.dim_value for size in source.type.tensor_type.shape.dim]
    if len(fixed) != 4 or (CHANNELS not in (fixed[1], fixed[3]) and any((fixed[1], fixed[3]))):
        raise ModelError(f"{path}: its input is {fixed}, not [N, 3, H, W] or [N, H, W, 3]")
    is_nhwc = fixed[3] == CHANNELS and fixed[1] != CHANNELS
    height, width = fixed[1:3] if is_nhwc else fixed[2:]
    batch, height, width = fixed[0] or 1, height or SIDES[0], width or SIDES[1]
    if batch * height * width > MAX_PIXELS:
        raise ModelError(f"{path}: its input is {fixed}, too large for images")
    return batch, height, width, is_nhwc


def _feeds(
    source: onnx.ValueInfoProto, mean: Sequence[float], std: Sequence[float], is_nhwc: bool
) -> Iterator[Callable[[Values], Values]]:
    """Yield the ways in which pixels may become the input, the usual ones first."""
    import onnx

    dtype = onnx.helper.tensor_dtype_to_np_dtype(source.type.tensor_type.elem_type)

    def way(scale: Callable[[Values], Values], order: slice) -> Callable[[Values], Values]:
        def feed(pixels: Values) -> Values:
            given = scale(pixels)[:, order]
            given = given.transpose(0, 2, 3, 1) if is_nhwc else given
            return np.ascontiguousarray(given.astype(dtype))

        return feed

    scales: tuple[Callable[[Values], Values], ...] = (
        lambda pixels: _normalized(pixels, mean, std),
        lambda pixels: pixels,
        lambda pixels: pixels / 255,
        lambda pixels: pixels / 127.5 - 1,
    )
    for order in (slice(None), slice(None, None, -1)):
        for scale in scales:
            yield way(scale, order)


def _front(model: onnx.ModelProto, planes: str, source: onnx.ValueInfoProto) -> Callable[[Values], Values]:
    """Return a function from a model's input to the planes that its first convolutions read."""
    import onnx

    if planes == source.name:
        return lambda given: given
    front = onnx.ModelProto()
    front.CopyFrom(model)
    end_in(front, [planes])

    def run(given: Values) -> Values:
        try:
            result: Values = session(front.SerializeToString()).run(None, {source.name: given})[0]
        except Exception:  # noqa: BLE001 -- ONNX Runtime's exceptions share no public base class
            return np.empty(0)
        return result

    return run


def _first_planes(model: onnx.ModelProto, source: str, path: Path) -> str:
    """Return the tensor that the first convolutions read, in front of a padding of theirs."""
    stored, reached, planes = constants(model), {source}, set()
    written = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        inputs = reached.intersection(node.input)
        if not inputs:
            continue
        if node.op_type in CONVOLUTIONS and not _is_of_colors(stored.get(node.input[1])):
            planes.update(inputs)
        else:
            reached.update(node.output)
    padded = {
        written[name].input[0] if name in written and written[name].op_type == "Pad" else name
        for name in planes
    }
    if len(padded) != 1:
        raise ModelError(f"{path}: the image is read by convolutions at {len(padded)} places; expected one")
    return padded.pop()


def _is_of_colors(weight: onnx.TensorProto | None) -> bool:
    """Return whether a convolution changes the three colors of each pixel only, as normalizations may."""
    return weight is not None and weight.dims[0] == CHANNELS and list(weight.dims[2:]) == [1, 1]


def _begin_with(model: onnx.ModelProto, planes: str) -> None:
    from onnx import TensorProto, helper

    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(planes, TensorProto.FLOAT, ["N", 3, "H", "W"]))
    kept = [node for node in model.graph.node if planes not in node.output]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    without_dead_ends(model)
