"""MTCNN against the published code of ModelScope, in turn and on one thread, and its ring against a loop.

Both read the same images of the test data with the same weights, and find the same faces.

    python -m benchmarks.cascade
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks._lib.data import ANNOTATIONS, image_file
from benchmarks._lib.results import record
from benchmarks._lib.timing import in_turn
from benchmarks.peers.published_mtcnn import detect, published, write_npy
from engine_build.models.mtcnn import weight_files
from trt_mogface import Detector, Runner, read_image
from trt_mogface.evaluation.wider_face import read_ground_truth

EVERY = 20
"""Step through the images of the test data."""

ROUNDS = 3


def main() -> None:
    torch.set_num_threads(1)
    images = [read_image(image_file(each)) for each in read_ground_truth(ANNOTATIONS)[::EVERY]]
    with tempfile.TemporaryDirectory() as folder, Detector("mtcnn", threads=1) as ours:
        weights = write_npy(weight_files(None), Path(folder))
        theirs = published("detector").MtcnnFaceDetector(str(weights), device="cpu")
        figures: list[tuple[tuple[int, int], int, float, float]] = []
        for image in images:
            (boxes, _), found = detect(theirs, image), ours(image)
            np.testing.assert_allclose(found.xyxy, boxes[:, :4], rtol=0, atol=1e-3)
            times = in_turn(partial(detect, theirs, image), partial(ours, image), ROUNDS)
            figures.append(((image.shape[1], image.shape[0]), len(found), *times))
        with Runner("mtcnn", threads=1, slots=1, batch=1) as runner:
            loop, ring = in_turn(
                lambda: [ours(image) for image in images], lambda: list(runner.map(images)), ROUNDS
            )
    table = Table("image", "faces", "published ms", "ours ms", "ratio", title="MTCNN on one thread")
    for (width, height), faces, one, other in figures:
        table.add_row(f"{width}x{height}", str(faces), f"{one:.0f}", f"{other:.0f}", f"{one / other:.1f}x")
    published_ms, ours_ms = np.mean([row[2:] for row in figures], axis=0).tolist()
    table.add_row("mean", "", f"{published_ms:.0f}", f"{ours_ms:.0f}", f"{published_ms / ours_ms:.1f}x")
    console = Console()
    console.print(table, f"{len(images)} images: {loop:.0f} ms in a loop, {ring:.0f} ms in the ring")
    record(
        "cascade",
        {
            "threads": 1,
            "rounds": ROUNDS,
            "images": [
                {"size": size, "faces": faces, "published_ms": one, "ours_ms": other}
                for size, faces, one, other in figures
            ],
            "published_ms": published_ms,
            "ours_ms": ours_ms,
            "loop_ms": loop,
            "ring_ms": ring,
        },
    )


if __name__ == "__main__":
    main()
