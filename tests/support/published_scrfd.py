"""The published backbones and head of SCRFD, TinyMog and DamoFD, from the PyPI package ``modelscope``.

They import mmcv and mmdet, which do not install here.  The few parts that their forward pass and the head's
``get_bboxes`` need of these are standard, and stand in for them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.peers.modelscope_code import models_folder, stand_ins

torch = pytest.importorskip("torch", reason="the published networks need torch")
nn = torch.nn

NAME = "published_scrfd"


def _norm(config: dict[str, Any], channels: int) -> Any:
    if config["type"] == "GN":
        return nn.GroupNorm(config["num_groups"], channels)
    return nn.BatchNorm2d(channels)


class ConvModule(nn.Module):  # type: ignore[misc, name-defined]
    """A convolution, a normalization and a ReLU, as mmcv names them."""

    def __init__(self, channels: int, width: int, side: int, *, norm_cfg: Any = None, **given: Any) -> None:
        super().__init__()
        given = {name: value for name, value in given.items() if name in ("stride", "padding", "groups")}
        self.conv = nn.Conv2d(channels, width, side, bias=norm_cfg is None, **given)
        if norm_cfg is not None:
            self.add_module("gn" if norm_cfg["type"] == "GN" else "bn", _norm(norm_cfg, width))

    def forward(self, x: Any) -> Any:
        for layer in self.children():
            x = layer(x)
        return torch.relu(x)


class DepthwiseSeparableConvModule(nn.Module):  # type: ignore[misc, name-defined]
    """A depthwise and a pointwise `ConvModule`."""

    def __init__(self, channels: int, width: int, side: int, **given: Any) -> None:
        super().__init__()
        depthwise, pointwise = given["dw_norm_cfg"], given["pw_norm_cfg"]
        self.depthwise_conv = ConvModule(
            channels, channels, side, norm_cfg=depthwise, padding=given["padding"], groups=channels
        )
        self.pointwise_conv = ConvModule(channels, width, 1, norm_cfg=pointwise)

    def forward(self, x: Any) -> Any:
        return self.pointwise_conv(self.depthwise_conv(x))


class Scale(nn.Module):  # type: ignore[misc, name-defined]
    """A learned factor."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x: Any) -> Any:
        return x * self.scale


class AnchorGenerator:
    """Two anchors a cell of three levels, around its top left corner (mmdet's center_offset 0)."""

    strides = ((8, 8), (16, 16), (32, 32))
    num_base_anchors = (2, 2, 2)

    def grid_anchors(self, sizes: Iterable[tuple[int, int]], device: Any) -> list[Any]:
        return [
            torch.tensor(
                [
                    [x * stride - half, y * stride - half, x * stride + half, y * stride + half]
                    for y, x in product(range(rows), range(columns))
                    for half in (stride, 2 * stride)
                ],
                dtype=torch.float32,
                device=device,
            )
            for (rows, columns), (stride, _) in zip(sizes, self.strides)
        ]


def _distance2bbox(points: Any, distances: Any, max_shape: tuple[int, ...]) -> Any:
    rows, columns = max_shape[:2]
    left, top, right, bottom = distances.unbind(1)
    x, y = points.unbind(1)
    return torch.stack(
        [
            (x - left).clamp(0, columns),
            (y - top).clamp(0, rows),
            (x + right).clamp(0, columns),
            (y + bottom).clamp(0, rows),
        ],
        dim=1,
    )


def _batched_nms(boxes: Any, scores: Any, labels: Any, config: dict[str, Any]) -> tuple[Any, Any]:
    """Suppress boxes of one class, best first: areas without + 1."""
    assert not labels.any()
    order, kept = scores.argsort(descending=True), []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[order, :2], boxes[best, :2])
        high = torch.minimum(boxes[order, 2:], boxes[best, 2:])
        common = (high - low).clamp(min=0).prod(dim=1)
        order = order[common / (areas[order] + areas[best] - common) <= config["iou_threshold"]]
    keep = torch.stack(kept)
    return torch.cat([boxes[keep], scores[keep, None]], dim=1), keep


class AnchorHead(nn.Module):  # type: ignore[misc, name-defined]
    """The attributes that SCRFDHead reads."""

    def __init__(self, num_classes: int, in_channels: int, **given: Any) -> None:
        super().__init__()
        self.in_channels, self.feat_channels = in_channels, given["feat_channels"]
        self.cls_out_channels, self.num_anchors = num_classes, 2
        self.train_cfg = None
        self.anchor_generator = AnchorGenerator()
        self._init_layers()


def _multi_apply(run: Callable[..., Any], *inputs: Iterable[Any]) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*map(run, *inputs))))


def _unchanged(*given: Any, **_: Any) -> Any:
    """Return the decorated function, or a decorator."""
    return given[0] if given and callable(given[0]) else (lambda each: each)


class _Anything(ModuleType):
    """A module whose names are functions that return their argument, or decorators that change nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _unchanged


@contextmanager
def _stand_ins() -> Iterator[None]:
    registry = SimpleNamespace(register_module=lambda *_, **__: lambda kind: kind)
    names = [
        "mmcv",
        "mmcv.cnn",
        "mmcv.runner",
        "mmcv.ops",
        "mmcv.ops.nms",
        "mmcv.utils",
        "mmdet",
        "mmdet.core",
        "mmdet.utils",
        "mmdet.models",
        "mmdet.models.builder",
        "mmdet.models.dense_heads",
        "mmdet.models.dense_heads.anchor_head",
        "mmdet.models.utils",
        "mmdet.models.backbones",
        "mmdet.models.backbones.resnet",
    ]
    modules = {name: _Anything(name) for name in names}
    vars(modules["mmcv.cnn"]).update(
        ConvModule=ConvModule, DepthwiseSeparableConvModule=DepthwiseSeparableConvModule, Scale=Scale
    )
    vars(modules["mmdet.core"]).update(multi_apply=_multi_apply, distance2bbox=_distance2bbox)
    vars(modules["mmcv.ops.nms"]).update(batched_nms=_batched_nms)
    vars(modules["mmdet.models.dense_heads.anchor_head"]).update(AnchorHead=AnchorHead)
    vars(modules["mmdet.models.builder"]).update(
        HEADS=registry, BACKBONES=registry, build_loss=lambda _: None
    )
    with stand_ins(modules):
        yield


def published(name: str) -> ModuleType:
    """Import a module of the published code, such as ``backbones.mobilenet``."""
    try:
        models = models_folder()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    scrfd = models / "face_detection" / "scrfd"
    folders = {
        NAME: scrfd,
        f"{NAME}.mmdet_patch": scrfd / "mmdet_patch",
        f"{NAME}.mmdet_patch.core": scrfd / "mmdet_patch" / "core",
        f"{NAME}.mmdet_patch.models": scrfd / "mmdet_patch" / "models",
        **{
            f"{NAME}.mmdet_patch.models.{each}": scrfd / "mmdet_patch" / "models" / each
            for each in ("backbones", "dense_heads")
        },
        "modelscope.models.cv.tinynas_classfication": models / "tinynas_classfication",
        **{
            f"modelscope{each}": models.parents[1] / each.replace(".", "/").strip("/")
            for each in ("", ".models", ".models.cv")
        },
    }
    added = [each for each in folders if each not in sys.modules]
    for each in added:
        sys.modules[each] = ModuleType(each)
        sys.modules[each].__path__ = [str(folders[each])]
    try:
        with _stand_ins():
            return importlib.import_module(f"{NAME}.mmdet_patch.models.{name}")
    finally:
        for each in [each for each in sys.modules if each == "modelscope" or each.startswith("modelscope.")]:
            del sys.modules[each]


def published_head(**given: Any) -> Any:
    """Return the published SCRFDHead, with its defaults for faces with five landmarks."""
    head = published("dense_heads.scrfd_head").SCRFDHead
    return head(num_classes=1, reg_max=8, use_kps=True, cls_reg_share=True, loss_dfl=False, **given)


class _Config(dict[str, Any]):
    """A configuration as mmcv's: keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def published_faces(
    head: Any, maps: list[Any], threshold: float, content: tuple[int, int], scale: float
) -> tuple[Any, Any]:
    """Return the boxes with scores, [n, 5], and the landmarks, [n, 10], of an image by the published head.

    Args:
        head: Result of `published_head`.
        maps: Score logits, distances and landmarks of each level, level by level, of a batch of one image.
        threshold: Score threshold.
        content: Height and width of the image in the network input.
        scale: Network pixels per image pixel.
    """
    config = _Config(nms_pre=-1, score_thr=threshold, nms={"iou_threshold": 0.45}, max_per_img=-1)
    about = {"img_shape": (*content, 3), "scale_factor": np.array([scale] * 4, np.float32)}
    with _stand_ins():
        boxes, _, points = head.get_bboxes(maps[::3], maps[1::3], maps[2::3], [about], config, rescale=True)[
            0
        ]
    if not len(boxes):  # then the published boxes come without scores
        boxes = boxes.new_zeros((0, 5))
    return boxes.numpy(), points.numpy()
