"""docs/accuracy.md says what was recorded, and nothing else."""

from __future__ import annotations

from benchmarks.accuracy import PAGE, ROWS, recorded, written


def test_the_page_is_what_is_recorded() -> None:
    assert PAGE.read_text() == written(), "run python -m benchmarks.accuracy"


def test_every_row_is_recorded_with_its_command() -> None:
    rows = recorded()
    assert list(rows) == [row.label for row in ROWS]
    for row in ROWS:
        assert (rows[row.label]["before"], rows[row.label]["command"]) == (row.before, row.command)
