"""A run that can be killed: made sources through the real sinks and checkpoint, slowly.

Sources behave as those of `trt_mogface.video.analyze`: one that goes on leaves out all that is before its
position.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.support.recorded_items import items_of
from trt_mogface.video.analysis import Position
from trt_mogface.video.checkpoint import Checkpoint, checkpoint_path
from trt_mogface.video.items import FrameFaces, Item
from trt_mogface.video.sinks.opening import open_sinks, parse_sink
from trt_mogface.video.writing import write

SOURCES = {"clips/a 1.mp4": 60, "b": 70, "tür": 20}
"""Frames by source."""

RUN = {"model": "0123", "conf": "0.5"}


def source(name: str, *, picture: bool = True) -> list[Item]:
    seed = list(SOURCES).index(name)
    items = list(items_of(name, SOURCES[name], seed=seed, picture=picture, every=20))
    kept = [each for each in items if isinstance(each, FrameFaces) or each.event not in ("lost", "reopened")]
    return [_of_a_file(each) for each in kept]


def _of_a_file(item: Item) -> Item:
    return replace(item, lag=None) if isinstance(item, FrameFaces) else item


def analysis(positions: Mapping[str, Position], pause: float) -> Iterator[Item]:
    """Yield the items of all sources, in an order that differs from run to run."""
    left = {name: going_on(source(name), positions.get(name, Position())) for name in SOURCES}
    while any(left.values()):
        name = random.choice([name for name, items in left.items() if items])
        if pause:
            time.sleep(random.uniform(0, 2 * pause))
        yield left[name].pop(0)


def going_on(items: Sequence[Item], position: Position) -> list[Item]:
    if position.is_over:
        return []
    expected = [item.frame for item in items if isinstance(item, FrameFaces) and item.frame < position.frame]
    assert [item.frame for item in position.replay] == expected
    first = position.frame
    return [item for item in items if not first or (item.frame >= first and not _is_opening(item))]


def _is_opening(item: Item) -> bool:
    return not isinstance(item, FrameFaces) and item.event == "opened"


def specifications(folder: Path) -> list[str]:
    return [
        f"jsonl:{folder}/out.jsonl",
        f"csv:{folder}/parts.csv,segment=4m",
        f"parquet:{folder}/out,rows=30",
        f"mot:{folder}/out",
        f"crops:{folder}/crops",
        f"mp4:{folder}/movies",
    ]


def run(folder: Path, pause: float = 0.0, interval: float = 0.02, *, says: bool = False) -> None:
    given = [parse_sink(each) for each in specifications(folder)]
    place = checkpoint_path(given)
    assert place is not None
    checkpoint = Checkpoint(place, RUN, resume=True)
    sinks = open_sinks(given, resume=checkpoint.is_resumed)
    say = (lambda counts: print(json.dumps(counts), flush=True)) if says else None
    if say is not None:
        say({name: state.items for name, state in checkpoint.sources.items()})
    items = analysis(checkpoint.positions(sinks), pause)
    write(items, sinks, checkpoint=checkpoint, interval=interval, on_written=say)


if __name__ == "__main__":
    run(Path(sys.argv[1]), float(sys.argv[2]), says=True)
