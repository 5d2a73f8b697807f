"""Compare two models on the same images: ``python examples/compare_models.py a.onnx b.onnx photos/``."""

from __future__ import annotations

import sys
from pathlib import Path

from trt_mogface import Detector, read_image
from trt_mogface.evaluation.disagreement import disagreement, in_sum, summary


def main(a: str, b: str, folder: str) -> None:
    """Match the faces of both models and print how they differ."""
    with Detector(a) as detect_a, Detector(b) as detect_b:
        images = [read_image(path) for path in sorted(Path(folder).glob("*.jpg"))]
        parts = [disagreement(detect_a(image), detect_b(image)) for image in images]
    for name, text in summary(in_sum(parts), len(images)):
        print(f"{name}: {text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
