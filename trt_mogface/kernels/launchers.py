"""The CUDA kernels, called on arrays and streams of any library; nothing is allocated or waited for."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import KernelError
from trt_mogface.kernels import interface
from trt_mogface.kernels.arrays import Array, array, stream_handle
from trt_mogface.kernels.frames import Frame, frame_struct
from trt_mogface.kernels.library import Library
from trt_mogface.spec import DetectorSpec, SelectionDefaults

FRAME_BYTES = ctypes.sizeof(interface.Frame)

INT32, FLOAT32, FLOAT16, UINT8 = (np.dtype(name) for name in ("int32", "float32", "float16", "uint8"))


@dataclass(frozen=True)
class Candidates:
    """Device arrays for the best K candidates of N images, best first, in pixels of the network's input.

    Attributes:
        counts: int32 [N]; what lies beyond them is not written.
        dropped: int32 [N], candidates that are not finite and scores that are not numbers.
        anchors: int32 [N, K], index of the anchor, -1 for a dropped candidate.
        boxes: float32 [N, K, 4], x0, y0, x1, y1.
        scores: float32 [N, K].
        landmarks: float32 [N, K, points, 2], or None where the model has none.
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
        boxes: float32 [N, M, 4], x0, y0, x1, y1: pixels of the frame; of the network's input without frames.
        scores: float32 [N, M].
        landmarks: float32 [N, M, points, 2], or None where the model has none.
        dropped: int32 [N] or None; see `Candidates`.
    """

    counts: object
    boxes: object
    scores: object
    landmarks: object = None
    dropped: object = None


class Kernels:
    """The kernels of one library.

    Every launch goes to the current device, on which the arrays and the stream must lie.  What the results
    are is specified by `trt_mogface.selection` and `trt_mogface.resize`.

    Args:
        library: The shared library; None takes the one that comes with the package.

    Raises:
        KernelError: There is none, or it is not usable.  Every method raises it too, before anything is
            launched, for an argument that does not fit; its message names the argument.
    """

    def __init__(self, library: Path | None = None) -> None:
        self._library = Library(library)

    @property
    def path(self) -> Path:
        """The library's file."""
        return self._library.path

    def frame_table(
        self, frames: Sequence[Frame], size: tuple[int, int], *, stream: object = None
    ) -> NDArray[np.uint8]:
        """Describe frames for `letterbox`, `select` and `detect`, which take the table from device memory.

        Args:
            frames: N frames.
            size: Height and width of the network's input.
            stream: On which the frames will be read.

        Returns:
            uint8 [N, `FRAME_BYTES`], in host memory.
        """
        handle = stream_handle(stream)
        structs = (interface.Frame * len(frames))(
            *(
                frame_struct(frame, f"frames[{i}]", host=self._library.runs_on_host, stream=handle)
                for i, frame in enumerate(frames)
            )
        )
        self._library.call("mogfaceCheckFrames", ctypes.addressof(structs), len(frames), *size)
        table = np.empty((len(frames), FRAME_BYTES), np.uint8)
        table.ravel()[:] = np.frombuffer(bytes(structs), np.uint8)
        return table

    def letterbox(
        self,
        frames: object,
        images: object,
        *,
        pad: tuple[int, int, int] = (0, 0, 0),
        stream: object = None,
    ) -> None:
        """Scale frames into the network's input.

        Args:
            frames: A `frame_table`, in device memory: uint8 [N, `FRAME_BYTES`].
            images: uint8 [N, H, W, 3], BGR; overwritten completely.
            pad: BGR value right of and below a frame.
            stream: Where it runs; see `trt_mogface.kernels.arrays.stream_handle`.
        """
        call = _Arguments(self._library, stream)
        out = call.take("images", images, (UINT8,), (None, None, None, 3), writable=True)
        batch, height, width, _ = out.shape
        table = call.take("frames", frames, (UINT8,), (batch, FRAME_BYTES))
        if len(pad) != 3 or not all(0 <= value <= 255 for value in pad):
            raise KernelError(f"pad {pad}: must be three bytes")
        packed = pad[0] | pad[1] << 8 | pad[2] << 16
        self._library.call(
            "mogfaceLetterbox", table.pointer, batch, packed, out.pointer, height, width, call.stream
        )

    def decode(
        self,
        scores: object,
        deltas: object,
        landmarks: object,
        out: Candidates,
        *,
        spec: DetectorSpec,
        size: tuple[int, int],
        thresholds: SelectionDefaults,
        workspace: object,
        stream: object = None,
    ) -> None:
        """The exact best ``top_k`` scores above the threshold, ties by anchor index, decoded.

        Args:
            scores, deltas, landmarks: float32 or float16 [N, A], [N, A, 4] and [N, A, 2 * points] or None.
            out: Where the candidates go.
            spec: Anchors and box coding.
            size: Height and width of the network's input.
            thresholds: Score threshold and ``top_k``.
            workspace: Device array of at least `decode_workspace` bytes.
            stream: Where it runs.
        """
        call = _Arguments(self._library, stream)
        limits = thresholds_struct(thresholds)
        outputs = _outputs(call, scores, deltas, landmarks, spec, size)
        candidates = _candidates(call, out, outputs.batch, thresholds.top_k, spec.landmarks)
        scratch = call.take("workspace", workspace, None, None, writable=True)
        self._library.call(
            "mogfaceDecode",
            detector_struct(spec),
            limits,
            outputs,
            candidates,
            scratch.pointer,
            scratch.nbytes,
            call.stream,
        )

    def select(
        self,
        candidates: Candidates,
        out: Faces,
        *,
        thresholds: SelectionDefaults,
        workspace: object,
        frames: object = None,
        clip: bool = False,
        stream: object = None,
    ) -> None:
        """Greedy suppression of candidates, mapped to their frames.

        Args:
            candidates: From `decode`, or of another origin: best first, boxes finite.
            out: Where the faces go; M is ``thresholds.most_faces``.
            thresholds: IoU threshold, ``top_k``, which is K, and ``max_detections``.
            workspace: Device array of at least `select_workspace` bytes.
            frames: A `frame_table` in device memory; None leaves pixels of the network's input.
            clip: Whether boxes end at the frame's edges; needs ``frames``.
            stream: Where it runs.
        """
        call = _Arguments(self._library, stream)
        limits = thresholds_struct(thresholds, clip=clip)
        counts = call.take("candidates.counts", candidates.counts, (INT32,), (None,))
        points = 0
        if candidates.landmarks is not None:
            found = call.take("candidates.landmarks", candidates.landmarks, (FLOAT32,), (None, None, None, 2))
            points = found.shape[2]
        batch = counts.shape[0]
        given = _candidates(call, candidates, batch, thresholds.top_k, points)
        faces = _faces(call, out, batch, thresholds, points)
        table = None if frames is None else call.take("frames", frames, (UINT8,), (batch, FRAME_BYTES))
        scratch = call.take("workspace", workspace, None, None, writable=True)
        self._library.call(
            "mogfaceSelect",
            limits,
            given,
            batch,
            points,
            table.pointer if table else None,
            faces,
            scratch.pointer,
            scratch.nbytes,
            call.stream,
        )

    def detect(
        self,
        scores: object,
        deltas: object,
        landmarks: object,
        out: Faces,
        *,
        spec: DetectorSpec,
        size: tuple[int, int],
        thresholds: SelectionDefaults,
        workspace: object,
        frames: object = None,
        clip: bool = False,
        stream: object = None,
    ) -> None:
        """`decode` and `select` in a row: from the network's outputs to faces.

        Args:
            scores, deltas, landmarks: See `decode`.
            out: See `select`.
            spec, size: See `decode`.
            thresholds: All of them.
            workspace: Device array of at least `detect_workspace` bytes.
            frames, clip: See `select`.
            stream: Where it runs.
        """
        call = _Arguments(self._library, stream)
        limits = thresholds_struct(thresholds, clip=clip)
        outputs = _outputs(call, scores, deltas, landmarks, spec, size)
        faces = _faces(call, out, outputs.batch, thresholds, spec.landmarks)
        table = (
            None if frames is None else call.take("frames", frames, (UINT8,), (outputs.batch, FRAME_BYTES))
        )
        scratch = call.take("workspace", workspace, None, None, writable=True)
        self._library.call(
            "mogfaceDetect",
            detector_struct(spec),
            limits,
            outputs,
            table.pointer if table else None,
            faces,
            scratch.pointer,
            scratch.nbytes,
            call.stream,
        )

    def decode_workspace(
        self, spec: DetectorSpec, thresholds: SelectionDefaults, batch: int, size: tuple[int, int]
    ) -> int:
        """Bytes of workspace that `decode` needs."""
        return self._bytes(
            "mogfaceDecodeWorkspace", detector_struct(spec), thresholds_struct(thresholds), batch, *size
        )

    def select_workspace(self, thresholds: SelectionDefaults, batch: int) -> int:
        """Bytes of workspace that `select` needs."""
        return self._bytes("mogfaceSelectWorkspace", thresholds_struct(thresholds), batch)

    def detect_workspace(
        self, spec: DetectorSpec, thresholds: SelectionDefaults, batch: int, size: tuple[int, int]
    ) -> int:
        """Bytes of workspace that `detect` needs."""
        return self._bytes(
            "mogfaceDetectWorkspace", detector_struct(spec), thresholds_struct(thresholds), batch, *size
        )

    def _bytes(self, function: str, *arguments: object) -> int:
        found = ctypes.c_size_t()
        self._library.call(function, *arguments, found)
        return found.value


def detector_struct(spec: DetectorSpec) -> interface.Detector:
    """The part of a spec that the kernels need."""
    struct = interface.Detector(
        level_count=len(spec.levels),
        coding=interface.CODINGS[spec.coding.kind],
        landmark_count=spec.landmarks,
        variance_centre=spec.coding.variances[0],
        variance_size=spec.coding.variances[1],
        centre=spec.coding.centre,
    )
    for level, to in zip(spec.levels, struct.levels):
        to.stride, to.side_count = level.stride, len(level.sides)
        to.sides[: len(level.sides)] = level.sides
    return struct


def thresholds_struct(thresholds: SelectionDefaults, *, clip: bool = False) -> interface.Thresholds:
    """Thresholds as the kernels take them."""
    if not 1 <= thresholds.top_k <= interface.MAX_TOP_K:
        raise KernelError(f"thresholds.top_k {thresholds.top_k}: must lie within 1..{interface.MAX_TOP_K}")
    if thresholds.max_detections < 1:
        raise KernelError(f"thresholds.max_detections {thresholds.max_detections}: must be positive")
    return interface.Thresholds(
        score=thresholds.score_threshold,
        iou=thresholds.iou_threshold,
        top_k=thresholds.top_k,
        max_detections=thresholds.most_faces,
        inclusive_areas=thresholds.inclusive_areas,
        clip=clip,
    )


class _Arguments:
    """The arrays of one call, checked one by one, kept alive until it returns, all of one device."""

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
        """An array of one of these types and of this shape, where None stands for any size."""
        found = array(source, name, host=self._host, writable=writable, stream=self.stream)
        if types is not None and found.dtype not in types:
            raise KernelError(f"{name}: expected {' or '.join(map(str, types))}, not {found.dtype}")
        if shape is not None and (
            len(shape) != len(found.shape)
            or any(want not in (None, have) for want, have in zip(shape, found.shape))
        ):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise KernelError(f"{name}: expected shape [{wanted}], not {list(found.shape)}")
        if found.device is not None:
            self._device = self._device or (found.device, name)
            if found.device != self._device[0]:
                raise KernelError(
                    f"{name}: lies on GPU {found.device}, and {self._device[1]} on GPU {self._device[0]}"
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
        """Address of an array that is there if and only if the model has landmarks."""
        if wanted and source is None:
            raise KernelError(f"{name}: is missing, and the model has landmarks")
        if not wanted and source is not None:
            raise KernelError(f"{name}: is given, and the model has no landmarks")
        return self.take(name, source, (dtype,), shape, writable=writable).pointer if wanted else None


def _outputs(
    call: _Arguments,
    scores: object,
    deltas: object,
    landmarks: object,
    spec: DetectorSpec,
    size: tuple[int, int],
) -> interface.Outputs:
    height, width = size
    if min(size) < 1:
        raise KernelError(f"size {height}x{width}: must be positive")
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
    return interface.Outputs(first.pointer, second.pointer, third, kind, batch, height, width)


def _candidates(
    call: _Arguments, given: Candidates, batch: int, top_k: int, points: int
) -> interface.Candidates:
    def take(name: str, dtype: np.dtype[np.generic], *shape: int) -> int:
        source = getattr(given, name)
        return call.take(f"candidates.{name}", source, (dtype,), shape, writable=True).pointer

    return interface.Candidates(
        counts=take("counts", INT32, batch),
        dropped=take("dropped", INT32, batch),
        anchors=take("anchors", INT32, batch, top_k),
        boxes=take("boxes", FLOAT32, batch, top_k, 4),
        scores=take("scores", FLOAT32, batch, top_k),
        landmarks=call.optional(
            "candidates.landmarks", given.landmarks, points > 0, FLOAT32, (batch, top_k, points, 2)
        ),
    )


def _faces(
    call: _Arguments, out: Faces, batch: int, thresholds: SelectionDefaults, points: int
) -> interface.Detections:
    most = thresholds.most_faces

    def take(name: str, dtype: np.dtype[np.generic], *shape: int) -> int:
        return call.take(f"out.{name}", getattr(out, name), (dtype,), shape, writable=True).pointer

    return interface.Detections(
        counts=take("counts", INT32, batch),
        dropped=None if out.dropped is None else take("dropped", INT32, batch),
        boxes=take("boxes", FLOAT32, batch, most, 4),
        scores=take("scores", FLOAT32, batch, most),
        landmarks=call.optional(
            "out.landmarks", out.landmarks, points > 0, FLOAT32, (batch, most, points, 2)
        ),
    )
