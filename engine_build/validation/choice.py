"""Measurement of layer groups, and the choice of those to keep in FP16."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from engine_build.validation.comparison import Comparison
from engine_build.validation.sensitivity import Group, Sensitivity, fewest_kept, groups_of, rank
from engine_build.workload.convolutions import work_by_convolution

if TYPE_CHECKING:
    import onnx

DRIFT_IMAGES = 16
"""Number of images on which each group is measured: drift needs few, unlike an average precision."""

Lower = Callable[[Collection[str]], "onnx.ModelProto"]
"""Quantizes the model except for the convolutions of these names, which are FP16."""


def choose(
    model: onnx.ModelProto,
    lower: Lower,
    comparison: Comparison,
    keep: int | None,
    allowed: float,
    status: Callable[[str], None],
) -> Sensitivity:
    """Rank the layer groups, and choose the worst to keep in FP16.

    Args:
        model: Contract model in FP32.
        keep: Number of groups to keep in FP16; None for the fewest with which the loss is allowed.
        allowed: Largest loss, in points of AP.
        status: Called with a line on the current step.
    """
    groups = groups_of(model, work_by_convolution(model))
    everything = {node for group in groups for node in group.nodes}
    few = comparison.on(DRIFT_IMAGES)

    def alone(group: Group) -> float:
        status(f"measuring {group.name}")
        return few.drift(lower(everything - set(group.nodes)))

    status("measuring FP16")
    ranked = rank(groups, alone, few.drift(lower(everything)))
    losses: dict[int, float] = {}

    def kept(count: int) -> onnx.ModelProto:
        return lower({node for group in ranked[:count] for node in group.nodes})

    def loss(count: int) -> float:
        if count not in losses:
            status(f"measuring with {count} of {len(ranked)} groups in FP16")
            losses[count] = comparison.loss(kept(count))
        return losses[count]

    chosen = fewest_kept(len(ranked), loss, allowed) if keep is None else min(keep, len(ranked))
    loss(chosen)
    sizes = {"FP32": comparison.by_size(), "chosen": comparison.by_size(kept(chosen))}
    return Sensitivity(
        groups=ranked,
        kept=chosen,
        losses=dict(sorted(losses.items())),
        measure=comparison.measure,
        by_size=sizes if sizes["FP32"] else {},
    )
