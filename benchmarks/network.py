"""MogFace at 320x320 on the CPU: a `Detector` call compared with the published network in PyTorch eager.

Random weights, which do not affect the time.  Same threads, runs in turn.

    python -m benchmarks.network
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from rich.console import Console

from benchmarks._lib.results import record
from benchmarks._lib.timing import in_turn
from benchmarks.peers.published import published
from trt_mogface import Detector
from trt_mogface.bench.sources import noise

THREADS = 2
ROUNDS = 7
SIDE = 320


def main() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    network = published().network.MogFace().eval()
    (image,) = noise((SIDE, SIDE), 1)
    planes = torch.rand(1, 3, SIDE, SIDE) * 0.02 - 0.01

    def eager() -> object:
        with torch.no_grad():
            return network(planes)

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        checkpoint = Path(folder, "mogface.pt")
        torch.save(network.state_dict(), checkpoint)
        with Detector("mogface", weights=checkpoint, threads=THREADS) as detect:
            theirs, ours = in_turn(eager, lambda: detect(image), ROUNDS)
    Console().print(
        f"MogFace {SIDE}x{SIDE}, {THREADS} threads: published network, PyTorch eager {theirs:.0f} ms; "
        f"Detector {ours:.0f} ms; ratio {theirs / ours:.2f}x"
    )
    record("network", {"threads": THREADS, "eager_ms": theirs, "ours_ms": ours, "ratio": theirs / ours})


if __name__ == "__main__":
    main()
