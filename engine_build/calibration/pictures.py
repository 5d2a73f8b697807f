"""Pictures as network inputs, one after another: files, folders, patterns or the frames of a video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface._files import sha256_of
from trt_mogface.errors import ImageError
from trt_mogface.images import find_images, read_image
from trt_mogface.reference.resize import paint, place_letterbox, place_native
from trt_mogface.spec import InputSpec

VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})


class Input(NamedTuple):
    """A picture as a network input.

    Attributes:
        name: Of its file, or of the video's frame.
        batch: uint8 [1, H, W, 3], BGR, placed as the detector places pictures.
        scale: Network pixels per picture pixel.
    """

    name: str
    batch: NDArray[np.uint8]
    scale: float


@dataclass
class Pictures:
    """Pictures that can be gone through several times, never more than one in memory.

    Attributes:
        sources: Picture files, or one video.
        resize: The model's rule for pictures at their own size.
        size: Width and height of a fixed network input; None for each picture's own size.
        limit: Most pictures used; spread evenly over all there are.
        skipped: What could not be used, filled while going through.
    """

    sources: Sequence[Path]
    resize: InputSpec
    size: tuple[int, int] | None = None
    limit: int = 512
    skipped: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Input]:
        """The pictures that can be used; the others are noted in ``skipped``."""
        for name, image in self._images():
            yield self._placed(name, image)

    def batches(self, status: Callable[[str], None] = lambda _: None) -> Iterator[NDArray[np.uint8]]:
        """Network inputs alone, uint8 [1, H, W, 3]; ``status`` is told how many have passed."""
        for number, item in enumerate(self, start=1):
            status(f"picture {number}")
            yield item.batch

    def _images(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        if _is_video(self.sources[0]):
            yield from _frames(self.sources[0], self.limit)
            return
        for path in _spread(self.sources, self.limit):
            image = self._read(path)
            if image is not None:
                yield path.name, image

    def _read(self, path: Path) -> NDArray[np.uint8] | None:
        try:
            return read_image(path)
        except ImageError as error:
            self.skipped[str(path)] = str(error)
            return None

    def _placed(self, name: str, image: NDArray[np.uint8]) -> Input:
        height, width = image.shape[:2]
        if self.size is None:
            placement = place_native(height, width, self.resize, pad=True)
        else:
            placement = place_letterbox(height, width, (self.size[1], self.size[0]))
        out = np.empty((1, *placement.canvas, 3), np.uint8)
        paint(image, placement, self.resize.pad, out[0])
        return Input(name, out, placement.scale)

    def digest(self) -> str:
        """SHA-256 over the contents of all files that are used and over how they are placed."""
        whole = hashlib.sha256(repr((self.resize, self.size, self.limit)).encode())
        for path in _spread(self.sources, self.limit):
            whole.update(sha256_of(path).encode() if path.is_file() else b"missing")
        return whole.hexdigest()


def find_pictures(pattern: str, resize: InputSpec, size: tuple[int, int] | None, limit: int) -> Pictures:
    """The pictures that a path, folder, glob pattern or video names.

    Raises:
        ImageError: There are none.
    """
    path = Path(pattern)
    if not path.is_dir() and not path.is_file() and not any(c in pattern for c in "*?["):
        raise ImageError(f"{pattern}: no such folder, picture or video to calibrate on")
    if size is not None and min(size) < 1:
        raise ImageError(f"calibration size {size[0]}x{size[1]}: use at least 1 pixel a side")
    sources = [path] if _is_video(path) else find_images([pattern])
    videos = [source for source in sources if _is_video(source)]
    if videos and len(sources) > 1:
        raise ImageError(f"{pattern}: holds a video, {videos[0].name}: give it alone, or pictures alone")
    return Pictures(sources, resize, size, limit)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and path.is_file()


def _spread(paths: Sequence[Path], limit: int) -> list[Path]:
    """At most ``limit`` of them, at even distances."""
    if len(paths) <= limit:
        return list(paths)
    return [paths[i * len(paths) // limit] for i in range(limit)]


def _frames(path: Path, limit: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Frames of a video at even distances; only those are decoded to pixels."""
    video = cv2.VideoCapture(str(path))
    try:
        count = max(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        wanted = {i * count // limit for i in range(limit)} if count > limit else None
        index = found = 0
        while found < limit and video.grab():
            if wanted is None or index in wanted:
                whole, frame = video.retrieve()
                if whole:
                    found += 1
                    yield f"frame {index}", frame.astype(np.uint8, copy=False)
            index += 1
    finally:
        video.release()
    if not found:
        raise ImageError(f"{path}: no frame of this video can be read")
