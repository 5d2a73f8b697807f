"""Many sources through one runner: turns, order, bounds, and sources and consumers that hang."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.made_clips import RecordedBackend, make_clip
from trt_mogface.errors import ArgumentError
from trt_mogface.video import Analysis, FrameFaces, Position, SourceEvent, analyze
from trt_mogface.video.items import Item

BOUNDARY = "frame"


def jpeg() -> bytes:
    return cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()


class Camera:
    """A camera that sends motion JPEG over HTTP to one client at a time.

    Args:
        rate: Frames per second.
        frames: Frames that it sends; then it is silent, or ends.
        ends: Whether it ends.
    """

    def __init__(self, rate: float, frames: int | None = None, *, ends: bool = False) -> None:
        camera, self.sent, self._closed = self, 0, threading.Event()
        image = jpeg()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
                self.end_headers()
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                begun = time.monotonic()
                try:
                    for number in count() if frames is None else range(frames):
                        if camera._closed.wait(max(0.0, begun + number / rate - time.monotonic())):
                            return
                        self.wfile.write(head.encode() + image + b"\r\n")
                        camera.sent += 1
                    self.wfile.write(f"--{BOUNDARY}--\r\n".encode())
                except OSError:
                    return
                if not ends:
                    camera._closed.wait()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/video.mjpg"

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()


def frames_of(items: list[Item]) -> list[FrameFaces]:
    return [item for item in items if isinstance(item, FrameFaces)]


def events_of(items: list[Item], event: str) -> list[SourceEvent]:
    return [item for item in items if isinstance(item, SourceEvent) and item.event == event]


def take(analysis: Analysis, until: Callable[[list[Item]], bool], seconds: float = 20) -> list[Item]:
    """Return items until a condition is true of them; then the analysis is stopped."""
    items: list[Item] = []
    deadline = time.monotonic() + seconds
    for item in analysis:
        items.append(item)
        if until(items) or time.monotonic() > deadline:
            analysis.stop()
    assert time.monotonic() <= deadline
    return items


def test_sources_take_turns_and_batches_mix_them(tmp_path: Path) -> None:
    paths = [f"{n}={make_clip(tmp_path / f'{n}.mp4', 24)}" for n in "abcd"]
    backend = RecordedBackend(0.06)
    with analyze(paths, backend, batch=4, slots=1, max_delay_ms=20) as analysis:
        items = frames_of(list(analysis))
    assert len(items) == 4 * 24
    for name in "abcd":
        assert [item.frame for item in items if item.source == name] == list(range(24))
    begun = max(next(at for at, item in enumerate(items) if item.source == name) for name in "abcd")
    middle = Counter(item.source for item in items[begun : begun + 40])
    assert max(middle.values()) - min(middle.values()) <= 2
    assert any(len(set(batch)) > 1 for batch in backend.batches)


def test_a_source_that_hangs_and_a_slow_one_hold_up_no_other(tmp_path: Path) -> None:
    paths = [f"{n}={make_clip(tmp_path / f'{n}.mp4', 40)}" for n in "ab"]
    with Camera(25, 3) as hanging, Camera(1) as slow:
        sources = [f"hanging={hanging.url}", f"slow={slow.url}", *paths]
        with analyze(sources, RecordedBackend(0.002), timeout=60) as analysis:
            begun = time.monotonic()
            items = take(analysis, lambda items: len(events_of(items, "ended")) == 2)
            seconds = time.monotonic() - begun
    counts = Counter(item.source for item in frames_of(items))
    assert counts["a"] == counts["b"] == 40
    assert seconds < 10


def test_live_sources_keep_the_newest_frame_and_count_the_others() -> None:
    frames, batch_seconds = 90, 0.06
    with Camera(50, frames, ends=True) as camera:
        with analyze(f"cam={camera.url}", RecordedBackend(batch_seconds), slots=1, timeout=5) as analysis:
            items = take(analysis, lambda items: bool(events_of(items, "lost")))
            stats = analysis.stats().sources["cam"]
        dropped = sum(event.count for event in events_of(items, "dropped"))
        delivered = frames_of(items)
        assert camera.sent == frames
    assert len(delivered) + dropped == frames
    assert stats.dropped == dropped > frames / 3
    numbers = [item.frame for item in delivered]
    assert numbers == sorted(set(numbers))
    late = sorted(item.lag or 0.0 for item in delivered)
    assert late[len(late) * 9 // 10] <= 2 * batch_seconds


def test_a_live_source_that_ends_is_opened_again_with_its_name_and_numbers() -> None:
    with Camera(100, 5, ends=True) as camera, analyze(f"cam={camera.url}", RecordedBackend()) as analysis:
        items = take(analysis, lambda items: bool(frames_of(items)) and frames_of(items)[-1].opening == 3)
    events = [item.event for item in items if isinstance(item, SourceEvent) and item.event != "dropped"]
    assert events[:5] == ["opened", "lost", "reopened", "lost", "reopened"]
    numbers = [item.frame for item in frames_of(items)]
    assert numbers == sorted(set(numbers))
    assert {item.source for item in items} == {"cam"}


def test_a_silent_live_source_is_lost_after_its_time() -> None:
    with Camera(50, 5) as camera, analyze(camera.url, RecordedBackend(), timeout=0.5) as analysis:
        items = take(analysis, lambda items: bool(events_of(items, "lost")))
    assert events_of(items, "lost")[0].message.startswith("silent for 0.5 s")


def test_a_slow_consumer_gets_the_newest_frames() -> None:
    with Camera(100) as camera, analyze(f"cam={camera.url}", RecordedBackend(), timeout=5) as analysis:
        numbers = []
        for item in analysis:
            if isinstance(item, FrameFaces):
                numbers.append(item.frame)
                time.sleep(0.1)
            if len(numbers) == 10:
                break
    assert numbers[-1] > 60


def test_open_decoders_are_bounded(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 4)
    sources = [f"s{number}={path}" for number in range(1000)]
    with analyze(sources, RecordedBackend(), open=5, every=4) as analysis:
        first = next(iter(analysis))
        before = threading.active_count()
        items = [first, *analysis]
    assert before < 5 + 10
    assert Counter(type(item).__name__ for item in items) == {"FrameFaces": 1000, "SourceEvent": 2000}


def test_more_live_sources_than_may_be_open_are_refused_with_their_number() -> None:
    cameras = [f"rtsp://127.0.0.1:1/{number}" for number in range(1000)]
    with pytest.raises(ArgumentError, match="1000 live sources"):
        analyze(cameras, RecordedBackend(), open=20)
    with analyze(cameras[:2], RecordedBackend(), open=2) as analysis:
        _ = analysis
        with pytest.raises(ArgumentError, match="3 live sources"):
            analysis.add(cameras[2])


def test_sources_are_added_and_removed_while_running(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 30)
    with Camera(50) as camera, analyze(f"cam={camera.url}", RecordedBackend()) as analysis:
        items: list[Item] = []
        for item in analysis:
            items.append(item)
            if len(items) == 3:
                analysis.add(f"file={path}")
            if events_of(items, "ended") and item.source == "file":
                analysis.remove("cam")
    assert [event.source for event in events_of(items, "ended")] == ["file", "cam"]
    assert items[-1].source == "cam"
    assert len([item for item in frames_of(items) if item.source == "file"]) == 30
    with pytest.raises(ArgumentError, match="not a source"):
        analysis.remove("nobody")


@pytest.mark.parametrize("options", [{}, {"every": 3}, {"fps": 7}, {"keyframes": True}, {"start": 0.5}])
@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_a_resumed_file_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, options: dict[str, Any], suffix: str
) -> None:
    path = make_clip(tmp_path / f"a.{suffix}", 30, sound=suffix == "mp4", gop=10)
    if suffix == "ts":  # a change of size and damage, which are events
        other = make_clip(tmp_path / "b.ts", 20, size=(128, 96))
        data = bytearray(path.read_bytes() + other.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 376] = bytes(376)
        path.write_bytes(data)
    source = f"a={path}"
    with analyze(source, RecordedBackend(), track=True, audio=True, **options) as analysis:
        whole = list(analysis)
    for cut in sorted({1, 2, *range(3, len(whole), 5), len(whole) - 1}):
        earlier, later = whole[:cut], whole[cut:]
        replay = frames_of(earlier)
        position = Position(replay[-1].frame + 1 if replay else 0, replay=replay)
        again = [item for item in earlier[earlier.index(replay[-1]) if replay else 0 :] if item not in replay]
        with analyze(
            source, RecordedBackend(), track=True, audio=True, resume={"a": position}, **options
        ) as analysis:
            assert [plain(item) for item in analysis] == [plain(item) for item in again + later], cut


def plain(item: Item) -> object:
    if isinstance(item, SourceEvent):
        return item
    sound = tuple(bytes(packet) for packet in item.audio)
    faces = item.faces.to_json(), item.image().tobytes()
    return (
        item.frame,
        item.time,
        item.captured,
        item.clock,
        item.opening,
        sound,
        faces,
        item.tracks,
        item.ended,
    )


def test_a_source_that_was_over_is_not_opened_again(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 5)
    with analyze(f"a={path}", RecordedBackend(), resume={"a": Position(5, is_over=True)}) as analysis:
        assert list(analysis) == []


def test_stopping_delivers_what_is_in_flight_and_ends_no_source(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 30)
    with analyze(str(path), RecordedBackend(0.01)) as analysis:
        items = take(analysis, lambda items: len(items) == 5)
    numbers = [item.frame for item in frames_of(items)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) < 15
    assert events_of(items, "ended") == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"every": 0}, "every 0"),
        ({"fps": 0}, "fps 0"),
        ({"fps": float("nan")}, "fps nan"),
        ({"start": -1}, "start -1"),
        ({"duration": 0}, "duration 0"),
        ({"open": 0}, "open 0"),
        ({"timeout": 0}, "timeout 0"),
        ({"track": "best"}, "unknown tracker"),
        ({"decoder": "gpu"}, "unknown decoder"),
        ({"batch": 0}, "batch 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        analyze([], RecordedBackend(), **options)
