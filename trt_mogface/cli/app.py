"""The entry point: verbs gathered, errors told in one line."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import NoReturn

import typer

from trt_mogface.cli.bench import bench
from trt_mogface.cli.build import build
from trt_mogface.cli.check_env import check_env
from trt_mogface.cli.compare import compare
from trt_mogface.cli.detect import detect
from trt_mogface.cli.eval import app as evaluation
from trt_mogface.cli.export import export
from trt_mogface.cli.inspect import inspect
from trt_mogface.cli.models import models
from trt_mogface.cli.refit import refit
from trt_mogface.errors import MogFaceError, UsageError

FAILED = 2
INTERRUPTED = 130

app = typer.Typer(
    name="trt-mogface",
    help="Face detection with MogFace and RetinaFace.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (detect, export, build, refit, models, inspect, compare, bench, check_env):
    app.command()(verb)
app.add_typer(evaluation)


def main() -> None:
    """Run the command line.

    Exit status: 0; 1 when some pictures of several failed; 2 when the command failed, with one line on
    stderr; 130 when interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
    except MogFaceError as error:
        _fail(str(error), FAILED)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except MemoryError:
        _fail("out of memory: use smaller pictures or --size", FAILED)
    except BrokenPipeError:
        _discard_stdout()  # the reader of our output has gone; there is nobody to tell
        sys.exit(FAILED)
    except OSError as error:
        _discard_stdout()
        _fail(f"{error.filename or 'output'}: {error.strerror or error}", FAILED)
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    """Parse and run; without typer's own treatment of errors, which has statuses of its own."""
    command = typer.main.get_command(app)
    given = arguments or ["--help"]
    try:
        with command.make_context(app.info.name, list(given)) as context:
            status = command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code if arguments else FAILED
    except Exception as error:
        if not hasattr(error, "format_message"):  # a fault of ours: the traceback is what helps
            raise
        raise UsageError(f"{error.format_message()} (see --help)") from error
    return status if isinstance(status, int) else 0


def _discard_stdout() -> None:
    """Let what is still buffered go nowhere, or the interpreter would complain of it while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int) -> NoReturn:
    print(f"trt-mogface: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
