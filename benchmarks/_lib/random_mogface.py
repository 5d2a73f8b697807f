"""MogFace's checkpoint with random weights, and images of noise for calibration: no time depends on either.

python -m benchmarks._lib.random_mogface FILE FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import torch

from engine_build.models.mogface.network import mogface
from trt_mogface.bench.sources import noise

SIZE, COUNT = (320, 320), 4


def save_random(path: str | Path) -> None:
    """Write a checkpoint, always the same."""
    torch.manual_seed(0)
    torch.save(mogface().state_dict(), path)


if __name__ == "__main__":
    save_random(sys.argv[1])
    folder = Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(noise(SIZE, COUNT)):
        cv2.imwrite(str(folder / f"{number}.png"), image)
