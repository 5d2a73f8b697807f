"""What counts as worse, and what is never compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import regression
from benchmarks.regression import compared, figures


def result(**content: Any) -> dict[str, Any]:
    return {"benchmark": "b", "machine": {"ratio": 9}, "figures": content}


def worse(before: dict[str, Any], now: dict[str, Any], tolerance: float = 0.1) -> list[str]:
    return [c.place for c in compared("b", before, now, tolerance) if c.worse > c.allowed]


def test_times_are_never_compared() -> None:
    assert list(figures({"ms": 3, "rows": [{"theirs_ms": 1, "engine": "4 MB"}], "flag": "ratio"}, "b")) == []


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({"ratio": 2.0}, {"ratio": 1.9}, []),
        ({"ratio": 2.0}, {"ratio": 1.7}, ["b/ratio"]),
        ({"ratio": 2.0}, {"ratio": 5.0}, []),
        ({"cost_of_ring": 1.0}, {"cost_of_ring": 1.05}, []),
        ({"cost_of_ring": 1.0}, {"cost_of_ring": 1.2}, ["b/cost_of_ring"]),
        ({"cost_of_ring": 1.0}, {"cost_of_ring": 0.5}, []),
        (
            {"rows": [{"share": 0.9}, {"share": 0.9}]},
            {"rows": [{"share": 0.9}, {"share": 0.5}]},
            ["b/rows/1/share"],
        ),
        ({"x": {"ap": {"hard": 0.8}}}, {"x": {"ap": {"hard": 0.799}}}, []),
        ({"x": {"ap": {"hard": 0.8}}}, {"x": {"ap": {"hard": 0.79}}}, ["b/x/ap/hard"]),
        ({"ratio": 2.0}, {"ratio_of_other": 0.1}, []),
        ({"ratio": 0.0}, {"ratio": 0.0}, []),
    ],
)
def test_what_is_worse(before: dict[str, Any], now: dict[str, Any], found: list[str]) -> None:
    assert worse(result(**before), result(**now)) == found


def test_a_worse_file_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a repository of its own: what was committed, and what was measured since."""
    path = tmp_path / "b.json"
    path.write_text(json.dumps(result(ratio=2.0)))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "measured"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(regression, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["regression"])
    assert regression.main() == 0
    path.write_text(json.dumps(result(ratio=1.0)))
    (tmp_path / "new.json").write_text(json.dumps(result(ratio=1.0)))
    assert regression.main() == 1
    assert "1 figures compared with HEAD, 1 worse than allowed" in capsys.readouterr().out
