"""Faces from the outputs of published ONNX files, decoded as their authors do, independently of the contract.

Each function maps outputs by name to scores [N, A], boxes [N, A, 4] in pixels, and landmarks [N, A, 5, 2].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Outputs = Mapping[str, Values]
Faces = tuple[Values, Values, Values | None]


def grid(height: int, width: int, stride: int, anchors: int = 1) -> Values:
    """Return column and row of each anchor of a level."""
    rows, columns = np.mgrid[: -(-height // stride), : -(-width // stride)]
    return np.stack([columns, rows], axis=-1).reshape(-1, 2).repeat(anchors, axis=0).astype(np.float64)


def ulfd(outputs: Outputs, height: int, width: int) -> Faces:
    """The file decodes boxes itself."""
    return outputs["scores"][..., 1], outputs["boxes"] * [width, height, width, height], None


def scrfd(outputs: Outputs, height: int, width: int) -> Faces:
    """Distances in strides from the corner of a cell."""
    by_size: dict[int, list[Values]] = {1: [], 4: [], 10: []}
    for values in sorted(outputs.values(), key=lambda each: -each.shape[-2]):
        by_size[values.shape[-1]].append(values.astype(np.float64))
    boxes, points = [], []
    for stride, reach, places in zip((8, 16, 32), by_size[4], by_size[10]):
        corner = grid(height, width, stride, 2) * stride
        boxes.append(np.concatenate([corner - reach[..., :2] * stride, corner + reach[..., 2:] * stride], -1))
        points.append(corner[:, None] + places.reshape(*places.shape[:2], 5, 2) * stride)
    return np.concatenate(by_size[1], 1)[..., 0], np.concatenate(boxes, 1), np.concatenate(points, 1)


def yunet(outputs: Outputs, height: int, width: int) -> Faces:
    scores, boxes, points = [], [], []
    for stride in (8, 16, 32):
        cell = grid(height, width, stride)
        scores.append((outputs[f"cls_{stride}"] * outputs[f"obj_{stride}"])[..., 0])
        deltas = outputs[f"bbox_{stride}"].astype(np.float64)
        center, size = (cell + deltas[..., :2]) * stride, np.exp(deltas[..., 2:]) * stride
        boxes.append(np.concatenate([center - size / 2, center + size / 2], -1))
        places = outputs[f"kps_{stride}"].reshape(len(deltas), -1, 5, 2)
        points.append((cell[:, None] + places) * stride)
    return np.concatenate(scores, 1), np.concatenate(boxes, 1), np.concatenate(points, 1)


def centerface(outputs: Outputs, height: int, width: int) -> Faces:
    """Of each pair y stands before x; landmarks lie within the box."""
    heat, log_size, offset, places = (each.astype(np.float64) for each in outputs.values())
    batch = len(heat)
    size = np.exp(log_size.reshape(batch, 2, -1)[:, ::-1].transpose(0, 2, 1)) * 4
    middle = grid(height, width, 4) + offset.reshape(batch, 2, -1)[:, ::-1].transpose(0, 2, 1) + 0.5
    low = middle * 4 - size / 2
    within = places.reshape(batch, 5, 2, -1)[:, :, ::-1].transpose(0, 3, 1, 2)
    return (
        heat.reshape(batch, -1),
        np.concatenate([low, low + size], -1),
        low[:, :, None] + within * size[:, :, None],
    )


def retinaface(outputs: Outputs, height: int, width: int) -> Faces:
    centers, sides = [], []
    for stride, pair in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        centers.append((grid(height, width, stride, 2) + 0.5) * stride)
        sides.append(np.resize(np.array(pair, float), len(centers[-1]))[:, None])
    center, side = np.concatenate(centers), np.concatenate(sides)
    deltas = outputs["loc"].astype(np.float64)
    middle, size = center + deltas[..., :2] * 0.1 * side, side * np.exp(deltas[..., 2:] * 0.2)
    places = outputs["landmarks"].reshape(len(deltas), -1, 5, 2)
    points = center[:, None] + places * 0.1 * side[:, None]
    return outputs["conf"][..., 1], np.concatenate([middle - size / 2, middle + size / 2], -1), points


DECODERS: Mapping[str, Callable[[Outputs, int, int], Faces]] = {
    "ulfd": ulfd,
    "scrfd": scrfd,
    "yunet": yunet,
    "centerface": centerface,
    "retinaface": retinaface,
}
"""Decoders by the name of the family."""
