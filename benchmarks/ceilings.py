"""Ceilings of this machine's GPU, or of its CPU without one: a copy, and matrix products by precision.

python -m benchmarks.ceilings
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import record
from trt_mogface.bench.roofline import measure_cpu, measure_gpu
from trt_mogface.machine.gpu import find_gpu


def main() -> None:
    found = measure_cpu() if find_gpu() is None else measure_gpu()
    table = Table("", found.machine)
    table.add_row("copy, read and written", f"{found.bytes_per_s / 1e9:.1f} GB/s")
    for precision, rate in found.operations_per_s.items():
        table.add_row(precision, f"{rate / 1e12:.3g} TFLOP/s")
    for precision, reason in found.missing.items():
        table.add_row(precision, reason)
    Console().print(table)
    record(
        "ceilings",
        {
            "of": found.machine,
            "bytes_per_s": found.bytes_per_s,
            "operations_per_s": dict(found.operations_per_s),
            "missing": dict(found.missing),
        },
    )


if __name__ == "__main__":
    main()
