"""Arguments of the kernels: arrays, checked one by one, and structures of the C interface.

All functions raise `ArgumentError` if a value or an array is unusable.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from trt_mogface.errors import ArgumentError
from trt_mogface.frame import Frame
from trt_mogface.kernels.arrays import Array, array, stream_handle
from trt_mogface.kernels.interface import (
    CODING_CODES,
    FORMAT_CODES,
    FP16,
    FP32,
    MATRIX_CODES,
    MAX_TOP_K,
    RANGE_CODES,
    MogfaceCandidates,
    MogfaceDetections,
    MogfaceDetector,
    MogfaceFrame,
    MogfaceOutputs,
    MogfaceThresholds,
)
from trt_mogface.kernels.library import Library
from trt_mogface.reference.resize import Placement, steps
from trt_mogface.spec import DetectorSpec, Thresholds

Size: TypeAlias = tuple[int, int]
"""Height and width."""

FRAME_BYTES = ctypes.sizeof(MogfaceFrame)

INT32, FLOAT32, FLOAT16, UINT8 = (np.dtype(name) for name in ("int32", "float32", "float16", "uint8"))


@dataclass(frozen=True)
class Candidates:
    """Device arrays for the best K candidates of N images, best first, in pixels of the network input.

    Attributes:
        counts: int32 [N]; rows beyond them are not written.
        dropped: int32 [N], candidates that are not finite and scores that are not numbers.
        anchors: int32 [N, K], index of the anchor, -1 for a dropped candidate.
        boxes: float32 [N, K, 4], x0, y0, x1, y1.
        scores: float32 [N, K].
        landmarks: float32 [N, K, points, 2]; None if the model has none.
    """

    counts: object
    dropped: object
    anchors: object
    boxes: object
    scores: object
    landmarks: object = None


@dataclass(frozen=True)
class Faces:
    """Device arrays for the faces of N images, up to M each, best first; zeros follow the last.

    Attributes:
        counts: int32 [N].
        boxes: float32 [N, M, 4], x0, y0, x1, y1, in pixels of the frame; of the network input without frames.
        scores: float32 [N, M].
        landmarks: float32 [N, M, points, 2]; None if the model has none.
        dropped: int32 [N] or None; see `Candidates`.
    """

    counts: object
    boxes: object
    scores: object
    landmarks: object = None
    dropped: object = None


def frame_struct(frame: Frame, placement: Placement, name: str, *, host: bool, stream: int) -> MogfaceFrame:
    """Return a frame and its placement as the letterbox kernel reads them; the caller keeps the planes alive.

    Args:
        frame: Frame in the memory of the kernels; planes may have gaps between rows, not within them.
        placement: Placement of the frame's size.
        name: Name of the frame in messages.
        host: Whether the kernels run on the host.
        stream: Handle of the stream that the frame is read on.
    """
    planes = [
        array(plane, f"{name}.planes[{number}]", host=host, pitched=True, stream=stream)
        for number, plane in enumerate(frame.planes)
    ]
    height, width = frame.size
    rows, columns = placement.content
    across, down = placement.scale
    if min(rows, columns) < 1 or not all(0 < scale < math.inf for scale in placement.scale):
        shown = f"{columns}x{rows} by {across:g}, {down:g}"
        raise ArgumentError(f"{name}.placement", "content and scale must be positive", shown)
    pointers, pitches = zip(*((plane.pointer, plane.pitch) for plane in planes))
    step, scale = steps(placement, height, width), placement.scale
    codes = FORMAT_CODES[frame.format], MATRIX_CODES[frame.matrix], RANGE_CODES[frame.range]
    return MogfaceFrame(pointers, pitches, *step, *scale, *codes, height, width, rows, columns)


def detector_struct(spec: DetectorSpec) -> MogfaceDetector:
    """Return the part of a spec that the kernels need."""
    struct = MogfaceDetector(
        level_count=len(spec.levels),
        coding=CODING_CODES[spec.coding.kind],
        inclusive=spec.coding.inclusive,
        spread=spec.coding.spread,
        landmark_count=spec.landmarks,
        variance_center=spec.coding.variances[0],
        variance_size=spec.coding.variances[1],
        center=spec.coding.center,
    )
    for level, to in zip(spec.levels, struct.levels):
        to.stride, to.side_count = level.stride, len(level.sides)
        to.sides[: len(level.sides)] = level.sides
    return struct


def thresholds_struct(thresholds: Thresholds, *, clip: bool = False) -> MogfaceThresholds:
    """Return thresholds as the kernels read them; ``clip`` cuts faces at the frame's edges.

    `UNLIMITED` candidates become the best `MAX_TOP_K`.
    """
    thresholds = thresholds.bounded(MAX_TOP_K)
    if not 1 <= thresholds.top_k <= MAX_TOP_K:
        raise ArgumentError("thresholds.top_k", f"must lie within 1..{MAX_TOP_K}", thresholds.top_k)
    if thresholds.max_detections < 1:
        raise ArgumentError("thresholds.max_detections", "must be positive", thresholds.max_detections)
    return MogfaceThresholds(
        score=thresholds.score_threshold,
        iou=thresholds.iou_threshold,
        top_k=thresholds.top_k,
        max_detections=thresholds.most_faces,
        inclusive_areas=thresholds.inclusive_areas,
        cut=thresholds.clip,
        clip=clip,
    )


class Arguments:
    """The arrays of one call: checked one by one, all of one device, alive until the call returns."""

    def __init__(self, library: Library, stream: object) -> None:
        self.stream = stream_handle(stream)
        self._host = library.runs_on_host
        self._taken: list[Array] = []
        self._device: tuple[int, str] | None = None

    def take(
        self,
        name: str,
        source: object,
        types: tuple[np.dtype[np.generic], ...] | None,
        shape: tuple[int | None, ...] | None,
        *,
        writable: bool = False,
    ) -> Array:
        """Return an array of one of these types and of this shape, in which None stands for any size."""
        found = array(source, name, host=self._host, writable=writable, stream=self.stream)
        if types is not None and found.dtype not in types:
            raise ArgumentError(name, f"expected {' or '.join(map(str, types))}, not {found.dtype}")
        if shape is not None and not _fits(found.shape, shape):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise ArgumentError(name, f"expected shape [{wanted}], not {list(found.shape)}")
        if found.device is not None:
            device, first = self._device = self._device or (found.device, name)
            if found.device != device:
                raise ArgumentError(name, f"lies on GPU {found.device}, and {first} on GPU {device}")
        self._taken.append(found)
        return found

    def optional(
        self,
        name: str,
        source: object,
        wanted: bool,
        dtype: np.dtype[np.generic],
        shape: tuple[int, ...],
        *,
        writable: bool = True,
    ) -> int | None:
        """Return the address of an array that must be given if and only if the model has landmarks."""
        if wanted and source is None:
            raise ArgumentError(name, "must be given, the model has landmarks")
        if not wanted and source is not None:
            raise ArgumentError(name, "must be None, the model has no landmarks")
        return self.take(name, source, (dtype,), shape, writable=writable).pointer if wanted else None

    def table(self, frames: object, batch: int) -> int | None:
        """Return the address of a `Kernels.frame_table` in device memory, None without one."""
        return None if frames is None else self.take("frames", frames, (UINT8,), (batch, FRAME_BYTES)).pointer

    def scratch(self, workspace: object) -> tuple[int, int, int]:
        """Return address and size of the workspace, and the stream."""
        found = self.take("workspace", workspace, None, None, writable=True)
        return found.pointer, found.nbytes, self.stream


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (None, side) for w, side in zip(wanted, shape))


def outputs_struct(
    call: Arguments, scores: object, deltas: object, landmarks: object, spec: DetectorSpec, size: Size
) -> MogfaceOutputs:
    """Return the network's outputs, which must be of one type and of the spec's shapes."""
    height, width = size
    if min(size) < 1:
        raise ArgumentError("size", "must be positive", f"{height}x{width}")
    count = spec.anchor_count(height, width)
    first = call.take("scores", scores, (FLOAT32, FLOAT16), (None, count))
    batch = first.shape[0]
    second = call.take("deltas", deltas, (first.dtype,), (batch, count, 4))
    points = spec.landmarks
    shape = batch, count, 2 * points
    third = call.optional("landmarks", landmarks, points > 0, first.dtype, shape, writable=False)
    kind = FP16 if first.dtype == FLOAT16 else FP32
    return MogfaceOutputs(first.pointer, second.pointer, third, kind, batch, height, width)


def candidates_struct(
    call: Arguments, given: Candidates, batch: int, top_k: int, points: int
) -> MogfaceCandidates:
    """Return the candidates of a batch, with landmarks if there are ``points``."""

    def take(name: str, dtype: np.dtype[np.generic], *shape: int) -> int:
        source = getattr(given, name)
        return call.take(f"candidates.{name}", source, (dtype,), shape, writable=True).pointer

    return MogfaceCandidates(
        counts=take("counts", INT32, batch),
        dropped=take("dropped", INT32, batch),
        anchors=take("anchors", INT32, batch, top_k),
        boxes=take("boxes", FLOAT32, batch, top_k, 4),
        scores=take("scores", FLOAT32, batch, top_k),
        landmarks=call.optional(
            "candidates.landmarks", given.landmarks, points > 0, FLOAT32, (batch, top_k, points, 2)
        ),
    )


def detections_struct(
    call: Arguments, out: Faces, batch: int, thresholds: Thresholds, points: int
) -> MogfaceDetections:
    """Return the buffers for the faces of a batch, with landmarks if there are ``points``."""
    most = thresholds.bounded(MAX_TOP_K).most_faces

    def take(name: str, dtype: np.dtype[np.generic], *shape: int) -> int:
        return call.take(f"out.{name}", getattr(out, name), (dtype,), shape, writable=True).pointer

    return MogfaceDetections(
        counts=take("counts", INT32, batch),
        dropped=None if out.dropped is None else take("dropped", INT32, batch),
        boxes=take("boxes", FLOAT32, batch, most, 4),
        scores=take("scores", FLOAT32, batch, most),
        landmarks=call.optional(
            "out.landmarks", out.landmarks, points > 0, FLOAT32, (batch, most, points, 2)
        ),
    )
