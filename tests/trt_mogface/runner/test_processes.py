"""Interrupts, forks and ends of processes, each in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import hear_interrupts
from tests.support.fakes import WAIT

BEGIN = """
import asyncio, concurrent.futures, contextlib, itertools, json, os, sys, threading, time
import numpy as np
from trt_mogface.runner import Runner

MODEL = sys.argv[1]
IMAGE = np.zeros((64, 64, 3), np.uint8)

def forever():
    for number in itertools.count():
        if number == 50:
            print("running", flush=True)
        yield IMAGE

def opened(**options):
    return Runner(MODEL, threads=1, batch=2, **options)
"""

FOREVER = {
    "a stream in a with block": """
with opened() as runner:
    for faces in runner.map(forever()):
        pass
""",
    "a stream of a runner that nobody closes": """
runner = opened()
for faces in runner.map(forever()):
    pass
""",
    "submissions that wait for room": """
with opened() as runner:
    for image in forever():
        runner.submit(image)
""",
    "a future whose batch waits for others": """
with opened(max_delay_ms=3.6e6) as runner:
    future = runner.submit(IMAGE)
    print("running", flush=True)
    future.result()
""",
    "a wait for several futures": """
with opened(max_delay_ms=3.6e6) as runner:
    future = runner.submit(IMAGE)
    print("running", flush=True)
    concurrent.futures.wait([future])
""",
    "an event loop": """
async def main():
    with opened() as runner:
        async for faces in runner.map(forever()):
            pass
asyncio.run(main())
""",
    "an event loop inside": """
async def main():
    async for faces in runner.map(forever()):
        pass
with opened() as runner:
    asyncio.run(main())
""",
    "producers in threads": """
with opened() as runner:
    def produce():
        with contextlib.suppress(Exception):  # such as that the runner is closed
            for faces in runner.map(forever()):
                pass
    for _ in range(3):
        threading.Thread(target=produce, daemon=True).start()
    threading.Event().wait()
""",
}


@pytest.mark.parametrize("what", FOREVER)
def test_an_interrupt_ends_it_within_seconds(echo: Path, what: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + FOREVER[what], str(echo)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        time.sleep(0.1)  # in the middle of something
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, err = process.communicate(timeout=WAIT)
    finally:
        process.kill()
    assert time.monotonic() - started < 10
    assert process.returncode == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "terminate called" not in err


def run(script: str, model: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + script, str(model)], capture_output=True, text=True, timeout=2 * WAIT
    )


UNCLOSED = {
    "idle": "",
    "with pictures in the line": "futures = [runner.submit(IMAGE) for _ in range(50)]",
    "with a batch that waits for others": "runner = opened(max_delay_ms=3.6e6); runner.submit(IMAGE)",
    "after an error": "runner.submit(IMAGE); runner.submit(IMAGE); raise SystemExit(0)",
    "in the middle of a stream": "next(iter(runner.map(forever())))",
}


@pytest.mark.parametrize("how", UNCLOSED)
def test_a_runner_that_nobody_closes_lets_python_end(how: str) -> None:
    """With the default model, whose runs take long enough to be met by the end."""
    script = "IMAGE = np.zeros((640, 640, 3), np.uint8)\nrunner = opened(capacity=100)\n" + UNCLOSED[how]
    done = run(script, Path("retinaface-mnet025"))
    assert (done.returncode, done.stderr) == (0, "")


FORK = """
runner = opened(max_delay_ms=20)
assert runner.submit(IMAGE).result(timeout=30) is not None

def said(call):
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]

def in_the_child():
    started = time.monotonic()
    report = {
        "submit": said(lambda: runner.submit(IMAGE)),
        "map": said(lambda: list(runner.map([IMAGE]))),
        "close": [said(runner.close), said(lambda: runner.close(cancel=True))],
        "frames": runner.stats().frames,
    }
    with opened() as own:
        report["own"] = len(own.submit(IMAGE).result(timeout=30))
    report["seconds"] = time.monotonic() - started
    return report

reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, json.dumps(in_the_child()).encode())
    os._exit(0)  # as multiprocessing does
os.close(writer)
with os.fdopen(reader) as pipe:
    report = json.loads(pipe.read())
report["status"] = os.waitpid(child, 0)[1]
report["parent"] = [len(faces) for faces in runner.map([IMAGE] * 5)]
runner.close()
print(json.dumps(report))
"""


def test_a_fork_says_that_it_has_no_threads_and_the_parent_goes_on(echo: Path) -> None:
    done = run(FORK, echo)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for name in ("submit", "map"):
        kind, text = report[name]
        assert kind == "RunnerError"
        assert "forked" in text
        assert "\n" not in text
    assert report["close"] == [None, None]
    assert (report["frames"], report["own"], report["status"]) == (1, 1, 0)
    assert report["parent"] == [1] * 5
    assert report["seconds"] < 10


MULTIPROCESSING = """
import multiprocessing

runner = opened(max_delay_ms=20)

def attempt(queue):
    try:
        with runner:
            runner.submit(IMAGE)
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")

context = multiprocessing.get_context("fork")
queue = context.Queue()
processes = [context.Process(target=attempt, args=(queue,)) for _ in range(3)]
futures = [runner.submit(IMAGE) for _ in range(4)]
for process in processes:
    process.start()
said = [queue.get(timeout=30) for _ in processes]
for process in processes:
    process.join(timeout=30)
print(json.dumps([said, [process.exitcode for process in processes], len([f.result(30) for f in futures])]))
runner.close()
"""


def test_workers_of_multiprocessing_say_so_and_end(echo: Path) -> None:
    done = run(MULTIPROCESSING, echo)
    assert done.returncode == 0, done.stderr
    said, codes, delivered = json.loads(done.stdout)
    assert all(text.startswith("RunnerError: ") and "spawn" in text for text in said)
    assert (codes, delivered) == ([0, 0, 0], 4)
