"""`GpuBackend`: a network on a GPU, and `open_engine`, which opens a TensorRT engine as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from trt_mogface.backends.base import OnStage
from trt_mogface.backends.gpu.engine import TensorRTNetwork, check_runs_here
from trt_mogface.backends.gpu.frames import check_frame
from trt_mogface.backends.gpu.network import DeviceNetwork
from trt_mogface.backends.gpu.slot import GpuSlot
from trt_mogface.backends.options import DetectorOptions, SlotOptions
from trt_mogface.cuda import Cuda, open_cuda
from trt_mogface.errors import EngineError
from trt_mogface.frame import Frame
from trt_mogface.kernels import MAX_TOP_K, Kernels
from trt_mogface.models.manifest import Shape


class GpuBackend:
    """A network on a GPU; see `trt_mogface.backends.base.Backend`.

    Args:
        network: Network whose clones run in the slots; closed with the backend.
        cuda, kernels: Device of the network, and kernels around it.
        options: Resolved options.
        max_shapes: Largest batch, height and width that each profile of the network accepts.

    Raises:
        EngineError: If no profile accepts the size of the options.
    """

    def __init__(
        self,
        network: DeviceNetwork,
        cuda: Cuda,
        kernels: Kernels,
        options: SlotOptions,
        max_shapes: Sequence[Shape],
    ) -> None:
        self._network, self._cuda, self._kernels = network, cuda, kernels
        self._max_shapes = _of_canvas(max_shapes, options.canvas)
        self.max_batch = max(batch for batch, _, _ in self._max_shapes)
        anchors = max(options.spec.anchor_count(*size) for _, *size in self._max_shapes)
        candidates = min(MAX_TOP_K, anchors)
        bounded = options.thresholds.bounded(candidates)
        self.options = dataclasses.replace(options, thresholds=bounded)
        self.info, self.place = self.options.info, self.options.place

    def check(self, frame: Frame) -> None:
        """Refuse a frame of another GPU, or on a stream that another thread cannot wait for."""
        check_frame(frame, self._cuda)

    def slot(self, batch: int, on_stage: OnStage | None = None, *, views: bool = False) -> GpuSlot:
        """Open a slot; all its memory but that of large frames is allocated here."""
        if batch > self.max_batch:
            raise EngineError(
                f"batch {batch}: the engine accepts at most {self.max_batch}; rebuild it with other shapes"
            )
        shapes = [(min(batch, most), height, width) for most, height, width in self._max_shapes]
        network = self._network.clone()
        return GpuSlot(self._cuda, self._kernels, network, self.options, shapes, on_stage, views=views)

    def close(self) -> None:
        """Free the network, once its slots are closed."""
        self._network.close()


def open_engine(path: Path, device: int, options: DetectorOptions) -> GpuBackend:
    """Open a TensorRT plan with its manifest beside it; see `trt_mogface.backends.registry.open_backend`."""
    manifest, flavor = check_runs_here(path, device)
    if manifest.end_to_end:
        raise EngineError(f"{path}: ends in faces, for trtexec and Triton; build one without --end-to-end")
    if manifest.spec.input.layout != "nhwc-uint8":
        raise EngineError(f"{path}: reads float planes, for DeepStream; build one of nhwc-uint8")
    resolved = SlotOptions.resolve(manifest.spec, options)
    kernels, cuda = Kernels(), open_cuda(device, options.get("provider"))
    with ExitStack() as made:
        network = made.enter_context(closing(TensorRTNetwork(path, manifest, flavor, cuda)))
        backend = GpuBackend(network, cuda, kernels, resolved, network.max_shapes)
        made.pop_all()
    return backend


def _of_canvas(max_shapes: Sequence[Shape], canvas: tuple[int, int] | None) -> list[Shape]:
    """Return the largest shapes of a network input of one size; None is any size."""
    if canvas is None:
        return list(max_shapes)
    height, width = canvas
    found = [(batch, height, width) for batch, *most in max_shapes if height <= most[0] and width <= most[1]]
    if not found:
        largest = ", ".join(f"{most[1]}x{most[0]}" for _, *most in max_shapes)
        raise EngineError(
            f"size {width}x{height}: the engine accepts at most {largest}; rebuild it with other shapes"
        )
    return found
