"""`Backend`: what opens slots, on the CPU or on a GPU; chosen by the model's file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from trt_mogface.backends.base import Slot
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.backends.options import Choices, Settings
from trt_mogface.errors import ImageError
from trt_mogface.models.files import contract_file
from trt_mogface.models.manifest import ENGINES, manifest_path


class Backend(Protocol):
    """A loaded model.  Its slots share it."""

    settings: Settings

    most_pictures: int
    """Of one batch."""

    def check(self, image: object, name: str = "image") -> object:
        """A picture that its slots can take, as they take it.

        Raises:
            ImageError: It is none; the message says how to convert it.
        """

    def slot(
        self, batch: int, told: Callable[[str, float], None] | None = None, *, views: bool = False
    ) -> Slot:
        """Room for a batch of so many pictures; see `trt_mogface.backends.gpu.slot.GpuSlot`."""

    def close(self) -> None:
        """Free the model, after its slots; closing twice is harmless."""


class Shared:
    """A backend of several users, freed with the last of them."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._users, self._lock = 1, threading.Lock()

    def retain(self) -> Shared:
        """One user more."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """One user less."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self.backend.close()


def open_backend(
    model: str | Path | Backend,
    choices: Choices,
    *,
    weights: str | Path | None = None,
    min_face: float | None = None,
    threads: int | None = None,
    device: int = 0,
    provider: str | None = None,
) -> Backend:
    """A model ready to run: an engine on its GPU, another file on the CPU; an opened backend as it is.

    Raises:
        ModelError, ImageError, MissingExtraError: See `trt_mogface.Detector`.
        EngineError, CudaError, KernelError: An engine that cannot run here.
    """
    choices.check()
    if not isinstance(model, (str, os.PathLike)):
        return model
    if not is_engine(model):
        return CpuBackend(contract_file(model, weights, min_face), choices, threads)
    for name, value in (("weights", weights), ("min_face", min_face), ("threads", threads)):
        if value is not None:
            raise ImageError(f"{name}: an engine takes none, it was decided when {model} was built")
    from trt_mogface.backends.gpu.backend import open_engine

    return open_engine(Path(model), choices, device, provider)


def is_engine(model: str | Path) -> bool:
    """Whether a file is an engine, by its name or by the manifest beside it."""
    if not os.path.isfile(model):  # noqa: PTH113 -- also answers to impossible names
        return False
    return Path(model).suffix in ENGINES or manifest_path(Path(model)).is_file()
