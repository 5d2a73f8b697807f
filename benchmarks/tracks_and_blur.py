"""Ids of faces on two clips by each tracker, and the share of faces that blur covers if some were missed.

A face is covered if more than nine tenths of its box, without a margin, are black.

    MOGFACE_TEST_DATA=folder python -m benchmarks.tracks_and_blur
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.data import DATA
from benchmarks._lib.results import record
from trt_mogface import Detections, Detector, Frame
from trt_mogface.video.blur import CARRIED, Blur
from trt_mogface.video.items import FrameFaces
from trt_mogface.video.tracking import KINDS, low_confidence, open_tracker

TAKEN = 0.2
"""Share of the detections that are taken away at random."""

SEEDS = 5

NAMES = {"facenet_video.mp4": 3, "short_hamilton.mp4": 1}
"""Number of faces that are seen throughout each clip."""


class Clip(NamedTuple):
    """Detections of a clip down to the confidence that trackers use."""

    rate: Fraction
    faces: list[Detections]
    conf: float


def main() -> None:
    figures: dict[str, Any] = {}
    for name, people in NAMES.items():
        clip = detect(DATA / "video" / name)
        figures[name] = {"frames": len(clip.faces), "ids": ids(clip, people), "blur": blur(clip)}
        print(name, figures[name])
    record("tracks_and_blur", figures)


def detect(path: Path) -> Clip:
    with Detector() as detector:
        conf = detector.thresholds.score_threshold
    with av.open(str(path)) as container, Detector(conf=low_confidence("bytetrack", conf)) as detector:
        images = (frame.to_ndarray(format="bgr24") for frame in container.decode(video=0))
        rate = container.streams.video[0].average_rate
        assert rate is not None
        return Clip(rate, [detector(image) for image in images], conf)


def ids(clip: Clip, people: int) -> dict[str, Any]:
    """Return the frames of the most frequent ids, by tracker."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        tracker, seen = open_tracker(kind, float(clip.rate), clip.conf), Counter[int]()
        for faces in clip.faces:
            seen.update(np.asarray(tracker.update(faces).tracker_id).tolist())
        del seen[-1]
        found[kind] = [count for _, count in seen.most_common(people)]
    return found


def blur(clip: Clip) -> dict[str, float]:
    """Return the share of faces that are covered, without and with carried ones."""
    truth = [faces[faces.confidence >= clip.conf] for faces in clip.faces]
    shares = {f"share_carried_{carried}": covered(truth, carried) for carried in (0, CARRIED)}
    return {name: round(share, 4) for name, share in shares.items()}


def covered(truth: list[Detections], carried: int) -> float:
    results: list[bool] = []
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        kept = [faces[random.random(len(faces)) >= TAKEN] for faces in truth]
        for item, faces in zip(Blur(lambda _: "solid", carried).apply(white(kept)), truth):
            assert isinstance(item, FrameFaces)
            dark = item.image()[..., 0] == 0
            results += [bool(share > 0.9) for share in shares_of(faces, dark)]
    return float(np.mean(results))


def white(kept: list[Detections]) -> Iterator[FrameFaces]:
    for number, faces in enumerate(kept):
        picture = Frame((np.full((*faces.image_size, 3), 255, np.uint8),))
        yield FrameFaces("clip", number, number / 25, 0.0, "arrival", faces, picture=picture)


def shares_of(faces: Detections, dark: NDArray[np.bool_]) -> Iterator[float]:
    """Yield the share of each face that is dark."""
    for x0, y0, x1, y1 in faces.clip().xyxy.round().astype(int).tolist():
        area = dark[y0:y1, x0:x1]
        yield float(area.mean()) if area.size else 1.0


if __name__ == "__main__":
    main()
