"""HTTP service: images in, faces as JSON or drawn, with limits on everything that a client sends."""

from trt_mogface.serving.http.options import ServiceOptions
from trt_mogface.serving.http.server import bind, serve
from trt_mogface.serving.http.service import Service

__all__ = ["Service", "ServiceOptions", "bind", "serve"]
