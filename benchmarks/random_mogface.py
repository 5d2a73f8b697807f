"""MogFace's checkpoint with random weights, on which no time depends.

python -m benchmarks.random_mogface FILE
"""

from __future__ import annotations

import sys

import torch

from engine_build.mogface.network import MogFace

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.save(MogFace().state_dict(), sys.argv[1])
