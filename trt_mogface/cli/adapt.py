"""``trt-mogface adapt``: another's ONNX file as a contract ONNX file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from trt_mogface._optional import needs
from trt_mogface.cli import options, output
from trt_mogface.cli.options import in_model, in_output


def family_names() -> Iterable[str]:
    """Return the names that ``--as`` takes."""
    from engine_build.models.adapted import families

    return families()


AS_HELP = "Name of the model, or of its family, as `trt-mogface models` lists them."
named = options.completion(family_names)


def adapt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="ONNX file of a detector.")],
    *,
    name: Annotated[str, in_model("NAME", AS_HELP, "--as", autocompletion=named)],
    origin: Annotated[
        str | None, in_model("SOURCE", "Source of the file.", "--origin", show_default="its name")
    ] = None,
    terms: Annotated[
        str | None, in_model("TERMS", "License of its weights.", "--license", show_default="unknown")
    ] = None,
    target: Annotated[str, in_output("FILE|DIR/", "ONNX file to write, or its folder.", "--output", "-o")],
) -> None:
    """Write another's ONNX file of a known family as a contract ONNX file."""
    folder = Path(target) if output.is_folder(target) else None
    path = Path(target) if folder is None else folder / f"{file.stem}.onnx"
    output.check_targets([path], [file], folder=folder)
    with needs("build"):
        from engine_build.models.adapted import adapted
        from engine_build.onnx import contract

        with output.err.status(f"adapting {output.plain(str(file))}"):
            model = adapted(file, name, origin, terms)
            with output.created(folder):
                contract.save(model, path)
    output.say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
