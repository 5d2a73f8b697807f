"""Outputs of a network and what is wanted of them: made up, given to the kernels, solved by numpy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support import device
from tests.support.device import Floats, HostCandidates, HostFaces
from trt_mogface.kernels import Faces, Kernels
from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.decode import decode_boxes, decode_landmarks
from trt_mogface.reference.select import best, cut
from trt_mogface.spec import DetectorSpec, Thresholds

Numbers = NDArray[np.float32] | NDArray[np.float16]

CODINGS = ("inclusive", "ssd", "distance", "spread")
"""Names for `tests.support.specs.coding`."""


@dataclass(frozen=True)
class Problem:
    """Outputs of a network, [N, A] scores, [N, A, 4] deltas and perhaps landmarks, and thresholds."""

    spec: DetectorSpec
    size: tuple[int, int]
    thresholds: Thresholds
    scores: Numbers
    deltas: Numbers
    landmarks: Numbers | None = None

    @property
    def batch(self) -> int:
        return len(self.scores)

    def image(self, index: int) -> tuple[Floats, Floats, Floats | None]:
        """The outputs of one image in float32."""
        points = None if self.landmarks is None else self.landmarks[index].astype(np.float32)
        return self.scores[index].astype(np.float32), self.deltas[index].astype(np.float32), points

    def halved(self) -> Problem:
        """The same in float16, infinities where that overflows."""
        with np.errstate(over="ignore"):
            return dataclasses.replace(
                self,
                scores=self.scores.astype(np.float16),
                deltas=self.deltas.astype(np.float16),
                landmarks=None if self.landmarks is None else self.landmarks.astype(np.float16),
            )

    def asked(self, **limits: Any) -> Problem:
        """The same outputs with other thresholds."""
        return dataclasses.replace(self, thresholds=dataclasses.replace(self.thresholds, **limits))


def problem(
    spec: DetectorSpec,
    scores: Floats,
    deltas: Floats | None = None,
    landmarks: Floats | None = None,
    *,
    size: tuple[int, int],
    **limits: Any,
) -> Problem:
    """A problem with a spec's own thresholds but for ``limits``; no deltas are zeros."""
    scores = np.atleast_2d(scores)
    count = spec.anchor_count(*size)
    if deltas is None:
        deltas = np.zeros((*scores.shape, 4), np.float32)
    if landmarks is None and spec.landmarks:
        landmarks = np.zeros((*scores.shape, 2 * spec.landmarks), np.float32)
    return Problem(
        spec,
        size,
        dataclasses.replace(spec.thresholds, **limits),
        scores,
        deltas.reshape(len(scores), count, 4),
        None if landmarks is None else landmarks.reshape(len(scores), count, 2 * spec.landmarks),
    )


@dataclass(frozen=True)
class Best:
    """The best candidates of one image, by numpy, before those that are not finite are dropped."""

    index: NDArray[np.int64]
    boxes: Floats
    landmarks: Floats | None
    finite: NDArray[np.bool_]
    dropped: int


def solved(asked: Problem, image: int, content: tuple[int, int] | None = None) -> Best:
    """The candidates of one image as `trt_mogface.reference.select.select` has them."""
    scores, deltas, points = asked.image(image)
    index = best(scores, asked.thresholds.score_threshold, asked.thresholds.top_k)
    near = anchors(asked.spec, *asked.size)[index]
    boxes = decode_boxes(deltas[index], near, asked.spec.coding)
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores[index])
    landmarks = None if points is None else decode_landmarks(points[index], near, asked.spec.coding)
    if landmarks is not None:
        finite &= np.isfinite(landmarks).all(axis=(1, 2))
    if asked.thresholds.clip:
        boxes = cut(boxes, *(content or asked.size))
    dropped = np.count_nonzero(~finite) + np.count_nonzero(np.isnan(scores))
    return Best(index, boxes, landmarks, finite, int(dropped))


def decode(kernels: Kernels, asked: Problem, *, offset: int = 0, frames: object = None) -> HostCandidates:
    """The candidates of the kernels; the outputs lie ``offset`` bytes beyond an aligned address."""
    out = device.candidates(asked.batch, asked.thresholds.top_k, asked.spec.landmarks)
    needed = kernels.decode_workspace(asked.spec, asked.thresholds, asked.batch, asked.size)
    kernels.decode(
        device.copied(asked.scores, offset=offset),
        device.copied(asked.deltas, offset=offset),
        None if asked.landmarks is None else device.copied(asked.landmarks, offset=offset),
        out,
        spec=asked.spec,
        size=asked.size,
        thresholds=asked.thresholds,
        workspace=device.memory(needed),
        frames=frames,
    )
    return out


def select(
    kernels: Kernels,
    given: HostCandidates,
    thresholds: Thresholds,
    *,
    frames: object = None,
    clip: bool = False,
) -> HostFaces:
    """The faces of the kernels among these candidates."""
    points = 0 if given.landmarks is None else given.landmarks.shape[2]
    batch = len(given.counts)
    out = device.faces(batch, thresholds.most_faces, points)
    workspace = device.memory(kernels.select_workspace(thresholds, batch))
    kernels.select(given, out, thresholds=thresholds, workspace=workspace, frames=frames, clip=clip)
    return out


def detect(
    kernels: Kernels, asked: Problem, *, out: Faces | None = None, frames: object = None, clip: bool = False
) -> HostFaces:
    """The faces of the kernels; with ``out`` they go there, and what is returned is unwritten."""
    made = device.faces(asked.batch, asked.thresholds.most_faces, asked.spec.landmarks)
    needed = kernels.detect_workspace(asked.spec, asked.thresholds, asked.batch, asked.size)
    kernels.detect(
        device.copied(asked.scores),
        device.copied(asked.deltas),
        None if asked.landmarks is None else device.copied(asked.landmarks),
        out or made,
        spec=asked.spec,
        size=asked.size,
        thresholds=asked.thresholds,
        workspace=device.memory(needed),
        frames=frames,
        clip=clip,
    )
    return made


THRESHOLDS = (0.0, 0.3, 0.5, 0.82, 1.0)

ODD_SCORES = (np.nan, np.inf, -np.inf, 1.5, -1.0, -0.0, 1e-42, 1.0, 0.0)


def made_up_scores(rng: np.random.Generator, shape: tuple[int, int], kind: str, threshold: float) -> Floats:
    """Scores that are ``distinct``, ``tied``, ``equal``, at the ``edge`` of the threshold, or ``odd``."""
    edge = np.float32(threshold)
    around = [edge, np.nextafter(edge, np.float32(2)), np.nextafter(edge, np.float32(-2))]
    made: Floats
    if kind == "distinct":
        made = rng.random(shape, np.float32)
    elif kind == "equal":
        made = np.full(shape, rng.choice([0.25, 0.9]), np.float32)
    elif kind == "tied":
        made = (rng.integers(0, 9, shape) / 8).astype(np.float32)
    elif kind == "edge":
        made = rng.choice(np.array(around, np.float32), shape)
    else:
        made = np.where(rng.random(shape) < 0.2, rng.choice(ODD_SCORES, shape), rng.random(shape))
        made = made.astype(np.float32)
    return made


def sprinkled(rng: np.random.Generator, numbers: Floats, portion: float) -> Floats:
    """Some numbers replaced by ones that are not finite, or whose exp is not."""
    bad = rng.choice(np.array([np.nan, np.inf, -np.inf, 1e4, 3e38], np.float32), numbers.shape)
    made: Floats = np.where(rng.random(numbers.shape) < portion, bad, numbers)
    return made
