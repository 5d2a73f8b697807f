"""Downloads from a server on the loopback interface that answers as ModelScope does."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from engine_build.weights import fetch
from trt_mogface.errors import DownloadError

modelscope_hub = pytest.importorskip("modelscope_hub", reason="downloads need the 'build' extra")

MODEL = "owner/faces"
FILE = "weights.pt"
BYTES = bytes(range(256)) * 1024


class Hub(ThreadingHTTPServer):
    """One model of one file; the attributes say how the file is served."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.sent = BYTES
        self.listed_sha256: str | None = hashlib.sha256(BYTES).hexdigest()
        self.cut = False  # the next transfer stops in the middle and its connection is closed
        self.interrupt: Path | None = None  # ... and, once this file is not empty, Ctrl-C is sent
        self.requests: list[str] = []
        self.agents: list[str] = []
        self.file_ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(200, b"")

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.agents.append(self.headers["User-Agent"])
        address = urlsplit(self.path)
        asked = parse_qs(address.query).get("FilePath")
        if address.path == f"/api/v1/models/{MODEL}/repo/files":
            self.answer(200, json.dumps(self.listing()).encode())
        elif address.path == f"/api/v1/models/{MODEL}/repo" and asked == [FILE]:
            self.send_file()
        else:
            self.answer(404, b'{"Code": 404, "Message": "not\\nfound"}')

    def listing(self) -> dict[str, Any]:
        entry = {"Path": FILE, "Size": len(BYTES), "Sha256": self.server.listed_sha256}
        return {"Code": 200, "Data": {"Files": [{**entry, "Type": "blob"}]}}

    def send_file(self) -> None:
        asked = self.headers.get("Range")
        self.server.file_ranges.append(asked)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0  # type: ignore[index]
        body, total = self.server.sent[start:], len(self.server.sent)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not self.server.cut:
            self.wfile.write(body)
            return
        self.server.cut = False
        self.wfile.write(body[: len(body) // 2])
        if self.server.interrupt is not None:
            self.press_ctrl_c(self.server.interrupt)

    def press_ctrl_c(self, partial: Path) -> None:
        deadline = time.monotonic() + 10
        while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
        ident = threading.main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, signal.SIGINT)
        time.sleep(0.5)  # the transfer ends by the signal and not by a closed connection

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(timeout=5)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address that refuses connections: its port is taken, and nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", url)
        yield url


def partial_file(cache: Path) -> Path:
    return cache / "models" / MODEL.replace("/", "--") / f"snapshots/master/{FILE}.incomplete"


def files_named(folder: Path, name: str) -> list[Path]:
    return list(folder.rglob(name))


def failure(model: str = MODEL, file: str = FILE) -> str:
    """The message of the error that a fetch ends with: one line that says what to do."""
    with pytest.raises(DownloadError) as raised:
        fetch(model, file)
    message = str(raised.value)
    assert "\n" not in message
    assert f"download {file} from the model page of {model} on ModelScope" in message
    assert "pass it as weights" in message
    return message


def test_downloads_once(hub: Hub, cache: Path) -> None:
    path = fetch(MODEL, FILE)
    assert path.read_bytes() == BYTES
    assert path.is_relative_to(cache)
    before = list(hub.requests)
    assert fetch(MODEL, FILE) == path
    assert hub.requests == before


def test_nothing_tells_two_downloads_of_one_user_from_those_of_two(
    hub: Hub, cache: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        fetch(MODEL, FILE).unlink()
    sessions = {re.findall("session_id/(\\w+)", agent)[0] for agent in hub.agents}
    assert len(sessions) == 2
    written = {path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(cache)}
    assert written == set()


@pytest.mark.usefixtures("hub")
def test_cached_file_needs_no_network(request: pytest.FixtureRequest) -> None:
    path = fetch(MODEL, FILE)
    request.getfixturevalue("offline")
    started = time.monotonic()
    assert fetch(MODEL, FILE) == path
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("layout", ["models/{}/{}", "hub/models/{}/{}"])
@pytest.mark.usefixtures("offline")
def test_file_of_older_modelscope_is_used(cache: Path, layout: str) -> None:
    path = cache / layout.format(*MODEL.split("/")) / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES)
    assert fetch(MODEL, FILE) == path


def test_interrupted_transfer_is_resumed(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("modelscope_hub")
    logger.addHandler(caplog.handler)
    hub.cut = True
    try:
        assert fetch(MODEL, FILE).read_bytes() == BYTES
    finally:
        logger.removeHandler(caplog.handler)
    assert hub.file_ranges == [None, f"bytes={len(BYTES) // 2}-"]
    assert not caplog.records


def test_ctrl_c_leaves_a_file_to_resume(hub: Hub, cache: Path) -> None:
    partial = partial_file(cache)
    hub.cut, hub.interrupt = True, partial
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch(MODEL, FILE)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert files_named(cache, FILE) == []
    received = partial.stat().st_size
    assert 0 < received < len(BYTES)
    assert fetch(MODEL, FILE).read_bytes() == BYTES
    assert hub.file_ranges == [None, f"bytes={received}-"]


def test_complete_partial_file_is_not_transferred_again(hub: Hub, cache: Path) -> None:
    partial_file(cache).parent.mkdir(parents=True)
    partial_file(cache).write_bytes(BYTES)
    assert fetch(MODEL, FILE).read_bytes() == BYTES
    assert hub.file_ranges == []


def test_wrong_bytes_are_refused(hub: Hub, cache: Path) -> None:
    hub.sent = BYTES[::-1]
    assert "checksum" in failure()
    assert files_named(cache, f"{FILE}*") == []


def test_wrong_size_is_refused_where_no_checksum_is_listed(hub: Hub, cache: Path) -> None:
    hub.sent, hub.listed_sha256 = BYTES[:-1], None
    assert "wrong size" in failure()
    assert files_named(cache, f"{FILE}*") == []


def test_damaged_cached_file_is_downloaded_again(hub: Hub) -> None:
    path = fetch(MODEL, FILE)
    path.write_bytes(BYTES[::-1])
    assert fetch(MODEL, FILE).read_bytes() == BYTES
    assert len(hub.file_ranges) == 2


@pytest.mark.usefixtures("hub")
def test_damaged_cached_file_is_not_used_offline(request: pytest.FixtureRequest) -> None:
    fetch(MODEL, FILE).write_bytes(BYTES[:-1])
    assert request.getfixturevalue("offline") in failure()


def test_unreachable_host_fails_soon(offline: str, capfd: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    message = failure()
    assert time.monotonic() - started < 15
    assert f"{offline} cannot be reached" in message
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("hub")
def test_network_that_answers_with_its_own_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answer, "do_GET", lambda self: self.answer(200, b"<html>Log in</html>"))
    assert "cannot be reached" in failure()


@pytest.mark.usefixtures("hub")
def test_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"Code": 403, "Message": "private model"}'
    monkeypatch.setattr(Answer, "do_GET", lambda self: self.answer(403, body))
    assert "private model" in failure()


@pytest.mark.parametrize(("model", "file"), [("owner/other", FILE), (MODEL, "other.pt")])
def test_unknown_model_or_file(hub: Hub, model: str, file: str) -> None:
    assert f"no such model or file on {hub.url}" in failure(model, file)


@pytest.mark.usefixtures("hub")
def test_unusable_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "cache"
    monkeypatch.setenv("MODELSCOPE_CACHE", str(folder))
    assert f"Not a directory in the cache folder {folder}" in failure()


FULL = OSError(errno.ENOSPC, "No space left on device")
OVER_QUOTA = OSError(errno.EDQUOT, "Disk quota exceeded")


@pytest.mark.parametrize("full", [FULL, OVER_QUOTA])
def test_full_disk(full: OSError, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> None:
        if full.errno == errno.ENOSPC:
            raise full
        raise modelscope_hub.NetworkError("failed after 5 retries") from full

    monkeypatch.setattr(modelscope_hub.HubApi, "download_file", download)
    assert f"{full.strerror} in the cache folder {cache}" in failure()
