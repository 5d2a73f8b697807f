"""Paths of the test data for measurements of accuracy; ``MOGFACE_TEST_DATA`` overrides its folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from trt_mogface.evaluation.detecting import Failed
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.wider_face import Annotated

DATA = Path(os.environ.get("MOGFACE_TEST_DATA") or "../shared/data")
SUBSET = DATA / "wider_val_subset"
ANNOTATIONS = SUBSET / "annotations.json"
CALIBRATION = DATA / "wider_val_calib"


def image_file(image: Annotated) -> Path:
    """Return the file of an image of the subset."""
    return SUBSET / "images" / image.event / f"{image.name}.jpg"


def sound(results: Iterable[Predicted | Failed]) -> Iterator[Predicted]:
    """Yield predictions; a measurement ends at an image that cannot be used."""
    for result in results:
        if isinstance(result, Failed):
            raise SystemExit(result.reason)
        yield result
