"""Clips of every kind, made by PyAV, whose frames show their numbers; and a backend that reads them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trt_mogface import Detections
from trt_mogface.backends.base import ModelInfo
from trt_mogface.frame import Frame, Image
from trt_mogface.reference.color import to_bgr
from trt_mogface.reference.resize import Placement, place_native
from trt_mogface.spec import InputSpec, Origin, Thresholds

av = pytest.importorskip("av")

RATE = 25


def gray(number: int) -> int:
    """Return the brightness of a frame, by its number."""
    return 20 + number * 7 % 211


def picture(number: int, width: int = 64, height: int = 48) -> Image:
    """Return a frame whose upper left quarter is white, and whose rest says its number."""
    image = np.full((height, width, 3), gray(number), np.uint8)
    image[: height // 2, : width // 2] = 255
    return image


def make_clip(
    path: Path,
    frames: int = 10,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    form: str | None = None,
    gop: int = 5,
    times: Sequence[int] | None = None,
    rotation: int = 0,
    sound: bool = False,
    image: Image | None = None,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a clip; `times` are the presentation times in milliseconds."""
    with av.open(str(path), "w", format=form) as container:
        container.metadata.update(metadata or {})
        stream: Any = container.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.gop_size = gop
        if codec in ("libx264", "libx265"):
            stream.options = {
                "x265-params": "log-level=none",
                "crf": "8",
                "sc_threshold": "0",
                **(options or {}),
            }
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        audio: Any = container.add_stream("aac", rate=48000) if sound else None
        for number in range(frames):
            pixels = picture(number, *size) if image is None else image
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format=pix_fmt)
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, RATE if times is None else 1000)
            container.mux(stream.encode(frame))
            if audio is not None:
                container.mux(audio.encode(_silence(number)))
        container.mux(stream.encode())
        if audio is not None:
            container.mux(audio.encode())
    return path


def make_sound(path: Path) -> Path:
    """Write a file that has only sound."""
    with av.open(str(path), "w") as container:
        audio: Any = container.add_stream("aac", rate=48000)
        for number in range(10):
            container.mux(audio.encode(_silence(number)))
        container.mux(audio.encode())
    return path


def _silence(number: int) -> Any:
    samples = 48000 // RATE
    frame = av.AudioFrame.from_ndarray(np.zeros((2, samples), np.float32), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, number * samples, Fraction(1, 48000)
    return frame


class RecordedSlot:
    """A slot that finds one face in each frame, whose confidence is the brightness of the lower right."""

    def __init__(self, backend: RecordedBackend) -> None:
        self._backend = backend
        self._found: list[Detections] = []

    def submit(self, frames: Sequence[Frame]) -> None:
        self._backend.batches.append([frame.source for frame in frames])
        self._found = [self._detect(frame) for frame in frames]

    def _detect(self, frame: Frame) -> Detections:
        height, width = frame.size
        corner = to_bgr(frame)[height * 3 // 4, width * 3 // 4]
        boxes = np.array([[0, 0, width / 2, height / 2]])
        return Detections(boxes, np.array([corner.mean() / 255]), None, (height, width))

    def wait(self) -> list[Detections]:
        self._backend.pause()
        return self._found

    def close(self) -> None:
        pass


class RecordedBackend:
    """A backend without a network, which says what the frames look like, to see which of them arrive.

    Args:
        seconds: Time that a batch takes.
    """

    max_batch = 64
    info = ModelInfo("recorded", 0, Thresholds(0.0, 0.5), False, Origin("", "", ""))

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[str]] = []

    def pause(self) -> None:
        time.sleep(self.seconds)

    def check(self, frame: Frame) -> None:
        pass

    def place(self, height: int, width: int) -> Placement:  # noqa: ARG002
        return place_native(64, 64, InputSpec())

    def slot(self, *_: object, **__: object) -> RecordedSlot:
        return RecordedSlot(self)

    def close(self) -> None:
        pass
