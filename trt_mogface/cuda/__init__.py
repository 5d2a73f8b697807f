"""CUDA for the rest of the package: one device in its primary context, by cuda-bindings or PyCUDA."""

from trt_mogface.cuda.interface import Cuda, Device
from trt_mogface.cuda.mirrored import mirrored
from trt_mogface.cuda.provider import open_cuda
from trt_mogface.cuda.resources import DeviceArray, DeviceMemory, Event, Graph, PinnedMemory, Stream

__all__ = [
    "Cuda",
    "Device",
    "DeviceArray",
    "DeviceMemory",
    "Event",
    "Graph",
    "PinnedMemory",
    "Stream",
    "mirrored",
    "open_cuda",
]
