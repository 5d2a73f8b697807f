"""The CUDA kernels, called on arrays and streams of any library; no allocation, no waiting."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import ArgumentError
from trt_mogface.frame import Frame
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
from trt_mogface.kernels.frames import frame_struct
from trt_mogface.kernels.interface import MogfaceFrame, MogfaceMerging
from trt_mogface.kernels.library import Library
from trt_mogface.reference.merge import Limits
from trt_mogface.reference.resample import TALL_ROWS_FIRST
from trt_mogface.reference.resize import Placement
from trt_mogface.spec import DetectorSpec, Thresholds


class Kernels:
    """The kernels of one library.

    Every launch goes to the current device, on which the arrays and the stream must lie.
    `trt_mogface.reference` specifies the results.  `UNLIMITED` candidates are the best `MAX_TOP_K`; see
    `Thresholds.bounded`.

    Args:
        library: The shared library; default the one of the package.

    Raises:
        KernelError: If there is no library, or it belongs to another release.

    Every method raises `ArgumentError` before it launches anything, if an argument is unusable, and
    `CudaError`, if CUDA reports an error.
    """

    def __init__(self, library: Path | None = None) -> None:
        self._library = Library(library)

    @property
    def path(self) -> Path:
        """File of the library."""
        return self._library.path

    def frame_table(
        self,
        frames: Sequence[Frame],
        placements: Sequence[Placement],
        size: tuple[int, int],
        *,
        stream: object = None,
    ) -> NDArray[np.uint8]:
        """Describe frames for the methods below, which read the table from device memory.

        Args:
            frames: N frames in device memory.
            placements: Placement of each frame in the network input.
            size: Height and width of the network input.
            stream: Stream on which the frames will be read.

        Returns:
            uint8 [N, `FRAME_BYTES`], in host memory.  It holds addresses: the frames must outlive its use.
        """
        if len(placements) != len(frames):
            raise ArgumentError(
                "placements", f"must be one for each of {len(frames)} frames", len(placements)
            )
        host, handle = self._library.runs_on_host, stream_handle(stream)
        structs = (MogfaceFrame * len(frames))(
            *(
                frame_struct(frame, placement, f"frames[{i}]", host=host, stream=handle)
                for i, (frame, placement) in enumerate(zip(frames, placements))
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
        """Scale frames into the network input.

        Args:
            frames: A `frame_table` in device memory: uint8 [N, `FRAME_BYTES`].
            images: uint8 [N, H, W, 3], BGR; overwritten completely.
            pad: BGR value right of and below a frame.
            stream: Stream of the launch; see `trt_mogface.kernels.arrays.stream_handle`.
        """
        call = Arguments(self._library, stream)
        out = call.take("images", images, (UINT8,), (None, None, None, 3), writable=True)
        batch, height, width, _ = out.shape
        table = call.take("frames", frames, (UINT8,), (batch, FRAME_BYTES))
        if len(pad) != 3 or not all(0 <= value <= 255 for value in pad):
            raise ArgumentError("pad", "must be three bytes", pad)
        packed = pad[0] | pad[1] << 8 | pad[2] << 16
        self._library.call(
            "mogfaceLetterbox", table.pointer, batch, packed, out.pointer, height, width, call.stream
        )

    def resample(
        self,
        frames: object,
        images: object,
        *,
        boxes: object = None,
        indices: object = None,
        tall_rows_first: bool = TALL_ROWS_FIRST,
        stream: object = None,
    ) -> None:
        """Resample boxes of frames, or whole frames, to one size; see `trt_mogface.reference.resample`.

        Args:
            frames: A `frame_table` in device memory: uint8 [N, `FRAME_BYTES`]; placements are not read.
            images: uint8 [B, H, W, 3], BGR; overwritten completely.
            boxes: int32 [B, 4], x0, y0, x1, y1 in pixels of the frame, the last two exclusive; black where
                they lie outside.  Default whole frames.
            indices: int32 [B], number of the frame of each box; default box i is of frame i, and B is N.
            tall_rows_first: Whether the order of the passes is that of Pillow 13; default as the installed
                Pillow.
            stream: Stream of the launch.

        Images of an index that is not within 0..N - 1, or of a box with a side that is not within 1..65536,
        become black.
        """
        call = Arguments(self._library, stream)
        out = call.take("images", images, (UINT8,), (None, None, None, 3), writable=True)
        count, height, width, _ = out.shape
        table = call.take("frames", frames, (UINT8,), (count if indices is None else None, FRAME_BYTES))
        cut = None if boxes is None else call.take("boxes", boxes, (INT32,), (count, 4)).pointer
        which = None if indices is None else call.take("indices", indices, (INT32,), (count,)).pointer
        self._library.call(
            "mogfaceResample",
            *(table.pointer, table.shape[0], cut, which, count, tall_rows_first),
            *(out.pointer, height, width, call.stream),
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
        frames: object = None,
        stream: object = None,
    ) -> None:
        """Decode the exact best ``top_k`` scores above the threshold, ties by anchor index.

        Args:
            scores, deltas, landmarks: float32 or float16 [N, A], [N, A, 4] and [N, A, 2 * points] or None.
            out: Candidates to be written; K is ``thresholds.top_k``.
            spec: Anchors and box coding.
            size: Height and width of the network input.
            thresholds: Score threshold, ``top_k`` and ``clip``.
            workspace: Device array of at least `decode_workspace` bytes.
            frames: A `frame_table` in device memory, at whose contents ``thresholds.clip`` cuts; default the
                network input.
            stream: Stream of the launch.
        """
        call = Arguments(self._library, stream)
        limits = thresholds_struct(thresholds)
        outputs = outputs_struct(call, scores, deltas, landmarks, spec, size)
        candidates = candidates_struct(call, out, outputs.batch, limits.top_k, spec.landmarks)
        table = frames_pointer(call, frames, outputs.batch)
        self._launch(
            "mogfaceDecode", call, workspace, detector_struct(spec), limits, outputs, table, candidates
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
        """Suppress candidates greedily and map the others to their frames.

        Args:
            candidates: Candidates of `decode` or of another origin, best first, boxes finite.
            out: Faces to be written; M is ``thresholds.most_faces``.
            thresholds: IoU threshold, ``top_k``, which is K, and ``max_detections``.
            workspace: Device array of at least `select_workspace` bytes.
            frames: A `frame_table` in device memory; default leaves pixels of the network input.
            clip: Whether boxes are cut at the frame's edges; needs ``frames``.
            stream: Stream of the launch.
        """
        call = Arguments(self._library, stream)
        limits = thresholds_struct(thresholds, clip=clip)
        counts = call.take("candidates.counts", candidates.counts, (INT32,), (None,))
        points = 0
        if candidates.landmarks is not None:
            found = call.take("candidates.landmarks", candidates.landmarks, (FLOAT32,), (None, None, None, 2))
            points = found.shape[2]
        batch = counts.shape[0]
        given = candidates_struct(call, candidates, batch, limits.top_k, points)
        faces = detections_struct(call, out, batch, thresholds, points)
        table = frames_pointer(call, frames, batch)
        self._launch("mogfaceSelect", call, workspace, limits, given, batch, points, table, faces)

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
        """Turn the network's outputs into faces: `decode`, then `select`.

        Args:
            scores, deltas, landmarks: Outputs, as for `decode`.
            out: Faces to be written, as by `select`.
            spec, size: Anchors, box coding and size, as for `decode`.
            thresholds: All thresholds and limits.
            workspace: Device array of at least `detect_workspace` bytes.
            frames, clip: Frames and whether to cut at their edges, as for `decode` and `select`.
            stream: Stream of the launch.
        """
        call = Arguments(self._library, stream)
        limits = thresholds_struct(thresholds, clip=clip)
        outputs = outputs_struct(call, scores, deltas, landmarks, spec, size)
        faces = detections_struct(call, out, outputs.batch, thresholds, spec.landmarks)
        table = frames_pointer(call, frames, outputs.batch)
        self._launch("mogfaceDetect", call, workspace, detector_struct(spec), limits, outputs, table, faces)

    def merge(
        self,
        further: Faces,
        faces: Faces,
        *,
        thresholds: Thresholds,
        limits: Limits,
        largest_face: float,
        workspace: object,
        frames: object,
        stream: object = None,
    ) -> None:
        """Merge the faces of a further pass with those of the finer ones; see `trt_mogface.reference.merge`.

        Args:
            further: Faces of the further pass, in pixels of the frames.
            faces: Faces of the finer passes, in pixels of the frames; replaced by those of all.  Numbers of
                dropped candidates are added.
            thresholds: IoU threshold, ``top_k`` and ``max_detections``.
            limits: Areas from which faces are large, and visible to the further pass.
            largest_face: Pixels of the network input; frames stay as they are whose content's shorter side is
                not greater.
            workspace: Device array of at least `merge_workspace` bytes.
            frames: A `frame_table` of the first pass in device memory.
            stream: Stream of the launch.
        """
        call = Arguments(self._library, stream)
        batch = call.take("frames", frames, (UINT8,), (None, FRAME_BYTES)).shape[0]
        points = 0
        if faces.landmarks is not None:
            points = call.take("faces.landmarks", faces.landmarks, (FLOAT32,), (None, None, None, 2)).shape[2]
        merging = MogfaceMerging(limits.large, limits.visible, largest_face)
        given = detections_struct(call, further, batch, thresholds, points, "further")
        out = detections_struct(call, faces, batch, thresholds, points, "faces")
        table = frames_pointer(call, frames, batch)
        limited = thresholds_struct(thresholds)
        self._launch("mogfaceMerge", call, workspace, limited, merging, given, batch, points, table, out)

    def decode_workspace(
        self, spec: DetectorSpec, thresholds: Thresholds, batch: int, size: tuple[int, int]
    ) -> int:
        """Return the bytes of workspace that `decode` needs."""
        return self._bytes(
            "mogfaceDecodeWorkspace", detector_struct(spec), thresholds_struct(thresholds), batch, *size
        )

    def select_workspace(self, thresholds: Thresholds, batch: int) -> int:
        """Return the bytes of workspace that `select` needs."""
        return self._bytes("mogfaceSelectWorkspace", thresholds_struct(thresholds), batch)

    def merge_workspace(self, thresholds: Thresholds, batch: int, points: int) -> int:
        """Return the bytes of workspace that `merge` needs for faces with ``points`` landmarks."""
        return self._bytes("mogfaceMergeWorkspace", thresholds_struct(thresholds), batch, points)

    def detect_workspace(
        self, spec: DetectorSpec, thresholds: Thresholds, batch: int, size: tuple[int, int]
    ) -> int:
        """Return the bytes of workspace that `detect` needs."""
        return self._bytes(
            "mogfaceDetectWorkspace", detector_struct(spec), thresholds_struct(thresholds), batch, *size
        )

    def _launch(self, function: str, call: Arguments, workspace: object, *arguments: object) -> None:
        scratch = call.take("workspace", workspace, None, None, writable=True)
        self._library.call(function, *arguments, scratch.pointer, scratch.nbytes, call.stream)

    def _bytes(self, function: str, *arguments: object) -> int:
        found = ctypes.c_size_t()
        self._library.call(function, *arguments, found)
        return found.value


def frames_pointer(call: Arguments, frames: object, batch: int) -> int | None:
    """Return the address of a `Kernels.frame_table` in device memory, None without one."""
    return None if frames is None else call.take("frames", frames, (UINT8,), (batch, FRAME_BYTES)).pointer
