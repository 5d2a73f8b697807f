"""The published MTCNN of the PyPI package ``modelscope``, without importing all of ModelScope."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.modelscope_code import package_of, stand_ins

FOLDER = "face_detection/mtcnn/models"

MAPS = {"dense4": (64, 3, 3), "dense5": (128, 3, 3)}
"""Shape of the maps in front of the first dense layer of R-Net and of O-Net."""

HEADS = {
    "dense4": "features.conv4",
    "dense5": "features.conv5",
    "dense5_1": "conv5_1",
    "dense5_2": "conv5_2",
    "dense6_1": "conv6_1",
    "dense6_2": "conv6_2",
    "dense6_3": "conv6_3",
    "conv4_1": "conv4_1",
    "conv4_2": "conv4_2",
}
"""Layers of ``facenet-pytorch`` that do not become ``features.NAME``."""


def write_npy(files: Mapping[str, Path], folder: Path) -> Path:
    """Write weights of ``facenet-pytorch`` as the published code reads them: dictionaries of arrays."""
    for stage, path in files.items():
        state = torch.load(path, weights_only=True)
        np.save(folder / f"{stage}.npy", dict(_published(key, value) for key, value in state.items()))  # type: ignore[arg-type]
    return folder


def _published(key: str, value: Any) -> tuple[str, NDArray[np.float32]]:
    layer, _, kind = key.rpartition(".")
    if layer in MAPS and kind == "weight":
        # Each package numbers the inputs in the order in which its own network flattens the maps.
        numbers = torch.arange(value.shape[1]).reshape(1, *MAPS[layer])
        theirs = numbers.permute(0, 3, 2, 1).reshape(-1).tolist()
        wanted = numbers.transpose(3, 2).reshape(-1).tolist()
        value = value[:, [theirs.index(number) for number in wanted]]
    return f"{HEADS.get(layer, f'features.{layer}')}.{kind}", value.numpy()


def published(module: str) -> ModuleType:
    """Import a module of the published code, such as ``detector``, without the rest of ModelScope."""
    registry = SimpleNamespace(register_module=lambda *_, **__: lambda each: each)
    contents: dict[str, dict[str, Any]] = {
        "modelscope": {"__path__": []},
        "modelscope.models": {"__path__": []},
        "modelscope.utils": {"__path__": []},
        "modelscope.metainfo": {"Models": SimpleNamespace(mtcnn="")},
        "modelscope.models.base": {"TorchModel": _TorchModel},
        "modelscope.models.builder": {"MODELS": registry},
        "modelscope.utils.constant": {"Tasks": SimpleNamespace(face_detection="")},
    }
    modules = {name: ModuleType(name) for name in contents}
    for name, found in modules.items():
        vars(found).update(contents[name])
    package = package_of(FOLDER)  # found while modelscope is still itself
    with stand_ins(modules):
        return importlib.import_module(f"{package}.{module}")


class _TorchModel(torch.nn.Module):
    """The base class of ModelScope's models, as far as this one uses it."""

    def __init__(self, *_: object) -> None:
        super().__init__()


def detect(detector: Any, image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return boxes with scores [n, 5] and landmarks [n, 10] of the published detector for a BGR image."""
    rgb = np.ascontiguousarray(image[..., ::-1])
    boxes, landmarks = detector.forward({"img": torch.from_numpy(rgb)})
    return np.reshape(boxes, (-1, 5)), np.reshape(landmarks, (-1, 10))
