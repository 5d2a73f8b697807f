"""``--precision`` of verbs that run a model: its contract file at each precision, made in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from trt_mogface._names import parse_names
from trt_mogface._url import is_url
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.cli import options
from trt_mogface.cli.images import say_skipped, say_unusable
from trt_mogface.errors import UsageError
from trt_mogface.models.files import contract_file, model_path, precision_of
from trt_mogface.models.manifest import is_engine

if TYPE_CHECKING:
    from engine_build.calibration.images import Size
    from engine_build.lowering import Lowering
    from engine_build.precision import Precision

RUNNABLE = ("fp32", "fp16", "int8", "fp8")
"""Precisions that ONNX Runtime computes on a CPU; it has no BF16."""


@dataclass(frozen=True)
class PrecisionGroup:
    """Weights of a model and the precisions to run it in."""

    weights: options.Weights = None
    precision: Annotated[
        str | None,
        options.in_accuracy(
            "LIST",
            "fp32, fp16, int8, fp8; several with commas.",
            show_default="the model as it is",
            autocompletion=options.completion(lambda: RUNNABLE),
        ),
    ] = None
    calib: options.Calib = None
    calib_cache: options.CalibCache = None
    force: options.Force = False

    def inputs(self, model: str) -> list[Path | None]:
        """Return the files that are read for a model of this name."""
        read = self.calib_cache if self.calib is None else None
        return [*options.model_files(model, self.weights, read), *options.calibration_files(self.calib)]

    @property
    def written(self) -> Path | None:
        """Calibration file that is written."""
        return None if self.calib is None else self.calib_cache


SERVED = "served"
"""Precision of a model on a server, which only the server knows."""


def model_files(
    model: str, group: PrecisionGroup, folder: Path, size: Size = None
) -> Iterator[tuple[str, str | Path]]:
    """Yield each precision and the file that runs in it, made in `folder`.

    An engine yields its own precision, and a model on a server its address.  Calibration has the `size` that
    the model will run at; None takes the model's own.
    """
    if is_url(model):
        if group != PrecisionGroup():
            raise UsageError(f"{model}: precision and weights are decided by the server")
        yield SERVED, model
        return
    if is_engine(model):
        if group != PrecisionGroup():
            raise UsageError(f"{model}: precision and weights of an engine were decided when it was built")
        yield precision_of(model), Path(model)
        return
    given = precision_of(model)
    wanted = [given] if group.precision is None else parse_names("precision", group.precision, RUNNABLE)
    if given != "fp32" and (wanted != [given] or group.calib or group.calib_cache):
        problem = "leave out --precision, --calib and --calib-cache, or use the FP32 file"
        raise UsageError(f"{model}: computes in {given} already; {problem}")
    if wanted == [given]:
        yield given, model_path(model, group.weights)
        return
    if {"int8", "fp8"} & set(wanted) and group.calib is None and group.calib_cache is None:
        raise UsageError("int8 and fp8 need calibration: --calib IMAGES, or --calib-cache FILE")
    lowering = None if set(wanted) == {"fp32"} else _lowering(model, group, size)
    for name in wanted:
        if lowering is None or name == "fp32":
            yield name, contract_file(model, group.weights)
        else:
            from engine_build.onnx import contract

            path = folder / f"{name}.onnx"
            contract.save(lowering.at(cast("Precision", name)).model, path)
            yield name, path
    if lowering is not None and lowering.options.calib is not None:
        say_unusable(lowering.options.calib.skipped.values())


def _lowering(model: str, group: PrecisionGroup, size: Size) -> Lowering:
    from engine_build.calibration.images import find_images
    from engine_build.lowering import Lowering, LoweringOptions

    file = contract_file(model, group.weights, for_cpu=False)
    images = None if group.calib is None else find_images(group.calib, read_spec(file).input, size, 512)
    if images is not None:
        say_skipped(images.left_out)
    # The loss is what is to be measured: nothing is refused for it.
    return Lowering(
        LoweringOptions(file, images, calib_cache=group.calib_cache, max_loss=100.0, force=group.force)
    )
