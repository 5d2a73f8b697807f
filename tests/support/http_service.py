"""An HTTP service in a thread of this process, on loopback, and raw connections to it."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import httpx

from tests.support.fakes import WAIT, in_thread, picture
from trt_mogface.runner import Runner
from trt_mogface.serving.http import Service, ServiceOptions, bind, serve

ROUTE = "/v1/detect"


@dataclass
class Running:
    """A service that accepts requests.

    Attributes:
        port: Its port on loopback.
        service: The service.
        end: Ends it, as a signal does.
        unanswered: Number of accepted requests without an answer, once it has ended.
    """

    port: int
    service: Service
    end: Any
    unanswered: Future[int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the certificates, which take long to load
        return httpx.Client(base_url=self.url, timeout=WAIT, trust_env=False, verify=plain, **options)

    def post(self, body: Any, kind: str = "image/png", **options: Any) -> httpx.Response:
        headers = {"Content-Type": kind, **options.pop("headers", {})}
        with self.client() as client:
            return client.post(ROUTE, content=body, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)

    def until(self, condition: Any) -> None:
        """Wait for a condition of the service."""
        deadline = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)


@contextmanager
def running(runner: Runner, options: ServiceOptions | None = None, at_once: int = 1) -> Iterator[Running]:
    """Run a service, and end it."""
    service = Service(runner, options or ServiceOptions(threads=2), at_once)
    listening = bind("127.0.0.1", 0)
    port, ready, ends = listening.getsockname()[1], threading.Event(), []

    def on_ready(end: Any) -> None:
        ends.append(end)
        ready.set()

    unanswered = in_thread(serve, service, listening, on_ready)
    assert ready.wait(WAIT)
    try:
        yield Running(port, service, ends[0], unanswered)
    finally:
        if not unanswered.done():
            ends[0]()
        unanswered.result(WAIT)
        runner.close(cancel=True)
        service.close()


def png(number: int, height: int = 8, width: int = 8) -> bytes:
    """A PNG file of a picture that carries a number."""
    return bytes(cv2.imencode(".png", picture(number, height, width))[1])


def head(length: int | str, kind: str = "image/png", *more: str) -> bytes:
    """The head of a request for a detection."""
    lines = [
        f"POST {ROUTE} HTTP/1.1",
        "Host: test",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Read an answer from a raw connection: its status and its JSON.  Status 0 is a closed connection."""
    with closing(connection.makefile("rb")) as file:
        line = file.readline()
        if not line:
            return 0, {}
        length = 0
        while (field := file.readline().strip()) != b"":
            name, _, value = field.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return int(line.split()[1]), json.loads(file.read(length))
