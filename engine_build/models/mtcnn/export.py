"""MTCNN's networks as ONNX models."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine_build.models.mtcnn.network import PNet, Stage, probability
from engine_build.onnx import opset
from trt_mogface.spec import INPUT, LANDMARKS

if TYPE_CHECKING:
    import onnx

SIDES = {"pnet": 65, "rnet": 24, "onet": 48}
"""Sides of the traced images; only those of P-Net vary, and an odd one keeps what only odd sizes need."""

MEAN, SCALE = 127.5, 1 / 128
"""Pixels are normalized to (x - MEAN) * SCALE; a power of two scales filters without rounding."""

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


class _ActivatedHeads(nn.Module):
    """1 x 1 convolutions of PReLU, side by side.

    PReLU(x) is slope * x + (1 - slope) * max(x, 0).  The factors are part of the filters, so that nothing is
    left between convolutions, and ONNX Runtime keeps its own layout of the maps.
    """

    def __init__(self, slopes: Tensor, heads: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        weight, scale = torch.cat([head.weight.data for head in heads]), slopes.reshape(1, -1, 1, 1)
        self.linear, self.positive = nn.Parameter(weight * scale), nn.Parameter(weight * (1 - scale))
        self.bias = nn.Parameter(torch.cat([cast(Tensor, head.bias).data for head in heads]))

    def forward(self, maps: Tensor) -> Tensor:
        linear = functional.conv2d(maps, self.linear, self.bias)
        return linear + functional.conv2d(torch.relu(maps), self.positive)


class _Proposals(nn.Module):
    """P-Net from images minus their mean, with the same outputs in half of the time."""

    def __init__(self, network: PNet) -> None:
        super().__init__()
        first, _, pool, self.second, _, self.third, _ = cast(Any, network.features)
        slopes = [layer.weight.data for layer in network.features if isinstance(layer, nn.PReLU)]
        self.first = _PooledConvolution(first, slopes[0], pool)
        self.second.weight.data = self.second.weight.data[:, self.first.order]
        self.activation = _Activation(slopes[1])
        self.heads = _ActivatedHeads(slopes[2], (network.conv4_1, network.conv4_2))

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.heads(self.third(self.activation(self.second(self.first(planes)))))
        return probability(outputs[:, :2]), outputs[:, 2:]


def _vectorized(network: Stage) -> Stage:
    """Return R-Net or O-Net with its activations replaced, in place."""
    for name, layer in network.features.named_children():
        if isinstance(layer, nn.PReLU):
            setattr(network.features, name, _Activation(layer.weight.data))
    return network


class _FromBytes(nn.Module):
    """A network on uint8 [N, H, W, 3], BGR: order and scale of the channels are part of its first filters."""

    def __init__(self, network: Stage) -> None:
        super().__init__()
        network = copy.deepcopy(network)
        first = cast(nn.Conv2d, network.features[0])
        first.weight.data = first.weight.data.flip(1) * SCALE
        self.network = _Proposals(network) if isinstance(network, PNet) else _vectorized(network)

    def forward(self, images: Tensor) -> Any:
        return self.network(images.permute(0, 3, 1, 2).float() - MEAN)


def export(networks: Mapping[str, Stage]) -> dict[str, onnx.ModelProto]:
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
