"""Find the faces of one image and draw them: ``python examples/detect_image.py photo.jpg faces.jpg``."""

from __future__ import annotations

import sys

from trt_mogface import Detector, read_image


def main(source: str, target: str) -> None:
    """Detect, print and draw."""
    image = read_image(source)
    with Detector() as detect:
        faces = detect(image)
    for (x0, y0, x1, y1), score in zip(faces.xyxy, faces.confidence):
        print(f"{score:.3f}: {x0:.0f}, {y0:.0f} to {x1:.0f}, {y1:.0f}")
    faces.save_picture(target, image)


if __name__ == "__main__":
    main(*sys.argv[1:])
