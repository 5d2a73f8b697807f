"""`GpuBackend`: a network on a GPU, and `open_engine`, which opens a TensorRT engine as one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from trt_mogface.backends.base import OnStage
from trt_mogface.backends.gpu.engine import TensorRTNetwork, check_runs_here
from trt_mogface.backends.gpu.slot import DeviceNetwork, GpuSlot
from trt_mogface.backends.options import DetectorOptions, SlotOptions
from trt_mogface.cuda import Cuda, open_cuda
from trt_mogface.errors import EngineError
from trt_mogface.frame import Frame
from trt_mogface.kernels import MAX_TOP_K, Kernels
from trt_mogface.kernels.arrays import stream_handle
from trt_mogface.models.manifest import Shape


class GpuBackend:
    """A network on a GPU; see `trt_mogface.backends.base.Backend`.

    Args:
        network: Network whose clones run in the slots; closed with the backend.
        cuda: Device of the network.
        kernels: Kernels around the network.
        options: Resolved options.
        max_shape: Largest batch, height and width that the network accepts.
    """

    def __init__(
        self, network: DeviceNetwork, cuda: Cuda, kernels: Kernels, options: SlotOptions, max_shape: Shape
    ) -> None:
        self._network, self._cuda, self._kernels = network, cuda, kernels
        self._max_shape, self.max_batch = max_shape, max_shape[0]
        candidates = min(MAX_TOP_K, options.spec.anchor_count(*max_shape[1:]))
        bounded = options.thresholds.bounded(candidates)
        self.options = dataclasses.replace(options, thresholds=bounded)
        self.info, self.place = self.options.info, self.options.place

    def check(self, frame: Frame) -> None:
        """Accept any frame: planes may lie on the host, page-locked or not, or on the device.

        Raises:
            ArgumentError: If the frame's stream is not a CUDA stream.
        """
        stream_handle(frame.stream)

    def slot(self, batch: int, on_stage: OnStage | None = None, *, views: bool = False) -> GpuSlot:
        """Open a slot; all its memory but that of large frames is allocated here."""
        _, height, width = self._max_shape
        if batch > self.max_batch:
            raise EngineError(
                f"batch {batch}: the engine accepts at most {self.max_batch}; rebuild it with other --shapes"
            )
        shape = (batch, *(self.options.canvas or (height, width)))
        network = self._network.clone()
        return GpuSlot(self._cuda, self._kernels, network, self.options, shape, on_stage, views=views)

    def close(self) -> None:
        """Free the network, once its slots are closed."""
        self._network.close()


def open_engine(path: Path, device: int, options: DetectorOptions) -> GpuBackend:
    """Open a TensorRT engine.

    Args:
        path: Plan, with its manifest beside it.
        device: Number of the GPU.
        options: Checked options.

    Raises:
        EngineError: If the engine does not fit this machine, is damaged, or ends in faces.
        ArgumentError: If the network does not accept the requested input size.
        MissingExtraError: If its TensorRT, or the library that provides CUDA, is not installed.
        KernelError: If the kernels are not part of this installation.
        CudaError, OutOfMemoryError: If the GPU fails or its memory does not suffice.
    """
    manifest, flavor = check_runs_here(path, device)
    if manifest.end_to_end:
        raise EngineError(f"{path}: ends in faces, for trtexec and Triton; build one without --end-to-end")
    if manifest.spec.input.layout != "nhwc-uint8":
        raise EngineError(f"{path}: reads float planes, for DeepStream; build one of nhwc-uint8")
    resolved = SlotOptions.resolve(manifest.spec, options)
    kernels, cuda = Kernels(), open_cuda(device, options.get("provider"))
    network = TensorRTNetwork(path, manifest, flavor, cuda)
    return GpuBackend(network, cuda, kernels, resolved, network.max_shape)
