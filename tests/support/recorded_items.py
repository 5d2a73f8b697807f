"""Items of an analysis made by a seed, with everything that the records have to keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trt_mogface.detections import Detections
from trt_mogface.frame import Frame
from trt_mogface.video.items import EVENTS, FrameFaces, Item, SourceEvent
from trt_mogface.video.records import zone_names
from trt_mogface.video.tracks import Sighting, Track

BEGIN = 1_764_072_000.0
"""2025-11-25T12:00:00Z."""


def faces(random: np.random.Generator, count: int, *, tracked: bool = True, rich: bool = True) -> Detections:
    corners = random.uniform(-5, 90, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(1, 40, (count, 2))], axis=1)
    ids = random.permutation(30)[:count].astype(np.int64) + 1
    zones = [tuple(random.choice(["door", "tür 1", "a,b"], 2)) for _ in range(count)]
    return Detections(
        boxes.astype(np.float32),
        random.uniform(0, 1, count).astype(np.float32),
        random.uniform(0, 99, (count, 5, 2)).astype(np.float32) if rich else None,
        (96, 128),
        int(random.integers(2)),
        ids if tracked else None,
        {"zones": zone_names(tuple(map(str, each)) for each in zones)} if rich else {},
    )


def sighting(random: np.random.Generator, frame: int) -> Sighting:
    box = tuple(map(float, random.uniform(0, 99, 4)))
    return Sighting(frame, frame / 25, BEGIN + frame / 25, (*box,), random.random(), random.random())  # type: ignore[arg-type]


def track(random: np.random.Generator, number: int, frame: int) -> Track:
    first, last = (sighting(random, max(frame - ago, 0)) for ago in (9, 3))
    return Track(number, first, last, 7, sighting(random, frame))


def items_of(
    source: str,
    count: int,
    *,
    seed: int = 0,
    every: float = 0.04,
    begin: float = BEGIN,
    tracked: bool = True,
    rich: bool = True,
    picture: bool = False,
) -> Iterator[Item]:
    """Yield an opening, frames with and without faces between events of all kinds, and an end."""
    random = np.random.default_rng(seed)
    yield SourceEvent(source, "opened", begin)
    for frame in range(count):
        captured = begin + every * frame
        if frame % 7 == 3:
            kind = EVENTS[1 + int(random.integers(5))]
            yield SourceEvent(source, kind, captured, frame, int(random.integers(9)), 'naïve, "x"\n; y', 2)
        found = faces(random, int(random.integers(4)), tracked=tracked, rich=rich)
        ended = tuple(track(random, 10 * frame + n, frame) for n in range(int(random.integers(3))))
        image = np.full((96, 128, 3), frame % 200, np.uint8)
        yield FrameFaces(
            source,
            frame,
            None if frame == 2 else frame * every,
            captured,
            "arrival" if frame % 2 else "sender",
            found,
            picture=Frame((image,)) if picture else None,
            lag=0.125 if frame % 3 == 0 else None,
            ended=ended,
        )
    yield SourceEvent(source, "ended", begin + every * count, count, ended=(track(random, 999_999, count),))


def plain(item: Item) -> dict[str, Any]:
    """Return an item as values that can be compared, without its picture; times as records have them."""
    values = dict(vars(item)) | {"captured": round(item.captured, 6)}
    for name in ("picture", "audio", "tracks", "faces"):
        values.pop(name, None)
    values["ended"] = [
        (each.id, each.faces, *((at.frame, at.time, round(at.captured, 6), at.box, at.confidence, at.quality)
                                for at in (each.first, each.last, each.best)))
        for each in item.ended
    ]  # fmt: skip
    if isinstance(item, FrameFaces):
        values["faces"] = item.faces.to_dict() | {
            "zones": [tuple(each) for each in item.faces.data.get("zones", ())]
        }
    return values
