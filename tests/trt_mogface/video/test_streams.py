"""Cameras of a real RTSP server and HLS of a real web server, which fail in the ways that these do."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.made_clips import RecordedBackend, make_clip
from tests.support.streams import RtspServer, camera, http_server, is_requested, needs_gstreamer, rtsp_server
from tests.trt_mogface.video.test_schedule import events_of, frames_of, take
from trt_mogface.video import SourceEvent, analyze
from trt_mogface.video.items import Item

pytestmark = [pytest.mark.streams, is_requested(), needs_gstreamer()]

TIMEOUT = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[RtspServer]:
    with rtsp_server(camera()) as running:
        yield running


def only_failure(source: str) -> str:
    with analyze(f"cam={source}", RecordedBackend(), timeout=TIMEOUT) as analysis:
        (failed,) = list(analysis)
    assert isinstance(failed, SourceEvent)
    assert failed.event == "failed"
    return failed.message


def test_eight_readers_get_the_frames_of_one_server_in_order(server: RtspServer) -> None:
    sources = [f"cam{number}={server.url}" for number in range(8)]
    with analyze(sources, RecordedBackend(), batch=8, timeout=10) as analysis:
        # The sender's first report of its clock takes some seconds.
        items = take(analysis, lambda items: min(_counts(items)) >= 50 and _clocks(items) == {"sender"})
    for name in (f"cam{number}" for number in range(8)):
        numbers = [item.frame for item in frames_of(items) if item.source == name]
        assert numbers == sorted(set(numbers))
    assert all(abs(item.captured - time.time()) < 30 for item in frames_of(items))


def _clocks(items: list[Item]) -> set[str]:
    """Return the clocks of the latest frames of all readers."""
    return {item.clock for item in frames_of(items)[-8:]}


def _counts(items: list[Item]) -> list[int]:
    counts = Counter(item.source for item in frames_of(items))
    return [counts[f"cam{number}"] for number in range(8)]


def test_a_password_is_needed_and_shown_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with rtsp_server(camera(), "admin", "hunter2") as server:
        with analyze(server.url, RecordedBackend(), timeout=TIMEOUT) as analysis:
            items = take(analysis, lambda items: len(frames_of(items)) == 5)
            seen = f"{items} {analysis.stats()} {analysis.sources}"
        refused = only_failure(server.url.replace("hunter2", "wrong"))
    assert {item.source for item in items} == {server.shown}
    assert refused == only_refusal()
    assert "hunter2" not in seen + "".join(capfd.readouterr())


def only_refusal() -> str:
    return "the server refuses the user or password (401); correct them"


def test_a_server_that_is_silent_is_lost_in_time_and_comes_back() -> None:
    with (
        rtsp_server(camera()) as server,
        analyze(f"cam={server.url}", RecordedBackend(), timeout=TIMEOUT) as a,
    ):
        paused = [0.0]

        def step(items: list[Item]) -> bool:
            if len(frames_of(items)) == 30 and not paused[0]:
                server.pause()
                paused[0] = time.monotonic()
            if events_of(items, "lost") and not events_of(items, "reopened"):
                server.go_on()
            return len(frames_of(items)) > 60 and bool(events_of(items, "reopened"))

        items = take(a, step, 40)
    lost, reopened = events_of(items, "lost")[0], events_of(items, "reopened")[0]
    assert lost.message.startswith("silent for 2 s")
    assert reopened.opening == 2
    numbers = [item.frame for item in frames_of(items)]
    assert numbers == sorted(set(numbers))
    assert {item.opening for item in frames_of(items)} == {1, 2}


def test_a_server_that_is_killed_is_lost_and_opened_again() -> None:
    options: Any = {"timeout": TIMEOUT, "track": True}
    with rtsp_server(camera()) as server, analyze(server.url, RecordedBackend(), **options) as analysis:

        def step(items: list[Item]) -> bool:
            if len(frames_of(items)) == 30 and not events_of(items, "lost"):
                server.kill()
                threading.Timer(1.5, server.start).start()
            return bool(frames_of(items)) and frames_of(items)[-1].opening == 2

        items = take(analysis, step, 40)
    assert [e.event for e in events_of(items, "lost")] == ["lost"]
    before, after = frames_of(items)[-2], frames_of(items)[-1]
    assert before.faces.tracker_id is not None
    assert after.faces.tracker_id is not None
    assert after.faces.tracker_id.tolist() == before.faces.tracker_id.tolist()  # the face is where it was


def test_live_frames_that_come_too_fast_are_counted() -> None:
    seconds = 0.1
    backend = RecordedBackend(seconds)
    with rtsp_server(camera(30)) as server, analyze(f"cam={server.url}", backend, slots=1) as analysis:
        items = take(analysis, lambda items: len(frames_of(items)) == 60)
        dropped = analysis.stats().sources["cam"].dropped
    last = frames_of(items)[-1].frame
    assert 0 <= last + 1 - len(frames_of(items)) - dropped <= 1
    late = sorted(item.lag or 0.0 for item in frames_of(items))
    assert late[len(late) * 9 // 10] <= 2 * seconds


def test_hosts_that_refuse_are_silent_or_have_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        for scheme in ("rtsp", "http"):
            begun = time.monotonic()
            assert only_failure(f"{scheme}://127.0.0.1:{port}/x").startswith("silent for 2 s")
            assert time.monotonic() - begun < TIMEOUT + 2
    assert only_failure("rtsp://127.0.0.1:1/x").startswith("connection refused")
    with rtsp_server(camera()) as server:
        assert "404" in only_failure(server.url + "/nothing")


@contextmanager
def hls(folder: Path, *, is_live: bool) -> Iterator[str]:
    """Serve a playlist of clips; a live one grows while it is served."""
    names = []
    for number in range(6):
        make_clip(folder / f"{number}.ts", 25, form="mpegts", gop=25)
        names.append(f"{number}.ts")
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
    entries = [f"#EXT-X-DISCONTINUITY\n#EXTINF:1.0,\n{name}\n" for name in names]

    def write(count: int, end: str = "") -> None:
        (folder / "new").write_text(head + "".join(entries[:count]) + end)
        (folder / "new").replace(folder / "live.m3u8")

    ended = threading.Event()

    def grow() -> None:
        for count in range(3, len(entries) + 1):
            write(count)
            ended.wait(1)

    write(2 if is_live else len(entries), "" if is_live else "#EXT-X-ENDLIST\n")
    grower = threading.Thread(target=grow)
    with http_server(folder) as address:
        if is_live:
            grower.start()
        yield f"{address}/live.m3u8"
        ended.set()
        if is_live:
            grower.join()


def test_hls_with_an_end_is_a_file(tmp_path: Path) -> None:
    with hls(tmp_path, is_live=False) as url, analyze(url, RecordedBackend(), timeout=10) as analysis:
        items = list(analysis)
    assert [item.frame for item in frames_of(items)] == list(range(150))
    assert [item.event for item in items if isinstance(item, SourceEvent)] == ["opened", "ended"]


def test_live_hls_comes_at_its_own_pace_and_is_lost_when_it_stalls(tmp_path: Path) -> None:
    with hls(tmp_path, is_live=True) as url, analyze(url, RecordedBackend(), timeout=3) as analysis:
        begun = time.monotonic()
        items = take(analysis, lambda items: bool(events_of(items, "lost")), 40)
        seconds = time.monotonic() - begun
    frames = frames_of(items)
    assert len(frames) > 60  # a segment of 25 frames comes at once, and none of it needs to be dropped
    assert seconds > len(frames) / 25


def test_a_file_of_a_web_server_is_a_file(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", 20)
    with http_server(tmp_path) as address:
        with analyze(f"{address}/a.mp4", RecordedBackend(), timeout=5) as analysis:
            items = list(analysis)
        assert "404" in only_failure(f"{address}/missing.mp4")
    assert [item.frame for item in frames_of(items)] == list(range(20))


def test_a_playlist_opens_no_file_of_this_machine(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "secret.ts", 25, form="mpegts")
    served = tmp_path / "served"
    served.mkdir()
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nfile://{}\n#EXT-X-ENDLIST\n"
    (served / "list.m3u8").write_text(text.format(clip))
    playlist = "/list.m3u8"
    with (
        http_server(served) as address,
        analyze(address + playlist, RecordedBackend(), timeout=3) as analysis,
    ):
        assert frames_of(list(analysis)) == []
