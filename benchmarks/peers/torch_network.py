"""The published MogFace network in PyTorch: unchanged, in half precision, and compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.peers.peer import NETWORK, Loop, Opened, Task
from benchmarks.peers.published import published_network

Way = Literal["eager", "half", "compile", "compile-half"]


@dataclass(frozen=True)
class TorchNetwork:
    """The network on planes in the memory of its device, without the time of preprocessing.

    Attributes:
        way: ``eager`` and ``compile`` run in FP32; ``half`` and ``compile-half`` in FP16 on a GPU and BF16 on
            a CPU, channels last.  ``torch.compile`` runs with ``max-autotune`` on a GPU.
    """

    way: Way

    @property
    def name(self) -> str:
        return f"torch-{self.way}"

    def open(self, task: Task) -> Opened:
        network, where, note = published_network(task)
        import torch

        width, height = task.size
        planes = torch.rand(len(task.images), 3, height, width, device=where) * 0.02 - 0.01
        notes = [note] if note else []
        if self.way.endswith("half"):
            kind = torch.float16 if where.startswith("cuda") else torch.bfloat16
            network = network.to(dtype=kind, memory_format=torch.channels_last)
            planes = planes.to(dtype=kind, memory_format=torch.channels_last)
            notes.append(str(kind).removeprefix("torch."))
        if self.way.startswith("compile"):
            network = torch.compile(network, mode="max-autotune" if where.startswith("cuda") else "default")

        def run() -> None:
            with torch.inference_mode():
                network(planes)
            if where.startswith("cuda"):
                torch.cuda.synchronize()

        return Loop(run, len(task.images), NETWORK, note=", ".join(notes))
