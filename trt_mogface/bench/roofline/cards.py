"""Ceilings of cards by NVIDIA's data sheets, without sparsity.

Data sheets give theoretical peaks at the highest clock, which no kernel reaches: a bound from them is lower
than one from measured ceilings.  The figures were checked against pages that quote the sheets, not against
the sheets themselves.  Where a sheet only gives the rate with sparsity, this table has half of it.
"""

from __future__ import annotations

from engine_build.precision import Precision
from trt_mogface.bench.roofline.ceilings import Ceilings
from trt_mogface.errors import ArgumentError

TERA, GIGA = 1e12, 1e9


Missing = dict[Precision, str]


def _card(
    machine: str, source: str, gigabytes: float, tera: dict[Precision, float], missing: Missing | None = None
) -> Ceilings:
    rates = {precision: rate * TERA for precision, rate in tera.items()}
    return Ceilings(machine, gigabytes * GIGA, rates, f"data sheet: {source}", missing or {})


NO_FP8: Missing = {"fp8": "tensor cores before compute capability 8.9 have no FP8"}
NO_BF16: Missing = {"bf16": "tensor cores before compute capability 8.0 have no BF16"}
NO_FP32: Missing = {"fp32": "no rate in its data sheet"}

CARDS = {
    # The sheet's 67 INT8 TOPS are with sparsity, at the clocks of MAXN SUPER (JetPack 6.2 on); other
    # modes reach 40, and 68 GB/s.
    "orin-nano": _card(
        "Jetson Orin Nano 8GB (MAXN SUPER)",
        "NVIDIA Jetson Orin Nano Super Developer Kit, December 2024",
        102,
        {"fp16": 17, "bf16": 17, "int8": 33.5},
        NO_FP8 | NO_FP32,
    ),
    # Of its 275 INT8 TOPS with sparsity, 170 are the GPU's; the rest are the DLAs'.
    "orin-agx": _card(
        "Jetson AGX Orin 64GB (GPU, without DLA)",
        "NVIDIA Jetson AGX Orin Series technical brief v1.2, 2022",
        204.8,
        {"fp32": 5.3, "fp16": 42.5, "bf16": 42.5, "int8": 85},
        NO_FP8,
    ),
    # Newer NVIDIA pages say 300 GB/s; the memory's clock and width agree with the older sheet.
    "t4": _card(
        "NVIDIA T4",
        "NVIDIA T4 Tensor Core GPU data sheet, 2019",
        320,
        {"fp32": 8.1, "fp16": 65, "int8": 130},
        NO_FP8 | NO_BF16,
    ),
    # The sheet's 242 (FP16, BF16) and 485 (INT8, FP8) are with sparsity.
    "l4": _card(
        "NVIDIA L4",
        "NVIDIA L4 Tensor Core GPU data sheet, 2023",
        300,
        {"fp32": 30.3, "fp16": 121, "bf16": 121, "int8": 242.5, "fp8": 242.5},
    ),
    # The sheet's 1,979 (FP16, BF16) and 3,958 (INT8, FP8) are with sparsity.
    "h200": _card(
        "NVIDIA H200 SXM",
        "NVIDIA H200 Tensor Core GPU data sheet, 2024",
        4800,
        {"fp32": 67, "fp16": 989.5, "bf16": 989.5, "int8": 1979, "fp8": 1979},
    ),
}
"""Cards by name."""


def card(name: str) -> Ceilings:
    """Return the ceilings of a card by its data sheet."""
    if name not in CARDS:
        raise ArgumentError("simulate", f"unknown card (choose from {', '.join(CARDS)})", repr(name[:40]))
    return CARDS[name]
