"""``trt-mogface refit``: weights into an engine."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from trt_mogface._files import whole_file
from trt_mogface._optional import require
from trt_mogface.errors import ModelError
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import find_tensorrt, flavor_name
from trt_mogface.models.manifest import load_manifest, load_plan, manifest_path


def refit(
    engine: Annotated[Path, typer.Argument(help="An engine built with --refit or --strip-weights.")],
    model: Annotated[Path, typer.Argument(help="The ONNX that `build --precision P -o FILE.onnx` writes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The engine to write.")],
) -> None:
    """Bring weights into an engine that was built without them, or other weights.  Needs a GPU."""
    manifest = load_manifest(engine)
    flavor = find_tensorrt(flavor_name(manifest.flavor))
    manifest.check_runs_on(flavor, find_gpu(), engine)
    try:
        weights = model.read_bytes()
    except OSError as error:
        raise ModelError(f"{model}: cannot be read ({error.strerror})") from error
    tensorrt = require("engine_build.tensorrt.refit", extra="build")
    plan = tensorrt.refitted(flavor, load_plan(engine, manifest), weights, engine)
    passport = dataclasses.replace(
        manifest, plan_sha256=hashlib.sha256(plan).hexdigest(), plan_bytes=len(plan), inputs_sha256=""
    )
    with whole_file(output) as file, whole_file(manifest_path(output)) as beside:
        file.write_bytes(plan)
        beside.write_text(passport.to_json(), encoding="utf-8")
    Console(stderr=True).print(f"{escape(str(output))}: {len(plan) / 1e6:.1f} MB", highlight=False)
