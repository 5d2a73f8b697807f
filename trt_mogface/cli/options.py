"""Options that several verbs share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Optional

import typer

from trt_mogface.errors import ImageError

Weights = Annotated[
    Optional[Path],  # noqa: UP045 -- evaluated when this module loads, also on Python 3.10
    typer.Option(metavar="FILE", help="Trained weights, for a model that does not bring its own."),
]

MinFace = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(metavar="PX", help="Leave out pyramid levels that only see smaller faces."),
]


def parse_size(option: str, text: str) -> tuple[int, int] | None:
    """Width and height; None for ``native``.

    Raises:
        ImageError: Another form.
    """
    if text == "native":
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise ImageError(f"{option} {text}: use native, or WIDTHxHEIGHT such as 640x480")
    return int(match[1]), int(match[2])
