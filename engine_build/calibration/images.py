"""Images as network inputs, one after another: files, folders, patterns, or the frames of a video."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface import images
from trt_mogface._files import sha256_of
from trt_mogface.errors import FAILURES_OF_AN_IMAGE, ArgumentError, ImageError, reason_of
from trt_mogface.reference.resize import paint, place_letterbox, place_native, place_stretch
from trt_mogface.spec import InputSpec

Size = tuple[int, int] | Literal["native"] | None


class Input(NamedTuple):
    """An image as a network input.

    Attributes:
        name: Name as in `Images.files`, or of the frame of a video.
        batch: uint8 [1, H, W, 3], BGR, placed as the detector places images.
        scale: Network pixels per image pixel, across and down.
    """

    name: str
    batch: NDArray[np.uint8]
    scale: tuple[float, float]


@dataclass
class Images:
    """Images to iterate over several times, with never more than one in memory.

    Attributes:
        sources: Image files, or one video.
        input: Treatment of sizes by the model.
        size: Width and height of the network input, or ``native`` for each image's own size; None for the
            model's, else ``native``.
        limit: Largest number of images, spread evenly over all sources.
        root: Folder below which images are named; None for the folder of each.
        left_out: Reason for each file of a folder that is not among the sources, by path.
        skipped: Reason for each image that could not be used, by path; filled by the iteration.
    """

    sources: Sequence[Path]
    input: InputSpec
    size: Size = None
    limit: int = 512
    root: Path | None = None
    left_out: Mapping[Path, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Input]:
        """Return the usable images one by one; the others are noted in ``skipped``."""
        return starmap(self._placed, self._images())

    def batches(self, status: Callable[[str], None] = lambda _: None) -> Iterator[NDArray[np.uint8]]:
        """Yield the network inputs, uint8 [1, H, W, 3]; ``status`` receives the number of each."""
        for number, item in enumerate(self, start=1):
            status(f"image {number}")
            yield item.batch

    @property
    def files(self) -> dict[str, Path]:
        """Image files to use by their path below `root`, with ``/``; empty for a video."""
        if _is_video(self.sources[0]):
            return {}
        return {self._name(path): path for path in _spread(self.sources, self.limit)}

    def _name(self, path: Path) -> str:
        return path.name if self.root is None else Path(os.path.relpath(path, self.root)).as_posix()

    def _images(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        if _is_video(self.sources[0]):
            yield from _frames(self.sources[0], self.limit)
            return
        for path in _spread(self.sources, self.limit):
            image = self._read(path)
            if image is not None:
                yield self._name(path), image

    def _read(self, path: Path) -> NDArray[np.uint8] | None:
        try:
            return images.read_image(path)
        except FAILURES_OF_AN_IMAGE as error:
            self.skipped[str(path)] = f"{path}: {reason_of(error, path)}"
        return None

    def _placed(self, name: str, image: NDArray[np.uint8]) -> Input:
        (height, width), size = image.shape[:2], self.size or self.input.size
        if size is None or size == "native":
            placement = place_native(height, width, self.input)
        else:
            place = place_stretch if self.input.resize == "stretch" else place_letterbox
            placement = place(height, width, (size[1], size[0]))
        out = np.empty((1, *placement.canvas, 3), np.uint8)
        paint(image, placement, self.input.pad, out[0])
        return Input(name, out, placement.scale)

    def digest(self) -> str:
        """Return the SHA-256 of the used files' contents and of the placement."""
        whole = hashlib.sha256(repr((self.input, self.size, self.limit)).encode())
        for path in _spread(self.sources, self.limit):
            whole.update(sha256_of(path).encode() if path.is_file() else b"missing")
        return whole.hexdigest()


def find_images(calib: str, input: InputSpec, size: Size, limit: int) -> Images:  # noqa: A002
    """Find the images of a path, folder, glob pattern or video; for the rest see `Images`.

    Raises:
        ArgumentError: If the size is not positive.
        ImageError: If there are no images, or a video among others.
    """
    path = Path(calib)
    if not path.is_dir() and not path.is_file() and not any(c in calib for c in "*?["):
        raise ImageError(f"{calib}: no such folder, image or video to calibrate on")
    if isinstance(size, tuple) and min(size) < 1:
        raise ArgumentError("calib_size", "width and height must be positive", f"{size[0]}x{size[1]}")
    found = images.ImageFiles([path]) if _is_video(path) else images.find_images([calib])
    sources = found.paths
    videos = [source for source in sources if _is_video(source)]
    if videos and len(sources) > 1:
        raise ImageError(f"{calib}: holds a video, {videos[0].name}; name the video, or images without it")
    return Images(sources, input, size, limit, images.root_of(calib), found.skipped)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in images.VIDEOS and path.is_file()


def _spread(paths: Sequence[Path], limit: int) -> list[Path]:
    """Return at most ``limit`` of the paths, at even distances."""
    if len(paths) <= limit:
        return list(paths)
    return [paths[i * len(paths) // limit] for i in range(limit)]


def _frames(path: Path, limit: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield frames of a video at even distances; only these are converted to pixels."""
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
