"""Comparison of an adapted model with what the file that it was made from computes itself.

A file of the same network may still be of other anchors, variances or channels than its family.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine_build.onnx import contract
from engine_build.onnx.foreign import theirs
from engine_build.onnx.graph import attribute
from engine_build.onnx.preparation import Preparation
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import ModelError, first_line
from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.decode import decode_boxes
from trt_mogface.spec import DELTAS, INPUT, SCORES, DetectorSpec

if TYPE_CHECKING:
    import onnx

Values = NDArray[Any]
Results = Mapping[str, Values]

ACTIVATIONS = ("Sigmoid", "Softmax")
FACE = 1
CLOSE, CLOSE_HALF = 1e-3, 5e-2
"""Largest difference relative to the largest value, in float32 and in smaller types."""

ODD = (2, 205, 333)
"""A batch of a size that is a multiple of nothing."""


class OwnOutputs:
    """Another's model, run once on noise at its own size.

    Args:
        original: Model as it was in its file, with ONNX's own operators.
        maps: Maps of its head, named as in the model that was cut out of it.
        taken: What its input takes.
        path: Its file, for messages.

    Raises:
        ModelError: If the model does not run.
    """

    def __init__(
        self, original: onnx.ModelProto, maps: Sequence[str], taken: Preparation, path: Path
    ) -> None:
        self._path, self._taken = path, taken
        shape = (taken.batch, 3, taken.height, taken.width)
        self._pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        """Channels are in the order of the network."""
        self._behind = _behind(original, set(maps))
        self._own = [value.name for value in original.graph.output]
        names = [name for node in original.graph.node for name in node.output if theirs(name) in maps]
        names += [node.output[0] for node in self._behind]
        self._results = self._run(original, list(dict.fromkeys([*self._own, *names])))
        if not all(np.isfinite(each).all() for each in self._results.values()):
            raise ModelError(f"{path}: computes numbers that are not finite; its weights are damaged")
        half = any(each.dtype == np.float16 for each in self._results.values())
        self._close = CLOSE_HALF if half else CLOSE

    def _run(self, original: onnx.ModelProto, names: list[str]) -> Results:
        from onnx import helper

        own = {value.name for value in original.graph.output}
        original.graph.output.extend(
            helper.make_empty_tensor_value_info(name) for name in names if name not in own
        )
        try:
            running = session(original.SerializeToString(), optimize=False)
            given = self._taken.feed(self._pixels)
            return dict(zip(names, running.run(names, {running.get_inputs()[0].name: given})))
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise ModelError(f"{self._path}: does not run ({first_line(error)})") from error

    def check_maps(self, model: onnx.ModelProto, mean: Sequence[float], std: Sequence[float]) -> None:
        """Compare the maps of the model that was cut out, which begins with the normalized image.

        Raises:
            ModelError: If they differ.
        """
        planes = (self._pixels - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
        try:
            running = session(model.SerializeToString())
            found = running.run(None, {running.get_inputs()[0].name: planes.astype(np.float32)})
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise ModelError(f"{self._path}: cannot be freed of its size ({first_line(error)})") from error
        results = {theirs(name): values for name, values in self._results.items()}
        for output, values in zip(running.get_outputs(), found):
            if not self._equal(values, results[output.name]):
                raise ModelError(
                    f"{self._path}: cannot be freed of its size: a map becomes {list(values.shape)} with "
                    f"other values than {list(results[output.name].shape)} before"
                )

    def check_faces(self, model: onnx.ModelProto, rgb: bool) -> None:
        """Compare scores and boxes of the contract model with those that the file computes, if it does.

        Raises:
            ModelError: If they differ.
        """
        spec = contract.spec_of(model)
        images = (self._pixels[:, ::-1] if rgb else self._pixels).transpose(0, 2, 3, 1)
        names = [SCORES, DELTAS]
        running = session(model.SerializeToString())
        scores, deltas = running.run(names, {INPUT: np.ascontiguousarray(images)})
        activated = [self._activated(node) for node in self._behind]
        if sum(each.size for each in activated) == scores.size:
            joined = np.concatenate([each.ravel() for each in activated])
            if not self._equal(np.sort(scores, axis=None), np.sort(joined)):
                raise ModelError(f"{self._path}: its scores are not those of {spec.name}'s family")
        self._check_boxes(spec, deltas)

    def _activated(self, node: onnx.NodeProto) -> Values:
        values = self._results[node.output[0]].astype(np.float32)
        axis = attribute(node, "axis", -1)
        has_classes = node.op_type == "Softmax" and values.shape[axis] == 2
        return np.take(values, [FACE], axis) if has_classes else values

    def _check_boxes(self, spec: DetectorSpec, deltas: Values) -> None:
        """Compare each output of boxes with the deltas, or with boxes in the usual forms."""
        size = self._taken.height, self._taken.width
        counts = _counts(spec, *size)
        ends = np.cumsum(counts).tolist()
        parts = {ends[-1]: slice(0, ends[-1])} | {
            count: slice(end - count, end) for count, end in zip(counts, ends)
        }
        for name in self._own:
            rows = _rows(spec, self._results[name], len(deltas), *size)
            part = parts.get(rows.shape[1])
            if part is None:
                continue
            if not any(self._same_rows(each[:, part], rows) for each in _forms(spec, deltas, rows, *size)):
                raise ModelError(
                    f"{self._path}: the boxes in its output {name:.100} are not those of {spec.name}: "
                    "other anchors or variances"
                )

    def _same_rows(self, ours: Values, found: Values) -> bool:
        """Return whether each column has the same values, in any order."""
        return self._equal(np.sort(ours, axis=1), np.sort(found, axis=1))

    def _equal(self, found: Values, expected: Values) -> bool:
        if found.shape != expected.shape:
            return False
        expected = expected.astype(np.float32)
        limit = self._close * max(1e-6, float(np.abs(expected).max(initial=0)))
        return bool(np.abs(found - expected).max(initial=0) <= limit)  # False of NaN


def check_every_size(model: onnx.ModelProto, path: Path) -> None:
    """Refuse a contract model that does not run at every size, or whose images change each other.

    Raises:
        ModelError: If it is one.
    """
    spec = contract.spec_of(model)
    batch, height, width = ODD
    images = np.random.default_rng(2).integers(0, 256, (*ODD, 3), np.uint8)
    try:
        running = session(model.SerializeToString())
        (together,), (alone,) = (running.run([SCORES], {INPUT: each}) for each in (images, images[1:]))
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise ModelError(
            f"{path}: cannot be freed of its sizes: does not run at {width}x{height} ({first_line(error)})"
        ) from error
    if together.shape != (batch, len(anchors(spec, height, width))):
        raise ModelError(f"{path}: cannot be freed of its sizes: other cells at {width}x{height}")
    if not np.allclose(together[1:], alone, rtol=0, atol=CLOSE):
        raise ModelError(f"{path}: cannot be freed of its batch: the images of a batch change each other")


def _behind(model: onnx.ModelProto, maps: set[str]) -> list[onnx.NodeProto]:
    """Return the activations behind the maps of a head."""
    reached, found = {name for node in model.graph.node for name in node.output if theirs(name) in maps}, []
    for node in model.graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            if node.op_type in ACTIVATIONS:
                found.append(node)
    return found


def _forms(spec: DetectorSpec, deltas: Values, found: Values, height: int, width: int) -> Iterator[Values]:
    """Yield what files give as boxes, [N, A, 4] each, for the contract's deltas.

    Decoded boxes may be clipped: to the range of those that were found.
    """
    every = anchors(spec, height, width)
    yield deltas
    if spec.coding.kind == "distance":
        pixels = deltas * every[:, 2:3]
        strides = np.repeat([each.stride for each in spec.levels], _counts(spec, height, width))
        yield pixels / strides[:, None]
        yield pixels
    boxes = np.stack([decode_boxes(each, every, spec.coding) for each in deltas])
    low, high = boxes[..., :2], boxes[..., 2:]
    sizes = high - low
    corners_and_sizes = np.concatenate([low, sizes], axis=-1)
    for each in (boxes, np.concatenate([(low + high) / 2, sizes], axis=-1), corners_and_sizes):
        for form in (each, each / np.array([width, height, width, height], np.float32)):
            for ordered in (form, form[..., [1, 0, 3, 2]]):  # or y before x
                yield ordered
                yield ordered.clip(found.min(initial=0), found.max(initial=0))


def _counts(spec: DetectorSpec, height: int, width: int) -> list[int]:
    """Return the number of anchors of each level."""
    return [
        -(-height // level.stride) * -(-width // level.stride) * len(level.sides) for level in spec.levels
    ]


def _rows(spec: DetectorSpec, found: Values, batch: int, height: int, width: int) -> Values:
    """Return an output as rows of boxes, [N, A, 4]; none if it does not look like boxes."""
    none = np.empty((batch, 0, 4))
    if found.ndim == 4:  # a map of a level
        for level in spec.levels:
            size, channels = (-(-height // level.stride), -(-width // level.stride)), 4 * len(level.sides)
            if found.shape == (batch, channels, *size):
                return np.asarray(found.transpose(0, 2, 3, 1).reshape(batch, -1, 4))
        return none
    first = 0 if batch == 1 else 1  # of several images only the usual order of axes is known
    axes = [i for i, length in enumerate(found.shape) if length == 4 and i >= first]
    if not axes or found.ndim not in (2, 3) or (first and found.shape[0] != batch):
        return none
    rows: Values = np.moveaxis(found, axes[-1], -1).reshape(batch, -1, 4)
    return rows
