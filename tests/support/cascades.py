"""MTCNN with the trained weights, changed so that it accepts too much, or gives what no network should."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trt_mogface._json import sealed
from trt_mogface.models.cascade import MANIFEST, STAGES, network_file


def made(folder: Path, weights: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
    """Write a cascade whose torch networks were changed."""
    import torch

    from engine_build.models.mtcnn.export import export
    from engine_build.models.mtcnn.weights import load
    from engine_build.onnx import contract

    networks = load({stage: weights / f"{stage}.npy" for stage in STAGES})
    with torch.no_grad():
        change(networks)
    for stage, model in export(networks).items():
        contract.save(model, network_file(folder, stage))
    seal(folder)
    return folder


def seal(folder: Path, **changes: object) -> None:
    files = {stage: hashlib.sha256(network_file(folder, stage).read_bytes()).hexdigest() for stage in STAGES}
    thresholds = {"score_threshold": 0.9, "iou_threshold": 0.7, "top_k": 5000, "max_detections": 750}
    rest = {"inclusive_areas": True, "clip": False}
    origin = {"source": "a place", "license": "MIT", "weights_sha256": ""}
    fields = {"format": 1, "name": "mtcnn", "thresholds": thresholds | rest, "origin": origin, "files": files}
    (folder / MANIFEST).write_text(json.dumps(sealed(fields | changes)))


def all_cells(networks: dict[str, Any]) -> None:
    networks["pnet"].conv4_1.bias[1] += 100


def far_away(networks: dict[str, Any]) -> None:
    all_cells(networks)
    networks["pnet"].conv4_2.bias += 40


def huge(networks: dict[str, Any]) -> None:
    all_cells(networks)
    import torch

    networks["pnet"].conv4_2.bias += torch.tensor([-1e30, -1e30, 1e30, 1e30])


def not_finite(networks: dict[str, Any]) -> None:
    networks["pnet"].conv4_2.bias[2] = float("inf")


def not_a_number(networks: dict[str, Any]) -> None:
    networks["onet"].conv6_1.bias[0] = float("nan")


def too_large(networks: dict[str, Any]) -> None:
    networks["onet"].conv6_2.bias[2] = 3e38
