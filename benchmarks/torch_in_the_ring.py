"""The ring on a GPU with torch instead of an engine: kernels, pinned copies and slots without TensorRT.

MogFace with random weights in FP16, channels last, captured once by torch; the slot replays it.  A replay
cannot be captured again, so the steps around it are launched one by one.  Frames in host memory to boxes in
host memory, compared with only the replays.  Untested on a GPU.

    python -m benchmarks.torch_in_the_ring
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import record, slug
from benchmarks.runner import GPU_FRAMES, GPU_SIZE, images_per_s, latency_ratio
from engine_build.models.mogface import FAMILY
from engine_build.models.mogface.network import MogFace, mogface
from trt_mogface.backends.gpu.backend import GpuBackend
from trt_mogface.backends.options import DetectorOptions, SlotOptions
from trt_mogface.bench.measurement import MeasureOptions
from trt_mogface.bench.network import EngineTimer
from trt_mogface.cuda import Cuda, DeviceMemory, Stream, open_cuda
from trt_mogface.errors import EngineError
from trt_mogface.kernels import Kernels
from trt_mogface.models.manifest import Shape

BATCHES = (1, 8, 32)
SPEC = FAMILY.spec


class At:
    """Device memory at an address, in the form that torch accepts."""

    def __init__(self, address: int, shape: tuple[int, ...], kind: str) -> None:
        self.__cuda_array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "typestr": kind,
            "version": 3,
        }


class Replayed:
    """A `trt_mogface.backends.gpu.slot.DeviceNetwork` of one shape; replays share the memory of its capture.

    A smaller batch, such as a runner's first or last one, replays the whole and uses a part.

    Args:
        network: Function of uint8 [N, H, W, 3].
        shape: Batch, height, width.
    """

    scratch_bytes = 0
    capturable = False  # a replay cannot be captured again

    def __init__(self, network: Any, shape: Shape) -> None:
        self._shape = shape
        self._images = torch.zeros((*shape, 3), dtype=torch.uint8, device="cuda")
        warming: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(warming), torch.no_grad():
            for _ in range(3):
                network(self._images)
        torch.cuda.synchronize()
        self._graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph), torch.no_grad():
            self._outputs = network(self._images)

    def check_shape(self, shape: Shape) -> None:
        """Refuse another size, or a larger batch, than the captured one."""
        if shape[0] > self._shape[0] or shape[1:] != self._shape[1:]:
            raise EngineError(f"torch graph: captured at {self._shape}, requested {shape}; use its shape")

    def clone(self) -> Replayed:
        """Return the same network: only one slot may use it."""
        return self

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        """Copy in, replay, copy out."""
        del scratch
        self.check_shape(shape)
        there: Any = torch.cuda.ExternalStream(stream.handle)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(there):
            self._images[: shape[0]].copy_(torch.as_tensor(At(images, (*shape, 3), "|u1"), device="cuda"))
            self._graph.replay()
            for name, whole in zip(("scores", "deltas"), self._outputs):
                values = whole[: shape[0]]
                torch.as_tensor(At(outputs[name], tuple(values.shape), "<f4"), device="cuda").copy_(values)

    def bind(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> NoReturn:
        """Refuse: a replay cannot be captured."""
        raise NotImplementedError

    def close(self) -> None:
        """Do nothing: torch owns the memory."""


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("this needs an NVIDIA GPU and a torch with CUDA; nothing was measured")
    cuda, kernels = open_cuda(0), Kernels()
    torch.manual_seed(0)
    network = half_precision(mogface().eval().cuda())
    table = Table("batch", "replays, /s", "pipeline, /s", "share", "latency p99 / replay median")
    cases = []
    for batch in BATCHES:
        case = measured(cuda, kernels, network, batch)
        cases.append(case)
        table.add_row(
            str(batch),
            f"{case['engine_per_s']:.0f}",
            f"{case['pipeline_per_s']:.0f}",
            f"{case['share']:.3f}",
            "" if batch > 1 else f"{case['cost_of_latency']:.2f}",
        )
        Console().print(table)
    record(
        f"{slug(cuda.device.name)}/torch_in_the_ring",
        {"size": GPU_SIZE, "frames": GPU_FRAMES, "cases": cases},
    )


def half_precision(network: MogFace) -> Any:
    """Return a function that normalizes in float32 and runs the network in float16, channels last.

    Its first convolution is turned to read blue first, as in the exported file.
    """
    first = network.backbone.conv1
    first.weight = torch.nn.Parameter(first.weight.detach().flip(1))
    inner: Any = network.half()
    inner.to(memory_format=torch.channels_last)
    mean, std = (
        torch.tensor(each[::-1], device="cuda").reshape(1, 3, 1, 1) for each in (FAMILY.mean, FAMILY.std)
    )

    def run(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        planes = (images.float().permute(0, 3, 1, 2) - mean) / std
        maps = inner(planes.half().contiguous(memory_format=torch.channels_last))
        scores = torch.cat([each.float().sigmoid().flatten(1) for each in maps[::2]], dim=1)
        deltas = torch.cat([each.float().flatten(2).transpose(1, 2) for each in maps[1::2]], dim=1)
        return scores, deltas

    return run


def measured(cuda: Cuda, kernels: Kernels, network: Any, batch: int) -> dict[str, Any]:
    """Measure a batch size with a single slot, because replays of one capture cannot overlap."""
    shape = (batch, GPU_SIZE[1], GPU_SIZE[0])
    replayed = Replayed(network, shape)
    with EngineTimer(cuda, replayed, SPEC, shape) as timer:
        engine = timer.measure(MeasureOptions())
    options = SlotOptions.resolve(SPEC, DetectorOptions(size=GPU_SIZE))
    backend = GpuBackend(replayed, cuda, kernels, options, [shape])
    pipeline = images_per_s(backend, batch, slots=1)
    case = {
        "batch": batch,
        "engine_per_s": engine.images_per_s,
        "pipeline_per_s": pipeline,
        "share": pipeline / engine.images_per_s,
    }
    if batch == 1:
        case["cost_of_latency"] = latency_ratio(backend, engine.latency.median)
    return case


if __name__ == "__main__":
    main()
