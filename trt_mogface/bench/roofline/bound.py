"""The roofline (Williams, Waterman and Patterson, 2009): the least time of a network, layer by layer.

A layer takes at least its operations at the machine's rate, or its bytes at the machine's bandwidth,
whichever is longer.  One may still come out above its ceiling: maps that stay in a cache from one layer to
the next do not pass through memory, and a runtime may compute a convolution in fewer operations (Winograd).
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
    """A layer under a roof.

    Attributes:
        layer: Its work.
        seconds: The least time.
        limit: What decides it.
        measured: The time it took; None where it was not measured.
    """

    layer: Layer
    seconds: float
    limit: Limit
    measured: float | None = None

    @property
    def share(self) -> float | None:
        """Of the ceiling that was reached: the least time by the measured one."""
        return self.seconds / self.measured if self.measured else None


@dataclass(frozen=True)
class Roofline:
    """A network under a roof.

    Attributes:
        model: Its name.
        batch, height, width, precision: What it was counted at.
        ceilings: The roof.
        layers: In the order of the file.
        times: What was measured, if anything.
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
        """The least time of a batch, layer after layer."""
        return sum(bound.seconds for bound in self.layers)

    @property
    def pictures_per_s(self) -> float:
        """At most."""
        return self.batch / self.seconds

    @property
    def operations(self) -> int:
        """Of a batch."""
        return sum(bound.layer.operations for bound in self.layers)

    @property
    def bytes_moved(self) -> int:
        """Of a batch, read and written."""
        return sum(bound.layer.bytes_moved for bound in self.layers)

    @property
    def memory_share(self) -> float:
        """The share of the least time in layers that memory decides."""
        return sum(bound.seconds for bound in self.layers if bound.limit == "memory") / self.seconds

    @property
    def limit(self) -> Limit:
        """What decides most of the least time."""
        return "memory" if self.memory_share > 0.5 else "compute"

    @property
    def share(self) -> float | None:
        """Of the ceiling that the whole network reached, with all that belongs to no layer."""
        return self.seconds / self.times.total if self.times and self.times.total else None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts: seconds, bytes and operations; what was not measured is None."""
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
            "least_seconds": self.seconds,
            "most_pictures_per_s": self.pictures_per_s,
            "memory_bound": self.memory_share,
            "seconds": None if self.times is None else self.times.total,
            "share_of_ceiling": self.share,
            "layers": [
                {
                    "name": each.layer.name,
                    "kind": each.layer.kind,
                    "operations": each.layer.operations,
                    "bytes": each.layer.bytes_moved,
                    "least_seconds": each.seconds,
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
            f"{self.pictures_per_s:.4g} pictures/s, {self.memory_share:.0%} of it bound by memory"
        )
        if self.times is None or self.share is None:
            return text
        return (
            f"{text}; took {self.times.total * 1e3:.4g} ms, {self.share:.0%} of the ceiling "
            f"({self.times.matched:.0%} of the time is that of known layers)"
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
    """A contract ONNX file under a roof.

    Args:
        model: The file.
        batch: Pictures at once.
        size: Width and height of the network's input.
        precision: What it is to compute in; see `layers.layers_of`.
        ceilings: From `measure_cpu`, `measure_gpu` or `card`.
        times: From `measured.cpu_times` at the same batch and size.

    Raises:
        ModelError: Not a contract file, or one without anything to count.
        UsageError: An impossible batch or size, or a precision that the machine has no ceiling in.
        MissingExtraError: onnx is not installed.
    """
    width, height = size
    ceilings.rate(precision)  # refused before the work of counting
    counted = layers_of(model, batch=batch, height=height, width=width, precision=precision)
    bounds = under(counted, precision, ceilings, times)
    return Roofline(model.stem, batch, height, width, precision, ceilings, bounds, times)


def under(
    counted: Sequence[Layer], precision: Precision, ceilings: Ceilings, times: Times | None = None
) -> tuple[BoundLayer, ...]:
    """Layers under a roof.

    Raises:
        UsageError: A precision that the machine has no ceiling in.
    """
    rate, bandwidth = ceilings.rate(precision), ceilings.bytes_per_s
    measured = {} if times is None else times.layers
    bounds = []
    for layer in counted:
        compute, memory = layer.operations / rate, layer.bytes_moved / bandwidth
        limit: Limit = "compute" if compute >= memory else "memory"
        bounds.append(BoundLayer(layer, max(compute, memory), limit, measured.get(layer.name)))
    return tuple(bounds)
