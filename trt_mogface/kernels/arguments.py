"""Arguments of the kernels: arrays, checked one by one, and structures of the C interface."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from trt_mogface.errors import ArgumentError
from trt_mogface.kernels import interface
from trt_mogface.kernels.arrays import Array, array, stream_handle
from trt_mogface.kernels.library import Library
from trt_mogface.spec import DetectorSpec, Thresholds

FRAME_BYTES = ctypes.sizeof(interface.MogfaceFrame)

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


def detector_struct(spec: DetectorSpec) -> interface.MogfaceDetector:
    """Return the part of a spec that the kernels need."""
    struct = interface.MogfaceDetector(
        level_count=len(spec.levels),
        coding=interface.CODING_CODES[spec.coding.kind],
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


def thresholds_struct(thresholds: Thresholds, *, clip: bool = False) -> interface.MogfaceThresholds:
    """Return thresholds as the kernels read them; ``clip`` cuts faces at the frame's edges.

    Raises:
        ArgumentError: If a limit is out of range.  `UNLIMITED` candidates become the best `MAX_TOP_K`.
    """
    thresholds = thresholds.bounded(interface.MAX_TOP_K)
    if not 1 <= thresholds.top_k <= interface.MAX_TOP_K:
        raise ArgumentError("thresholds.top_k", f"must lie within 1..{interface.MAX_TOP_K}", thresholds.top_k)
    if thresholds.max_detections < 1:
        raise ArgumentError("thresholds.max_detections", "must be positive", thresholds.max_detections)
    return interface.MogfaceThresholds(
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
        if shape is not None and (
            len(shape) != len(found.shape)
            or any(want not in (None, have) for want, have in zip(shape, found.shape))
        ):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise ArgumentError(name, f"expected shape [{wanted}], not {list(found.shape)}")
        if found.device is not None:
            self._device = self._device or (found.device, name)
            if found.device != self._device[0]:
                raise ArgumentError(
                    name, f"lies on GPU {found.device}, and {self._device[1]} on GPU {self._device[0]}"
                )
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


def outputs_struct(
    call: Arguments,
    scores: object,
    deltas: object,
    landmarks: object,
    spec: DetectorSpec,
    size: tuple[int, int],
) -> interface.MogfaceOutputs:
    """Return the network's outputs.

    Raises:
        ArgumentError: If they are not of one type and of the spec's shapes.
    """
    height, width = size
    if min(size) < 1:
        raise ArgumentError("size", "must be positive", f"{height}x{width}")
    count = spec.anchor_count(height, width)
    first = call.take("scores", scores, (FLOAT32, FLOAT16), (None, count))
    batch = first.shape[0]
    second = call.take("deltas", deltas, (first.dtype,), (batch, count, 4))
    third = call.optional(
        "landmarks",
        landmarks,
        spec.landmarks > 0,
        first.dtype,
        (batch, count, 2 * spec.landmarks),
        writable=False,
    )
    kind = interface.FP16 if first.dtype == FLOAT16 else interface.FP32
    return interface.MogfaceOutputs(first.pointer, second.pointer, third, kind, batch, height, width)


def candidates_struct(
    call: Arguments, given: Candidates, batch: int, top_k: int, points: int
) -> interface.MogfaceCandidates:
    """Return the candidates of a batch, with landmarks if there are ``points``.

    Raises:
        ArgumentError: If an array has another type or shape.
    """

    def take(name: str, dtype: np.dtype[np.generic], *shape: int) -> int:
        source = getattr(given, name)
        return call.take(f"candidates.{name}", source, (dtype,), shape, writable=True).pointer

    return interface.MogfaceCandidates(
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
    call: Arguments, out: Faces, batch: int, thresholds: Thresholds, points: int, name: str = "out"
) -> interface.MogfaceDetections:
    """Return the buffers ``name`` for the faces of a batch, with landmarks if there are ``points``.

    Raises:
        ArgumentError: If an array has another type or shape.
    """
    most = thresholds.bounded(interface.MAX_TOP_K).most_faces

    def take(field: str, dtype: np.dtype[np.generic], *shape: int) -> int:
        return call.take(f"{name}.{field}", getattr(out, field), (dtype,), shape, writable=True).pointer

    return interface.MogfaceDetections(
        counts=take("counts", INT32, batch),
        dropped=None if out.dropped is None else take("dropped", INT32, batch),
        boxes=take("boxes", FLOAT32, batch, most, 4),
        scores=take("scores", FLOAT32, batch, most),
        landmarks=call.optional(
            f"{name}.landmarks", out.landmarks, points > 0, FLOAT32, (batch, most, points, 2)
        ),
    )
