"""Cost of `eval`: the evaluator on all of WIDER FACE's boxes, and detection compared with the network only.

The network only is ONNX Runtime on the same images, read and placed beforehand, with the same threads; both
take turns, part by part.  `eval` also reads, places, selects and writes text files.

    python -m benchmarks.eval
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks._lib.data import ANNOTATIONS, DATA, image_file, sound
from benchmarks._lib.process import run
from benchmarks._lib.results import record
from trt_mogface import Detector, read_image
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.evaluation.detecting import at_a_time, detect_all
from trt_mogface.evaluation.predictions import write_prediction
from trt_mogface.evaluation.procedure import PROCEDURES
from trt_mogface.evaluation.wider_face import read_ground_truth
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file
from trt_mogface.reference.resize import paint

CASES: tuple[tuple[str, int | None, int, int], ...] = (
    (DEFAULT, None, 1, 8),
    (DEFAULT, 1, 1, 8),
    ("mogface", None, 61, 2),
)
"""Model, threads, step through the images, and number of parts."""


def main() -> None:
    if not ANNOTATIONS.is_file():
        sys.exit(f"no test data at {DATA}: nothing was measured")
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(DATA / "predictions" / "yunet_made_here.tar.gz", folder)
        texts = Path(folder, "yunet_pred")
        cost = run(["eval", "wider", "--gt", str(DATA / "gt"), "--predictions", str(texts)], Path(folder))
        console.print(f"text files of 3,226 images: {cost.seconds:.1f} s, {cost.gigabytes:.2f} GB")
        os.environ["XDG_CACHE_HOME"] = folder
        cases = []
        for model, threads, every, parts in CASES:
            ratio = overhead(model_file(model, Path(folder)), threads, every, parts)
            name = f"{model}, {'all' if threads is None else threads} threads"
            console.print(f"detection / network only, {name}: {ratio:.3f}")
            cases.append({"case": name, "cost_of_eval": ratio})
    record("eval", {"evaluator_s": cost.seconds, "evaluator_gb": cost.gigabytes, "cases": cases})


def model_file(model: str, folder: Path) -> Path:
    """Return the contract file of a model, with random weights for MogFace, which do not affect its time."""
    if model == DEFAULT:
        return contract_file(model)
    from benchmarks._lib.random_mogface import save_random

    save_random(folder / "mogface.pt")
    return contract_file(model, folder / "mogface.pt")


def overhead(model: Path, threads: int | None, every: int, parts: int) -> float:
    """Return the time of `eval` divided by the time of the network, median over the parts."""
    procedure, truth = PROCEDURES["original"], read_ground_truth(ANNOTATIONS)[::every]
    backend = CpuBackend(model, procedure.options(scales="native") | {"threads": threads})
    together, ratios = at_a_time(model, threads), []
    with Detector(backend) as detect, tempfile.TemporaryDirectory() as folder:
        for part in range(parts + 1):
            images = truth[max(0, part - 1) :: parts]
            paths = [image_file(image) for image in images]
            inputs = [placed(backend, path) for path in paths]
            started = time.perf_counter()
            for pixels in inputs:
                backend.network.run(pixels)
            network_s = time.perf_counter() - started
            started = time.perf_counter()
            for image, predicted in zip(images, sound(detect_all(detect, procedure, paths, together))):
                write_prediction(Path(folder), image, predicted)
            ratios.append((time.perf_counter() - started) / network_s)
    return statistics.median(ratios[1:])  # the first warms up


def placed(backend: CpuBackend, path: Path) -> NDArray[np.uint8]:
    """Return an image as the network's input, uint8 [1, H, W, 3]."""
    image = read_image(path)
    placement = backend.place(*image.shape[:2])
    out = np.empty((1, *placement.canvas, 3), np.uint8)
    paint(image, placement, backend.network.spec.input.pad, out[0])
    return out


if __name__ == "__main__":
    main()
