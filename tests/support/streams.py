"""Real servers of video on loopback, for the tests of `make streams`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.project import REPOSITORY

SYSTEM_PYTHON = "/usr/bin/python3"
NEEDED = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
    "Gst.init(None); assert all(map(Gst.ElementFactory.find, ['openh264enc', 'rtph264pay']))"
)

IS_REQUESTED = os.environ.get("MOGFACE_TEST_STREAMS") == "1"


def is_requested() -> pytest.MarkDecorator:
    """Return a mark that skips a test of `make streams` in other runs."""
    return pytest.mark.skipif(not IS_REQUESTED, reason="takes long; make streams runs it")


def needs_gstreamer() -> pytest.MarkDecorator:
    """Return a mark that skips a test without GStreamer's RTSP server; looked for where it is requested."""
    check = [SYSTEM_PYTHON, "-c", NEEDED]
    is_missing = IS_REQUESTED and subprocess.run(check, capture_output=True).returncode != 0
    return pytest.mark.skipif(is_missing, reason="needs GStreamer's RTSP server and its bindings")


def camera(rate: int = 25, frames: int | None = None, size: tuple[int, int] = (160, 120)) -> str:
    """Return the pipeline of a camera that sends H.264, for ever or a number of frames."""
    count = f"num-buffers={frames}" if frames is not None else ""
    raw = f"video/x-raw,width={size[0]},height={size[1]},framerate={rate}/1"
    encoder = "openh264enc gop-size=10 ! h264parse config-interval=-1"
    return f"( videotestsrc is-live=true {count} ! {raw} ! {encoder} ! rtph264pay name=pay0 pt=96 )"


class RtspServer:
    """A server with one camera; its process can be stopped, continued, killed and started again."""

    def __init__(self, pipeline: str, user: str = "", password: str = "") -> None:
        self._arguments = [pipeline, user, password]
        self._credentials = f"{user}:{password}@" if user else ""
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://{self._credentials}127.0.0.1:{self.port}/live"

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        command = [
            SYSTEM_PYTHON,
            str(REPOSITORY / "tests/support/rtsp_server.py"),
            str(self.port),
            *self._arguments,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def rtsp_server(pipeline: str, user: str = "", password: str = "") -> Iterator[RtspServer]:
    server = RtspServer(pipeline, user, password)
    try:
        yield server
    finally:
        server.kill()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """Serve a folder, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
