"""The CUDA kernels of ``plugins/``, called from Python without a compiler: see `Kernels`."""

from trt_mogface.kernels.frames import Frame
from trt_mogface.kernels.launchers import FRAME_BYTES, Candidates, Faces, Kernels

__all__ = ["FRAME_BYTES", "Candidates", "Faces", "Frame", "Kernels"]
