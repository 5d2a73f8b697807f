"""Exceptions of this package.

Each message is one line: what is wrong, where, and what to do.  The type says whose fault it is, so that a
server can answer 4xx or 5xx from the type:

========================================  =======================================================
`ArgumentError`, `UsageError`             the caller's arguments or command line
`ImageError`                              an image, a video or a frame
`ModelError`                              a model, its weights or the download of either
`EngineError`                             an engine, or building it
`DeviceError`                             the GPU, its memory, or the CUDA kernels
`RunnerError`                             a detector or runner that is closed or broken
`ServerError`                             a Triton server that is missing, busy or slow
`OutputError`, `EvaluationError`          a result that cannot be written; ground truth or predictions
`MissingExtraError`                       a package that is not installed or is broken
========================================  =======================================================
"""

from __future__ import annotations

from trt_mogface._printable import printable

LONGEST = 1200
"""Characters of a message; of a longer one the beginning and the end stay."""


class MogFaceError(Exception):
    """Base class of all exceptions that this package raises on purpose.

    The command line prints the message and exits with status 2.

    Args:
        message: What is wrong, where, and what to do.  Control characters, which names in damaged files may
            have, become escapes.
    """

    is_fatal = False
    """Whether nothing can run any more where it happened, such as after a CUDA error."""

    def __init__(self, message: str = "") -> None:
        text = printable(message)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST * 2 // 3]} ... {text[-LONGEST // 4 :]}"
        super().__init__(text)


class ArgumentError(MogFaceError, ValueError):
    """An argument with an unusable value.

    Args:
        argument: Name of the argument, as the library spells it.
        problem: What is wrong and what to do, e.g. ``must be positive``.
        value: The value, shown after the name; None shows none.
    """

    def __init__(self, argument: str, problem: str, value: object = None) -> None:
        self.argument, self.problem, self.value = argument, problem, value
        super().__init__(f"{argument}{'' if value is None else f' {value}'}: {problem}")

    def __reduce__(self) -> tuple[type[ArgumentError], tuple[str, str, object]]:
        return type(self), (self.argument, self.problem, self.value)


class UsageError(MogFaceError):
    """A command line that cannot be understood, or options that contradict each other."""


class ImageError(MogFaceError):
    """An image, video or frame that cannot be used: unreadable, truncated, too large, of the wrong type."""


class ImageTooLargeError(ImageError):
    """An image with more pixels than are accepted."""


class ModelError(MogFaceError):
    """A model that cannot be used: unknown, unreadable, or not a contract file."""


class CheckpointError(ModelError):
    """A file of trained weights that does not fit the network."""


class DownloadError(ModelError):
    """Trained weights that could not be downloaded."""


class EngineError(MogFaceError):
    """An engine that cannot be built, or that does not fit this machine, its manifest or the request."""


class DeviceError(MogFaceError):
    """Base class of failures of the GPU and of what runs on it."""


class KernelError(DeviceError):
    """CUDA kernels that are missing or belong to another release."""


class CudaError(DeviceError):
    """An error that CUDA reported; work launched before it may have failed too."""

    is_fatal = True


class OutOfMemoryError(DeviceError):
    """Memory that could not be allocated.

    Args:
        kind: Kind of memory, e.g. ``device memory``.
        requested, free: Bytes.
        advice: What to do.
    """

    def __init__(
        self, kind: str, requested: int, free: int, advice: str = "use a smaller batch or size"
    ) -> None:
        self.kind, self.requested, self.free, self.advice = kind, requested, free, advice
        super().__init__(
            f"out of {kind}: requested {requested / 1e6:.1f} MB, {free / 1e6:.1f} MB free; {advice}"
        )

    def __reduce__(self) -> tuple[type[OutOfMemoryError], tuple[str, int, int, str]]:
        return type(self), (self.kind, self.requested, self.free, self.advice)


class RunnerError(MogFaceError):
    """A detector or runner that takes no images: closed, broken by an earlier failure, or forked."""


FORKED = (
    "the {} belongs to the process that this one was forked from; open one after the fork, or use the start "
    "method spawn"
)
"""Message of a `RunnerError`: threads and GPU contexts do not survive a fork."""


class ServerError(MogFaceError):
    """A server that cannot be reached, is busy, or does not answer in time."""


class OutputError(MogFaceError):
    """A result that could not be written."""


class EvaluationError(MogFaceError):
    """Ground truth or predictions that cannot be evaluated."""


class MissingExtraError(MogFaceError):
    """A feature whose packages are not installed, or cannot be loaded."""


FAILURES_OF_AN_IMAGE = (ImageError, MemoryError, OutOfMemoryError)
"""Exceptions that concern one image; a run over others goes on."""


def reason_of(error: BaseException, name: object) -> str:
    """Return why an image cannot be used, one of `FAILURES_OF_AN_IMAGE`, without its name."""
    if isinstance(error, ImageError):
        return str(error).removeprefix(f"{name}: ")
    detail = f" ({error})" if isinstance(error, OutOfMemoryError) else ""
    return f"too large for the memory{detail}; scale it down, or use a smaller size"


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, or its type name if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
