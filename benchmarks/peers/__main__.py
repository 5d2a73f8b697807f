"""Compare a model with other projects' detectors and runtimes on the same images, in turns.

    python -m benchmarks.peers
    python -m benchmarks.peers --model FILE --peers all --batch 1,8 --size 640x640 --json FILE

Without arguments: the default model, twice; the ratios are recorded with the difference between the two runs.
One thread each: threads of one network that wait for each other on all cores of a shared machine make ratios
swing by far more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from benchmarks._lib.data import DATA
from benchmarks._lib.results import record
from benchmarks.peers.contest import Standing, contest
from benchmarks.peers.ours import OURS, Ours
from benchmarks.peers.peer import FACES, NETWORK, Task
from benchmarks.peers.registry import PEERS, chosen_peers
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.bench.sources import from_memory, noise, photos
from trt_mogface.images import find_images
from trt_mogface.machine.facts import machine
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file
from trt_mogface.models.manifest import is_engine, load_manifest
from trt_mogface.reporting.tables import print_whole

ULFD = DATA / "weights" / "ulfd_version-RFB-640.onnx"
FILES = ("mogface", "yunet", "ulfd", "scrfd")
"""Names of ``--peer-model``."""

KEY = ("batch", "peer", "does")
"""Key of `ratios`."""

Contests = dict[int, Sequence[Standing]]
"""Results by batch."""


def main() -> None:
    given = parser().parse_args()
    console = Console()
    recording = len(sys.argv) == 1
    runs = [contests(given) for _ in range(2 if recording else 1)]
    for batch, standings in runs[0].items():
        print_whole(console, table(f"batch {batch}: images/s, and ms of a run", standings))
    if given.json:
        plain = {batch: [asdict(each) for each in standings] for batch, standings in runs[0].items()}
        content = {"arguments": sys.argv[1:], "machine": machine(given.device), "contests": plain}
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    if recording:
        first, second = map(ratios, runs)
        apart = max(abs(first[key] / second[key] - 1) for key in first)
        console.print(f"the two runs agree within {apart:.1%}")
        rows = [{**dict(zip(KEY, key)), "ratio": ratio} for key, ratio in first.items()]
        names = ("batch", "size", "threads", "duration")
        arguments = [text for name in names for text in (f"--{name}", str(getattr(given, name)))]
        record("peers", {"arguments": arguments, "rows": rows, "apart": apart})


def parser() -> argparse.ArgumentParser:
    """Return the parser; the defaults are those of the recorded results."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    found.add_argument("--model", default=DEFAULT, help="model name, contract ONNX file or engine")
    found.add_argument("--peers", default="onnxruntime,retinaface,ulfd", help=f"all, or {', '.join(PEERS)}")
    of_peer = f"file of {', '.join(FILES)} (or $TRT_MOGFACE_YUNET, ...); mogface is its checkpoint"
    found.add_argument("--peer-model", metavar="PEER=FILE", action="append", default=[], help=of_peer)
    found.add_argument("--batch", default="1,4")
    found.add_argument("--size", default="640x480", help="network input, WxH")
    found.add_argument("--duration", type=float, default=6, help="seconds of each peer")
    found.add_argument("--threads", type=int, default=1)
    found.add_argument("--device", type=int, default=0)
    found.add_argument("--images", type=Path, default=DATA / "dlib_faces", help="folder; noise if missing")
    found.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return found


def contests(given: argparse.Namespace) -> Contests:
    """Hold a contest for each batch."""
    engine = is_engine(given.model)
    files = peer_files(given.peer_model)
    weights = files.get("mogface") if given.model == "mogface" else None
    model = Path(given.model) if engine else contract_file(given.model, weights)
    spec = load_manifest(model).spec if engine else read_spec(model)
    width, _, height = given.size.partition("x")
    size = int(width), int(height)
    held = photos(find_images([str(given.images)]).paths, size) if given.images.is_dir() else noise(size, 8)
    status = Console(stderr=True)
    found: Contests = {}
    with status.status("", refresh_per_second=2) as line:
        for batch in map(int, given.batch.split(",")):
            images, limits = list(islice(from_memory(held), batch)), spec.thresholds
            task = Task(model, spec.name, engine, images, limits, given.threads, given.device, files)
            ours, others = [Ours(FACES), Ours(NETWORK)], chosen_peers(given.peers)
            show = line.update if status.is_terminal else lambda _: None
            found[batch] = contest(ours, others, task, given.duration, on_status=show)
    return found


def peer_files(given: Iterable[str]) -> dict[str, Path]:
    """Return the files of peers, from ``--peer-model``, the environment and the test data."""
    files = {"ulfd": ULFD} if ULFD.is_file() else {}
    files |= {name: Path(path) for name in FILES if (path := os.environ.get(f"TRT_MOGFACE_{name.upper()}"))}
    for each in given:
        name, _, path = each.partition("=")
        if name not in FILES or not Path(path).is_file():
            raise SystemExit(f"--peer-model {each}: use PEER=FILE, with a file of {', '.join(FILES)}")
        files[name] = Path(path)
    return files


def ratios(found: Contests) -> dict[tuple[str, str, str], float]:
    """Return the ratio of our speed to each peer's, by batch, peer and kind of work."""
    return {
        (str(batch), each.peer, each.does or ""): each.ratio
        for batch, standings in found.items()
        for each in standings
        if each.ratio is not None and not each.peer.startswith(OURS)
    }


def table(title: str, standings: Iterable[Standing]) -> Table:
    """Return the results of a contest as a table; peers without figures have the reason."""
    figures = ("images/s", "min", "max", "median", "p99", "runs", "faces", "ours / it")
    columns = (Column(name, justify="right", no_wrap=True) for name in figures)
    head: list[Column | str] = ["peer", "does", *columns, Column("remarks", max_width=50)]
    found = Table(*head, title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for each in standings:
        speeds = each.images_per_s, each.min_per_s, each.max_per_s, each.median_ms, each.p99_ms
        found.add_row(
            escape(each.peer),
            each.does or each.status,
            *("" if value is None else f"{value:.2f}" for value in speeds),
            *("" if value is None else str(value) for value in (each.runs, each.faces)),
            "" if each.ratio is None else f"{each.ratio:.2f}x",
            escape(each.why or each.note),
        )
    return found


if __name__ == "__main__":
    main()
