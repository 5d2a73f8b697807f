"""The rules for every input, and the check of one use of it: by the library or by the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from trt_mogface._files import sha256_of
from trt_mogface.cli.app import FAILED, main
from trt_mogface.cli.images import SOME_FAILED
from trt_mogface.errors import MogFaceError

LONGEST = 1500
"""Characters of a message; no raw value of megabytes fits."""

UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that break a line or command a terminal."""

CODECS = re.compile(
    r"libpng |Corrupt JPEG|Premature end of JPEG|Invalid SOS|"
    r"(_?TIFF|JPEG|LZW|Fax|ZIP|PackBits|Predictor|LogLuv|EstimateStrip|MissingRequired|tempfile)\S*: "
)
"""Lines that image libraries print on descriptor 2, past Python and OpenCV, about damaged files."""

MADE = "made"
"""Beginning of the names of files that a command may write when it succeeds."""


class Problem(NamedTuple):
    """A broken rule: its kind, by which problems are counted, and the details of this case."""

    kind: str
    detail: str


class Misbehaved(Exception):  # noqa: N818 -- a finding, not an error of this code
    """An input that was accepted and then did not behave."""


Use = Callable[[Path], object]
"""Reads the files of a folder with the library; a returned text is the reason why it was refused."""


def require(is_right: bool, rule: str) -> None:
    """Check what an accepted input leads to."""
    if not is_right:
        raise Misbehaved(rule)


def check_use(use: Use, folder: Path) -> tuple[bool, list[Problem]]:
    """Use the files of a folder; return whether they were accepted, and the problems."""
    with _watched(folder, succeeds=lambda: False) as problems, captured():
        try:
            use(folder)
        except MogFaceError as error:
            return False, [*problems, *_message_problems(str(error))]
        except Misbehaved as error:
            return True, [*problems, Problem(f"accepted, but {error}", "")]
        except Exception as error:  # noqa: BLE001 -- any other exception is a finding
            return False, [*problems, _raised(error)]
    return True, problems


def check_command(arguments: Sequence[str], folder: Path) -> tuple[bool, list[Problem]]:
    """Run a command of ``trt-mogface`` in a folder; return whether it succeeded, and the problems."""
    status: object = None
    with _watched(folder, succeeds=lambda: status == 0) as problems, captured() as files:
        sys.argv = ["trt-mogface", *arguments]
        try:
            main()
        except SystemExit as stop:
            status = stop.code
        except Exception as error:  # noqa: BLE001 -- a traceback
            problems.append(_raised(error))
            return False, problems
        sys.stdout.flush()
        sys.stderr.flush()
        printed, said = (_text(file) for file in files)
    problems += status_problems(status, printed, said)
    if status in (0, SOME_FAILED) and arguments[-2:] == ("--json", "-"):
        problems += _json_problems(printed)
    return status == 0, [Problem(f"{arguments[0]}: {kind}", detail) for kind, detail in problems]


def _raised(error: BaseException) -> Problem:
    """Return an exception with the last frames of the product in it."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/trt_mogface/" in frame.filename or "/engine_build/" in frame.filename
    ]
    places = [f"{Path(frame.filename).name}:{frame.name}" for frame in frames[-2:]]
    detail = "".join(traceback.format_exception(error))[-4000:]
    return Problem(f"{type(error).__name__} in {' > '.join(places)}", detail)


def _message_problems(message: str) -> Iterator[Problem]:
    if not message.strip():
        yield Problem("empty message", "")
    if len(message) > LONGEST:
        yield Problem("message too long", f"{len(message)} characters: {message[:400]!r}")
    odd = [c for c in message if unicodedata.category(c) in UNPRINTABLE]
    if odd:
        yield Problem("message with control characters", f"{odd[0]!r} in {message[:400]!r}")


def status_problems(status: object, printed: str, said: str) -> Iterator[Problem]:
    """Yield what is wrong with a command's exit status, standard output and standard error."""
    shown = f"status {status}; stdout {printed[-300:]!r}; stderr {said[-1500:]!r}"
    if status not in (0, SOME_FAILED, FAILED):
        yield Problem("undocumented exit status", shown)
    if "Traceback" in said:
        yield Problem("traceback", shown)
    lines = [line for line in said.split("\n")[:-1] if not CODECS.match(line)]
    if status == FAILED:
        if len(lines) != 1 or not lines[0].startswith("trt-mogface: "):
            yield Problem("failed without exactly one line", shown)
        elif "out of memory" in said or "MemoryError" in said:
            yield Problem("out of memory", shown)
    for line in (*lines, *printed.split("\n")):
        if any(unicodedata.category(c) in UNPRINTABLE for c in line):
            yield Problem("control characters printed", shown)
            return
    for line in lines:
        if len(line) > LONGEST:
            yield Problem("line too long", shown)
            return


def _json_problems(printed: str) -> Iterator[Problem]:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(printed, parse_constant=refuse)
    except ValueError as error:
        yield Problem("not JSON", f"{error}: {printed[-300:]!r}")


@contextmanager
def _watched(folder: Path, succeeds: Callable[[], bool]) -> Iterator[list[Problem]]:
    """Make `folder` the current one; see that nothing in it changes and no temporary file stays."""
    problems: list[Problem] = []
    before, temporary = _contents(folder), Path(tempfile.gettempdir())
    os.chdir(folder)
    try:
        yield problems
    finally:
        left = {name for name in _contents(folder) if name not in before}
        for name in left:
            if not (succeeds() and name.startswith(MADE)):
                problems.append(Problem("file left behind", name))
            (folder / name).unlink()
        for name, digest in _contents(folder).items():
            if before[name] != digest:
                problems.append(Problem("input changed", name))
        if len(before) > len(_contents(folder)):
            problems.append(Problem("input removed", ""))
        for path in temporary.iterdir():
            problems.append(Problem("temporary file left behind", path.name))
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


@contextmanager
def captured() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Send descriptors 1 and 2, to which native libraries write too, to files without names."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = [(number, os.dup(number)) for number in (1, 2)]
        for file, (number, _) in zip((out, err), kept):
            os.dup2(file.fileno(), number)
        try:
            yield out, err
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, handle in kept:
                os.dup2(handle, number)
                os.close(handle)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
