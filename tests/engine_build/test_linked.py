"""Files of the web with a known digest, from a server on the loopback interface."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from engine_build.weights import linked
from tests.support.specs import one_line
from trt_mogface.errors import DownloadError

CONTENT = bytes(range(256)) * 16
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/net.onnx"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        """Keep stderr clean."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with HTTPServer(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_file_is_downloaded_once(server: str, tmp_path: Path) -> None:
    path = linked(f"{server}/net.onnx", SHA256)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path)
    assert linked("http://127.0.0.1:1/net.onnx", SHA256) == path


def test_a_damaged_copy_is_downloaded_again(server: str) -> None:
    linked(f"{server}/net.onnx", SHA256).write_bytes(b"?")
    assert linked(f"{server}/net.onnx", SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "digest", "reason"),
    [
        ("net.onnx", "0" * 64, "net.onnx: the download is not the published file"),
        ("other.onnx", SHA256, "HTTP 404"),
    ],
)
def test_another_file_or_none_is_refused(
    server: str, tmp_path: Path, name: str, digest: str, reason: str
) -> None:
    with pytest.raises(DownloadError) as error:
        linked(f"{server}/{name}", digest)
    assert reason in one_line(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_unreachable_server_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DownloadError) as error:
        linked("http://127.0.0.1:1/net.onnx", SHA256)
    assert "pass it as weights" in one_line(error.value)
