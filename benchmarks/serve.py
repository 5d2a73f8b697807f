"""The HTTP service: its cost in CPU time, its latency and its behavior under too much load.

python -m benchmarks.serve [cost latency overload memory ending litserve] [--requests 50000]

Clients and servers share this machine, so costs are CPU seconds of the server's process.  Apart from
``litserve`` the outputs of the network are recorded, and where a batch takes time it sleeps, as one waits for
a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console

from benchmarks._lib.http_load import Answer, closed_loop, form, open_loop, post, rate
from benchmarks._lib.results import RESULTS, record, recorded
from trt_mogface import read_image

PORTRAIT = Path(__file__).parents[1] / "tests" / "data" / "astronaut.jpg"
SIZE = (640, 480)
QUALITY = 76
BATCH = 8
CLIENTS = 16
ROUNDS, COUNT = 9, 500
BASE, EACH = 0.100, 0.010
"""Seconds of a batch and of each of its images where the network sleeps."""

console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--requests", type=int, default=50_000)
    given = parser.parse_args()
    figures = recorded("serve") if (RESULTS / "serve.json").exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photo.jpg"
        file.write_bytes(photo(SIZE))
        for part in given.parts:
            arguments = {"memory": (given.requests,), "litserve": ()}.get(part, (file,))
            found = PARTS[part](*arguments)
            console.print(part, found)
            figures[part] = found
    record("serve", figures)


def photo(size: tuple[int, int]) -> bytes:
    """Return a JPEG file with four faces; 640x480 are about 60 KB."""
    width, height = size
    face = cv2.resize(read_image(PORTRAIT), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    image = np.tile(face, (2, 2, 1)) + np.random.default_rng(0).normal(0, 2, (height, width, 3))
    noisy = image.clip(0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


@contextmanager
def process(kind: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks._lib.http_servers", kind, json.dumps(options)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as running:
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)  # LitServe's workers outlive it


@contextmanager
def served(**options: Any) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service and its port."""
    with process("service", **{"size": SIZE, "batch": BATCH, **options}) as running:
        yield running, int(read_line(running))


def read_line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    line = running.stdout.readline()
    if not line:
        raise RuntimeError("the server has ended")
    return line.strip()


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found
    return float(found[1])


def cpu_ms(port: int, request: bytes) -> float:
    """Return the server's CPU milliseconds of a request."""
    before = metric(port, "process_cpu_seconds_total")
    answers = asyncio.run(closed_loop(port, request, CLIENTS, COUNT))
    assert {answer.status for answer in answers} == {200}
    return (metric(port, "process_cpu_seconds_total") - before) / COUNT * 1e3


def cost(file: Path) -> dict[str, Any]:
    """Compare CPU time per image with decoding and a runner in one process, in turn."""
    data = file.read_bytes()
    requests = {"plain": post(data, "image/jpeg"), "multipart": post(*form(data, "a"))}
    options = {"file": str(file), "size": SIZE, "batch": BATCH, "clients": CLIENTS}
    rows: dict[str, list[float]] = {"direct": [], **{name: [] for name in requests}}
    with process("direct", **options) as alone, served() as (_, port):
        read_line(alone)
        for number in range(ROUNDS + 1):
            assert alone.stdin is not None
            print(COUNT, file=alone.stdin, flush=True)
            found = {"direct": float(read_line(alone)) / COUNT * 1e3}
            found |= {name: cpu_ms(port, request) for name, request in requests.items()}
            for name, value in found.items():
                rows[name] += [value] if number else []  # the first round warms up
    ratios = {name: sum(rows[name]) / sum(rows["direct"]) for name in requests}
    return {
        "bytes": len(data),
        "cpu_ms": {name: round(statistics.median(values), 3) for name, values in rows.items()},
        **{f"cost_{name}": round(ratio, 3) for name, ratio in ratios.items()},
    }


def peak(port: int, request: bytes) -> float:
    return rate(asyncio.run(closed_loop(port, request, 4 * BATCH, 600)))


def latency(file: Path) -> dict[str, Any]:
    """Compare the latency at 70% load with a simulated queue of the measured times."""
    request = post(file.read_bytes(), "image/jpeg")
    ratios, cases = [], []
    with served(base=BASE, each=EACH, slots=1) as (_, port):
        most = peak(port, request)
        for seed in range(3):
            answers = asyncio.run(open_loop(port, request, 0.7 * most, 20, seed))
            good = [answer for answer in answers if answer.status == 200]
            expected = simulated(good)
            measured = quantile([answer.ms for answer in good], 0.99)
            ratios.append(measured / quantile(expected, 0.99))
            cases.append(
                {"p99_ms": round(measured, 1), "simulated_p99_ms": round(quantile(expected, 0.99), 1)}
            )
    return {
        "images_per_s": round(0.7 * most, 1),
        "cases": cases,
        "cost_p99": round(statistics.median(ratios), 3),
    }


def simulated(answers: Sequence[Answer]) -> list[float]:
    """Return the milliseconds of the same arrivals in an ideal service.

    Two threads decode; one network takes the images that are there, up to a batch, whenever it is free.  The
    times of decoding are those of each image, the times of a batch those measured at its size.
    """
    decoders = [0.0, 0.0]
    decoded = []
    for answer in sorted(answers, key=lambda each: each.due):
        start = max(answer.due, heapq.heappop(decoders))
        end = start + float(answer.headers["x-decode-ms"]) / 1e3
        heapq.heappush(decoders, end)
        decoded.append((end, answer.due))
    times: dict[int, list[float]] = {}
    for answer in answers:
        times.setdefault(int(answer.headers["x-batch-size"]), []).append(
            float(answer.headers["x-network-ms"]) / 1e3
        )
    decoded.sort()
    rng, free, at, found = random.Random(0), 0.0, 0, []  # noqa: S311
    while at < len(decoded):
        start = max(free, decoded[at][0])
        size = sum(1 for end, _ in decoded[at : at + BATCH] if end <= start)
        nearest = min(times, key=lambda each: abs(each - size))
        free = start + rng.choice(times[nearest])
        found += [(free - due) * 1e3 for _, due in decoded[at : at + size]]
        at += size
    return found


def quantile(values: Sequence[float], part: float) -> float:
    return float(np.quantile(values, part))


def overload(file: Path) -> dict[str, Any]:
    """Send three times as much as the service can do."""
    request = post(file.read_bytes(), "image/jpeg")
    with served(base=BASE, each=EACH, slots=1, limits={"timeout": 2}) as (_, port):
        most = peak(port, request)
        answers = asyncio.run(open_loop(port, request, 3 * most, 15, 0))
        more = peak(port, request)
    end = min(answer.due for answer in answers) + 15
    good = [answer for answer in answers if answer.status == 200 and answer.done <= end]
    refused = [answer.ms for answer in answers if answer.status == 503]
    statuses = {
        status: sum(each.status == status for each in answers) for status in {a.status for a in answers}
    }
    return {
        "peak_images_per_s": round(most, 1),
        "peak_afterwards": round(more, 1),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "share_goodput": round(len(good) / 15 / most, 3),
        "refusal_ms": {
            name: round(quantile(refused, part), 1) for name, part in (("p50", 0.5), ("p99", 0.99))
        },
    }


def memory(requests: int) -> dict[str, Any]:
    """Watch the memory of the service over many requests."""
    request = post(photo((160, 120)), "image/jpeg")
    with served(size=(160, 120)) as (_, port):
        megabytes = []
        for _ in range(10):
            asyncio.run(closed_loop(port, request, CLIENTS, requests // 10))
            megabytes.append(metric(port, "process_resident_memory_bytes") / 1e6)
    return {
        "requests": requests,
        "mb": [round(each, 1) for each in megabytes],
        "growth_mb": round(megabytes[-1] - megabytes[0], 1),
    }


def ending(file: Path) -> dict[str, Any]:
    """End the service by SIGTERM under load."""
    request = post(file.read_bytes(), "image/jpeg")
    cut = unanswered = refused = good = 0
    for _ in range(5):
        with served(base=BASE, each=EACH) as (running, port):

            async def load(running: subprocess.Popen[str] = running, port: int = port) -> list[Answer]:
                asyncio.get_running_loop().call_later(1, running.send_signal, signal.SIGTERM)
                return await closed_loop(port, request, CLIENTS, 400)

            answers = asyncio.run(load())
            unanswered += int(read_line(running))
            running.wait()
        statuses = [answer.status for answer in answers]
        good, refused, cut = (
            good + statuses.count(200),
            refused + statuses.count(503),
            cut + statuses.count(0),
        )
    return {
        "answered": good,
        "refused": refused,
        "connection_refused": cut,
        "accepted_without_answer": unanswered,
    }


def litserve() -> dict[str, Any]:
    """Compare the rate with LitServe's, with the same detector and batch; the network is real."""
    if find_spec("litserve") is None:
        return {"skipped": "LitServe is not installed: pip install litserve"}
    import litserve as ls

    size, batch = (320, 240), 4
    data = photo(size)
    port = free_port()
    rates: dict[str, list[float]] = {"ours": [], "litserve": []}
    costs: dict[str, list[float]] = {"ours": [], "litserve": []}
    with (
        served(real=True, size=size, batch=batch) as (one, ours),
        process("litserve", size=size, batch=batch, port=port) as other,
    ):
        wait_for(port)
        asks = {
            "ours": (one.pid, ours, post(*form(data, "a"))),
            "litserve": (other.pid, port, post(*form(data, "request"), "/predict")),
        }
        for number in range(ROUNDS + 1):
            for name, (session, where, request) in asks.items():
                before = session_seconds(session)
                answers = asyncio.run(closed_loop(where, request, CLIENTS, 200))
                assert {answer.status for answer in answers} == {200}, name
                rates[name] += [rate(answers)] if number else []
                costs[name] += [(session_seconds(session) - before) / len(answers)] if number else []
    return {
        "litserve": ls.__version__,
        "images_per_s": {name: round(statistics.median(each), 1) for name, each in rates.items()},
        "cpu_ms": {name: round(statistics.median(each) * 1e3, 2) for name, each in costs.items()},
        "ratio": round(statistics.median(a / b for a, b in zip(rates["ours"], rates["litserve"])), 3),
        "cost_cpu": round(sum(costs["ours"]) / sum(costs["litserve"]), 3),
    }


def session_seconds(session: int) -> float:
    """Return the CPU seconds of all processes of a session that are still running."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:13])) if int(fields[3]) == session else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    from trt_mogface.serving.http import bind

    with bind("127.0.0.1", 0) as free:
        return int(free.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(300):
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("LitServe did not start")


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "cost": cost,
    "latency": latency,
    "overload": overload,
    "memory": memory,
    "ending": ending,
    "litserve": litserve,
}

if __name__ == "__main__":
    main()
