"""`CascadeGpuBackend`: the three networks of a cascade on a GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from typing_extensions import override

from trt_mogface.backends.base import Backend, ModelInfo, OnStage
from trt_mogface.backends.cascade_options import CascadeOptions
from trt_mogface.backends.gpu.cascade_slot import CascadeGpuSlot
from trt_mogface.backends.gpu.engine import TensorRTEngine
from trt_mogface.backends.gpu.frames import check_frame
from trt_mogface.backends.gpu.network import DeviceNetwork
from trt_mogface.backends.options import DetectorOptions
from trt_mogface.cuda import Cuda, open_cuda
from trt_mogface.errors import EngineError
from trt_mogface.frame import Frame
from trt_mogface.kernels.cascade import CascadeKernels
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import Flavor, find_tensorrt, flavor_name
from trt_mogface.models.cascade import STAGES
from trt_mogface.models.cascade_engine import CascadeEngine, check_plans, load_cascade_engine, plan_file
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


def check_cascade_runs_here(folder: Path, device: int) -> tuple[CascadeEngine, Flavor]:
    """Return the manifest of a cascade's engines and the TensorRT that runs them, before either sees one."""
    manifest = load_cascade_engine(folder)
    flavor = find_tensorrt(flavor_name(manifest.flavor))
    manifest.check_runs_on(flavor, find_gpu(device), folder)
    check_plans(folder, manifest)
    return manifest, flavor


def open_cascade_engine(folder: Path, device: int, options: DetectorOptions) -> CascadeGpuBackend:
    """Open the engines of a cascade; see `trt_mogface.backends.registry.open_backend`."""
    manifest, flavor = check_cascade_runs_here(folder, device)
    resolved = CascadeOptions.resolve(manifest.name, manifest.thresholds, options)
    kernels, cuda = CascadeKernels(), open_cuda(device, options.get("provider"))
    with ExitStack() as made:
        networks = {
            stage: made.enter_context(
                closing(TensorRTEngine(plan_file(folder, stage), manifest.plan(stage), flavor, cuda))
            )
            for stage in STAGES
        }
        chunks = manifest.networks[STAGES[1]].profile.max[0], manifest.networks[STAGES[2]].profile.max[0]
        facts = manifest.name, manifest.origin, manifest.profile.max
        backend = CascadeGpuBackend(networks, cuda, kernels, resolved, *facts, chunks)
        made.pop_all()
    return backend
