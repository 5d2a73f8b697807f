"""Image files: found, checked from their header, and decoded.  Files are untrusted input."""

from trt_mogface.images.decoding import decode_image, read_image
from trt_mogface.images.finding import ImageFiles, find_images, root_of, summarize
from trt_mogface.images.formats import SUFFIXES, VIDEOS

__all__ = [
    "SUFFIXES",
    "VIDEOS",
    "ImageFiles",
    "decode_image",
    "find_images",
    "read_image",
    "root_of",
    "summarize",
]
