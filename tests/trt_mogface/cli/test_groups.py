"""Option groups: flat options on the command line, whole objects in the verb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from trt_mogface.cli.groups import with_groups


@dataclass(frozen=True)
class Inks:
    """Two options, one of which is required."""

    ink: Annotated[str, typer.Option("--ink", "-i", rich_help_panel="Inks")]
    shades: Annotated[int | None, typer.Option(rich_help_panel="Inks")] = None


@dataclass(frozen=True)
class Papers:
    paper: Annotated[bool, typer.Option("--paper")] = False


seen: list[object] = []
app = typer.Typer()


@app.command()
@with_groups
def draw(
    name: Annotated[str, typer.Argument()],
    inks: Inks,
    papers: Papers,
    copies: Annotated[int, typer.Option()] = 1,
) -> None:
    """Draw."""
    seen[:] = [name, inks, papers, copies]


def call(*arguments: str) -> int:
    seen.clear()
    return CliRunner().invoke(app, arguments).exit_code


def test_fields_are_options_and_the_verb_gets_its_groups() -> None:
    assert call("cat", "-i", "blue", "--shades", "3", "--paper", "--copies", "2") == 0
    assert seen == ["cat", Inks("blue", 3), Papers(True), 2]


def test_defaults_are_those_of_the_fields() -> None:
    assert call("cat", "--ink", "red") == 0
    assert seen == ["cat", Inks("red"), Papers(), 1]


@pytest.mark.parametrize("arguments", [("cat",), ("cat", "--ink", "red", "--shades", "x"), ("--ink", "red")])
def test_required_fields_and_types_are_checked(arguments: tuple[str, ...]) -> None:
    assert call(*arguments) == 2
    assert not seen


def test_the_function_keeps_its_name_and_docstring() -> None:
    assert (draw.__name__, draw.__doc__) == ("draw", "Draw.")
