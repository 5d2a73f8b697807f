"""Entry point: import the verb that is called, run it, and report an error as one line on stderr."""

from __future__ import annotations

import logging
import os
import signal
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

from trt_mogface import __version__
from trt_mogface._optional import import_failure
from trt_mogface.cli import signals
from trt_mogface.errors import ArgumentError, MogFaceError, OutputError, UsageError

NAME = "trt-mogface"
COMPLETION = "_TRT_MOGFACE_COMPLETE"
"""Variable by which a shell asks for completions."""

HELP = {"help_option_names": ["--help", "-h"]}
"""Options that print the help text, of every verb."""

FAILED = 2
NO_READER = 128 + signal.SIGPIPE

VERBS = {
    "detect": "Find the faces in images.",
    "video": "Find, track and blur the faces in videos, and write records of them.",
    "report": "Write a page of the faces, tracks and losses that the verb video has recorded.",
    "export": "Write a model as a contract ONNX file, for ONNX Runtime, TensorRT and others.",
    "adapt": "Write another's ONNX file of a known family as a contract ONNX file.",
    "build": "Build TensorRT engines of a model, each with a manifest that states its accuracy.",
    "triton": "Write a model into a Triton model repository, as a new version.",
    "refit": "Put weights into an engine that was built for it. Needs a GPU.",
    "models": "List the models that can be used by name, with origin, license and size.",
    "inspect": "Summarize a contract ONNX file, an engine or a cascade.",
    "compare": "Compare the faces that two models find in the same images.",
    "serve": "Serve a model over HTTP, with a page for photos and the camera.",
    "bench": "Measure the speed of a model: the network alone, images to faces, and under load.",
    "check-env": "Print which GPU, libraries and decoders were found, and what each missing one is for.",
    "eval": "Measure accuracy on annotated images.",
}
"""The verbs, each in the module of its name, with the first line of its docstring."""

FLAGS = {"workspace_mib": "--mem-pool-size", "seed": "--poisson"}
"""Flags that are not the library's argument with dashes."""


class _Untyped:
    """Shows flags and arguments without the type that Typer prints behind them."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False) or parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda **_: None
        return parameters


class Command(_Untyped, TyperCommand):
    """A verb."""


class Group(_Untyped, TyperGroup):
    """A verb with verbs of its own."""


class Verbs(Group):
    """All verbs by name and help line; only the one that is called is imported."""

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and load(str(name)), rest


def load(name: str) -> Any:
    """Import a verb and return its command."""
    module = import_module(f"trt_mogface.cli.{name.replace('-', '_')}")
    verb = getattr(module, name.replace("-", "_"))
    if not isinstance(verb, typer.Typer):
        function, verb = verb, typer.Typer(add_completion=False)
        verb.command(name)(function)
    verb.info.cls = Group
    for info in verb.registered_commands:
        info.cls = Command
    return typer.main.get_command(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


app = typer.Typer(name=NAME, cls=Verbs, pretty_exceptions_enable=False, context_settings=HELP)


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Detect faces on GPUs and CPUs."""


for _name, _line in VERBS.items():
    app.command(_name, help=_line)(lambda: None)  # replaced by `Verbs.resolve_command`


def main() -> None:
    """Run the command line.

    Exit status: 0; 1 if some of several images failed; 2 if the command failed, with one line on stderr; as
    shells have it for signals: 130 if interrupted, 143 if terminated, 129 if hung up, 141 without a reader.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # it prints about damaged files; our errors do it
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # and so does Pillow where nobody logs
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
    try:
        with signals.raised():
            status = _run(sys.argv[1:])
            if sys.stdout is not None:  # it may have been closed by our parent
                sys.stdout.flush()
    except ArgumentError as error:
        _fail(str(ArgumentError(flag(error.argument), error.problem, error.value)), FAILED)
    except MogFaceError as error:
        _fail(str(error), FAILED)
    except signals.Ended as end:
        _fail(str(end), end.status)
    except MemoryError:
        _fail("out of memory: use smaller images or --size", FAILED)
    except BrokenPipeError:
        _leave_quietly()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # Rich turns one into its own exit status
            _leave_quietly()
        raise
    except OSError as error:
        _discard(sys.stdout)
        _fail(str(OutputError(f"{error.filename or 'output'}: {error.strerror or error}")), FAILED)
    sys.exit(status)


def flag(argument: str) -> str:
    """Return the flag of a library argument; what is not a plain name stays as it is."""
    return FLAGS.get(argument, f"--{argument.replace('_', '-')}") if argument.isidentifier() else argument


def _run(arguments: list[str]) -> int:
    """Parse and run without typer's treatment of errors, which has exit statuses of its own."""
    command = typer.main.get_command(app)
    if COMPLETION in os.environ:
        command.main(prog_name=NAME)  # answers the shell and exits
    try:
        with command.make_context(NAME, list(arguments) or ["--help"]) as context:
            status = command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code if arguments else FAILED
    except Exception as error:
        if hasattr(error, "format_message"):
            raise UsageError(f"{error.format_message()} (see --help)") from error
        failure = import_failure(error)
        if failure is None:  # ours, or a bug: the traceback helps
            raise
        raise failure from error
    return status if isinstance(status, int) else 0


def _leave_quietly() -> NoReturn:
    """Exit as a Unix tool does whose reader has gone."""
    _discard(sys.stdout)
    _discard(sys.stderr)  # its reader may be the same
    sys.exit(NO_READER)


def _discard(stream: TextIO) -> None:
    """Drop buffered output, or the interpreter would complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str, status: int) -> NoReturn:
    try:
        if sys.stderr is not None:  # it may have been closed by our parent; print would take stdout
            print(f"{NAME}: {' '.join(message.split())}", file=sys.stderr)
    except BrokenPipeError:
        _leave_quietly()
    except OSError:  # such as of a full disk
        _discard(sys.stderr)
    sys.exit(status)
