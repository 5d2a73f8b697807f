"""The CUDA kernels, called on arrays and streams of any library; nothing is allocated or waited for."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import KernelError
from trt_mogface.kernels import interface
from trt_mogface.kernels.arguments import (
    FLOAT32,
    FRAME_BYTES,
    INT32,
    UINT8,
    Arguments,
    Candidates,
    Faces,
    candidates_struct,
    detections_struct,
    detector_struct,
    outputs_struct,
    thresholds_struct,
)
from trt_mogface.kernels.arrays import stream_handle
from trt_mogface.kernels.frames import Frame, frame_struct
from trt_mogface.kernels.library import Library
from trt_mogface.spec import DetectorSpec, Thresholds


class Kernels:
    """The kernels of one library.

    Every launch goes to the current device, on which the arrays and the stream must lie.  What the results
    are is specified by `trt_mogface.reference.select` and `trt_mogface.reference.resize`.

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
            uint8 [N, `FRAME_BYTES`], in host memory.  It holds addresses: the frames must outlive its use.
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
        call = Arguments(self._library, stream)
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
        thresholds: Thresholds,
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
        call = Arguments(self._library, stream)
        limits = thresholds_struct(thresholds)
        outputs = outputs_struct(call, scores, deltas, landmarks, spec, size)
        candidates = candidates_struct(call, out, outputs.batch, thresholds.top_k, spec.landmarks)
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
        thresholds: Thresholds,
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
        call = Arguments(self._library, stream)
        limits = thresholds_struct(thresholds, clip=clip)
        counts = call.take("candidates.counts", candidates.counts, (INT32,), (None,))
        points = 0
        if candidates.landmarks is not None:
            found = call.take("candidates.landmarks", candidates.landmarks, (FLOAT32,), (None, None, None, 2))
            points = found.shape[2]
        batch = counts.shape[0]
        given = candidates_struct(call, candidates, batch, thresholds.top_k, points)
        faces = detections_struct(call, out, batch, thresholds, points)
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
        thresholds: Thresholds,
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
        call = Arguments(self._library, stream)
        limits = thresholds_struct(thresholds, clip=clip)
        outputs = outputs_struct(call, scores, deltas, landmarks, spec, size)
        faces = detections_struct(call, out, outputs.batch, thresholds, spec.landmarks)
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
        self, spec: DetectorSpec, thresholds: Thresholds, batch: int, size: tuple[int, int]
    ) -> int:
        """Bytes of workspace that `decode` needs."""
        return self._bytes(
            "mogfaceDecodeWorkspace", detector_struct(spec), thresholds_struct(thresholds), batch, *size
        )

    def select_workspace(self, thresholds: Thresholds, batch: int) -> int:
        """Bytes of workspace that `select` needs."""
        return self._bytes("mogfaceSelectWorkspace", thresholds_struct(thresholds), batch)

    def detect_workspace(
        self, spec: DetectorSpec, thresholds: Thresholds, batch: int, size: tuple[int, int]
    ) -> int:
        """Bytes of workspace that `detect` needs."""
        return self._bytes(
            "mogfaceDetectWorkspace", detector_struct(spec), thresholds_struct(thresholds), batch, *size
        )

    def _bytes(self, function: str, *arguments: object) -> int:
        found = ctypes.c_size_t()
        self._library.call(function, *arguments, found)
        return found.value
