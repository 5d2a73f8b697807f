"""The published MogFace code; its place is `trt_mogface.bench.peers.published`, where `bench` runs it too."""

from trt_mogface.bench.peers.published import Published, published

__all__ = ["Published", "published"]
