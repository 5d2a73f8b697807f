"""``trt-mogface refit``: weights into an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from trt_mogface._optional import require


def refit(
    engine: Annotated[Path, typer.Argument(help="An engine built with --refit or --strip-weights.")],
    model: Annotated[Path, typer.Argument(help="The ONNX that `build --precision P -o FILE.onnx` writes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The engine to write.")],
) -> None:
    """Put weights into an engine that was built without them, or with others.  Needs a GPU."""
    require("engine_build.tensorrt.refit", extra="build").refit(engine, model, output)
    size = output.stat().st_size / 1e6
    Console(stderr=True).print(f"{escape(str(output))}: {size:.1f} MB", highlight=False)
