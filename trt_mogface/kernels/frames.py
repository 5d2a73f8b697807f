"""Frames as the letterbox kernel reads them: where they lie, and where they go in the network input."""

from __future__ import annotations

import math

from trt_mogface.errors import ArgumentError
from trt_mogface.frame import Frame
from trt_mogface.kernels.arrays import array
from trt_mogface.kernels.interface import FORMAT_CODES, MATRIX_CODES, RANGE_CODES, MogfaceFrame
from trt_mogface.reference.resize import Placement, steps


def frame_struct(frame: Frame, placement: Placement, name: str, *, host: bool, stream: int) -> MogfaceFrame:
    """Return a frame as the kernels read it; the caller keeps its arrays alive.

    Args:
        frame: Frame in the memory of the kernels.
        placement: Placement of the frame's size.
        name: Name of the frame in messages.
        host: Whether the kernels run on the host.
        stream: Handle of the stream that the frame is read on.

    Raises:
        ArgumentError: If a plane is out of reach or has gaps within a row, or the placement is impossible.
    """
    planes = [
        array(plane, f"{name}.planes[{number}]", host=host, pitched=True, stream=stream)
        for number, plane in enumerate(frame.planes)
    ]
    height, width = frame.size
    rows, columns = placement.content
    if min(rows, columns) < 1 or not all(0 < scale < math.inf for scale in placement.scale):
        across, down = placement.scale
        raise ArgumentError(
            f"{name}.placement",
            "content and scale must be positive",
            f"{columns}x{rows} by {across:g}, {down:g}",
        )
    across, down = steps(placement, height, width)
    struct = MogfaceFrame(
        step_x=across,
        step_y=down,
        scale_x=placement.scale[0],
        scale_y=placement.scale[1],
        format=FORMAT_CODES[frame.format],
        matrix=MATRIX_CODES[frame.matrix],
        range=RANGE_CODES[frame.range],
        height=height,
        width=width,
        content_height=rows,
        content_width=columns,
    )
    for number, plane in enumerate(planes):
        struct.planes[number], struct.pitches[number] = plane.pointer, plane.pitch
    return struct
