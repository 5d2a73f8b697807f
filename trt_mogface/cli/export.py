"""``trt-mogface export``: a named model as a contract ONNX file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from trt_mogface._files import whole_file, whole_folder
from trt_mogface._optional import needs
from trt_mogface.cli import options, output
from trt_mogface.cli.options import in_output
from trt_mogface.errors import ArgumentError
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.cascade import MANIFEST, STAGES, network_file
from trt_mogface.models.files import contract_file, is_cascade, model_path

CPU_HELP = "Only for CPUs: a larger file with Winograd convolutions."


def export(
    *,
    model: Annotated[str, options.named_model("NAME", "Model name.")] = DEFAULT,
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    layout: options.InputLayout = options.UINT8,
    target: Annotated[
        str,
        in_output("FILE|DIR/", "ONNX file to write, or its folder; a cascade is a folder.", "--output", "-o"),
    ],
    cpu: Annotated[bool, in_output("", CPU_HELP, "--cpu")] = False,
) -> None:
    """Write a model as a contract ONNX file, for ONNX Runtime, TensorRT and others.

    A cascade becomes a folder: an ONNX file for each network, and a manifest.
    """
    planes = options.parse_layout(layout) == "nchw-float32"
    if is_cascade(model):
        if planes:
            raise ArgumentError("input", f"{model} is a cascade, whose networks read crops; omit it", layout)
        _export_cascade(model, weights, min_face, Path(target))
        return
    folder = Path(target) if output.is_folder(target) else None
    path = Path(target) if folder is None else folder / f"{Path(model).name.removesuffix('.onnx')}.onnx"
    output.check_targets([path], options.model_files(model, weights), folder=folder)
    with output.err.status(f"exporting {model}"):
        made = contract_file(model, weights, min_face, for_cpu=cpu)
        with output.created(folder), whole_file(path) as file:
            if planes:
                _write_float_planes(made, file)
            else:
                shutil.copyfile(made, file)
    output.say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def _write_float_planes(made: Path, file: Path) -> None:
    from engine_build.onnx import contract, pixels

    with needs("build"):
        model = contract.load(made)
        pixels.float_planes(model)
        contract.save(model, file)


def _export_cascade(model: str, weights: Path | None, min_face: float | None, folder: Path) -> None:
    files = [*(network_file(folder, stage) for stage in STAGES), folder / MANIFEST]
    output.check_targets(files, [Path(model) / file.name for file in files], folder=folder)
    with output.err.status(f"exporting {model}"):
        made = model_path(model, weights, min_face)
        with output.created(folder.parent), whole_folder(folder) as temporary:
            for file in files:
                shutil.copyfile(made / file.name, temporary / file.name)
    size = sum(file.stat().st_size for file in files)
    output.say(f"{folder}: {size / 1e6:.1f} MB in {len(files)} files")
