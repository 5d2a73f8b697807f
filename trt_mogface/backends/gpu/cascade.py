"""`CascadeGpuBackend`: the three networks of a cascade on a GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack, closing

from typing_extensions import override

from trt_mogface.backends.base import Backend, ModelInfo, OnStage
from trt_mogface.backends.cascade_options import CascadeOptions
from trt_mogface.backends.gpu.cascade_slot import CascadeGpuSlot
from trt_mogface.backends.gpu.frames import check_frame
from trt_mogface.backends.gpu.network import DeviceNetwork
from trt_mogface.cuda import Cuda
from trt_mogface.errors import EngineError
from trt_mogface.frame import Frame
from trt_mogface.kernels.cascade import CascadeKernels
from trt_mogface.models.manifest import Shape
from trt_mogface.reference.cascade import POINTS
from trt_mogface.reference.resize import Placement
from trt_mogface.reference.stages import LIMITS, Limits
from trt_mogface.spec import Origin


class CascadeGpuBackend(Backend):
    """A cascade on a GPU; see `trt_mogface.backends.base.Backend`.

    Args:
        networks: The three networks by name, whose clones run in the slots; closed with the backend.
        cuda, kernels: Device of the networks, and kernels around them.
        options: Resolved options.
        name, origin: Name of the model, and source of its weights.
        max_shape: Largest batch, height and width of the images.
        chunks: Largest batches of the second and the third network.
        limits: Largest numbers of candidates.
    """

    def __init__(
        self,
        networks: Mapping[str, DeviceNetwork],
        cuda: Cuda,
        kernels: CascadeKernels,
        options: CascadeOptions,
        name: str,
        origin: Origin,
        max_shape: Shape,
        chunks: tuple[int, int],
        limits: Limits = LIMITS,
    ) -> None:
        self._networks, self._cuda, self._kernels = networks, cuda, kernels
        self._max_shape, self._chunks, self._limits = max_shape, chunks, limits
        self.max_batch = max_shape[0]
        given = options.thresholds.bounded(limits.output)
        bounded = dataclasses.replace(given, top_k=min(given.top_k, limits.output))
        self.options = dataclasses.replace(options, thresholds=bounded)
        self.info = ModelInfo(name, POINTS, self.options.thresholds, True, origin)

    @override
    def check(self, frame: Frame) -> None:
        check_frame(frame, self._cuda)

    @override
    def place(self, height: int, width: int) -> Placement:
        return self.options.place(height, width)

    @override
    def slot(self, batch: int, on_stage: OnStage | None = None, *, views: bool = False) -> CascadeGpuSlot:
        if batch > self.max_batch:
            raise EngineError(
                f"batch {batch}: the engines accept at most {self.max_batch}; rebuild them with other shapes"
            )
        shape = (batch, *self._max_shape[1:])
        with ExitStack() as made:
            networks = {
                name: made.enter_context(closing(network.clone())) for name, network in self._networks.items()
            }
            made.pop_all()
        arguments = self._cuda, self._kernels, networks, self.options, shape, self._chunks, self._limits
        return CascadeGpuSlot(*arguments, on_stage, views=views)

    @override
    def close(self) -> None:
        for network in self._networks.values():
            network.close()
