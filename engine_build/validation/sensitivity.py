"""Sensitivity of layer groups to quantization, and the number of groups to keep in FP16."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine_build.precision.quantize import convolutions
from trt_mogface.errors import ArgumentError
from trt_mogface.evaluation.average_precision import as_xywh, ious
from trt_mogface.reference.select import Selection

if TYPE_CHECKING:
    import onnx

DEPTH = 3
"""Number of parts of a path such as ``/backbone/layer3/layer3.4/conv2/Conv`` that name a group."""


@dataclass(frozen=True)
class Group:
    """Convolutions that are quantized, or kept in FP16, together.

    Attributes:
        name: Common beginning of the convolutions' names.
        nodes: Names of the convolutions.
        share: Share of the network's multiply-adds, within 0..1.
        drift: Increase of the `drift` when only this group is quantized.
    """

    name: str
    nodes: tuple[str, ...]
    share: float
    drift: float = 0.0


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivity of a network's layer groups.

    Attributes:
        groups: Groups, worst first: by drift per multiply-add that FP16 would cost.
        kept: Number of groups to keep in FP16, the first of ``groups``.
        losses: Loss in points by number of groups kept in FP16, for the numbers that were measured.
        measure: Name of the measure of the loss.
        by_size: AP by face size, of FP32 and of the chosen network; empty without annotations.
    """

    groups: tuple[Group, ...]
    kept: int
    losses: dict[int, float]
    measure: str
    by_size: dict[str, dict[str, float]]

    @property
    def kept_nodes(self) -> frozenset[str]:
        """Names of the convolutions to keep in FP16."""
        return frozenset(name for group in self.groups[: self.kept] for name in group.nodes)

    @property
    def kept_share(self) -> float:
        """Share of the multiply-adds that stays in FP16."""
        return sum(group.share for group in self.groups[: self.kept])

    def __str__(self) -> str:
        loss = f"{self.losses[self.kept]:.2f} points lost ({self.measure})"
        plain = f", {self.losses[0]:.2f} with none" if self.kept and 0 in self.losses else ""
        return (
            f"{self.kept} of {len(self.groups)} groups in FP16, {100 * self.kept_share:.1f}% of the "
            f"multiply-adds: {loss}{plain}"
        )


def groups_of(model: onnx.ModelProto, work: Mapping[str, int]) -> list[Group]:
    """Return the layer groups of a network, in its order; ``work`` is that of `work_by_convolution`."""
    members: dict[str, list[str]] = {}
    for node in convolutions(model):
        members.setdefault("/".join(node.name.strip("/").split("/")[:DEPTH]), []).append(node.name)
    total = sum(work.values())
    return [
        Group(name, tuple(nodes), sum(work[node] for node in nodes) / total)
        for name, nodes in members.items()
    ]


def rank(groups: Iterable[Group], measure: Callable[[Group], float], least: float) -> tuple[Group, ...]:
    """Return the groups with their drift, first the one with the largest drift per multiply-add.

    ``measure`` returns the drift with only this group quantized; ``least`` is that with none, caused by FP16.
    """
    measured = [Group(g.name, g.nodes, g.share, max(measure(g) - least, 0.0)) for g in groups]
    return tuple(sorted(measured, key=lambda g: (-g.drift / max(g.share, 1e-6), g.name)))


def drift(reference: Sequence[Selection], other: Sequence[Selection]) -> float:
    """Return the distance of a network's faces from the reference's, within 0 (equal) to 1 (none found).

    Each face of the reference, weighted by its score, contributes 1 - IoU * (1 - difference of the scores)
    to its best match; unlike an average precision this changes with every bit of an output.
    """
    weights = distance = 0.0
    for theirs, ours in zip(reference, other):
        if not len(theirs.boxes):
            continue
        fits = np.zeros(len(theirs.boxes))
        if len(ours.boxes):
            apart = np.abs(theirs.scores[:, None].astype(np.float64) - ours.scores[None])
            fits = (ious(as_xywh(theirs.boxes), as_xywh(ours.boxes)) * (1 - apart)).max(axis=1)
        distance += float((theirs.scores * (1 - fits)).sum())
        weights += float(theirs.scores.sum())
    return distance / weights if weights else 0.0


def fewest_kept(count: int, loss: Callable[[int], float], allowed: float) -> int:
    """Return the fewest groups to keep in FP16, worst first, so that the loss is allowed; found by bisection.

    The result is ``count``, the number of groups, also if even that loses more points than allowed.  The loss
    is assumed to fall with the number of groups kept.
    """
    if loss(0) <= allowed:
        return 0
    low, high = 0, count  # low loses too much
    while high - low > 1:
        middle = (low + high) // 2
        if loss(middle) <= allowed:
            high = middle
        else:
            low = middle
    return high


def nodes_matching(model: onnx.ModelProto, patterns: Sequence[str]) -> frozenset[str]:
    """Return the convolutions whose name contains a match of a shell pattern; each pattern must fit one."""
    names = [node.name for node in convolutions(model)]
    found: set[str] = set()
    for pattern in patterns:
        fits = {name for name in names if pattern.strip() and fnmatch.fnmatch(name, f"*{pattern}*")}
        if not fits:
            like = f"; names look like {names[0]}, {names[-1]}" if names else ""
            raise ArgumentError("keep_fp16", f"fits no convolution{like}", pattern)
        found |= fits
    return frozenset(found)
