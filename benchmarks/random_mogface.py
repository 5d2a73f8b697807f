"""MogFace's checkpoint with random weights, and pictures of noise to calibrate on: no time depends on either.

python -m benchmarks.random_mogface FILE FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import torch

from engine_build.models.mogface.network import MogFace
from trt_mogface.bench.sources import noise

SIZE, COUNT = (320, 320), 4

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.save(MogFace().state_dict(), sys.argv[1])
    folder = Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    for number, picture in enumerate(noise(SIZE, COUNT)):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
