"""``trt-mogface refit``: weights into an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trt_mogface.cli import options, output
from trt_mogface.models.manifest import manifest_path

ENGINE_HELP = "Engine built with --refit or --strip-weights."
ONNX_HELP = "ONNX that `build --precision P -o FILE.onnx` writes."


def refit(
    engine: Annotated[Path, typer.Argument(metavar="ENGINE", help=ENGINE_HELP)],
    model: Annotated[Path, typer.Argument(metavar="ONNX", help=ONNX_HELP)],
    target: Annotated[Path, options.in_output("FILE", "Engine to write.", "--output", "-o")],
) -> None:
    """Put weights into an engine that was built for it. Needs a GPU."""
    from engine_build.tensorrt.refit import refit as refit_engine

    output.check_targets([target, manifest_path(target)], options.model_files(engine, model))
    refit_engine(engine, model, target)
    output.say(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
