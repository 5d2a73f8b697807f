"""``--precision`` of verbs that run a model: its contract files at each precision, made for the occasion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from trt_mogface._optional import require
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.backends.registry import is_engine
from trt_mogface.errors import UsageError
from trt_mogface.models.files import contract_file
from trt_mogface.models.manifest import load_manifest

if TYPE_CHECKING:
    from engine_build.lowering import Lowering
    from engine_build.precision import Precision as Name

RUNNABLE = ("fp32", "fp16", "int8", "fp8")
"""What ONNX Runtime computes on a CPU; it has no BF16."""

Precision = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="fp32, fp16, int8, fp8; several with commas (the model as it is)."),
]
Calib = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="PICTURES", help="For int8 and fp8: calibrate on these."),
]
CalibCache = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="For int8 and fp8: calibration as a file."),
]


def model_files(
    model: str,
    weights: Path | None,
    precision: str | None,
    calib: str | None,
    calib_cache: Path | None,
    folder: Path,
) -> Iterator[tuple[str, Path]]:
    """Each precision with the file that runs in it; an engine with its own.

    Args:
        model: A name, a contract file or an engine.
        weights: See `trt_mogface.models.files.contract_file`.
        precision: Names with commas, or None.
        calib, calib_cache: See ``trt-mogface build``.
        folder: Where files are made.

    Raises:
        UsageError: An unknown precision, one for an engine, or no calibration for INT8 and FP8.
        MogFaceError: See `engine_build.lowering.Lowering.at`.
    """
    if is_engine(model):
        if precision or weights or calib or calib_cache:
            raise UsageError(f"{model}: precision and weights of an engine were decided when it was built")
        yield load_manifest(Path(model)).precision, Path(model)
        return
    wanted = ["fp32"] if precision is None else [name.strip() for name in precision.split(",")]
    for name in wanted:
        if name not in RUNNABLE:
            raise UsageError(
                f"--precision {name:.20}: without an engine use {', '.join(RUNNABLE)}; `build` makes engines"
            )
    if {"int8", "fp8"} & set(wanted) and calib is None and calib_cache is None:
        raise UsageError("int8 and fp8 need calibration: --calib PICTURES, or --calib-cache FILE")
    lowering = None
    for name in dict.fromkeys(wanted):
        if name == "fp32":
            yield name, contract_file(model, weights)
            continue
        lowering = lowering or _lowering(model, weights, calib, calib_cache)
        path = folder / f"{name}.onnx"
        _offline("onnx.contract").save(lowering.at(cast("Name", name)).model, path)
        yield name, path


def _lowering(model: str, weights: Path | None, calib: str | None, calib_cache: Path | None) -> Lowering:
    file: Path = _offline("models.registry").exported_file(model, weights, None)
    pictures = None
    if calib is not None:
        pictures = _offline("calibration.images").find_images(calib, read_spec(file).input, None, 512)
    # What it loses is what is to be measured: nothing is refused for it.
    request = _offline("lowering").LoweringOptions(file, pictures, calib_cache=calib_cache, max_loss=100.0)
    made: Lowering = _offline("lowering").Lowering(request)
    return made


def _offline(name: str) -> ModuleType:
    """A module of the offline half, which has packages of its own."""
    return require(f"engine_build.{name}", extra="build")
