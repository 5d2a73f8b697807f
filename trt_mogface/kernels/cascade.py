"""The kernels between the networks of a cascade, called on arrays and streams of any library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trt_mogface.errors import ArgumentError
from trt_mogface.kernels.arguments import FLOAT32, INT32, Arguments, Faces, detections_struct
from trt_mogface.kernels.interface import (
    MogfaceCascadeOutputs,
    MogfaceCascadeThresholds,
    MogfaceCrops,
    MogfaceTallies,
    MogfaceWindows,
)
from trt_mogface.kernels.launchers import Kernels, frames_pointer
from trt_mogface.reference.cascade import POINTS
from trt_mogface.spec import Thresholds

FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True)
class CascadeOutputs:
    """Device arrays of a network's outputs for C candidates of each of N images.

    Attributes:
        scores: float32 [N, C]; of a pyramid level [N, rows, columns].
        offsets: float32 [N, C, 4]; of a pyramid level [N, 4, rows, columns].
        landmarks: float32 [N, C, 10]; None but for the last network.
        counts: int32 [N], candidates of each image; None for all C.
    """

    scores: object
    offsets: object
    landmarks: object = None
    counts: object = None


@dataclass(frozen=True)
class Windows:
    """Device arrays of the windows that the first network accepts, in T places of each of N images.

    Attributes:
        boxes: float64 [N, T, 4], x0, y0, x1, y1.
        scores: float32 [N, T]; 0 in empty places.
        offsets: float32 [N, T, 4].
    """

    boxes: object
    scores: object
    offsets: object


@dataclass(frozen=True)
class Crops:
    """Device arrays of the boxes that the next network looks at, best first, up to R of each of N images.

    Attributes:
        counts: int32 [N].
        boxes: int32 [N, R, 4], x0, y0, x1, y1, the last two exclusive, for `Kernels.resample`.
        indices: int32 [N, R], the image of each box; -1 beyond the count.
        inside: float64 [N, R, 4], the boxes cut at the edges of the image.
    """

    counts: object
    boxes: object
    indices: object
    inside: object


@dataclass(frozen=True)
class Tallies:
    """Device arrays with the numbers of candidates that were left out, int32 [N].

    Attributes:
        dropped: Candidates that are not finite.
        truncated: Candidates beyond a limit.
    """

    dropped: object
    truncated: object


class CascadeKernels(Kernels):
    """The kernels of one library, with those of a cascade.

    `trt_mogface.reference.stages` specifies the results, with `trt_mogface.reference.cascade.stable_ranking`.
    Arguments and exceptions are as for `Kernels`.
    """

    def cascade_windows(
        self,
        outputs: CascadeOutputs,
        windows: Windows,
        tallies: Tallies,
        *,
        first: int,
        scale: float,
        score: float,
        overlap: float,
        limit: int,
        workspace: object,
        stream: object = None,
    ) -> None:
        """Select what the first network accepts in a pyramid level; see `Selection.windows`.

        Args:
            outputs: Outputs for the level.
            windows: Windows of all levels; those of the level are written.
            tallies: Overwritten by the level whose first place is 0, added to by others.
            first: First place of the level; it takes as many as ``limit`` or the number of its cells.
            scale: Scale of the level.
            score, overlap: Score threshold, and overlap from which a worse window is suppressed.
            limit: Largest number of candidates, the best ones.
            workspace: Device array of at least `cascade_workspace` bytes.
            stream: Stream of the launch.
        """
        call = Arguments(self._library, stream)
        scores = call.take("outputs.scores", outputs.scores, (FLOAT32,), (None, None, None))
        batch, rows, columns = scores.shape
        offsets = call.take("outputs.offsets", outputs.offsets, (FLOAT32,), (batch, 4, rows, columns))
        given = MogfaceCascadeOutputs(
            scores.pointer, offsets.pointer, None, None, batch, rows * columns, True
        )
        boxes = call.take("windows.boxes", windows.boxes, (FLOAT64,), (batch, None, 4), writable=True)
        places = boxes.shape[1]
        found = MogfaceWindows(
            boxes.pointer,
            call.take("windows.scores", windows.scores, (FLOAT32,), (batch, places), writable=True).pointer,
            call.take(
                "windows.offsets", windows.offsets, (FLOAT32,), (batch, places, 4), writable=True
            ).pointer,
            places,
        )
        self._launch(
            "mogfaceCascadeWindows",
            call,
            workspace,
            *(given, columns, scale, MogfaceCascadeThresholds(overlap, score, limit)),
            *(found, first, _tallies_struct(call, tallies, batch)),
        )

    def cascade_boxes(
        self,
        outputs: CascadeOutputs,
        boxes: object,
        crops: Crops,
        tallies: Tallies,
        *,
        size: tuple[int, int],
        score: float,
        overlap: float,
        limit: int,
        workspace: object,
        stream: object = None,
    ) -> None:
        """Select the boxes for the next network; see `Selection.proposed` and `Selection.refined`.

        Args:
            outputs: Outputs for the candidates.
            boxes: float64 [N, C, 4], the boxes of the candidates.
            crops: Boxes to be written.
            tallies: Added to.
            size: Height and width of the images.
            score, overlap, limit, workspace, stream: See `cascade_windows`.
        """
        call = Arguments(self._library, stream)
        given = _outputs_struct(call, "outputs", outputs)
        batch, count = given.batch, given.capacity
        taken = call.take("boxes", boxes, (FLOAT64,), (batch, count, 4))
        places = call.take("crops.indices", crops.indices, (INT32,), (batch, None), writable=True)
        most = places.shape[1]
        found = MogfaceCrops(
            call.take("crops.counts", crops.counts, (INT32,), (batch,), writable=True).pointer,
            call.take("crops.boxes", crops.boxes, (INT32,), (batch, most, 4), writable=True).pointer,
            places.pointer,
            call.take("crops.inside", crops.inside, (FLOAT64,), (batch, most, 4), writable=True).pointer,
            most,
        )
        self._launch(
            "mogfaceCascadeBoxes",
            call,
            workspace,
            *(given, taken.pointer, MogfaceCascadeThresholds(overlap, score, limit), *size),
            *(found, _tallies_struct(call, tallies, batch)),
        )

    def cascade_faces(
        self,
        outputs: CascadeOutputs,
        boxes: object,
        out: Faces,
        *,
        thresholds: Thresholds,
        workspace: object,
        frames: object = None,
        stream: object = None,
    ) -> None:
        """Turn the outputs of the last network into faces; see `Selection.faces`.

        Args:
            outputs: Outputs for the candidates, with landmarks.
            boxes: float64 [N, C, 4], the boxes of the candidates.
            out: Faces to be written; M is ``thresholds.most_faces``.  Numbers of dropped ones are added.
            thresholds: Thresholds; ``top_k`` is at most C.
            workspace: Device array of at least `cascade_workspace` bytes.
            frames: A `frame_table` in device memory; default leaves pixels of the images.
            stream: Stream of the launch.
        """
        call = Arguments(self._library, stream)
        given = _outputs_struct(call, "outputs", outputs)
        taken = call.take("boxes", boxes, (FLOAT64,), (given.batch, given.capacity, 4))
        faces = detections_struct(call, out, given.batch, thresholds, POINTS)
        limits = MogfaceCascadeThresholds(
            thresholds.iou_threshold, thresholds.score_threshold, thresholds.top_k
        )
        table = frames_pointer(call, frames, given.batch)
        self._launch(
            "mogfaceCascadeFaces",
            call,
            workspace,
            *(given, taken.pointer, limits, thresholds.most_faces, table, faces),
        )

    def cascade_gather(
        self, part: CascadeOutputs, outputs: CascadeOutputs, *, first: int, stream: object = None
    ) -> None:
        """Copy the outputs for a part of the candidates of all images into those for all of them.

        Args:
            part: Outputs for some candidates, as of one image.
            outputs: Outputs for all candidates, to be written.
            first: First row to be written, of N * C.
            stream: Stream of the launch.
        """
        call = Arguments(self._library, stream)
        given = _outputs_struct(call, "part", part)
        out = _outputs_struct(call, "outputs", outputs, writable=True)
        self._library.call("mogfaceCascadeGather", given, first, out, call.stream)

    def cascade_workspace(self, batch: int, candidates: int, limit: int) -> int:
        """Return the bytes of workspace that a launch needs for N images, C candidates and a limit."""
        return self._bytes("mogfaceCascadeWorkspace", batch, candidates, limit)


def _outputs_struct(
    call: Arguments, name: str, outputs: CascadeOutputs, *, writable: bool = False
) -> MogfaceCascadeOutputs:
    scores = call.take(f"{name}.scores", outputs.scores, (FLOAT32,), (None, None), writable=writable)
    batch, count = scores.shape

    def take(field: str, source: object, dtype: np.dtype[np.generic], *shape: int) -> int | None:
        if source is None:
            return None
        return call.take(f"{name}.{field}", source, (dtype,), shape, writable=writable).pointer

    if outputs.offsets is None:
        raise ArgumentError(f"{name}.offsets", "must be given")
    return MogfaceCascadeOutputs(
        scores.pointer,
        take("offsets", outputs.offsets, FLOAT32, batch, count, 4),
        take("landmarks", outputs.landmarks, FLOAT32, batch, count, 2 * POINTS),
        take("counts", outputs.counts, INT32, batch),
        batch,
        count,
        False,
    )


def _tallies_struct(call: Arguments, tallies: Tallies, batch: int) -> MogfaceTallies:
    return MogfaceTallies(
        *(
            call.take(f"tallies.{name}", getattr(tallies, name), (INT32,), (batch,), writable=True).pointer
            for name in ("dropped", "truncated")
        )
    )
