"""The published MogFace code of the PyPI package ``modelscope``, without importing all of ModelScope."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from benchmarks.peers.modelscope_code import module_of
from benchmarks.peers.peer import Task, only_for

FOLDER = "face_detection/mogface/models"


class Published(NamedTuple):
    """Modules of the published implementation."""

    network: ModuleType
    utils: ModuleType


def published() -> Published:
    """Import ``mogface`` and ``utils`` of the published implementation, which need torch."""
    return Published(*(module_of(FOLDER, name) for name in ("mogface", "utils")))


def published_network(task: Task) -> tuple[Any, str, str]:
    """Load the published network with the task's checkpoint or random weights, on a GPU if torch has one.

    Returns:
        The network, torch's name of its device, and a note on random weights.
    """
    only_for(task, "mogface")
    modules = published()
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    network = modules.network.MogFace().eval()
    checkpoint = task.files.get("mogface")
    if checkpoint is not None:
        trained = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network.load_state_dict(trained, strict=False)  # as the published detector does
    where = f"cuda:{task.device}" if torch.cuda.is_available() else "cpu"
    return network.to(where), where, "" if checkpoint else "random weights"
