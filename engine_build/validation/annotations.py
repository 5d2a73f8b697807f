"""Annotated faces, in the form of WIDER FACE's ``wider_face_val_bbx_gt.txt``, and AP by face size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from trt_mogface._text import as_path, fold_suffix, read_lines
from trt_mogface.errors import ArgumentError, ImageError
from trt_mogface.evaluation.average_precision import SCORES, Floats, ImageResult, as_xywh, average_precision
from trt_mogface.evaluation.face_sizes import SIZES, of_size
from trt_mogface.evaluation.hints import NORMALIZED
from trt_mogface.reference.select import Selection

SMALLEST = 2.0
"""Longer side in pixels of the network input below which a face does not count."""

SHOWN = 3
"""Names in a message."""

Annotations = Mapping[str, Floats]


def read_annotations(path: Path) -> Annotations:
    """Read annotated faces.

    Returns:
        float64 [n, 4], x, y, width, height in pixels of the image, by path as in the file, with ``/``.

    Raises:
        ImageError: If the file cannot be read, has another form, or names an image twice.
    """
    try:
        lines = read_lines(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"{path}: the annotations cannot be read ({reason})") from error
    found: dict[str, Floats] = {}
    rows = iter(lines)
    try:
        for name in rows:
            count = int(next(rows))
            # An image without faces still has one line, of zeros.
            boxes = [_box(next(rows)) for _ in range(max(count, 1))]
            if count < 0:
                raise ValueError("a negative count")
            path_of_image = as_path(name)
            if path_of_image in found:
                raise ImageError(f"{path}: {path_of_image} is annotated twice; leave one of them")
            found[path_of_image] = np.array(boxes[:count], np.float64).reshape(-1, 4)
    except (ValueError, StopIteration) as error:
        raise ImageError(
            f"{path}: not in WIDER FACE's form; use a name, a count, and a line `x y w h` for each face"
        ) from error
    return found


def assign(annotations: Annotations, files: Mapping[str, Path]) -> Annotations:
    """Return the annotated faces of each image by its name.

    An image and an annotation belong together if their paths are the same, below the folder of the images;
    else if the annotation's path is the end of the file's whole path, or ends in the image's.  The case of an
    extension counts only where two names differ in nothing else.

    Args:
        annotations: Faces by path, of `read_annotations`.
        files: Image files by name, see `engine_build.calibration.images.Images`.

    Raises:
        ArgumentError: If an image has no annotation or several, an annotation fits several images, or the
            boxes are not in pixels.
    """
    ends: dict[str, list[str]] = defaultdict(list)
    for key in annotations:
        ends[fold_suffix(PurePosixPath(key).name)].append(key)
    keys = {name: _keys_of(name, path, annotations, ends) for name, path in files.items()}
    _check_assignment(keys, annotations)
    assigned = {name: annotations[key] for name, (key,) in keys.items()}
    faces = np.concatenate([*assigned.values(), np.empty((0, 4))])
    if len(faces) and faces.max() <= NORMALIZED:
        raise ArgumentError("boxes", "all boxes lie within 0..1; give x y w h in pixels of the image")
    return assigned


def _keys_of(
    name: str, path: Path, annotations: Annotations, ends: Mapping[str, Sequence[str]]
) -> Sequence[str]:
    """Return the annotations that may be those of an image."""
    if name in annotations:
        return [name]
    near = ends.get(fold_suffix(PurePosixPath(name).name), ())
    whole = f"/{path.absolute().as_posix()}"
    exact = [key for key in near if whole.endswith(f"/{key}")]
    exact = exact or [key for key in near if key.endswith(f"/{name}")]
    if exact:
        return exact
    whole, name = fold_suffix(whole), fold_suffix(name)
    folded = [key for key in near if whole.endswith(f"/{fold_suffix(key)}")]
    return folded or [key for key in near if fold_suffix(key).endswith(f"/{name}")]


def _check_assignment(keys: Mapping[str, Sequence[str]], annotations: Annotations) -> None:
    rule = "names are paths below the folder of the images"
    without = [name for name, found in keys.items() if not found]
    if without:
        like = f", and annotations are of {_some(list(annotations))}" if annotations else ""
        problem = f"{len(without)} of {len(keys)} images have no annotation: {_some(without)}{like}"
        raise ArgumentError("boxes", f"{problem}; {rule}")
    for name, found in keys.items():
        if len(found) > 1:
            raise ArgumentError("boxes", f"{name} fits several annotations: {_some(found)}; {rule}")
    images: dict[str, list[str]] = defaultdict(list)
    for name, (key,) in keys.items():
        images[key].append(name)
    for key, several in images.items():
        if len(several) > 1:
            raise ArgumentError("boxes", f"{key} fits several images: {_some(several)}; {rule}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _box(line: str) -> list[float]:
    values = [float(value) for value in line.split()[:4]]
    if len(values) != 4 or not np.isfinite(values).all():
        raise ValueError("not four numbers")
    return values


def ap_by_size(
    names: Sequence[str],
    scales: Sequence[tuple[float, float]],
    found: Sequence[Selection],
    truth: Annotations,
) -> dict[str, float]:
    """Compute the AP of all annotated faces and of each class of `SIZES`, by size in the network input.

    Args:
        names: Name of each image.
        scales: Network pixels per image pixel, across and down, of each image.
        found: Candidates of each image, in pixels of the network input.
        truth: Annotated faces by name.

    Returns:
        AP by ``all`` and class; classes without a face are left out.
    """
    figures = {}
    for label in ("all", *SIZES):
        results = []
        for name, scale, selection in zip(names, scales, found):
            faces = truth.get(name, np.empty((0, 4))) * (scale * 2)
            counted = faces[:, 2:].max(axis=1, initial=0) >= SMALLEST
            if label != "all":
                counted &= of_size(faces, label)
            scores = selection.scores.astype(np.float64)
            results.append(ImageResult(as_xywh(selection.boxes), scores, faces, counted))
        if any(result.counted.any() for result in results):
            figures[label] = average_precision(results, SCORES)
    return figures
