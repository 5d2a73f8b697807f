"""Removal of the pyramid levels that see only faces smaller than those of interest."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from engine_build.onnx import contract
from engine_build.onnx.graph import producer, without_dead_ends
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.spec import DetectorSpec

if TYPE_CHECKING:
    import onnx


def levels_left_out(spec: DetectorSpec, min_face: float) -> int:
    """Return how many of the finest levels see only faces smaller than ``min_face`` pixels.

    Raises:
        ArgumentError: If ``min_face`` is not positive, or no level would be left.
    """
    if not min_face > 0:
        raise ArgumentError("min_face", "must be a positive number of pixels", min_face)
    faces = [level.largest_face for level in spec.levels]
    if max(faces) < min_face:
        limit = math.floor(max(faces))
        raise ArgumentError("min_face", f"{spec.name} sees faces up to {limit} pixels; use less", min_face)
    return sum(face < min_face for face in faces)


def without_small_faces(model: onnx.ModelProto, min_face: float) -> onnx.ModelProto:
    """Remove the finest levels of a contract model, in place; the outputs of the others stay identical.

    Each output is the concatenation of its levels.  ``min_face`` is the side of the smallest face of interest
    in pixels of the network input.  The model is returned, with the remaining levels' spec.
    """
    spec = contract.spec_of(model)
    count = levels_left_out(spec, min_face)
    for name in spec.outputs:
        concat = producer(model, name)
        if concat.op_type != "Concat" or len(concat.input) != len(spec.levels):
            raise ModelError(f"{spec.name}: {name!r} is not one concatenation of its levels; omit min_face")
        concat.input[:] = concat.input[count:]
    contract.complete(model, dataclasses.replace(spec, levels=spec.levels[count:]))
    without_dead_ends(model)
    return model
