"""``trt-mogface export``: a named model as a contract ONNX file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from trt_mogface._files import whole_file
from trt_mogface.cli import options
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file


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
    console = Console(stderr=True)
    with console.status(f"exporting {model}"):
        file = contract_file(model, weights, min_face, for_cpu=cpu)
        with whole_file(output) as temporary:
            shutil.copyfile(file, temporary)
    size = output.stat().st_size / 1e6
    console.print(f"{escape(str(output))}: {size:.1f} MB", soft_wrap=True, highlight=False)
