"""Video: decoding, scheduling and the whole path, in CPU time, with the other side of each ratio in turn.

python -m benchmarks.video [--rounds 3] [--only planes,bgr,...]

The network is replaced by recorded faces, except for ``path``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
from rich.console import Console

from benchmarks._lib.data import DATA
from benchmarks._lib.results import RESULTS, record, recorded
from trt_mogface import Detections, Detector
from trt_mogface.backends.base import ModelInfo
from trt_mogface.frame import Frame
from trt_mogface.reference.resize import Placement, place_native
from trt_mogface.spec import InputSpec, Origin, Thresholds
from trt_mogface.video import FrameFaces, analyze
from trt_mogface.video.items import Item
from trt_mogface.video.sinks.opening import open_sinks
from trt_mogface.video.writing import write

SIZE = (640, 384)
REPEATED = 4
BATCH = 8
KEY_RATE = 25


class RecordedSlot:
    """A slot whose faces were found before."""

    def __init__(self, backend: Recorded) -> None:
        self._backend = backend
        self._found: list[Detections] = []

    def submit(self, frames: Sequence[Frame]) -> None:
        faces = self._backend.faces
        self._found = [faces[(frame.index or 0) % len(faces)] for frame in frames]

    def wait(self) -> list[Detections]:
        time.sleep(self._backend.seconds)
        return self._found

    def close(self) -> None:
        pass


class Recorded:
    """A backend that returns the recorded faces of a clip."""

    max_batch = 64
    info = ModelInfo("recorded", 5, Thresholds(0.5, 0.4), False, Origin("", "", ""))

    def __init__(self, faces: list[Detections], seconds: float = 0.0) -> None:
        self.faces, self.seconds = faces, seconds
        self._placement = place_native(64, 64, InputSpec())

    def check(self, frame: Frame) -> None:
        pass

    def place(self, height: int, width: int) -> Placement:  # noqa: ARG002 -- of any size
        return self._placement

    def slot(self, *_: object, **__: object) -> RecordedSlot:
        return RecordedSlot(self)

    def close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="figures, separated by commas; default all")
    given = parser.parse_args()
    chosen = given.only.split(",") if given.only else list(FIGURES)
    clip = DATA / "video" / "facenet_video.mp4"
    figures: dict[str, Any] = recorded("video") if (RESULTS / "video.json").is_file() else {}
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(clip, Path(folder), given.rounds)
        for name in chosen:
            figures[name] = FIGURES[name](bench)
            console.print(name, figures[name])
    figures["load"] = round(os.getloadavg()[0], 1)
    record("video", figures)


class Bench:
    """A clip, its faces, and work on it."""

    def __init__(self, clip: Path, folder: Path, rounds: int) -> None:
        self.clip, self.folder, self.rounds = clip, folder, rounds
        with Detector(size=SIZE, conf=0.5 / 3) as detect:
            self.faces = [detect(frame.to_ndarray(format="bgr24")) for frame in decoded(clip)]
        self.long = repeat(clip, folder / "long.mp4", REPEATED)
        self.frames = REPEATED * len(self.faces)

    def run(
        self, *sources: Path, look: Callable[[FrameFaces], object] | None = None, **options: Any
    ) -> Counter[str]:
        """Analyze, track and write JSON Lines; return the analyzed frames by source."""
        counts: Counter[str] = Counter()
        named = [f"s{number}={path}" for number, path in enumerate(sources)]
        options = {"track": True, "batch": BATCH, **options}
        with (
            tempfile.TemporaryDirectory(dir=self.folder) as folder,
            analyze(named, Recorded(self.faces), **options) as analysis,
        ):

            def items() -> Iterator[Item]:
                for item in analysis:
                    if isinstance(item, FrameFaces):
                        counts[item.source] += 1
                        if look is not None:
                            look(item)
                    yield item

            write(items(), open_sinks([f"jsonl:{folder}/faces.jsonl"]))
        return counts

    def ratio(self, theirs: Callable[[], object], ours: Callable[[], object]) -> dict[str, float]:
        """Return CPU milliseconds a frame of both sides, run in turn, and the median of their ratios."""
        times = [(cpu_seconds(theirs), cpu_seconds(ours)) for _ in range(self.rounds + 1)][1:]
        one, other = (statistics.median(side) * 1e3 / self.frames for side in zip(*times))
        ratio = statistics.median(first / second for first, second in times)
        return {"theirs_ms": round(one, 3), "ours_ms": round(other, 3), "ratio": round(ratio, 3)}


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def decoded(path: Path) -> Iterator[Any]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        yield from container.decode(stream)


def decode(path: Path) -> None:
    for _ in decoded(path):
        pass


def decode_to_bgr(path: Path) -> None:
    for frame in decoded(path):
        frame.to_ndarray(format="bgr24")


def repeat(clip: Path, path: Path, times: int) -> Path:
    """Write the packets of a clip several times."""
    with av.open(str(path), "w") as output:
        written: Any = None
        for number in range(times):
            with av.open(str(clip)) as container:
                stream = container.streams.video[0]
                written = written or output.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts += number * (stream.duration or 0)
                    packet.dts += number * (stream.duration or 0)
                    packet.stream = written
                    output.mux(packet)
    return path


def planes(bench: Bench) -> dict[str, float]:
    return bench.ratio(lambda: decode(bench.long), lambda: bench.run(bench.long))


def bgr(bench: Bench) -> dict[str, float]:
    return bench.ratio(
        lambda: decode_to_bgr(bench.long), lambda: bench.run(bench.long, look=lambda item: item.image())
    )


def fps_1(bench: Bench) -> dict[str, float]:
    return bench.ratio(lambda: decode(bench.long), lambda: bench.run(bench.long, fps=1))


def keyframes(bench: Bench) -> dict[str, float]:
    """Analyze the key frames of the clip with one a second."""
    path = bench.folder / "keys.mp4"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=KEY_RATE, options={"preset": "ultrafast", "g": "25"})
        stream.options = {"preset": "ultrafast", "sc_threshold": "0"}
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.codec_context.gop_size = KEY_RATE
        for number, frame in enumerate(decoded(bench.long)):
            frame.pts, frame.time_base = number, Fraction(1, KEY_RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return bench.ratio(lambda: decode(path), lambda: bench.run(path, keyframes=True))


def eight(bench: Bench) -> dict[str, Any]:
    """Compare eight sources at once with one after the other."""
    counts: Counter[str] = Counter()
    clips = [bench.clip] * 8

    def one_by_one() -> None:
        for clip in clips:
            bench.run(clip)

    def at_once() -> None:
        counts.update(bench.run(*clips))

    figures = bench.ratio(one_by_one, at_once)
    return {"ratio": figures["ratio"], "frames_by_source": sorted(set(counts.values()))}


def path(bench: Bench) -> dict[str, float]:
    """Compare the whole path with the network alone, OpenCV in a loop and supervision, on the second clip."""
    clip = DATA / "video" / "short_hamilton.mp4"
    images = [frame.to_ndarray(format="bgr24") for frame in decoded(clip)]
    options: dict[str, Any] = {"size": SIZE, "threads": 1}

    def ours() -> None:
        with analyze([str(clip)], slots=1, **options) as analysis:
            for _ in analysis:
                pass

    with Detector(**options) as detect:

        def network() -> None:
            for image in images:
                detect(image)

        def opencv() -> None:
            capture = cv2.VideoCapture(str(clip))
            capture.set(cv2.CAP_PROP_N_THREADS, 1)
            image: Any
            while (image := capture.read()[1]) is not None:
                detect(image)

        def supervision() -> None:
            import supervision as sv

            target = str(bench.folder / "out.mp4")
            sv.process_video(str(clip), target, lambda image, _: (detect(image), image)[1])

        work = {"network": network, "ours": ours, "opencv": opencv, "supervision": supervision}
        rounds = [{name: cpu_seconds(each) for name, each in work.items()} for _ in range(bench.rounds)]
    figures = {
        f"{name}_ms": round(statistics.median(each[name] for each in rounds) * 1e3 / len(images), 3)
        for name in work
    }
    ratios = {
        f"cost_{name}": round(statistics.median(each[name] / each["network"] for each in rounds), 3)
        for name in work
        if name != "network"
    }
    return {**figures, **ratios}


def long(bench: Bench) -> dict[str, float]:
    """Analyze 90,000 small frames, and watch the memory after the first 10,000."""
    path = bench.folder / "small.mp4"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("mpeg4", rate=KEY_RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame(64, 48, "yuv420p")
        for number in range(90_000):
            frame.pts, frame.time_base = number, Fraction(1, KEY_RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    memory: list[float] = []

    def look(item: FrameFaces) -> None:
        if item.frame % 10_000 == 9_999:
            memory.append(resident())

    frames = bench.run(path, look=look, track=False)["s0"]
    return {"frames": frames, "growth_mb": round(max(memory) - memory[0], 1)}


def resident() -> float:
    """Return the megabytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(bench: Bench) -> dict[str, float]:
    """Compare the memory of eight sources with that of one, less what as many bare decoders take."""
    base = resident()
    taken: dict[int, float] = {}
    for count in (1, 8):
        peak = [0.0]
        over = threading.Event()

        def watch(peak: list[float] = peak, over: threading.Event = over) -> None:
            while not over.wait(0.05):
                peak[0] = max(peak[0], resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        bench.run(*[bench.clip] * count)
        over.set()
        watcher.join()
        taken[count] = peak[0]
    held = []
    before = resident()
    for _ in range(7):
        frames = decoded(bench.clip)
        held.append((frames, [next(frames) for _ in range(2)]))
    decoders = resident() - before
    more = taken[8] - taken[1]
    return {
        "base_mb": round(base),
        "one_mb": round(taken[1]),
        "eight_mb": round(taken[8]),
        "seven_decoders_mb": round(decoders),
        "cost": round((taken[1] + more - decoders) / taken[1], 2),
    }


FIGURES: dict[str, Callable[[Bench], Any]] = {
    "planes": planes,
    "bgr": bgr,
    "fps_1": fps_1,
    "keyframes": keyframes,
    "eight": eight,
    "memory": memory,
    "path": path,
    "long": long,
}

if __name__ == "__main__":
    main()
