"""AP of a model on the 244 annotated WIDER FACE pictures among the test data.

python -m benchmarks.wider_subset [--model NAME_OR_FILE]
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.machine import record
from trt_mogface import Detections, Detector, read_image
from trt_mogface.accuracy.average_precision import ImageResult, average_precision
from trt_mogface.models import DEFAULT

SETTINGS = ("easy", "medium", "hard")
CONFIDENCE = 0.01
DATA = Path(os.environ.get("MOGFACE_TEST_DATA") or "../shared/data")
SUBSET = DATA / "wider_val_subset"


def main(model: Annotated[str, typer.Option(help="A model name or contract file.")] = DEFAULT) -> None:
    """Detect on the subset at original size and print the three APs."""
    figures = evaluate(model)
    Console().print(f"{model}, at original size: {' / '.join(SETTINGS)} {told(figures)}")
    record("wider_subset", {"model": model, "ap": figures})


def evaluate(model: str | Path) -> dict[str, float]:
    """AP of each setting."""
    annotations = json.loads((SUBSET / "annotations.json").read_text())
    with Detector(model, conf=CONFIDENCE) as detect:
        shown = track(annotations, "detecting", console=Console(stderr=True), transient=True)
        found = [detect(read_image(picture(entry))) for entry in shown]
    return {setting: round(ap(annotations, found, setting), 4) for setting in SETTINGS}


def told(figures: dict[str, float]) -> str:
    """The three APs as WIDER FACE's results are written."""
    return " / ".join(f"{value:.3f}" for value in figures.values())


def picture(entry: dict[str, Any]) -> Path:
    """Where an annotated picture lies."""
    return SUBSET / "images" / str(entry["event"]) / f"{entry['file']}.jpg"


def ap(annotations: list[dict[str, Any]], found: list[Detections], setting: str) -> float:
    """AP of one setting."""
    results = []
    for entry, faces in zip(annotations, found):
        boxes = faces.xyxy.astype(np.float64)
        truth = np.array(entry["boxes_xywh"], np.float64).reshape(-1, 4)
        predicted = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        counted = np.isin(np.arange(len(truth)), entry[setting])
        results.append(ImageResult(predicted, faces.confidence.astype(np.float64), truth, counted))
    return average_precision(results)


if __name__ == "__main__":
    typer.run(main)
