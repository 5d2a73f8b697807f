"""The CUDA kernels of ``plugins/``, called from Python without a compiler: see `Kernels`."""

from trt_mogface.kernels.arguments import FRAME_BYTES, Candidates, Faces
from trt_mogface.kernels.frames import Frame
from trt_mogface.kernels.launchers import Kernels

__all__ = ["FRAME_BYTES", "Candidates", "Faces", "Frame", "Kernels"]
