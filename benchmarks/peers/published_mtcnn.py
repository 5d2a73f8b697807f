"""The published MTCNN of the PyPI package ``modelscope``, without importing all of ModelScope."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

NAME = "published_mtcnn"

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
    spec = importlib.util.find_spec("modelscope")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("modelscope is not installed; pip install modelscope")
    package = ModuleType(NAME)
    package.__path__ = [str(Path(spec.origin).parent / "models/cv/face_detection/mtcnn/models")]
    registry = SimpleNamespace(register_module=lambda *_, **__: lambda each: each)
    stand_ins: dict[str, dict[str, Any]] = {
        "modelscope.metainfo": {"Models": SimpleNamespace(mtcnn="")},
        "modelscope.models.base": {"TorchModel": _TorchModel},
        "modelscope.models.builder": {"MODELS": registry},
        "modelscope.utils.constant": {"Tasks": SimpleNamespace(face_detection="")},
    }
    names = [*stand_ins, "modelscope", "modelscope.models", "modelscope.utils"]
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(stand_ins.get(name, {"__path__": []}))
    sys.modules.setdefault(NAME, package)
    try:
        return importlib.import_module(f"{NAME}.{module}")
    finally:
        for name, earlier in before.items():
            if earlier is None:
                del sys.modules[name]
            else:
                sys.modules[name] = earlier


class _TorchModel(torch.nn.Module):
    """The base class of ModelScope's models, as far as this one uses it."""

    def __init__(self, *_: object) -> None:
        super().__init__()


def detect(detector: Any, image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return boxes with scores [n, 5] and landmarks [n, 10] of the published detector for a BGR image."""
    rgb = np.ascontiguousarray(image[..., ::-1])
    boxes, landmarks = detector.forward({"img": torch.from_numpy(rgb)})
    return np.reshape(boxes, (-1, 5)), np.reshape(landmarks, (-1, 10))
