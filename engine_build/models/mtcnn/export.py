"""MTCNN's networks as ONNX models."""

from __future__ import annotations

import copy
import io
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine_build.models.mtcnn.network import PNet
from engine_build.onnx import opset
from trt_mogface.spec import INPUT, LANDMARKS

if TYPE_CHECKING:
    import onnx

SIDES = {"pnet": 65, "rnet": 24, "onet": 48}
"""Sides of the traced images; only those of P-Net vary, and an odd one keeps what only odd sizes need."""

OUTPUTS = ("scores", "offsets", LANDMARKS)


class _Activation(nn.Module):
    """PReLU in operators that ONNX Runtime vectorizes; its own kernel takes a third of a network's time."""

    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        self.slopes, self.flat = nn.Parameter(slopes.clone()), bool((slopes <= 1).all())

    def forward(self, maps: Tensor) -> Tensor:
        slopes = self.slopes.reshape(1, -1, *[1] * (maps.ndim - 2))
        if self.flat:
            return torch.maximum(maps, maps * slopes)
        return torch.relu(maps) + slopes * maps.clamp(max=0)


class _PooledConvolution(nn.Module):
    """A convolution, PReLU and maximum pooling, in an order that runs PReLU on the smaller, pooled maps.

    The maximum of PReLU over a window is PReLU(max x) for slopes that are not negative, and
    max(max x, -slope * max -x) for negative ones: their filters are there twice, once negated.  Channels are
    sorted by the sign of the slope, which ``order`` tells the next convolution.
    """

    def __init__(self, convolution: nn.Conv2d, slopes: Tensor, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.order = torch.argsort((slopes < 0).int(), stable=True)
        self.rising, self.all = int((slopes >= 0).sum()), len(slopes)
        weight, bias = (each.data[self.order] for each in convolution.parameters())
        self.weight = nn.Parameter(torch.cat([weight, -weight[self.rising :]]))
        self.bias = nn.Parameter(torch.cat([bias, -bias[self.rising :]]))
        self.pool, self.activation = pool, _Activation(slopes[self.order][: self.rising])
        self.falling = nn.Parameter(-slopes[self.order][self.rising :].reshape(1, -1, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        pooled = self.pool(functional.conv2d(maps, self.weight, self.bias))
        highest, negated = pooled[:, self.rising : self.all], pooled[:, self.all :]
        rising = self.activation(pooled[:, : self.rising])
        return torch.cat([rising, torch.maximum(highest, self.falling * negated)], dim=1)


class _FromBytes(nn.Module):
    """A network on uint8 [N, H, W, 3], BGR: its first convolution takes the planes in this order."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        layers = dict(cast(nn.Sequential, self.network.features).named_children())
        first = cast(nn.Conv2d, layers["conv1"])
        first.weight.data = first.weight.data.flip(1)
        for name, layer in layers.items():
            if isinstance(layer, nn.PReLU):
                layers[name] = _Activation(layer.weight.data)
        if isinstance(network, PNet):  # the crops of the others are so small that this costs them more
            second, slopes = cast(nn.Conv2d, layers["conv2"]), cast(_Activation, layers["prelu1"]).slopes.data
            pooled = _PooledConvolution(first, slopes, cast(nn.MaxPool2d, layers["pool1"]))
            second.weight.data = second.weight.data[:, pooled.order]
            layers = {"conv1": pooled} | {name: layers[name] for name in list(layers)[3:]}
        self.network.features = nn.Sequential(OrderedDict(layers))

    def forward(self, images: Tensor) -> Any:
        return self.network((images.permute(0, 3, 1, 2).float() - 127.5) * 0.0078125)


def export(networks: Mapping[str, nn.Module]) -> dict[str, onnx.ModelProto]:
    """Return the ONNX models of the networks, from uint8 [N, H, W, 3], BGR, to `OUTPUTS`.

    Args:
        networks: P-Net, R-Net and O-Net in inference mode, by the names in `SIDES`.
    """
    return {stage: _exported(_FromBytes(network).eval(), stage) for stage, network in networks.items()}


def _exported(network: nn.Module, stage: str) -> onnx.ModelProto:
    import onnx

    side, buffer = SIDES[stage], io.BytesIO()
    names = OUTPUTS if stage == "onet" else OUTPUTS[:2]
    axes = {name: {0: "N"} for name in (INPUT, *names)}
    if stage == "pnet":
        axes = {
            INPUT: {0: "N", 1: "H", 2: "W"},
            "scores": {0: "N", 1: "h", 2: "w"},
            "offsets": {0: "N", 2: "h", 3: "w"},
        }
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracing exporter warns of its age
        torch.onnx.export(
            network,
            (torch.zeros(1, side, side + 32 if stage == "pnet" else side, 3, dtype=torch.uint8),),
            cast(Any, buffer),  # typed as a path, documented as a path or a file
            dynamo=False,
            opset_version=opset.EXPORTED,
            input_names=[INPUT],
            output_names=list(names),
            dynamic_axes=axes,
        )
    return onnx.load_from_string(buffer.getvalue())
