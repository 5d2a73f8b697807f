"""Write the default model's file while the wheel is built: ``python -m engine_build.embed FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from engine_build.models.retinaface import adapt
from engine_build.onnx import contract, pixels

if __name__ == "__main__":
    model = adapt()
    pixels.transpose_first(model)  # the embedded file runs on the CPU
    contract.save(model, Path(sys.argv[1]))
