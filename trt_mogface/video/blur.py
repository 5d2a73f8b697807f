"""Blur of faces on frames, before any sink sees them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import ArgumentError, ImageError
from trt_mogface.frame import Frame
from trt_mogface.reference.color import factors
from trt_mogface.video.carry import Carrier, widened
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.zones import Polygon, in_pixels

BlurKind = Literal["gaussian", "pixelate", "solid"]
KINDS: tuple[BlurKind, ...] = get_args(BlurKind)

MARGIN = 0.15
"""Width by which the blurred rectangle exceeds a face at each side, by the sides of its box."""

CARRIED = 10
"""Analyzed frames over which a face is carried where the detector missed it, and by which items lag."""

CELLS = 6
"""Cells of the mosaic along the longer side of a blurred rectangle, whatever its size in pixels."""

SAMPLES = 24
"""Samples along the longer side of a rectangle that ``gaussian`` filters: cheap, and the rest is lost."""


class Blur:
    """The stage between tracking and the sinks: frames in, frames with blurred faces out.

    Faces are also blurred where the detector missed them between two frames (see `Carrier`), so that items
    of a blurred source come `carried` frames late.  Faces are tracked here if they have no ids.

    Args:
        kind_of: Kind of blur for a source by its name, or None for a source that is not blurred.
        masks_of: Masks of a source, which become black: the faces in them were left out of the items.
        carried: Analyzed frames over which a face is carried.

    Examples:
        >>> blur = Blur(lambda source: None if source == "parking" else "gaussian")
        >>> list(blur.apply([]))
        []
    """

    def __init__(
        self,
        kind_of: Callable[[str], BlurKind | None],
        carried: int = CARRIED,
        masks_of: Callable[[str], Sequence[Polygon]] = lambda _: (),
    ) -> None:
        self._kind_of, self._masks_of, self._carried = kind_of, masks_of, carried
        self._sources: dict[str, tuple[BlurKind, Carrier] | None] = {}

    def apply(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, in the order of their source, with pictures whose faces are blurred.

        Raises:
            ArgumentError: If the kind of blur of a source is unknown.
            ImageError: If a picture lies on a GPU.
        """
        for item in items:
            yield from self.push(item)
        yield from self.flush()

    def push(self, item: Item) -> Iterator[Item]:
        """Add an item, and yield the items of its source that are ready; see `apply`."""
        source = self._source(item.source)
        if source is None:
            yield item
        else:
            kind, carrier = source
            yield from (self._blurred(ready, boxes, kind) for ready, boxes in carrier.push(item))
        if isinstance(item, SourceEvent) and item.event in ("ended", "failed"):
            del self._sources[item.source]

    def flush(self) -> Iterator[Item]:
        """Yield the items that wait for later frames, when there are no more."""
        for kind, carrier in filter(None, self._sources.values()):
            yield from (self._blurred(ready, boxes, kind) for ready, boxes in carrier.flush())

    def replay(self, item: Item) -> None:
        """Take over an item that an earlier run has written, so that its faces are carried into this run."""
        source = self._source(item.source)
        if source is not None:
            source[1].replay(item)

    def _blurred(self, item: Item, boxes: NDArray[np.float64], kind: BlurKind) -> Item:
        if not isinstance(item, FrameFaces) or item.picture is None:
            return item
        masks = self._masks_of(item.source)
        if not len(boxes) and not masks:
            return item
        return dataclasses.replace(item, picture=blur_faces(item.picture, boxes, kind, masks))

    def _source(self, name: str) -> tuple[BlurKind, Carrier] | None:
        """Return the blur of a source, which stays the same until the source ends."""
        if name not in self._sources:
            kind = check_kind(self._kind_of(name))
            self._sources[name] = kind and (kind, Carrier(self._carried))
        return self._sources[name]


def check_kind(kind: str | None) -> BlurKind | None:
    """Return the kind of blur if it is one, or None.

    Raises:
        ArgumentError: If the kind is unknown.
    """
    if kind is not None and kind not in KINDS:
        raise ArgumentError("blur", f"unknown blur (choose from {', '.join(KINDS)})", repr(kind))
    return kind


def blur_faces(
    frame: Frame, boxes: NDArray[np.floating[Any]], kind: BlurKind, masks: Sequence[Polygon] = ()
) -> Frame:
    """Return a copy of a frame with blurred faces; planes without pixels of a face are copied too.

    ``gaussian`` keeps about three cycles of detail across a face and ``pixelate`` six cells, whatever the
    size of the face.  Both keep colors and, over many frames, outlines; only ``solid`` keeps nothing.

    Args:
        frame: Frame on the host; it is not changed.
        boxes: Faces, [n, 4], x0, y0, x1, y1 in pixels.
        kind: Kind of blur.
        masks: Polygons that become black.

    Raises:
        ImageError: If the frame lies on a GPU.
    """
    if not frame.on_host:
        raise ImageError("blur: the frame lies on a GPU; decode it on the CPU (decoder='cpu')")
    planes = tuple(np.array(plane, order="C") for plane in frame.planes)
    height, width = frame.size
    for x0, y0, x1, y1 in rectangles(boxes, height, width):
        for number, (plane, color) in enumerate(zip(planes, _black(frame))):
            step = 2 if number else 1
            is_paired = number and frame.format in ("nv12", "p010")
            pixels = plane.reshape(len(plane), -1, 2) if is_paired else plane
            area = pixels[y0 // step : -(-y1 // step), x0 // step : -(-x1 // step)]
            area[:] = color if kind == "solid" else _weaken(area, kind)
    for mask in masks:
        _cover(frame, planes, mask)
    return dataclasses.replace(frame, planes=planes)


def _cover(frame: Frame, planes: Sequence[NDArray[Any]], mask: Polygon) -> None:
    """Make a polygon of the planes black; a pixel of the planes of color counts if any of its four does."""
    height, width = frame.size
    inside = np.zeros((height + height % 2, width + width % 2), np.uint8)
    cv2.fillPoly(inside, [np.round(in_pixels(mask, frame.size)).astype(np.int32)], 1)
    for number, (plane, color) in enumerate(zip(planes, _black(frame))):
        is_paired = number and frame.format in ("nv12", "p010")
        pixels = plane.reshape(len(plane), -1, 2) if is_paired else plane
        covered = (
            inside.reshape(len(inside) // 2, 2, -1, 2).max((1, 3)) if number else inside[:height, :width]
        )
        pixels[covered > 0] = color


def rectangles(boxes: NDArray[np.floating[Any]], height: int, width: int) -> list[list[int]]:
    """Return the parts of an image that are blurred: x0, y0, x1, y1 in whole pixels, none of them empty.

    They begin and end at even pixels, where the planes of color do, and at the edges.
    """
    wide = widened(np.nan_to_num(boxes.astype(float)).reshape(-1, 4), MARGIN) / 2
    even = 2 * np.hstack([np.floor(wide[:, :2]), np.ceil(wide[:, 2:])])
    whole = np.clip(even, 0, [width, height, width, height]).astype(int)
    return [[x0, y0, x1, y1] for x0, y0, x1, y1 in whole.tolist() if x1 > x0 and y1 > y0]


def _weaken(area: NDArray[Any], kind: BlurKind) -> NDArray[Any]:
    """Return a part of a plane, [h, w] or [h, w, 2 or 3], with little detail."""
    height, width = area.shape[:2]
    longest = max(height, width)
    few = min(CELLS, longest / 2) if kind == "pixelate" else min(SAMPLES, longest)
    scale = few / longest
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(area, size, interpolation=cv2.INTER_AREA)
    if kind == "pixelate":
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST).reshape(area.shape)
    sigma = max(size) / CELLS
    smooth = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR).reshape(area.shape)


def _black(frame: Frame) -> tuple[Any, ...]:
    """Return the numbers of black in each plane."""
    if frame.format == "bgr":
        return (0,)
    bits = 10 if frame.format == "p010" else 8
    by = factors(frame.matrix, frame.range, bits)
    unit = 64 if bits == 10 else 1
    return (by.black * unit, *[by.gray * unit] * (len(frame.planes) - 1))
