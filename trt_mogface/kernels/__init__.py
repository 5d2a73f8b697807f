"""The CUDA kernels of ``plugins/``, called from Python without a compiler: see `Kernels`."""

from trt_mogface.kernels.arguments import FRAME_BYTES, Candidates, Faces
from trt_mogface.kernels.interface import MAX_TOP_K
from trt_mogface.kernels.launchers import Kernels

__all__ = ["FRAME_BYTES", "MAX_TOP_K", "Candidates", "Faces", "Kernels"]
