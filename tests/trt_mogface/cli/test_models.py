"""``trt-mogface models``, and the command line without a verb."""

from __future__ import annotations

import pytest

from engine_build.models.registry import recipes
from tests.support.command import Run, command


def test_every_model_is_listed(run: Run) -> None:
    result = run("models")
    assert (result.status, result.err) == (0, "")
    for card in (recipe.card for recipe in recipes().values()):
        assert card.name in result.out
        assert card.license in result.out
    assert "(default)" in result.out


@pytest.mark.parametrize("verb", [[], ["detect"], ["inspect"], ["models"], ["export"]], ids=str)
def test_help_is_no_failure(run: Run, verb: list[str]) -> None:
    result = run(*verb, "--help")
    assert (result.status, result.err) == (0, "")
    assert "Usage" in result.out


def test_python_dash_m_is_the_command() -> None:
    result = command("models")
    assert result.status == 0
    assert "trt-mogface" not in result.err
    assert "embedded" in result.out


def test_without_a_verb_the_help_is_shown(run: Run) -> None:
    result = run()
    assert "Usage" in result.out
    assert len(result.err.splitlines()) <= 1
    assert result.status == 2
