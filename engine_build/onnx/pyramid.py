"""Leaving out the pyramid levels that see only faces smaller than the user cares for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from engine_build.onnx import contract
from engine_build.onnx.graph import producer, without_dead_ends
from trt_mogface.errors import ModelError
from trt_mogface.models.pyramid import levels_left_out
from trt_mogface.spec import DELTAS, LANDMARKS, SCORES, DetectorSpec

if TYPE_CHECKING:
    import onnx


def without_small_faces(model: onnx.ModelProto, spec: DetectorSpec, min_face: float) -> DetectorSpec:
    """Cut the finest levels off a contract model, in place; what the others say stays exactly the same.

    Args:
        model: Of the contract; each output is the concatenation of its levels.
        spec: The model's.
        min_face: Side in pixels of the network input.

    Returns:
        The spec of what is left, which the model now carries.

    Raises:
        ModelError: See `levels_left_out`; or the outputs are not concatenations of levels.
    """
    count = levels_left_out(spec, min_face)
    for name in (SCORES, DELTAS) + ((LANDMARKS,) if spec.landmarks else ()):
        concat = producer(model, name)
        if concat.op_type != "Concat" or len(concat.input) != len(spec.levels):
            raise ModelError(f"--min-face: {name!r} does not end in one concatenation of the model's levels")
        concat.input[:] = concat.input[count:]
    left = dataclasses.replace(spec, levels=spec.levels[count:])
    contract.complete(model, left)
    without_dead_ends(model)
    return left
