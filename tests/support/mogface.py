"""MogFace with random weights, in the published code and in ours."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from engine_build.models import registry
from engine_build.models.mogface import TRAINING_ONLY
from engine_build.onnx import contract

if TYPE_CHECKING:  # what needs no torch is tested without it
    from engine_build.models.mogface.network import MogFace

CHECKPOINT, ONNX = "pytorch_model.pt", "mogface.onnx"


class Pair:
    """The same weights in the published network, in ours and in a contract file.

    Args:
        reference: The published code.
        folder: Folder with the files of `write`.
        spread: As given to `write`.
    """

    def __init__(self, reference: ModuleType, folder: Path, *, spread: bool) -> None:
        self._reference, self._spread = reference, spread
        self.checkpoint, self.onnx = folder / CHECKPOINT, folder / ONNX

    @cached_property
    def published(self) -> Any:
        return published_network(self._reference, spread=self._spread)

    @cached_property
    def ours(self) -> MogFace:
        from engine_build import checkpoint as checkpoints
        from engine_build.models.mogface.network import mogface

        return checkpoints.load(mogface(), self.checkpoint, "mogface", TRAINING_ONLY)


def published_network(reference: ModuleType, *, spread: bool) -> Any:
    """The published network with random weights, optionally rescaled so that its scores spread."""
    import torch

    torch.manual_seed(20220305)
    network = reference.MogFace().eval()
    if spread:
        with torch.no_grad():
            for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)):
                torch.nn.init.constant_(cast(torch.Tensor, norm.running_var), 0.5)
            network.pred_net.pred_cls.weight *= 20
            network.pred_net.pred_loc.weight *= 4
    return network


def write(reference: ModuleType, folder: Path, *, spread: bool) -> None:
    """Write the checkpoint of `published_network`, and what this package makes of it."""
    import torch

    torch.save(published_network(reference, spread=spread).state_dict(), folder / CHECKPOINT)
    contract.save(registry.recipes()["mogface"].build(folder / CHECKPOINT), folder / ONNX)


def outputs_of_ours(network: MogFace, planes: Any) -> tuple[Any, Any]:
    """Return our network's maps as the published one returns them: scores [N, A] and deltas [N, A, 4]."""
    import torch

    with torch.no_grad():
        maps = network(planes)
    scores = torch.cat([each.sigmoid().flatten(1) for each in maps[::2]], dim=1)
    return scores, torch.cat([each.flatten(2).transpose(1, 2) for each in maps[1::2]], dim=1)
