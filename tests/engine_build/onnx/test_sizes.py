"""Networks that were exported at one size, at others, against torch."""

from __future__ import annotations

import io
import warnings
from typing import Any, Literal

import numpy as np
import onnx
import pytest

from engine_build.onnx.sizes import free_sizes
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import ModelError

torch = pytest.importorskip("torch", reason="the networks need torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

Mode = Literal["nearest", "bilinear"]


class Pyramid(nn.Module):
    """Two levels: pooling, shuffled channels, group normalization, and an upsampling that is cut."""

    def __init__(self, mode: Mode, by_size: bool) -> None:
        super().__init__()
        self.mode, self.by_size = mode, by_size
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.GroupNorm(4, 8)
        self.second = nn.Conv2d(8, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 3, H, W] to [N, 8, H / 4, W / 4], rounded up."""
        x = functional.max_pool2d(self.first(x), 2, ceil_mode=not torch.jit.is_tracing())
        x = self.norm(x)
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        upper = self.second(x)
        if self.by_size:
            return x + functional.interpolate(upper, size=(h, w), mode=self.mode)
        return x + functional.interpolate(upper, scale_factor=2, mode=self.mode)[:, :, :h, :w]


def exported(network: nn.Module, size: tuple[int, int], opset: int) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 3, *size),), buffer, dynamo=False, opset_version=opset)
    return onnx.load_from_string(buffer.getvalue())


def freed(model: onnx.ModelProto) -> onnx.ModelProto:
    (image,), (result,) = model.graph.input, model.graph.output
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    for node in constants:  # which other steps store
        tensor = model.graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        model.graph.node.remove(node)
    free_sizes(model)
    for value in (image, result):
        for length in value.type.tensor_type.shape.dim:
            length.Clear()
    return model


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("by_size", [False, True])
def test_a_fixed_export_runs_at_every_size(mode: Mode, by_size: bool) -> None:
    torch.manual_seed(0)
    network = Pyramid(mode, by_size).eval()
    running = session(freed(exported(network, (64, 96), 17)).SerializeToString())
    sizes: list[tuple[int, ...]] = [(1, 3, 64, 96), (2, 3, 128, 64)]
    if mode == "nearest" or not by_size:  # else torch scales by other factors at odd sizes
        sizes += [(2, 3, 61, 107), (1, 3, 1, 1)]
    for size in sizes:
        x = torch.randn(size)
        with torch.no_grad():
            expected = network(x).numpy()
        (found,) = running.run(None, {running.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (nn.Upsample(scale_factor=3), "resizes .* by another factor than two"),
        (nn.Upsample(scale_factor=2, mode="bicubic"), "resizes by cubic interpolation"),
    ],
)
def test_other_resizing_is_refused(network: Any, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        freed(exported(network, (8, 8), 17))
