"""The entry point: verbs gathered, errors told in one line."""

from __future__ import annotations

import sys

import typer

from trt_mogface.cli.detect import detect
from trt_mogface.cli.export import export
from trt_mogface.cli.inspect import inspect
from trt_mogface.cli.models import models
from trt_mogface.errors import MogFaceError

FAILED = 2
INTERRUPTED = 130

app = typer.Typer(
    name="trt-mogface",
    help="Face detection with MogFace and RetinaFace.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (detect, export, models, inspect):
    app.command()(verb)


def main() -> None:
    """Run the command line.

    Exit status: 0; 1 when some pictures of several failed; 2 when the command failed, with one line on
    stderr; 130 when interrupted.
    """
    try:
        status = app(standalone_mode=False)
    except MogFaceError as error:
        _fail(str(error), FAILED)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", INTERRUPTED)
    except MemoryError:
        _fail("out of memory: use smaller pictures or --size", FAILED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; there is nobody to tell
        sys.exit(FAILED)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a fault of ours: the traceback is what helps
            raise
        _fail(f"{error.format_message()} (see --help)", FAILED)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    print(f"trt-mogface: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
