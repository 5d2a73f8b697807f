"""AP of the default model in each precision on the 244 annotated WIDER FACE images, at original size.

One pass over each image.  Calibrated on the 122 other images of the test data.  ONNX Runtime runs the ONNX of
each precision on the CPU, where it computes INT8 and FP8 convolutions on dequantized numbers.

    python -m benchmarks.precisions
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._lib.data import ANNOTATIONS, CALIBRATION, image_file, sound
from benchmarks._lib.results import record
from engine_build.calibration.images import find_images
from engine_build.calibration.ranges import Method
from engine_build.lowering import Lowering, LoweringOptions
from engine_build.onnx import contract
from engine_build.precision import Precision
from engine_build.workload.convolutions import work_by_convolution
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.detector import Detector
from trt_mogface.evaluation.detecting import detect_all
from trt_mogface.evaluation.evaluation import evaluate
from trt_mogface.evaluation.procedure import PROCEDURES
from trt_mogface.evaluation.wider_face import SETTINGS, read_ground_truth
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file

ROWS: tuple[tuple[str, Precision, Method, str], ...] = (
    ("FP32", "fp32", "percentile", "none"),
    ("FP16", "fp16", "percentile", "none"),
    ("INT8, minmax", "int8", "minmax", "none"),
    ("INT8, entropy", "int8", "entropy", "none"),
    ("INT8, percentile", "int8", "percentile", "none"),
    ("INT8, percentile, --keep-fp16 auto", "int8", "percentile", "auto"),
    ("FP8", "fp8", "percentile", "none"),
    ("FP8, --keep-fp16 auto", "fp8", "percentile", "auto"),
)


def main() -> None:
    table = Table("precision", *SETTINGS, "quantized multiply-adds")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, precision, method, keep in ROWS:
            file = Path(folder, "model.onnx")
            share = lower(precision, method, keep, file)
            ap = measured(file)
            figures[label] = {"ap": ap, "quantized_share": share}
            table.add_row(label, *(f"{value:.4f}" for value in ap.values()), f"{100 * share:.1f}%")
    Console().print(table)
    record("precisions", figures)


def measured(file: Path) -> dict[str, float]:
    """Return the AP of each setting."""
    truth, procedure = read_ground_truth(ANNOTATIONS), PROCEDURES["original"]
    with Detector(file, **procedure.options(scales="native")) as detect:
        found = detect_all(detect, procedure, [image_file(each) for each in truth])
        ap = evaluate(truth, list(sound(found))).ap
    return {setting: round(ap[setting], 4) for setting in SETTINGS}


def lower(precision: Precision, method: Method, keep: str, output: Path) -> float:
    """Write the default model at a precision; return the share of its multiply-adds that is quantized."""
    model = contract_file(DEFAULT, for_cpu=False)
    images = find_images(str(CALIBRATION), read_spec(model).input, None, 512)
    allowed = None if keep == "auto" else 100
    options = LoweringOptions(model, images, calib_method=method, keep_fp16=keep, max_loss=allowed)
    lowered = Lowering(options).at(precision)
    contract.save(lowered.model, output)
    work = work_by_convolution(contract.load(model))
    quantized = sum(work[name] for name, kind in lowered.types.items() if kind in ("int8", "fp8"))
    return round(quantized / sum(work.values()), 4)


if __name__ == "__main__":
    main()
