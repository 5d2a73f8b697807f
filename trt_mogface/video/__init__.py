"""Video: files and cameras through one model, with identities, records, and blurred or drawn video out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trt_mogface.video.analysis import Analysis, Position, analyze
    from trt_mogface.video.items import FrameFaces, SourceEvent

__all__ = ["Analysis", "FrameFaces", "Position", "SourceEvent", "analyze"]


def __getattr__(name: str) -> object:
    if name in ("Analysis", "Position", "analyze"):
        from trt_mogface.video import analysis

        return getattr(analysis, name)
    if name in ("FrameFaces", "SourceEvent"):
        from trt_mogface.video import items

        return getattr(items, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
