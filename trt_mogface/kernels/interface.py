"""``plugins/include/trt_mogface/kernels.h`` as ctypes: its structures and functions."""

from __future__ import annotations

import ctypes as c
from typing import Any

from trt_mogface.frame import FORMATS, MATRICES, RANGES, ColorMatrix, ColorRange, PixelFormat
from trt_mogface.spec import CODINGS, Coding

INTERFACE = 2
MAX_PLANES, MAX_LEVELS, MAX_SIDES, MAX_TOP_K = 3, 16, 16, 8192

FORMAT_CODES: dict[PixelFormat, int] = {name: code for code, name in enumerate(FORMATS)}
MATRIX_CODES: dict[ColorMatrix, int] = {name: code for code, name in enumerate(MATRICES)}
RANGE_CODES: dict[ColorRange, int] = {name: code for code, name in enumerate(RANGES)}
CODING_CODES: dict[Coding, int] = {name: code for code, name in enumerate(CODINGS)}
FP32, FP16 = 0, 1


def members(kind: Any, *names: str) -> list[tuple[str, Any]]:
    """Return members of one type for a structure."""
    return [(name, kind) for name in names]


class MogfaceFrame(c.Structure):
    """A frame and its position in the network input."""

    _fields_ = [
        ("planes", c.c_uint64 * MAX_PLANES),
        ("pitches", c.c_int64 * MAX_PLANES),
        *members(c.c_double, "step_x", "step_y"),
        *members(c.c_float, "scale_x", "scale_y"),
        *members(
            c.c_int32, "format", "matrix", "range", "height", "width", "content_height", "content_width"
        ),
    ]


class MogfaceLevel(c.Structure):
    """One level of the feature pyramid."""

    _fields_ = [("stride", c.c_int32), ("side_count", c.c_int32), ("sides", c.c_double * MAX_SIDES)]


class MogfaceDetector(c.Structure):
    """Anchors and coding of boxes and landmarks."""

    _fields_ = [
        ("levels", MogfaceLevel * MAX_LEVELS),
        *members(c.c_int32, "level_count", "coding", "inclusive", "spread", "landmark_count"),
        *members(c.c_float, "variance_center", "variance_size"),
        ("center", c.c_double),
    ]


class MogfaceThresholds(c.Structure):
    """Thresholds and limits of the selection."""

    _fields_ = [
        *members(c.c_float, "score", "iou"),
        *members(c.c_int32, "top_k", "max_detections", "inclusive_areas", "cut", "clip"),
    ]


class MogfaceOutputs(c.Structure):
    """The network's outputs for a batch."""

    _fields_ = [
        *members(c.c_void_p, "scores", "deltas", "landmarks"),
        *members(c.c_int32, "type", "batch", "height", "width"),
    ]


class MogfaceCandidates(c.Structure):
    """The best candidates of each image."""

    _fields_ = members(c.c_void_p, "counts", "dropped", "anchors", "boxes", "scores", "landmarks")


class MogfaceDetections(c.Structure):
    """The faces of each image."""

    _fields_ = members(c.c_void_p, "counts", "dropped", "boxes", "scores", "landmarks")


_DETECTOR, _THRESHOLDS = c.POINTER(MogfaceDetector), c.POINTER(MogfaceThresholds)
_OUTPUTS, _CANDIDATES = c.POINTER(MogfaceOutputs), c.POINTER(MogfaceCandidates)
_FACES, _SIZE = c.POINTER(MogfaceDetections), c.POINTER(c.c_size_t)
_FRAMES = _STREAM = c.c_void_p
_SCRATCH = (c.c_void_p, c.c_size_t, _STREAM)

STATUS_FUNCTIONS = {
    "mogfaceAnchorCount": (_DETECTOR, c.c_int, c.c_int, c.POINTER(c.c_int64)),
    "mogfaceCheckFrames": (_FRAMES, c.c_int, c.c_int, c.c_int),
    "mogfaceLetterbox": (_FRAMES, c.c_int, c.c_uint32, c.c_void_p, c.c_int, c.c_int, _STREAM),
    "mogfaceDecodeWorkspace": (_DETECTOR, _THRESHOLDS, c.c_int, c.c_int, c.c_int, _SIZE),
    "mogfaceSelectWorkspace": (_THRESHOLDS, c.c_int, _SIZE),
    "mogfaceDetectWorkspace": (_DETECTOR, _THRESHOLDS, c.c_int, c.c_int, c.c_int, _SIZE),
    "mogfaceDecode": (_DETECTOR, _THRESHOLDS, _OUTPUTS, _FRAMES, _CANDIDATES, *_SCRATCH),
    "mogfaceSelect": (_THRESHOLDS, _CANDIDATES, c.c_int, c.c_int, _FRAMES, _FACES, *_SCRATCH),
    "mogfaceDetect": (_DETECTOR, _THRESHOLDS, _OUTPUTS, _FRAMES, _FACES, *_SCRATCH),
}
"""Functions that return a CUDA error, with their parameters."""


def declare(library: c.CDLL) -> None:
    """Declare parameters and results of the functions; an AttributeError if the library lacks one."""
    for name, parameters in STATUS_FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = parameters, c.c_int
    library.mogfaceInterface.restype = library.mogfaceRunsOnHost.restype = c.c_int
    library.mogfaceProblem.restype = c.c_char_p
    for text in (library.mogfaceErrorName, library.mogfaceErrorText):
        text.argtypes, text.restype = (c.c_int,), c.c_char_p
