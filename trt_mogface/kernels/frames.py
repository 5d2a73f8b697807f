"""Frames as the letterbox kernel takes them: where they lie, and where they go in the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trt_mogface.errors import KernelError
from trt_mogface.kernels import interface
from trt_mogface.kernels.arrays import Array, array
from trt_mogface.reference.resize import Placement, steps

Format = Literal["bgr", "nv12", "nv12-bt709"]


@dataclass(frozen=True)
class Frame:
    """A frame in device memory and its place in the network's input.

    Attributes:
        pixels: Device array, uint8: [H, W, 3] BGR, or the luma plane [H, W] of NV12.  Rows may lie apart.
        placement: From `trt_mogface.reference.resize`, for the frame's size.
        chroma: The plane of U and V of NV12, uint8 [H / 2, W] or [H / 2, W / 2, 2].
        format: ``nv12`` is BT.601 and ``nv12-bt709`` BT.709, both of limited range, as decoders give them.
    """

    pixels: object
    placement: Placement
    chroma: object = None
    format: Format = "bgr"


def frame_struct(frame: Frame, name: str, *, host: bool, stream: int) -> interface.Frame:
    """The frame as ``MogfaceFrame``; the caller keeps its arrays alive.

    Raises:
        KernelError: An array of another type or shape, or an unknown format.
    """
    if frame.format not in interface.FORMATS:
        raise KernelError(f"{name}.format {frame.format!r}: is none of {', '.join(interface.FORMATS)}")
    pixels = array(frame.pixels, f"{name}.pixels", host=host, pitched=True, stream=stream)
    is_bgr = frame.format == "bgr"
    _check(pixels, f"{name}.pixels", "[H, W, 3]" if is_bgr else "[H, W]", 3 if is_bgr else 2)
    if is_bgr and pixels.shape[2] != 3:
        raise KernelError(f"{name}.pixels: expected uint8 [H, W, 3], not {list(pixels.shape)}")
    height, width = pixels.shape[:2]
    chroma = None if is_bgr else _chroma(frame, name, height, width, host, stream)
    rows, columns = frame.placement.content
    if min(height, width, rows, columns) < 1 or not 0 < frame.placement.scale < math.inf:
        raise KernelError(
            f"{name}: {height} x {width} pixels to {rows} x {columns} by {frame.placement.scale:g}: "
            "all must be positive and finite"
        )
    across, down = steps(frame.placement, height, width)
    return interface.Frame(
        pixels=pixels.pointer,
        chroma=chroma.pointer if chroma else 0,
        pitch=pixels.pitch,
        chroma_pitch=chroma.pitch if chroma else 0,
        step_x=across,
        step_y=down,
        scale=frame.placement.scale,
        format=interface.FORMATS[frame.format],
        height=height,
        width=width,
        content_height=rows,
        content_width=columns,
    )


def _chroma(frame: Frame, name: str, height: int, width: int, host: bool, stream: int) -> Array:
    if frame.chroma is None:
        raise KernelError(f"{name}.chroma: NV12 has a second plane, of U and V: give it")
    chroma = array(frame.chroma, f"{name}.chroma", host=host, pitched=True, stream=stream)
    if chroma.dtype != np.uint8 or chroma.shape not in ((height // 2, width), (height // 2, width // 2, 2)):
        raise KernelError(
            f"{name}.chroma: expected uint8 [{height // 2}, {width}] for luma of {height} x {width}, not "
            f"{chroma.dtype} {list(chroma.shape)}"
        )
    return chroma


def _check(pixels: Array, name: str, wanted: str, rank: int) -> None:
    if pixels.dtype != np.uint8 or len(pixels.shape) != rank:
        raise KernelError(f"{name}: expected uint8 {wanted}, not {pixels.dtype} {list(pixels.shape)}")
