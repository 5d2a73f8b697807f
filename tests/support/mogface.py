"""MogFace with random weights, in the published code and in ours, made once a worker."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from engine_build.models.mogface.spec import mogface_spec
from engine_build.onnx import contract

if TYPE_CHECKING:  # what needs no torch is tested without it
    from engine_build.models.mogface.network import MogFace


class Pair(NamedTuple):
    """The same weights in the published network, in ours and in a contract file."""

    published: Any
    ours: MogFace
    checkpoint: Path
    onnx: Path


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


def pair(reference: ModuleType, folder: Path, *, spread: bool) -> Pair:
    """The published network and what this package makes of its checkpoint."""
    import torch

    from engine_build.models.mogface.checkpoint import load_mogface
    from engine_build.models.mogface.network import on_pixels
    from engine_build.onnx.export import export

    network = published_network(reference, spread=spread)
    checkpoint, onnx = folder / "pytorch_model.pt", folder / "mogface.onnx"
    torch.save(network.state_dict(), checkpoint)
    # The network is changed for the export, so it is one of its own.
    contract.save(export(on_pixels(load_mogface(checkpoint)), mogface_spec("0" * 64)), onnx)
    return Pair(network, load_mogface(checkpoint), checkpoint, onnx)
