"""Files come into being whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.specs import one_line
from trt_mogface._files import whole_file, write_text
from trt_mogface.errors import OutputError


def test_text_is_written_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("first, the longer one\n", "grün\n"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [path]


def write_then_raise(path: Path, error: type[BaseException]) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("half of the n")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        write_then_raise(path, error)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_the_name_appears_only_when_the_file_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with whole_file(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"data")
        assert not path.exists()
    assert path.read_bytes() == b"data"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(OutputError) as error, full, whole_file(tmp_path / "a.txt"):
        full.write(b"data")
    assert "No space left" in one_line(error.value)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    places = [
        tmp_path / "no" / "a.txt",
        tmp_path / "file" / "a.txt",
        tmp_path / "folder",
        Path("/proc/a.txt"),
    ]
    for place in places:
        with pytest.raises(OutputError) as error:
            write_text(place, "text")
        assert str(place) in one_line(error.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "text")
        (tmp_path / "b.txt").touch()
    finally:
        os.umask(before)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_something_that_is_not_a_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "text")
    except OutputError:
        pass  # refusing is as good as writing into it
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 250 + ".json")
    path.touch()
    write_text(path, "text")
    assert path.read_text() == "text"
