"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Weights = Annotated[
    Optional[Path],  # noqa: UP045 -- evaluated when this module loads, also on Python 3.10
    typer.Option(metavar="FILE", help="Trained weights, for a model that does not bring its own."),
]

MinFace = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(metavar="PX", help="Leave out pyramid levels that only see smaller faces."),
]
