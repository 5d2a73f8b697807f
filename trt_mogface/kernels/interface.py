"""``plugins/include/trt_mogface/kernels.h`` as ctypes: its structures and functions."""

from __future__ import annotations

import ctypes as c

from trt_mogface.frame import FORMATS, MATRICES, RANGES, ColorMatrix, ColorRange, PixelFormat
from trt_mogface.spec import CODINGS, Coding

INTERFACE = 6
MAX_PLANES, MAX_LEVELS, MAX_SIDES, MAX_TOP_K, MAX_BOXES = 3, 16, 16, 8192, 65535

FORMAT_CODES: dict[PixelFormat, int] = {name: code for code, name in enumerate(FORMATS)}
MATRIX_CODES: dict[ColorMatrix, int] = {name: code for code, name in enumerate(MATRICES)}
RANGE_CODES: dict[ColorRange, int] = {name: code for code, name in enumerate(RANGES)}
CODING_CODES: dict[Coding, int] = {name: code for code, name in enumerate(CODINGS)}
FP32, FP16 = 0, 1


def _all(kind: type, names: str) -> list[tuple[str, type]]:
    """Return fields of one type."""
    return [(name, kind) for name in names.split()]


class MogfaceFrame(c.Structure):
    """A frame and its position in the network input."""

    _fields_ = [
        ("planes", c.c_uint64 * MAX_PLANES),
        ("pitches", c.c_int64 * MAX_PLANES),
        *_all(c.c_double, "step_x step_y"),
        *_all(c.c_float, "scale_x scale_y"),
        *_all(c.c_int32, "format matrix range height width content_height content_width"),
    ]


class MogfaceLevel(c.Structure):
    """One level of the feature pyramid."""

    _fields_ = [*_all(c.c_int32, "stride side_count"), ("sides", c.c_double * MAX_SIDES)]


class MogfaceDetector(c.Structure):
    """Anchors and coding of boxes and landmarks."""

    _fields_ = [
        ("levels", MogfaceLevel * MAX_LEVELS),
        *_all(c.c_int32, "level_count coding inclusive spread landmark_count"),
        *_all(c.c_float, "variance_center variance_size"),
        ("center", c.c_double),
    ]


class MogfaceThresholds(c.Structure):
    """Thresholds and limits of the selection."""

    _fields_ = [
        *_all(c.c_float, "score iou"),
        *_all(c.c_int32, "top_k max_detections inclusive_areas cut clip"),
    ]


class MogfaceOutputs(c.Structure):
    """The network's outputs for a batch."""

    _fields_ = [*_all(c.c_void_p, "scores deltas landmarks"), *_all(c.c_int32, "type batch height width")]


class MogfaceCandidates(c.Structure):
    """The best candidates of each image."""

    _fields_ = _all(c.c_void_p, "counts dropped anchors boxes scores landmarks")


class MogfaceDetections(c.Structure):
    """The faces of each image."""

    _fields_ = _all(c.c_void_p, "counts dropped boxes scores landmarks")


class MogfaceMerging(c.Structure):
    """Limits by which the faces of two passes are merged."""

    _fields_ = [*_all(c.c_float, "large visible"), ("largest_face", c.c_double)]


class MogfaceCascadeOutputs(c.Structure):
    """Outputs of a network of a cascade."""

    _fields_ = [
        *_all(c.c_void_p, "scores offsets landmarks counts"),
        *_all(c.c_int32, "batch capacity planar"),
    ]


class MogfaceCascadeThresholds(c.Structure):
    """Thresholds of a network of a cascade."""

    _fields_ = [("overlap", c.c_double), ("score", c.c_float), ("limit", c.c_int32)]


class MogfaceWindows(c.Structure):
    """Windows that the first network of a cascade accepts."""

    _fields_ = [*_all(c.c_void_p, "boxes scores offsets"), ("capacity", c.c_int32)]


class MogfaceCrops(c.Structure):
    """Boxes that the next network of a cascade looks at."""

    _fields_ = [*_all(c.c_void_p, "counts boxes indices inside"), ("capacity", c.c_int32)]


class MogfaceTallies(c.Structure):
    """Candidates that were left out."""

    _fields_ = _all(c.c_void_p, "dropped truncated")


_INT, _BYTES, _STREAM = c.c_int, c.POINTER(c.c_size_t), c.c_void_p
_DETECTOR, _THRESHOLDS = c.POINTER(MogfaceDetector), c.POINTER(MogfaceThresholds)
_OUTPUTS, _FRAMES = c.POINTER(MogfaceOutputs), c.c_void_p
_CANDIDATES, _DETECTIONS = c.POINTER(MogfaceCandidates), c.POINTER(MogfaceDetections)
_MERGING = c.POINTER(MogfaceMerging)
_CASCADE, _CASCADE_THRESHOLDS = c.POINTER(MogfaceCascadeOutputs), c.POINTER(MogfaceCascadeThresholds)
_WINDOWS, _CROPS, _TALLIES = c.POINTER(MogfaceWindows), c.POINTER(MogfaceCrops), c.POINTER(MogfaceTallies)
_LAUNCH = (c.c_void_p, c.c_size_t, _STREAM)  # workspace, its bytes, stream

STATUS_FUNCTIONS = {
    "mogfaceAnchorCount": (_DETECTOR, _INT, _INT, c.POINTER(c.c_int64)),
    "mogfaceCheckFrames": (_FRAMES, _INT, _INT, _INT),
    "mogfaceLetterbox": (_FRAMES, _INT, c.c_uint32, c.c_void_p, _INT, _INT, _STREAM),
    "mogfaceResample": (_FRAMES, _INT, *(c.c_void_p,) * 2, _INT, _INT, c.c_void_p, _INT, _INT, _STREAM),
    "mogfaceDecodeWorkspace": (_DETECTOR, _THRESHOLDS, _INT, _INT, _INT, _BYTES),
    "mogfaceSelectWorkspace": (_THRESHOLDS, _INT, _BYTES),
    "mogfaceDetectWorkspace": (_DETECTOR, _THRESHOLDS, _INT, _INT, _INT, _BYTES),
    "mogfaceMergeWorkspace": (_THRESHOLDS, _INT, _INT, _BYTES),
    "mogfaceDecode": (_DETECTOR, _THRESHOLDS, _OUTPUTS, _FRAMES, _CANDIDATES, *_LAUNCH),
    "mogfaceSelect": (_THRESHOLDS, _CANDIDATES, _INT, _INT, _FRAMES, _DETECTIONS, *_LAUNCH),
    "mogfaceDetect": (_DETECTOR, _THRESHOLDS, _OUTPUTS, _FRAMES, _DETECTIONS, *_LAUNCH),
    "mogfaceMerge": (_THRESHOLDS, _MERGING, _DETECTIONS, _INT, _INT, _FRAMES, _DETECTIONS, *_LAUNCH),
    "mogfaceCascadeWorkspace": (_INT, _INT, _INT, _BYTES),
    "mogfaceCascadeWindows": (
        *(_CASCADE, _INT, c.c_double, _CASCADE_THRESHOLDS),
        *(_WINDOWS, _INT, _TALLIES, *_LAUNCH),
    ),
    "mogfaceCascadeBoxes": (
        *(_CASCADE, c.c_void_p, _CASCADE_THRESHOLDS),
        *(_INT, _INT, _CROPS, _TALLIES, *_LAUNCH),
    ),
    "mogfaceCascadeFaces": (
        *(_CASCADE, c.c_void_p, _CASCADE_THRESHOLDS),
        *(_INT, _FRAMES, _DETECTIONS, *_LAUNCH),
    ),
    "mogfaceCascadeGather": (_CASCADE, _INT, _CASCADE, _STREAM),
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
    for number in (library.mogfaceInterface, library.mogfaceRunsOnHost, library.mogfaceCudaVersion):
        number.restype = c.c_int
    library.mogfaceProblem.restype = c.c_char_p
    for text in (library.mogfaceErrorName, library.mogfaceErrorText):
        text.argtypes, text.restype = (c.c_int,), c.c_char_p
