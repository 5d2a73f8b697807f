"""Damaged requests: each gets an answer with a reason, or a closed connection, and good ones still work."""

from __future__ import annotations

import json
import socket
from io import BufferedReader
from random import Random
from typing import Any

import pytest

from tests.fuzz.mutation import mutate_bytes
from tests.support.http_service import Running, head, png
from tests.support.serving import LONG
from tests.trt_mogface.serving.http.conftest import Serve
from trt_mogface.serving.http.refusal import MEANINGS

COUNT = 100_000 if LONG else 1_500
SEED = 19
FORM = "multipart/form-data; boundary=X"
TYPES = (
    "image/png",
    "image/jpeg",
    "image/x",
    FORM,
    FORM + "X",
    "multipart/form-data; boundary=",
    "text/plain",
)


def form(*files: bytes) -> bytes:
    name = b'Content-Disposition: form-data; name="a"; filename="a.png"'
    parts = [b"--X\r\n" + name + b"\r\nContent-Type: image/png\r\n\r\n" + file + b"\r\n" for file in files]
    return b"".join(parts) + b"--X--\r\n"


class Connection:
    """A connection that is opened again when it has ended."""

    def __init__(self, service: Running) -> None:
        self._service = service
        self._socket: socket.socket | None = None
        self._file: BufferedReader | None = None

    def ask(self, request: bytes, *, is_last: bool = False) -> tuple[int, Any]:
        """Return status and JSON of the answer; status 0 is a closed connection."""
        if self._socket is None:
            self._socket = self._service.connect()
            self._file = self._socket.makefile("rb")
        try:
            self._socket.sendall(request)
            if is_last:
                self._socket.shutdown(socket.SHUT_WR)
            return self._answer()
        except ConnectionError:
            self.close()
            return 0, None
        finally:
            if is_last:
                self.close()

    def close(self) -> None:
        if self._socket is not None and self._file is not None:
            self._file.close()
            self._socket.close()
        self._socket = None

    def _answer(self) -> tuple[int, Any]:
        assert self._file is not None
        line = self._file.readline()
        if not line:
            self.close()
            return 0, None
        fields: dict[bytes, bytes] = {}
        while (field := self._file.readline().strip()) != b"":
            name, _, value = field.partition(b":")
            fields[name.lower()] = value.strip()
        body = self._file.read(int(fields[b"content-length"]))
        if fields.get(b"connection") == b"close":
            self.close()
        return int(line.split()[1]), json.loads(body) if fields[
            b"content-type"
        ] == b"application/json" else body


def test_damaged_requests(served: Serve, caplog: pytest.LogCaptureFixture) -> None:
    service = served(max_bytes=50_000, max_pixels=300_000, timeout=10, per_client=4, batch=4)
    rng = Random(SEED)
    images = [png(number, 16 + number, 24) for number in range(6)]
    bodies = [*images, png(9, 600, 600), form(images[0]), form(*images[:3]), b""]
    good = head(len(images[0])) + images[0]
    connection, seen = Connection(service), dict.fromkeys((0, 200, *MEANINGS), 0)
    for number in range(COUNT):
        body = mutate_bytes(rng, rng.choice(bodies), bodies)[:60_000]
        kind = rng.choice(TYPES[:4] if rng.random() < 0.9 else TYPES)
        request = head(len(body), kind) + body
        is_raw = rng.random() < 0.15
        if is_raw:
            request = mutate_bytes(rng, head(len(body), kind), [good]) + body
        status, answer = connection.ask(request, is_last=is_raw)
        seen[status] += 1
        assert status != 500, (number, answer)
        if status >= 400:
            assert set(answer) == {"error", "reason"}, number
        assert status or is_raw, number
        if number % 100 == 0:
            assert connection.ask(good)[0] == 200, number
    connection.close()
    print({status: count for status, count in seen.items() if count})
    assert min(seen[status] for status in (200, 400, 413, 415, 422)) > 0
    assert service.post(images[0]).status_code == 200
    service.until(lambda: service.service.admission.images == 0)
    assert service.service.admission.bytes == 0
    assert not caplog.records
