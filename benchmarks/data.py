"""The test data that measurements of accuracy are made on; ``MOGFACE_TEST_DATA`` names another place."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("MOGFACE_TEST_DATA") or "../shared/data")
SUBSET = DATA / "wider_val_subset"
ANNOTATIONS = SUBSET / "annotations.json"
CALIBRATION = DATA / "wider_val_calib"
