"""``trt-mogface export``: a named model as a contract ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from trt_mogface._optional import require
from trt_mogface.cli import options
from trt_mogface.models.files import DEFAULT


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    model: Annotated[str, typer.Option(help="A model name.")] = DEFAULT,
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="For CPUs alone: a larger file with Winograd convolutions.")
    ] = False,
) -> None:
    """Write a model as a contract ONNX file, for ONNX Runtime, TensorRT and others."""
    zoo = require("engine_build.models.registry", extra="build")
    contract = require("engine_build.onnx.contract", extra="build")
    console = Console(stderr=True)
    with console.status(f"exporting {model}"):
        contract.save(zoo.make(model, weights, min_face, for_cpu=cpu), output)
    size = output.stat().st_size / 1e6
    console.print(f"{escape(str(output))}: {size:.1f} MB", soft_wrap=True, highlight=False)
