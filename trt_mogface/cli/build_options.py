"""The options of ``trt-mogface build``; those that trtexec has too bear its names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

ACCURACY, TENSORRT = "Calibration and accuracy", "TensorRT"


def _accuracy(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=ACCURACY, **settings)


def _tensorrt(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=TENSORRT, **settings)


# Optional[...] and not ... | None: these are evaluated when this module loads, also on Python 3.10.
Model = Annotated[str, typer.Argument(help="A contract ONNX file, or a model name.")]
Output = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--output", "-o", help="Engine file or folder; FILE.onnx writes the ONNX of the precision."),
]
PrecisionList = Annotated[str, typer.Option(help="fp32, fp16, bf16, int8, fp8; several with commas.")]
Shapes = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        help="MIN:OPT:MAX, each BATCHxHEIGHTxWIDTH, or one fixed shape; repeat for more profiles "
        "[1x320x320:1x640x640:8x1280x1280]."
    ),
]

EndToEnd = Annotated[
    bool, typer.Option("--end-to-end", help="Let the engine end in faces: decoding and suppression inside.")
]
Conf = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="With --end-to-end: score threshold (the model's)."),
]
Iou = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="With --end-to-end: IoU threshold (the model's)."),
]
MaxDet = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="With --end-to-end: most faces of a picture (the model's)."),
]

Calib = Annotated[
    Optional[str],  # noqa: UP045
    _accuracy(metavar="PICTURES", help="Calibrate and compare on these: a folder, glob pattern or video."),
]
CalibImages = Annotated[int, _accuracy(min=1, help="Most pictures used.")]
CalibMethod = Annotated[str, _accuracy(help="minmax, percentile or entropy.")]
CalibCache = Annotated[
    Optional[Path],  # noqa: UP045
    _accuracy(metavar="FILE", help="Calibration as a file: written with --calib, read without."),
]
CalibSize = Annotated[str, _accuracy(help="auto (that of a fixed --shapes, else native), native, or WxH.")]
Sensitivity = Annotated[bool, _accuracy("--sensitivity", help="Measure every layer group, and report.")]
KeepFp16 = Annotated[
    str,
    _accuracy(
        metavar="none|auto|N|NAMES",
        help="Of INT8 and FP8, leave in FP16: the fewest groups that meet --max-loss, the N worst, or names.",
    ),
]
MaxLoss = Annotated[
    Optional[float],  # noqa: UP045
    _accuracy(metavar="POINTS", min=0.0, help="AP that may be lost against FP32 (5; 0.25 for auto)."),
]
Boxes = Annotated[
    Optional[Path],  # noqa: UP045
    _accuracy(metavar="FILE", help="Faces of the pictures, in the form of WIDER FACE's bbx_gt.txt."),
]

MemPoolSize = Annotated[
    Optional[str],  # noqa: UP045
    _tensorrt(metavar="workspace:MiB", help="Scratch memory a layer may use."),
]
OptimizationLevel = Annotated[int, _tensorrt("--builder-optimization-level", min=0, max=5, help="Effort.")]
TimingCacheFile = Annotated[
    Optional[Path],  # noqa: UP045
    _tensorrt(metavar="FILE", help="Times of layers, kept (one for each GPU and version)."),
]
VersionCompatible = Annotated[bool, _tensorrt("--version-compatible", help="For later 10.x or 11.x too.")]
HardwareCompatibility = Annotated[
    str, _tensorrt("--hardware-compatibility-level", help="none, ampere+ or same-compute-capability.")
]
ComputeCapabilities = Annotated[
    Optional[str],  # noqa: UP045
    _tensorrt(metavar="8.9,12.0", help="TensorRT-RTX: the GPUs to build for [Ampere and newer]."),
]
UseDlaCore = Annotated[Optional[int], _tensorrt(min=0, help="Jetson: build for this DLA core.")]  # noqa: UP045
AllowGpuFallback = Annotated[
    bool, _tensorrt("--allow-gpu-fallback", help="Layers that the DLA lacks run on the GPU.")
]
StripWeights = Annotated[bool, _tensorrt("--strip-weights", help="Leave weights out; `refit` brings them.")]
Refit = Annotated[bool, _tensorrt("--refit", help="Let weights be exchanged.")]
Tensorrt = Annotated[
    Optional[str],  # noqa: UP045
    _tensorrt(metavar="tensorrt|tensorrt-rtx", help="Which one, where both are installed."),
]
Verbose = Annotated[bool, _tensorrt("--verbose", help="Print TensorRT's log.")]
