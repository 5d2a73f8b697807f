"""Named ranges in NVIDIA's profilers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext


def ranges(wanted: bool) -> Callable[[str], AbstractContextManager[object]]:
    """Return a function that opens a range by name; without nvtx or if not `wanted` it does nothing."""
    if wanted:
        try:
            import nvtx
        except ImportError:
            pass
        else:
            return lambda name: nvtx.annotate(name, domain="trt-mogface")
    return lambda _: nullcontext()
