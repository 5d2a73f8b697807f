"""Find the faces of an NV12 frame, as video decoders give it: ``python examples/nv12_frame.py photo.jpg``."""

from __future__ import annotations

import sys

import cv2
import numpy as np

from trt_mogface import Detector, read_image
from trt_mogface.frame import Frame


def nv12(source: str) -> Frame:
    """Return an image as luma and interleaved chroma, BT.601 with limited range."""
    image = read_image(source)
    height, width = (side // 2 * 2 for side in image.shape[:2])
    planar = cv2.cvtColor(image[:height, :width], cv2.COLOR_BGR2YUV_I420)
    luma, chroma = planar[:height], planar[height:].reshape(2, height // 2, width // 2)
    interleaved = np.ascontiguousarray(np.moveaxis(chroma, 0, -1), np.uint8)
    return Frame((luma, interleaved), "nv12", matrix="bt601", range="limited", source=source, index=0)


def main(source: str) -> None:
    """Detect on the frame; no conversion to BGR is needed before."""
    with Detector() as detect:
        faces = detect(nv12(source))
    print(faces.to_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
