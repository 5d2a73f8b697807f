"""An engine on a GPU, and its slots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from trt_mogface.backends.gpu.engine import Engine, check_runs_here
from trt_mogface.backends.gpu.slot import GpuSlot, Network
from trt_mogface.backends.options import Choices, Settings
from trt_mogface.cuda import Cuda, open_cuda
from trt_mogface.errors import EngineError, ImageError
from trt_mogface.images import check_array
from trt_mogface.kernels import Kernels
from trt_mogface.models.manifest import Shape


class Networks(Protocol):
    """What gives each slot its network: `trt_mogface.backends.gpu.engine.Engine`."""

    def contexts(self) -> Network:
        """One for a slot."""

    def close(self) -> None:
        """Free what they share."""


class GpuBackend:
    """See `trt_mogface.backends.registry.Backend`.

    Args:
        networks: The engine.
        cuda: The device it is on.
        kernels: Before and after the network.
        settings: How pictures are placed and faces chosen.
        largest: Most pictures that the engine takes, and the largest height and width.
    """

    def __init__(
        self, networks: Networks, cuda: Cuda, kernels: Kernels, settings: Settings, largest: Shape
    ) -> None:
        self._networks, self._cuda, self._kernels, self._largest = networks, cuda, kernels, largest
        self.settings, self.most_pictures = settings, largest[0]

    def check(self, image: object, name: str = "image") -> object:
        """uint8 [H, W, 3] in BGR: of numpy, or of the device with ``__cuda_array_interface__``."""
        interface = getattr(image, "__cuda_array_interface__", None)
        if interface is None:
            return check_array(image, name)
        shape = tuple(interface["shape"])
        if interface["typestr"] != "|u1" or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ImageError(
                f"{name}: expected uint8 [H, W, 3] in BGR, not {interface['typestr']} {list(shape)}"
            )
        return image

    def slot(
        self, batch: int, told: Callable[[str, float], None] | None = None, *, views: bool = False
    ) -> GpuSlot:
        """A slot; all its memory is allocated here."""
        most, height, width = self._largest
        if batch > most:
            raise EngineError(f"batch {batch}: the engine takes {most} at most: build it with other --shapes")
        canvas = self.settings.canvas or (height, width)
        network = self._networks.contexts()
        return GpuSlot(self._cuda, self._kernels, network, self.settings, (batch, *canvas), told, views=views)

    def close(self) -> None:
        """Free the engine."""
        self._networks.close()


def open_engine(path: Path, choices: Choices, device: int, provider: str | None) -> GpuBackend:
    """An engine on a GPU.

    Raises:
        EngineError: It does not fit this machine, is not whole, or ends in faces.
        MissingExtraError: Its TensorRT, or what provides CUDA, is not installed.
        KernelError: The kernels are not part of this installation.
        CudaError, OutOfMemoryError: The GPU cannot.
    """
    manifest, flavor = check_runs_here(path, device)
    if manifest.end_to_end:
        raise EngineError(f"{path}: ends in faces, for trtexec and Triton: build one without --end-to-end")
    settings = choices.of(manifest.spec)
    kernels, cuda = Kernels(), open_cuda(device, provider)
    shapes = [profile.max for profile in manifest.profiles]
    largest = (max(s[0] for s in shapes), max(s[1] for s in shapes), max(s[2] for s in shapes))
    return GpuBackend(Engine(path, manifest, flavor, cuda), cuda, kernels, settings, largest)
