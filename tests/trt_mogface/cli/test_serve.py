"""``trt-mogface serve`` as a process, ended by signals, and its errors."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import photos
from tests.support.command import COMMAND, Run, hear_interrupts, runner
from tests.support.http_service import answer, head
from trt_mogface.cli.quantities import parse_count, parse_seconds
from trt_mogface.errors import ArgumentError

KEY = "a-key-of-this-test"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(capfd, monkeypatch)


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A process that serves, its line and its port."""
    command = [*COMMAND, "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r":(\d+)/$", line.strip())
        assert found, line
        yield process, line, int(found[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def get(port: int, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_accepted_requests_are_answered_after_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "keys").write_text(KEY)
    portrait = photos.PORTRAIT.read_bytes()
    with serving("--api-key-file", str(tmp_path / "keys"), "--timeout", "20s") as (process, line, port):
        assert line == f"trt-mogface: retinaface-mnet025 at http://127.0.0.1:{port}/\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(head(len(portrait), "image/jpeg", f"X-API-Key: {KEY}") + portrait[:100])
            assert get(port, "/readyz").status_code == 200
            process.send_signal(number)
            while get(port, "/readyz").status_code == 200:
                pass
            connection.sendall(portrait[100:])
            status, found = answer(connection)
        assert (status, len(found["images"][0]["faces"])) == (200, 1)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_second_signal_ends_at_once() -> None:
    with (
        serving("--drain", "10m", "--timeout", "10m") as (process, _, port),
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
    ):
        connection.sendall(head(100))
        while "trt_mogface_http_images 1.0" not in get(port, "/metrics").text:
            pass
        process.send_signal(signal.SIGTERM)
        while get(port, "/readyz").status_code == 200:
            pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1


def test_errors_are_one_line(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("serve", "--port", port).message.startswith(f"--port {port}: cannot be used on 127.0.0.1")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    assert "model.onnx" in run("serve", "--port", 0, "--model", tmp_path / "model.onnx").message
    (tmp_path / "keys").touch()
    assert "no API key" in run("serve", "--port", 0, "--api-key-file", tmp_path / "keys").message
    assert run("serve", "--max-bytes", "20X").message.startswith("--max-bytes 20X: use a number")
    assert run("serve", "--timeout", "soon").message.startswith("--timeout soon: use seconds")
    assert run("serve", "--max-pixels", "1G").message.startswith("--max-pixels")
    assert run("serve", "--queue", "0").message.startswith("--queue 0: must be positive")
    assert run("serve", "--conf", "2").message.startswith("--conf")


def test_quantities() -> None:
    assert [parse_count("n", text) for text in ("7", "20M", "1.5k", "2 G".replace(" ", ""))] == [
        7,
        20_000_000,
        1500,
        2_000_000_000,
    ]
    assert [parse_seconds("t", text) for text in ("5", "5s", "250ms", "2m")] == [5, 5, 0.25, 120]
    for text in ("", "M", "-1", "1e9", "0x10", "20MB", "5 h"):
        with pytest.raises(ArgumentError):
            parse_count("n", text)
        with pytest.raises(ArgumentError):
            parse_seconds("t", text + "h")
