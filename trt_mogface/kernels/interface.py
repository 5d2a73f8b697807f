"""``plugins/include/trt_mogface/kernels.h``, as ctypes: its structures and its functions."""

from __future__ import annotations

import ctypes as c

INTERFACE = 1
MAX_LEVELS, MAX_SIDES, MAX_TOP_K = 16, 16, 8192

FORMATS = {"bgr": 0, "nv12": 1, "nv12-bt709": 2}
CODINGS = {"mogface": 0, "ssd": 1, "distance": 2}
FP32, FP16 = 0, 1


class Frame(c.Structure):
    """``MogfaceFrame``."""

    _fields_ = [
        ("pixels", c.c_uint64),
        ("chroma", c.c_uint64),
        ("pitch", c.c_int64),
        ("chroma_pitch", c.c_int64),
        ("step_x", c.c_double),
        ("step_y", c.c_double),
        ("scale", c.c_float),
        ("format", c.c_int32),
        ("height", c.c_int32),
        ("width", c.c_int32),
        ("content_height", c.c_int32),
        ("content_width", c.c_int32),
    ]


class Level(c.Structure):
    """``MogfaceLevel``."""

    _fields_ = [("stride", c.c_int32), ("side_count", c.c_int32), ("sides", c.c_double * MAX_SIDES)]


class Detector(c.Structure):
    """``MogfaceDetector``."""

    _fields_ = [
        ("levels", Level * MAX_LEVELS),
        ("level_count", c.c_int32),
        ("coding", c.c_int32),
        ("landmark_count", c.c_int32),
        ("variance_center", c.c_float),
        ("variance_size", c.c_float),
        ("center", c.c_double),
    ]


class Thresholds(c.Structure):
    """``MogfaceThresholds``."""

    _fields_ = [
        ("score", c.c_float),
        ("iou", c.c_float),
        ("top_k", c.c_int32),
        ("max_detections", c.c_int32),
        ("inclusive_areas", c.c_int32),
        ("clip", c.c_int32),
    ]


class Outputs(c.Structure):
    """``MogfaceOutputs``."""

    _fields_ = [
        ("scores", c.c_void_p),
        ("deltas", c.c_void_p),
        ("landmarks", c.c_void_p),
        ("type", c.c_int32),
        ("batch", c.c_int32),
        ("height", c.c_int32),
        ("width", c.c_int32),
    ]


class Candidates(c.Structure):
    """``MogfaceCandidates``."""

    _fields_ = [
        (name, c.c_void_p) for name in ("counts", "dropped", "anchors", "boxes", "scores", "landmarks")
    ]


class Detections(c.Structure):
    """``MogfaceDetections``."""

    _fields_ = [(name, c.c_void_p) for name in ("counts", "dropped", "boxes", "scores", "landmarks")]


_DETECTOR, _THRESHOLDS, _FRAMES = c.POINTER(Detector), c.POINTER(Thresholds), c.c_void_p
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
        c.POINTER(Outputs),
        c.POINTER(Candidates),
        *_WORKSPACE,
        _STREAM,
    ),
    "mogfaceSelect": (
        _THRESHOLDS,
        c.POINTER(Candidates),
        c.c_int,
        c.c_int,
        _FRAMES,
        c.POINTER(Detections),
        *_WORKSPACE,
        _STREAM,
    ),
    "mogfaceDetect": (
        _DETECTOR,
        _THRESHOLDS,
        c.POINTER(Outputs),
        _FRAMES,
        c.POINTER(Detections),
        *_WORKSPACE,
        _STREAM,
    ),
}
"""Functions that return a CUDA error, with their parameters."""


def declare(library: c.CDLL) -> None:
    """Tell ctypes the parameters and results of the library's functions.

    Raises:
        AttributeError: The library lacks one of them.
    """
    for name, parameters in STATUS_FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = parameters, c.c_int
    library.mogfaceInterface.restype = library.mogfaceRunsOnHost.restype = c.c_int
    library.mogfaceProblem.restype = c.c_char_p
    for text in (library.mogfaceErrorName, library.mogfaceErrorText):
        text.argtypes, text.restype = (c.c_int,), c.c_char_p
