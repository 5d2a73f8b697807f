"""Which layers lose the accuracy of a quantized network, and which to leave in FP16."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine_build.precision.quantize import convolutions
from trt_mogface.errors import UsageError
from trt_mogface.evaluation.average_precision import as_xywh, ious
from trt_mogface.reference.select import Selection

if TYPE_CHECKING:
    import onnx

DEPTH = 3
"""Parts of a node's path, ``/backbone/layer3/layer3.4/conv2/Conv``, that name its group."""


@dataclass(frozen=True)
class Group:
    """Convolutions that are quantized, or not, together.

    Attributes:
        name: What their names begin with.
        nodes: Their names.
        share: Their share of the network's multiply-adds, within 0..1.
        drift: How much farther faces move when this group alone is quantized; see `drift`.
    """

    name: str
    nodes: tuple[str, ...]
    share: float
    drift: float = 0.0


@dataclass(frozen=True)
class Sensitivity:
    """What was measured.

    Attributes:
        groups: Worst first: by drift for each multiply-add that FP16 would cost.
        kept: Names of the groups left in FP16, the first of ``groups``.
        losses: Points lost, by the number of groups left in FP16, where that was measured.
        measure: What the points are.
        by_size: AP by face size, of FP32 and of the chosen network; empty without annotations.
    """

    groups: tuple[Group, ...]
    kept: int
    losses: dict[int, float]
    measure: str
    by_size: dict[str, dict[str, float]]

    @property
    def kept_nodes(self) -> frozenset[str]:
        """Names of the convolutions left in FP16."""
        return frozenset(name for group in self.groups[: self.kept] for name in group.nodes)

    @property
    def kept_share(self) -> float:
        """Their share of the multiply-adds."""
        return sum(group.share for group in self.groups[: self.kept])

    def __str__(self) -> str:
        loss = f"{self.losses[self.kept]:.2f} points lost ({self.measure})"
        plain = f", {self.losses[0]:.2f} with none" if self.kept and 0 in self.losses else ""
        return (
            f"{self.kept} of {len(self.groups)} groups in FP16, {100 * self.kept_share:.1f}% of the "
            f"multiply-adds: {loss}{plain}"
        )


def groups_of(model: onnx.ModelProto, work: Mapping[str, int]) -> list[Group]:
    """A network's groups, in its own order.

    Args:
        model: A contract model.
        work: Multiply-adds by convolution, see `engine_build.workload.convolutions`.
    """
    members: dict[str, list[str]] = {}
    for node in convolutions(model):
        members.setdefault("/".join(node.name.strip("/").split("/")[:DEPTH]), []).append(node.name)
    total = sum(work.values())
    return [
        Group(name, tuple(nodes), sum(work[node] for node in nodes) / total)
        for name, nodes in members.items()
    ]


def rank(groups: Iterable[Group], measure: Callable[[Group], float], least: float) -> tuple[Group, ...]:
    """Groups with their drift, those first that lose most for their work.

    Args:
        groups: Without drift.
        measure: The drift with this group alone quantized.
        least: The drift with none quantized, which leaving groups out cannot undo.
    """
    measured = [Group(g.name, g.nodes, g.share, max(measure(g) - least, 0.0)) for g in groups]
    return tuple(sorted(measured, key=lambda g: (-g.drift / max(g.share, 1e-6), g.name)))


def drift(reference: Sequence[Selection], other: Sequence[Selection]) -> float:
    """How far another network's faces lie from the reference's, within 0 (the same) to 1 (none found).

    A face of the reference weighs by its score.  It is as far as 1 - IoU * (1 - difference of the scores) of
    the face that fits it best; unlike an average precision this changes with every bit of an output.
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
    """The fewest groups to keep in FP16, worst first, so that the loss is allowed; found by halving.

    Args:
        count: Number of groups.
        loss: Points lost with so many groups kept; taken to fall with their number.
        allowed: Most points that may be lost.

    Returns:
        0 to ``count``; ``count`` also where even that loses more.
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
    """Convolutions whose name, or a part of its path, fits a pattern of the shell.

    Raises:
        UsageError: A pattern that fits none.
    """
    names = [node.name for node in convolutions(model)]
    found: set[str] = set()
    for pattern in patterns:
        fits = {name for name in names if pattern.strip() and fnmatch.fnmatch(name, f"*{pattern}*")}
        if not fits:
            like = f"; names look like {names[0]}, {names[-1]}" if names else ""
            raise UsageError(f"--keep-fp16 {pattern}: fits no convolution{like}")
        found |= fits
    return frozenset(found)
