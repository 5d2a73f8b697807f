"""docs/accuracy.md agrees with the recorded results."""

from __future__ import annotations

from benchmarks._lib.results import recorded
from benchmarks.accuracy import PAGE, ROWS, page


def test_the_page_agrees_with_the_recorded_rows() -> None:
    assert PAGE.read_text() == page(), "run python -m benchmarks.accuracy"


def test_every_row_is_recorded_with_its_command() -> None:
    rows = recorded("accuracy")["rows"]
    assert list(rows) == [row.label for row in ROWS]
    for row in ROWS:
        assert (rows[row.label]["before"], rows[row.label]["command"]) == (row.before, row.command)
