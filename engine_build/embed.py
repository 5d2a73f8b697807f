"""Writes the default model's file while the wheel is built: ``python -m engine_build.embed FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from engine_build import contract
from engine_build.retinaface import adapt_retinaface

if __name__ == "__main__":
    contract.save(adapt_retinaface(), Path(sys.argv[1]))
