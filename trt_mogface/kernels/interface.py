"""``plugins/include/trt_mogface/kernels.h`` as ctypes: its structures and functions."""

from __future__ import annotations

import ctypes as c

from trt_mogface.frame import FORMATS, MATRICES, RANGES, ColorMatrix, ColorRange, PixelFormat
from trt_mogface.spec import CODINGS, Coding

INTERFACE = 2
MAX_PLANES, MAX_LEVELS, MAX_SIDES, MAX_TOP_K = 3, 16, 16, 8192

FORMAT_CODES: dict[PixelFormat, int] = {name: code for code, name in enumerate(FORMATS)}
MATRIX_CODES: dict[ColorMatrix, int] = {name: code for code, name in enumerate(MATRICES)}
RANGE_CODES: dict[ColorRange, int] = {name: code for code, name in enumerate(RANGES)}
CODING_CODES: dict[Coding, int] = {name: code for code, name in enumerate(CODINGS)}
FP32, FP16 = 0, 1


class MogfaceFrame(c.Structure):
    """A frame and its position in the network input."""

    _fields_ = [
        ("planes", c.c_uint64 * MAX_PLANES),
        ("pitches", c.c_int64 * MAX_PLANES),
        ("step_x", c.c_double),
        ("step_y", c.c_double),
        ("scale_x", c.c_float),
        ("scale_y", c.c_float),
        ("format", c.c_int32),
        ("matrix", c.c_int32),
        ("range", c.c_int32),
        ("height", c.c_int32),
        ("width", c.c_int32),
        ("content_height", c.c_int32),
        ("content_width", c.c_int32),
    ]


class MogfaceLevel(c.Structure):
    """One level of the feature pyramid."""

    _fields_ = [("stride", c.c_int32), ("side_count", c.c_int32), ("sides", c.c_double * MAX_SIDES)]


class MogfaceDetector(c.Structure):
    """Anchors and coding of boxes and landmarks."""

    _fields_ = [
        ("levels", MogfaceLevel * MAX_LEVELS),
        ("level_count", c.c_int32),
        ("coding", c.c_int32),
        ("inclusive", c.c_int32),
        ("spread", c.c_int32),
        ("landmark_count", c.c_int32),
        ("variance_center", c.c_float),
        ("variance_size", c.c_float),
        ("center", c.c_double),
    ]


class MogfaceThresholds(c.Structure):
    """Thresholds and limits of the selection."""

    _fields_ = [
        ("score", c.c_float),
        ("iou", c.c_float),
        ("top_k", c.c_int32),
        ("max_detections", c.c_int32),
        ("inclusive_areas", c.c_int32),
        ("cut", c.c_int32),
        ("clip", c.c_int32),
    ]


class MogfaceOutputs(c.Structure):
    """The network's outputs for a batch."""

    _fields_ = [
        ("scores", c.c_void_p),
        ("deltas", c.c_void_p),
        ("landmarks", c.c_void_p),
        ("type", c.c_int32),
        ("batch", c.c_int32),
        ("height", c.c_int32),
        ("width", c.c_int32),
    ]


class MogfaceCandidates(c.Structure):
    """The best candidates of each image."""

    _fields_ = [
        (name, c.c_void_p) for name in ("counts", "dropped", "anchors", "boxes", "scores", "landmarks")
    ]


class MogfaceDetections(c.Structure):
    """The faces of each image."""

    _fields_ = [(name, c.c_void_p) for name in ("counts", "dropped", "boxes", "scores", "landmarks")]


_DETECTOR, _THRESHOLDS = c.POINTER(MogfaceDetector), c.POINTER(MogfaceThresholds)
_FRAMES = c.c_void_p
_SIZE, _STREAM, _WORKSPACE = c.POINTER(c.c_size_t), c.c_void_p, (c.c_void_p, c.c_size_t)

STATUS_FUNCTIONS = {
    "mogfaceAnchorCount": (_DETECTOR, c.c_int, c.c_int, c.POINTER(c.c_int64)),
    "mogfaceCheckFrames": (_FRAMES, c.c_int, c.c_int, c.c_int),
    "mogfaceLetterbox": (_FRAMES, c.c_int, c.c_uint32, c.c_void_p, c.c_int, c.c_int, _STREAM),
    "mogfaceDecodeWorkspace": (_DETECTOR, _THRESHOLDS, c.c_int, c.c_int, c.c_int, _SIZE),
    "mogfaceSelectWorkspace": (_THRESHOLDS, c.c_int, _SIZE),
    "mogfaceDetectWorkspace": (_DETECTOR, _THRESHOLDS, c.c_int, c.c_int, c.c_int, _SIZE),
    "mogfaceDecode": (
        _DETECTOR,
        _THRESHOLDS,
        c.POINTER(MogfaceOutputs),
        _FRAMES,
        c.POINTER(MogfaceCandidates),
        *_WORKSPACE,
        _STREAM,
    ),
    "mogfaceSelect": (
        _THRESHOLDS,
        c.POINTER(MogfaceCandidates),
        c.c_int,
        c.c_int,
        _FRAMES,
        c.POINTER(MogfaceDetections),
        *_WORKSPACE,
        _STREAM,
    ),
    "mogfaceDetect": (
        _DETECTOR,
        _THRESHOLDS,
        c.POINTER(MogfaceOutputs),
        _FRAMES,
        c.POINTER(MogfaceDetections),
        *_WORKSPACE,
        _STREAM,
    ),
}
"""Functions that return a CUDA error, with their parameters."""


def declare(library: c.CDLL) -> None:
    """Declare the parameters and results of the library's functions.

    Raises:
        AttributeError: If the library lacks one of them.
    """
    for name, parameters in STATUS_FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = parameters, c.c_int
    library.mogfaceInterface.restype = library.mogfaceRunsOnHost.restype = c.c_int
    library.mogfaceProblem.restype = c.c_char_p
    for text in (library.mogfaceErrorName, library.mogfaceErrorText):
        text.argtypes, text.restype = (c.c_int,), c.c_char_p
