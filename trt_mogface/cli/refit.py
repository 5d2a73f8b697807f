"""``trt-mogface refit``: weights into an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trt_mogface.cli import options, output


def refit(
    engine: Annotated[
        Path, typer.Argument(metavar="ENGINE", help="Engine built with --refit or --strip-weights.")
    ],
    model: Annotated[
        Path, typer.Argument(metavar="ONNX", help="ONNX that `build --precision P -o FILE.onnx` writes.")
    ],
    target: Annotated[Path, options.in_output("FILE", "Engine to write.", "--output", "-o")],
) -> None:
    """Put weights into an engine that was built for it. Needs a GPU."""
    from engine_build.tensorrt.refit import refit as refit_engine

    refit_engine(engine, model, target)
    output.say(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
