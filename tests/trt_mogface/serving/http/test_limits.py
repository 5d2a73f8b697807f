"""What is too much, too slow or not an image gets a status and a reason, and the next request works."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest

from tests.support.fakes import FakeBackend, Gate, in_thread
from tests.support.http_service import ROUTE, Running, answer, head, png
from tests.support.serving import LONG
from tests.trt_mogface.images.test_decoding import png_of_size
from tests.trt_mogface.serving.http.conftest import Serve
from trt_mogface.serving.http import protocol
from trt_mogface.serving.http.admission import PHASES, Pace

FORM = "multipart/form-data; boundary=X"
PART = b'--X\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'


@pytest.fixture
def service(served: Serve) -> Running:
    return served(max_bytes=20_000, max_pixels=100_000, timeout=5, per_client=4)


def refused(done: httpx.Response, status: int, code: str) -> str:
    assert (done.status_code, done.json()["error"]) == (status, code)
    assert set(done.json()) == {"error", "reason"}
    reason: str = done.json()["reason"]
    assert reason.isprintable()
    assert reason
    return reason


def works(service: Running) -> None:
    assert service.post(png(5)).status_code == 200
    service.until(lambda: service.service.admission.images == 0)
    assert service.service.admission.bytes == 0


def chunks(size: int, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield bytes(size)


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (bytes(20_001), "image/png", 413, "too_large"),
        (png_of_size(400, 251), "image/png", 413, "too_large"),
        (b'{"a": 1}', "application/json", 415, "unsupported_type"),
        (png(1), "application/x-www-form-urlencoded", 415, "unsupported_type"),
        (b"", "image/png", 422, "not_usable"),
        (b"no image", "image/png", 422, "not_usable"),
        (png(1)[:-20], "image/png", 422, "not_usable"),
        (b"", FORM, 400, "damaged_form"),
        (b"--X--\r\n", FORM, 422, "no_image"),
        (PART + png(1), FORM, 400, "damaged_form"),
        (PART + png(1) + b"\r\n--X", FORM, 400, "damaged_form"),
        (b"--Y" + PART[3:] + png(1) + b"\r\n--Y--\r\n", FORM, 400, "damaged_form"),
        (PART[:20] + b"\r\n--X--\r\n", FORM, 400, "damaged_form"),
        (b"--X\r\n" + b"a: b\r\n" * 99 + b"\r\n\r\n--X--\r\n", FORM, 400, "damaged_form"),
        (PART + b"\r\n--X--\r\n", FORM, 422, "not_usable"),
        (
            b'--X\r\nContent-Disposition: form-data; name="conf"\r\n\r\n0.5\r\n--X--\r\n',
            FORM,
            422,
            "not_a_file",
        ),
        (PART + b"\r\n--X\r\n\r\n\r\n--X--\r\n", FORM, 422, "not_a_file"),
        ((PART + png(1) + b"\r\n") * 5 + b"--X--\r\n", FORM, 422, "too_many"),
        (png(1), "multipart/form-data", 400, "damaged_form"),
        (png(1), "multipart/form-data; boundary=" + "x" * 71, 400, "damaged_form"),
        (png(1), "multipart/mixed; boundary=X", 415, "unsupported_type"),
    ],
)
def test_bodies(service: Running, body: bytes, kind: str, status: int, code: str) -> None:
    refused(service.post(body, kind), status, code)
    works(service)


def test_compressed_bodies_are_not_unpacked(service: Running) -> None:
    refused(service.post(png(1), headers={"Content-Encoding": "gzip"}), 415, "unsupported_type")


@pytest.mark.parametrize("kind", ["image/png", FORM])
def test_bytes_are_counted_before_anything_is_parsed(
    service: Running, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")  # nothing may go to a file either
    refused(service.post(chunks(1000, 30), kind), 413, "too_large")
    with service.connect() as connection:  # by its own account, before a byte of it
        connection.sendall(head(10**15, kind))
        assert answer(connection)[0] == 413
    works(service)


def test_an_endless_body_ends(service: Running) -> None:
    with service.connect() as connection:
        connection.sendall(head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        with pytest.raises(OSError):  # noqa: PT012 -- whichever piece it is that finds the connection closed
            started = time.monotonic()
            while time.monotonic() < started + 20:
                connection.sendall(b"1000\r\n" + bytes(0x1000) + b"\r\n")
        assert time.monotonic() < started + 10
    works(service)


@pytest.mark.parametrize(
    "query",
    [
        "conf=2",
        "conf=-0.1",
        "conf=nan",
        "conf=x",
        "iou=1.1",
        "max_det=0",
        "max_det=1.5",
        "confidence=0.5",
        "conf=",
    ],
)
def test_options(service: Running, query: str) -> None:
    refused(service.post(png(1), params=httpx.QueryParams(query)), 422, "bad_option")


def test_paths_and_methods(service: Running) -> None:
    refused(service.get("/nothing"), 404, "not_found")
    refused(service.get("/docs"), 404, "not_found")
    refused(service.get("/%2e%2e/etc/passwd"), 404, "not_found")
    done = service.get(ROUTE)
    refused(done, 405, "method_not_allowed")
    assert done.headers["allow"] == "POST"
    with service.client() as client:
        preflight = client.options(
            ROUTE, headers={"Origin": "http://other", "Access-Control-Request-Method": "POST"}
        )
    refused(preflight, 405, "method_not_allowed")
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_only_one_image_is_drawn(service: Running) -> None:
    body = (PART + png(1) + b"\r\n") * 2 + b"--X--\r\n"
    refused(service.post(body, FORM, headers={"Accept": "image/jpeg"}), 406, "not_acceptable")


def test_a_slow_body(served: Serve) -> None:
    service = served(timeout=0.3)
    with service.connect() as connection:
        connection.sendall(head(1000))
        for _ in range(3):
            connection.sendall(b"x")
            time.sleep(0.05)
        status, problem = answer(connection)
    assert (status, problem["error"]) == (408, "slow_body")
    works(service)


@pytest.mark.parametrize("cut", ["close", "half", "reset"])
def test_a_cut_body(service: Running, cut: str) -> None:
    with service.connect() as connection:
        connection.sendall(head(1000) + b"x" * 500)
        service.until(lambda: service.service.admission.images)
        if cut == "half":
            connection.shutdown(1)
            assert answer(connection)[0] in (0, 408)
        elif cut == "reset":
            connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of 0 s
    works(service)


def test_a_client_with_too_many_images(served: Serve, backend: FakeBackend, gate: Gate) -> None:
    service = served(per_client=2, threads=4)
    backend.at_wait = gate
    waiting = [in_thread(service.post, png(number)) for number in (1, 2)]
    service.until(lambda: service.service.admission.images == 2)
    done = service.post(png(3))
    refused(done, 429, "too_many")
    assert int(done.headers["retry-after"]) >= 1
    gate.open()
    assert [each.result(30).status_code for each in waiting] == [200, 200]
    works(service)


def test_a_full_service(served: Serve, backend: FakeBackend, gate: Gate) -> None:
    service = served(queue=3, threads=4)
    backend.at_wait = gate
    waiting = [in_thread(service.post, png(number)) for number in (1, 2, 3)]
    service.until(lambda: service.service.admission.images == 3)
    started = time.monotonic()
    done = service.post(png(4))
    assert time.monotonic() < started + 1
    refused(done, 503, "full")
    assert int(done.headers["retry-after"]) >= 1
    assert service.get("/readyz").status_code == 200
    gate.open()
    assert [each.result(30).status_code for each in waiting] == [200, 200, 200]
    works(service)


def test_bodies_in_memory_are_limited(served: Serve) -> None:
    service = served(max_bytes=1000)
    held = [service.connect() for _ in range(16)]
    for connection in held:
        connection.sendall(head(1000) + bytes(999))
    service.until(lambda: service.service.admission.bytes == 16 * 999)
    refused(service.post(bytes(100)), 503, "full")
    for connection in held:
        connection.close()
    works(service)


def test_an_image_that_takes_too_long(served: Serve, backend: FakeBackend, gate: Gate) -> None:
    service = served(timeout=0.2)
    backend.at_wait = gate
    refused(service.post(png(1)), 504, "timeout")
    gate.open()
    works(service)


def test_a_service_that_is_too_slow_for_its_timeout(served: Serve, backend: FakeBackend) -> None:
    service = served(timeout=1, threads=8, queue=256, per_client=256)
    backend.at_wait = lambda _: time.sleep(0.05)
    for number in range(20):
        service.post(png(number))
    waiting = [in_thread(service.post, png(number)) for number in range(60)]
    done = [each.result(30) for each in waiting]
    statuses = {each.status_code for each in done}
    assert statuses == {200, 503}  # no 504: what enters is answered
    assert sum(each.status_code == 200 for each in done) >= 6


def test_a_broken_network(served: Serve, backend: FakeBackend) -> None:
    service = served()

    def fail(_: list[int]) -> None:
        raise RuntimeError("the driver is gone")

    backend.at_wait = fail
    assert service.post(png(1)).status_code in (500, 503)
    refused(service.post(png(2)), 503, "broken")
    refused(service.get("/readyz"), 503, "broken")
    refused(service.get("/healthz"), 503, "broken")


def test_draining(served: Serve, backend: FakeBackend, gate: Gate) -> None:
    service = served(drain=20)
    backend.at_wait = gate
    with service.connect() as slow, service.connect() as kept:
        data = png(2)
        slow.sendall(head(len(data)) + data[:5])
        waiting = in_thread(service.post, png(1))
        service.until(lambda: service.service.admission.images == 2)
        service.end()
        service.until(lambda: service.service.admission.phase == "draining")
        refused(service.get("/readyz"), 503, "draining")
        assert refused(service.post(png(3)), 503, "draining") == PHASES["draining"]
        kept.sendall(head(0))
        assert answer(kept)[0] == 503
        gate.open()
        slow.sendall(data[5:])
        assert answer(slow)[0] == 200
        assert waiting.result(30).status_code == 200
    assert service.unanswered.result(30) == 0
    with pytest.raises(ConnectionError):
        service.connect()


def test_draining_ends(served: Serve, backend: FakeBackend, gate: Gate) -> None:
    service = served(drain=0.2)
    backend.at_wait = gate
    waiting: Future[Any] = in_thread(service.post, png(1))
    service.until(lambda: service.service.admission.images == 1)
    service.end()
    assert service.unanswered.result(30) == 1
    refused(waiting.result(30), 503, "draining")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\1\2\3\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage(service: Running, garbage: bytes) -> None:
    with service.connect() as connection:
        connection.sendall(garbage)
        status, problem = answer(connection)
        assert (status, problem["error"]) == (400, "not_http")
    works(service)


def test_garbage_behind_a_request(service: Running) -> None:
    with service.connect() as connection:
        connection.sendall(head(len(png(1))) + png(1) + b"\0garbage\r\n\r\n")
        assert answer(connection)[0] in (200, 400)
    works(service)


def test_pipelined_requests(service: Running) -> None:
    with service.connect() as connection:
        connection.sendall((head(len(png(1))) + png(1)) * 3)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 3 or not data.endswith(b"}"):
            piece = connection.recv(65536)
            assert piece
            data += piece


@pytest.mark.parametrize("flood", [b"a: " + b"x" * 100_000, b"a: x\r\n" * 20_000, b"x" * 100_000])
def test_a_flood_of_headers(service: Running, flood: bytes) -> None:
    with service.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + flood + b"\r\n\r\n")
        assert answer(connection)[0] in (400, 431)
    works(service)


def test_connections_that_send_nothing(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    idle = [service.connect() for _ in range(2000 if LONG else 200)]
    idle[0].sendall(b"GET / HT")
    works(service)
    for connection in idle:
        assert connection.recv(1) == b""
        connection.close()


def test_the_pace_counts_only_while_the_service_is_busy() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    for _ in range(400):
        now[0] += 100  # idle
        pace.begin()
        pace.begin()
        now[0] += 0.2
        pace.end(answered=True)
        now[0] += 0.2
        pace.end(answered=True)
    assert pace.seconds == pytest.approx(0.2)
    pace.begin()
    pace.end(answered=False)
    assert pace.seconds == pytest.approx(0.2)
