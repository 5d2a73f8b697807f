"""Face detection with MogFace and RetinaFace: pictures in, faces out.

>>> from trt_mogface import Detector
"""

from trt_mogface.detections import Detections
from trt_mogface.detector import Detector
from trt_mogface.errors import MogFaceError
from trt_mogface.images import read_image
from trt_mogface.runner import Runner, Stats
from trt_mogface.spec import DetectorSpec

__all__ = ["Detections", "Detector", "DetectorSpec", "MogFaceError", "Runner", "Stats", "read_image"]

__version__ = "0.1.0"
