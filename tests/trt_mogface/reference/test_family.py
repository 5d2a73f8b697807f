"""The detector family under contract 2: its published formulas, box by box, on its published files."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.family_specs import CENTERFACE, FAMILY, SCRFD, ULFD, YUNET
from tests.support.specs import Floats
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.decode import decode_boxes
from trt_mogface.reference.resize import Placement, paint, place_letterbox, place_native, place_stretch
from trt_mogface.reference.select import select
from trt_mogface.spec import DetectorSpec

ANCHORS = {"mogface": 34125, "baseline": 34125, "retinaface": 16800, "ulfd": 23500, "scrfd": 16800}
ANCHORS |= {"tinymog": 16800, "damofd": 16800, "yunet": 8400, "centerface": 25600}
"""At 640x640, by the first part of the name."""

Box = tuple[float, list[float], list[float]]
"""Score, corners, points."""


@pytest.mark.parametrize("name", FAMILY)
def test_the_contract_holds_every_detector(name: str) -> None:
    spec = FAMILY[name]
    assert DetectorSpec.from_json(spec.to_json()) == spec
    assert len(anchors(spec, 640, 640)) == ANCHORS[name.partition("-")[0]]


def session(path: Path, extra: str = "") -> Any:
    """A network, and one more of its tensors as an output."""
    onnx = pytest.importorskip("onnx")
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    model = onnx.load(str(path))
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    if extra:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(extra))
    return onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(network: Any, pixels: NDArray[Any]) -> dict[str, Floats]:
    """The outputs by name for BGR or RGB pixels of any scale, without the batch."""
    batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
    found = network.run(None, {network.get_inputs()[0].name: batch})
    return {value.name: out[0] for value, out in zip(network.get_outputs(), found)}


def placed(
    test_data: Path, placement_of: Any, pad: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], Placement]:
    image: Any = cv2.imread(str(test_data / "demo_images" / "insightface_t1.jpg"))
    placement: Placement = placement_of(*image.shape[:2])
    canvas = np.empty((*placement.canvas, 3), np.uint8)
    paint(image, placement, pad, canvas)
    return canvas, placement


def iou(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def suppressed(boxes: list[Box], threshold: float) -> list[Box]:
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box[0]):
        if all(iou(box[1], better[1]) <= threshold for better in kept):
            kept.append(box)
    return kept


def check_faces(
    expected: list[Box], found: Any, placement: Placement, faces: int, *, atol: float = 1e-3
) -> None:
    """The boxes are those expected, and as many as the image has faces."""
    assert len(found.scores) == len(expected) == faces
    np.testing.assert_allclose(found.scores, [score for score, _, _ in expected], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [corners for _, corners, _ in expected], atol=atol)
    if found.landmarks is not None:
        points = np.array([points for _, _, points in expected]).reshape(found.landmarks.shape)
        np.testing.assert_allclose(found.landmarks, points, atol=atol)
    rows, columns = placement.content
    centers = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert ((centers > 0) & (centers < [columns, rows])).all()


def test_scrfd(test_data: Path) -> None:
    network = session(test_data / "weights" / "scrfd_500m_kps.onnx")
    canvas, placement = placed(test_data, lambda h, w: place_letterbox(h, w, (640, 640)), SCRFD.input.pad)
    out = run(network, (canvas[..., ::-1].astype(np.float32) - 127.5) / 128)
    levels = [[out[f"out{3 * kind + level}"] for level in range(3)] for kind in range(3)]
    rows, columns = placement.content
    expected: list[Box] = []
    for stride, scores, distances, points in zip((8, 16, 32), *levels):
        for index in np.flatnonzero(scores[:, 0] > 0.3).tolist():
            cell = index // 2
            x, y = cell % (640 // stride) * stride, cell // (640 // stride) * stride
            left, top, right, bottom = (float(each) * stride for each in distances[index])
            corners = [max(x - left, 0), max(y - top, 0), min(x + right, columns), min(y + bottom, rows)]
            marks = [
                (x, y)[axis % 2] + float(value) * stride for axis, value in enumerate(points[index].tolist())
            ]
            expected.append((float(scores[index, 0]), corners, marks))
    # The adapter's rule: sides are the real anchors, and distances are divided by side / stride.
    ratios = [
        np.tile([side / level.stride for side in level.sides], len(s) // 2)[:, None].astype(np.float32)
        for level, s in zip(SCRFD.levels, levels[0])
    ]
    scaled = [np.concatenate([d / r for d, r in zip(levels[kind], ratios)]) for kind in (1, 2)]
    found = select(
        np.concatenate(levels[0])[:, 0],
        *scaled,
        spec=SCRFD,
        size=(640, 640),
        thresholds=SCRFD.thresholds,
        content=placement.content,
    )
    check_faces(suppressed(expected, 0.45), found, placement, 6)


@pytest.mark.parametrize("name", ["yunet_n", "yunet_s"])
def test_yunet(test_data: Path, name: str) -> None:
    network = session(test_data / "weights" / f"{name}_dynamic.onnx")
    canvas, placement = placed(test_data, lambda h, w: place_native(h, w, YUNET.input), YUNET.input.pad)
    out = run(network, canvas)
    expected: list[Box] = []
    for stride in (8, 16, 32):
        scores = out[f"cls_{stride}"][:, 0] * out[f"obj_{stride}"][:, 0]
        columns = canvas.shape[1] // stride
        for index in np.flatnonzero(scores > np.float32(0.6)).tolist():
            dx, dy, dw, dh = map(float, out[f"bbox_{stride}"][index])
            x, y = (index % columns + dx) * stride, (index // columns + dy) * stride
            w, h = math.exp(dw) * stride, math.exp(dh) * stride
            cell = index % columns, index // columns
            marks = [
                (cell[axis % 2] + float(value)) * stride
                for axis, value in enumerate(out[f"kps_{stride}"][index].tolist())
            ]
            expected.append((float(scores[index]), [x - w / 2, y - h / 2, x + w / 2, y + h / 2], marks))
    by_level = [[out[f"{kind}_{stride}"] for stride in (8, 16, 32)] for kind in ("cls", "obj", "bbox", "kps")]
    classes, objects, deltas, points = map(np.concatenate, by_level)
    found = select(
        (classes * objects)[:, 0],
        deltas,
        points,
        spec=YUNET,
        size=placement.canvas,
        thresholds=YUNET.thresholds,
    )
    check_faces(suppressed(expected, 0.45), found, placement, 6)


DELTAS = {320: "460", 640: "460"}
"""Name of the tensor before the decoding."""


@pytest.mark.parametrize("width", [320, 640])
def test_ulfd(test_data: Path, width: int) -> None:
    size = (width * 3 // 4, width)
    network = session(test_data / "weights" / f"ulfd_version-RFB-{width}.onnx", DELTAS[width])
    canvas, placement = placed(test_data, lambda h, w: place_stretch(h, w, size), ULFD.input.pad)
    out = run(network, (canvas[..., ::-1].astype(np.float32) - 127) / 128)
    deltas, scores = out[DELTAS[width]], np.ascontiguousarray(out["scores"][:, 1])
    scale = np.array([*size[::-1], *size[::-1]], np.float32)
    # The file decodes its boxes itself, to 0..1: every one of them.
    boxes = decode_boxes(deltas, anchors(ULFD, *size), ULFD.coding)
    np.testing.assert_allclose(boxes / scale, out["boxes"], atol=1e-6)
    expected: list[Box] = [
        (float(scores[index]), (out["boxes"][index] * scale).tolist(), [])
        for index in np.flatnonzero(scores > np.float32(0.85)).tolist()
    ]
    found = select(scores, deltas, None, spec=ULFD, size=size, thresholds=ULFD.thresholds)
    check_faces(suppressed(expected, 0.3), found, placement, 6)
    # On multiples of the stride most boxes of the coarse levels would lie elsewhere.
    on_strides = dataclasses.replace(ULFD, coding=dataclasses.replace(ULFD.coding, spread=False))
    apart = np.abs(decode_boxes(deltas, anchors(on_strides, *size), ULFD.coding) - boxes).max(axis=1)
    assert np.count_nonzero(apart > 1) > 50


def test_centerface() -> None:
    """Published: box ((column + offset + 0.5) * 4, exp(size) * 4), points within the box."""
    rng = np.random.default_rng(0)
    size, grid = (256, 320), (64, 80)
    heat = rng.uniform(0, 0.5, grid).astype(np.float32)
    for row, column in ((20, 20), (30, 60), (44, 40)):
        heat[row, column] = rng.uniform(0.6, 1)
    scale, offset = rng.uniform(1, 2.5, (2, *grid)), rng.uniform(0, 1, (2, *grid))  # y before x
    points = rng.uniform(0, 1, (10, *grid))
    expected: list[Box] = []
    for row, column in np.argwhere(heat > 0.5).tolist():
        h, w = np.exp(scale[:, row, column]) * 4
        x, y = (
            (column + offset[1, row, column] + 0.5) * 4 - w / 2,
            (row + offset[0, row, column] + 0.5) * 4 - h / 2,
        )
        marks = [
            float(v)
            for j in range(5)
            for v in (points[2 * j + 1, row, column] * w + x, points[2 * j, row, column] * h + y)
        ]
        expected.append((float(heat[row, column]), [x, y, x + w, y + h], marks))
    deltas = np.stack([offset[1], offset[0], scale[1], scale[0]], axis=-1).astype(np.float32)
    at = [
        offset[1 - axis % 2] + (points[axis + 1 - 2 * (axis % 2)] - 0.5) * np.exp(scale[1 - axis % 2])
        for axis in range(10)
    ]
    found = select(
        heat.ravel(),
        deltas.reshape(-1, 4),
        np.stack(at, axis=-1).astype(np.float32).reshape(-1, 10),
        spec=CENTERFACE,
        size=size,
        thresholds=CENTERFACE.thresholds,
    )
    check_faces(suppressed(expected, 0.3), found, Placement((1.0, 1.0), size, size), 3)
