"""The published MogFace code, from the PyPI package ``modelscope``, without importing all of ModelScope."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from benchmarks.peers.peer import Task

NAME = "published_mogface"


class Published(NamedTuple):
    """The two modules that are compared with."""

    network: ModuleType
    utils: ModuleType


def published() -> Published:
    """``mogface`` and ``utils`` of the published implementation.

    Raises:
        ModuleNotFoundError: modelscope is not installed, or torch, which it needs.
    """
    spec = importlib.util.find_spec("modelscope")  # finds a top-level package without running it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("modelscope is not installed: pip install modelscope")
    package = ModuleType(NAME)
    package.__path__ = [
        str(Path(spec.origin).parent / "models" / "cv" / "face_detection" / "mogface" / "models")
    ]
    sys.modules.setdefault(NAME, package)
    return Published(importlib.import_module(f"{NAME}.mogface"), importlib.import_module(f"{NAME}.utils"))


def published_network(task: Task) -> tuple[Any, str, str]:
    """The published network with trained weights or random ones, on the GPU if torch has one.

    Returns:
        The network; torch's name of where it is; a note on its weights, empty where they are trained.

    Raises:
        ModuleNotFoundError: See `published`.
        SkippedError: The model under test is another.
    """
    from benchmarks.peers.peer import only_for

    only_for(task, "mogface")
    modules = published()
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    network = modules.network.MogFace().eval()
    if task.weights is not None:
        trained = torch.load(task.weights, map_location="cpu", weights_only=True)
        network.load_state_dict(trained, strict=False)  # as the published detector does
    where = f"cuda:{task.device}" if torch.cuda.is_available() else "cpu"
    return network.to(where), where, "" if task.weights is not None else "random weights"
