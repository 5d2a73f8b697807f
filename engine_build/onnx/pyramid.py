"""Removal of the pyramid levels that see only faces smaller than those of interest."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from engine_build.onnx import contract
from engine_build.onnx.graph import producer, without_dead_ends
from trt_mogface.errors import ModelError
from trt_mogface.models.pyramid import levels_left_out

if TYPE_CHECKING:
    import onnx


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
