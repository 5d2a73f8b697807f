"""The errors a user can meet; each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations


class MogFaceError(Exception):
    """Base of every error this project raises on purpose.

    The command line prints the message as it is and exits with status 2.
    """

    is_fatal = False
    """Whether nothing can run any more where it happened, such as after an error of the GPU."""


class ImageError(MogFaceError):
    """A picture that cannot be used: unreadable, truncated, too large, of the wrong type."""


class ModelError(MogFaceError):
    """A model name or model file that cannot be used, or is not of the contract."""


class EngineError(MogFaceError):
    """An engine that cannot be built, or does not fit this machine, its manifest or what was asked for."""


class KernelError(MogFaceError):
    """CUDA kernels that are missing, were given what they cannot take, or failed."""


class CudaError(KernelError):
    """An error that CUDA reported; what was launched before may have failed with it."""

    is_fatal = True


class OutOfMemoryError(MogFaceError):
    """Memory that could not be had.

    Args:
        what: Of which kind.
        asked, free: Bytes.
        advice: What to do.
    """

    def __init__(self, what: str, asked: int, free: int, advice: str = "use a smaller batch or size") -> None:
        self.what, self.asked, self.free = what, asked, free
        super().__init__(
            f"out of {what}: {asked / 1e6:.1f} MB asked for, {free / 1e6:.1f} MB are free there: {advice}"
        )


class RunnerError(MogFaceError):
    """A runner that cannot take pictures: closed, broken by an earlier failure, or of another process."""


class CheckpointError(MogFaceError):
    """A file of trained weights that is not the network it was taken for."""


class DownloadError(MogFaceError):
    """Trained weights that could not be fetched."""


class OutputError(MogFaceError):
    """A result that could not be written."""


class EvaluationError(MogFaceError):
    """Ground truth or predictions that cannot be evaluated."""


class MissingExtraError(MogFaceError):
    """A feature was used whose packages are not installed."""


class UsageError(MogFaceError):
    """A command line that cannot be understood."""


def first_line(error: Exception) -> str:
    """What a library's exception says, cut to its first line; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
