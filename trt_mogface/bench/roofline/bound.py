"""Roofline model (Williams, Waterman and Patterson, 2009): the least time of a network, layer by layer.

A layer takes at least its operations at the machine's rate, or its bytes at the machine's bandwidth,
whichever is longer.  A layer may still exceed its ceiling: maps that stay in a cache from one layer to the
next do not pass through memory, and a runtime may need fewer operations for a convolution (Winograd).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from engine_build.precision import Precision
from engine_build.workload.layers import Layer, layers_of
from trt_mogface.bench.roofline.ceilings import Ceilings
from trt_mogface.bench.roofline.measured import Times

Limit = Literal["compute", "memory"]


@dataclass(frozen=True)
class BoundLayer:
    """Bound of one layer.

    Attributes:
        layer: Work of the layer.
        seconds: Least time.
        limit: Whether compute or memory limits the layer.
        measured: Measured time in seconds; None without a measurement.
    """

    layer: Layer
    seconds: float
    limit: Limit
    measured: float | None = None

    @property
    def share(self) -> float | None:
        """Share of the ceiling that was reached: least time over measured time."""
        return self.seconds / self.measured if self.measured else None


@dataclass(frozen=True)
class Roofline:
    """Bound of a network.

    Attributes:
        model: Name of the model.
        batch, height, width, precision: Input shape and precision.
        ceilings: Ceilings of the machine.
        layers: Bounds of the layers, in the order of the file.
        times: Measured times; None without a measurement.
    """

    model: str
    batch: int
    height: int
    width: int
    precision: Precision
    ceilings: Ceilings
    layers: tuple[BoundLayer, ...]
    times: Times | None = None

    @cached_property
    def seconds(self) -> float:
        """Least time of a batch, layer after layer."""
        return sum(bound.seconds for bound in self.layers)

    @property
    def images_per_s(self) -> float:
        """Highest possible throughput."""
        return self.batch / self.seconds

    @property
    def operations(self) -> int:
        """Operations of a batch."""
        return sum(bound.layer.operations for bound in self.layers)

    @property
    def bytes_moved(self) -> int:
        """Bytes of a batch, read and written."""
        return sum(bound.layer.bytes_moved for bound in self.layers)

    @property
    def memory_share(self) -> float:
        """Share of the least time in layers that memory limits."""
        return sum(bound.seconds for bound in self.layers if bound.limit == "memory") / self.seconds

    @property
    def limit(self) -> Limit:
        """Limit of most of the least time."""
        return "memory" if self.memory_share > 0.5 else "compute"

    @property
    def share(self) -> float | None:
        """Share of the ceiling that the whole network reached, time outside of layers included."""
        return self.seconds / self.times.total if self.times and self.times.total else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values in seconds, bytes and operations; None without a measurement."""
        return {
            "model": self.model,
            "machine": self.ceilings.machine,
            "source": self.ceilings.source,
            "precision": self.precision,
            "batch": self.batch,
            "size": [self.width, self.height],
            "bytes_per_s": self.ceilings.bytes_per_s,
            "operations_per_s": self.ceilings.rate(self.precision),
            "operations": self.operations,
            "bytes": self.bytes_moved,
            "min_seconds": self.seconds,
            "max_images_per_s": self.images_per_s,
            "memory_bound": self.memory_share,
            "seconds": None if self.times is None else self.times.total,
            "share_of_ceiling": self.share,
            "layers": [
                {
                    "name": each.layer.name,
                    "kind": each.layer.kind,
                    "operations": each.layer.operations,
                    "bytes": each.layer.bytes_moved,
                    "min_seconds": each.seconds,
                    "bound_by": each.limit,
                    "seconds": each.measured,
                    "share_of_ceiling": each.share,
                }
                for each in self.layers
            ],
        }

    def __str__(self) -> str:
        text = (
            f"{self.model} {self.width}x{self.height}, batch {self.batch}, {self.precision} on "
            f"{self.ceilings.machine} ({self.ceilings.source}): {self.operations / 1e9:.4g} GFLOP, "
            f"{self.bytes_moved / 1e6:.4g} MB; at least {self.seconds * 1e3:.4g} ms, at most "
            f"{self.images_per_s:.4g} images/s, {self.memory_share:.0%} of the time memory-bound"
        )
        if self.times is None or self.share is None:
            return text
        return (
            f"{text}; took {self.times.total * 1e3:.4g} ms, {self.share:.0%} of the ceiling "
            f"({self.times.matched:.0%} of the time in known layers)"
        )


def roofline(
    model: Path,
    *,
    batch: int,
    size: tuple[int, int],
    precision: Precision,
    ceilings: Ceilings,
    times: Times | None = None,
) -> Roofline:
    """Return the bound of a contract ONNX file.

    Args:
        model: Contract file.
        batch: Batch size.
        size: Width and height of the network input.
        precision: Precision to count in; see `engine_build.workload.layers.layers_of`.
        ceilings: Result of `measure_cpu`, `measure_gpu` or `card`.
        times: Result of `cpu_times` at the same batch and size; None without a measurement.

    Raises:
        ModelError: If `model` is not a contract file, or has no layer to count.
        ArgumentError: If the batch or size is impossible, or the machine has no ceiling in `precision`.
        MissingExtraError: If onnx is not installed.
    """
    width, height = size
    ceilings.rate(precision)  # refuse before the layers are counted
    counted = layers_of(model, batch=batch, height=height, width=width, precision=precision)
    bounds = under(counted, precision, ceilings, times)
    return Roofline(model.stem, batch, height, width, precision, ceilings, bounds, times)


def under(
    counted: Sequence[Layer], precision: Precision, ceilings: Ceilings, times: Times | None = None
) -> tuple[BoundLayer, ...]:
    """Return the bounds of layers."""
    rate, bandwidth = ceilings.rate(precision), ceilings.bytes_per_s
    measured = {} if times is None else times.layers
    bounds = []
    for layer in counted:
        compute, memory = layer.operations / rate, layer.bytes_moved / bandwidth
        limit: Limit = "compute" if compute >= memory else "memory"
        bounds.append(BoundLayer(layer, max(compute, memory), limit, measured.get(layer.name)))
    return tuple(bounds)
