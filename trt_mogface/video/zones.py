"""Polygons of a source: zones that its faces are in, and masks whose faces are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.detections import Detections

Polygon: TypeAlias = "tuple[tuple[float, float], ...]"
"""Corners, x and y: shares of width and height if none is greater than 1, else pixels of the shown frame."""


def name_zones(faces: Detections, zones: Mapping[str, Polygon]) -> Detections:
    """Return the faces with ``data["zones"]``: a tuple of the names of the zones that hold its center."""
    inside = {name: contains(polygon, faces) for name, polygon in zones.items()}
    names = np.empty(len(faces), object)
    for index in range(len(faces)):
        names[index] = tuple(name for name, held in inside.items() if held[index])
    return dataclasses.replace(faces, data={**faces.data, "zones": names})


def leave_out(faces: Detections, masks: Sequence[Polygon]) -> Detections:
    """Return the faces whose center lies in no mask."""
    masked = np.zeros(len(faces), bool)
    for polygon in masks:
        masked |= contains(polygon, faces)
    return faces[~masked] if masked.any() else faces


def in_pixels(polygon: Polygon, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the corners of a polygon in pixels of a frame of a height and width, float32 [n, 2]."""
    corners = np.asarray(polygon, np.float32)
    return corners * np.asarray(size[::-1], np.float32) if corners.max() <= 1 else corners


def contains(polygon: Polygon, faces: Detections) -> NDArray[np.bool_]:
    """Return which faces have their center in a polygon or on its edge."""
    corners = in_pixels(polygon, faces.image_size)
    centers = (faces.xyxy[:, :2] + faces.xyxy[:, 2:]) / 2
    held = [cv2.pointPolygonTest(corners, (float(x), float(y)), measureDist=False) >= 0 for x, y in centers]
    return np.asarray(held, bool)
