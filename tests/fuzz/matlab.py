"""WIDER FACE's MATLAB files, valid and mutated."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from scipy.io import savemat

from tests.fuzz.mutation import mutate_bytes
from tests.fuzz.seeds import EVENT, FACES, NAMES
from trt_mogface.evaluation.wider_face import SETTINGS


def cells(values: Sequence[object]) -> Any:
    """Return a column of MATLAB's cells."""
    column = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        column[row, 0] = value
    return column


def contents() -> dict[str, dict[str, Any]]:
    """Return the content of WIDER FACE's four files by their names."""
    faces = [np.array(each, np.float64) for each in FACES]
    whole = {
        "event_list": cells([EVENT]),
        "file_list": cells([cells(NAMES)]),
        "face_bbx_list": cells([cells(faces)]),
    }
    lists = cells([cells([np.array([[1], [3]], np.uint8), np.array([[1]], np.uint8)])])
    return {"wider_face_val": whole} | {f"wider_{setting}_val": {"gt_list": lists} for setting in SETTINGS}


UGLY = (
    np.nan, np.inf, -1, 0, 10**9, "text", "", "\x1b[31m", "../up", 1j, np.empty((0, 0)), np.zeros((3, 3, 3)),
    {"a": 1.0}, True,
)  # fmt: skip


HEADER = 116
"""Bytes of text at the beginning, which has the time."""


def encoded(content: Mapping[str, Any], *, compressed: bool = False) -> bytes:
    """Return a MATLAB file."""
    file = io.BytesIO()
    savemat(file, dict(content), do_compression=compressed)
    return b"MATLAB 5.0 MAT-file".ljust(HEADER) + file.getvalue()[HEADER:]


def mutated(rng: Random, content: Mapping[str, Any], data: bytes) -> bytes:
    """Return a file with one of its bytes or one of its cells changed."""
    if rng.random() < 0.5:
        return mutate_bytes(rng, data)
    name = rng.choice(sorted(content))
    try:
        return encoded({name if rng.random() < 0.8 else "other": _changed_cells(rng, content[name])})
    except (TypeError, ValueError):  # SciPy does not write every array
        return data[: rng.randrange(len(data))]


def _changed_cells(rng: Random, value: Any) -> Any:
    """Return MATLAB's cells with one of them, or one number, replaced."""
    if not isinstance(value, np.ndarray) or value.size == 0 or rng.random() < 0.15:
        return rng.choice(UGLY)
    changed = value.copy()
    if value.dtype == object:
        at = rng.randrange(value.size)
        changed.flat[at] = _changed_cells(rng, value.flat[at])
    elif np.issubdtype(value.dtype, np.number):
        changed = changed.astype(np.float64)
        changed.flat[rng.randrange(value.size)] = rng.choice((np.nan, np.inf, -1, 0, 1e300, 2.5, 1000))
    return rng.choice((changed, changed, changed.T, changed.ravel(), changed[:0], changed[:1]))
