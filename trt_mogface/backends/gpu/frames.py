"""Frames that a slot on a GPU can read."""

from __future__ import annotations

import numpy as np

from trt_mogface.cuda import Cuda
from trt_mogface.errors import ArgumentError, ImageError
from trt_mogface.frame import Frame
from trt_mogface.kernels.arrays import stream_handle

PER_THREAD_STREAM = 2
"""Handle of the per-thread default stream; lower ones are the default stream of all threads."""


def check_frame(frame: Frame, cuda: Cuda) -> None:
    """Refuse a frame of another GPU, or on a stream that another thread cannot wait for.

    Raises:
        ImageError: If the frame lies in the memory of another GPU.
        ArgumentError: If its stream cannot be waited for.
    """
    here, handle = cuda.device.number, stream_handle(frame.stream)
    for plane in frame.planes:
        if isinstance(plane, np.ndarray):
            continue
        there = cuda.memory_device(plane.__cuda_array_interface__["data"][0])
        if there not in (None, here):
            raise ImageError(
                f"image: lies in the memory of GPU {there}, but GPU {here} has to read it; copy it to "
                "the host, or open one runner for each GPU"
            )
    if handle == PER_THREAD_STREAM:
        raise ArgumentError(
            "stream",
            "the per-thread default stream is another one in each thread; pass a stream of its own",
            handle,
        )
    if handle > PER_THREAD_STREAM:
        _check_context(cuda, handle)


def _check_context(cuda: Cuda, handle: int) -> None:
    with cuda.current():
        number = cuda.foreign_device(handle)
    if number is not None:
        here = cuda.device.number
        problem = f"belongs to a CUDA context of GPU {number}, but frames are read in one of GPU {here}"
        raise ArgumentError("stream", f"{problem}; pass a stream of that context", f"{handle:#x}")
