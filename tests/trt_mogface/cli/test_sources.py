"""Inputs of ``detect`` that are no image files: URLs, stdin, videos."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.command import COMMAND, Run
from trt_mogface import Detector, read_image
from trt_mogface import _url as url
from trt_mogface.errors import DownloadError


class Pages(BaseHTTPRequestHandler):
    """A photo, errors, and redirections, by the path."""

    photo = b""

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        if self.path.startswith("/to="):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to="))
            self.end_headers()
        elif name == "missing.jpg":
            self.send_error(404)
        elif name == "slow.jpg":
            self.send_response(200)
            self.end_headers()
            for byte in self.photo[:1000]:  # 20 s in all
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(10**10 if name == "huge.jpg" else len(self.photo)))
            self.end_headers()
            self.wfile.write(self.photo[: 100 if name == "cut.jpg" else None])

    def log_message(self, *_: object) -> None:
        """Keep stderr for the command."""


class Server(ThreadingHTTPServer):
    """A server that does not mind clients that leave."""

    def handle_error(self, *_: object) -> None:
        """Keep stderr for the command."""


@pytest.fixture
def server(small_photo: bytes) -> Iterator[str]:
    """Address of the pages."""
    handler = type("Handler", (Pages,), {"photo": small_photo})
    with Server(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_an_image_of_a_url_has_the_faces_of_its_file(
    run: Run, photo: Path, server: str, tmp_path: Path
) -> None:
    names = [
        f"{server}/a/photo.jpg?size=1",
        f"{server}/b/photo.jpg",
        f"{server}/../..",
        f"{server}/to=/c.jpg",
    ]
    result = run("detect", *names, photo, "--json", "-", "--save", f"{tmp_path}/drawn/")
    assert result.status == 0
    *found, from_file = json.loads(result.out)
    for entry, name in zip(found, names, strict=True):
        assert entry == from_file | {"image": name}
    drawn = sorted(str(path.relative_to(tmp_path / "drawn")) for path in (tmp_path / "drawn").rglob("*.jpg"))
    host = server.removeprefix("http://")
    assert drawn == sorted(
        [f"{host}/a/photo.jpg", f"{host}/b/photo.jpg", f"{host}/image.jpg", f"{host}/to=/c.jpg", "photo.jpg"]
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{}/missing.jpg", "cannot be read (HTTP 404 Not Found)"),
        ("{}/cut.jpg", "the download ended after 100 of"),
        ("{}/huge.jpg", "larger than 256 MiB"),
        ("{}/to=file:///etc/passwd", "cannot be read (HTTP 302"),
        ("{}/to=ftp://127.0.0.1/a.jpg", "redirects to ftp://; use an http:// or https://"),
        ("{}/to={}/to={}/to=/to=gopher://a", "cannot be read (HTTP 302"),
        ("file:///etc/passwd", "file:// is not supported; use an http:// or https://"),
        ("ftp://127.0.0.1/a.jpg", "ftp:// is not supported"),
        ("http://127.0.0.1:1/a.jpg", "cannot be read (Connection refused)"),
        ("http://[::1/a.jpg", "cannot be read (Invalid IPv6 URL)"),
        ("http://127.0.0.1:9x/a b.jpg", "cannot be read ("),
        ("http:///a.jpg", "cannot be read ("),
    ],
)
def test_a_url_that_gives_no_image_is_one_line(run: Run, server: str, address: str, said: str) -> None:
    name = address.replace("{}", server)
    message = run("detect", name).message
    assert message.startswith(f"{name}: ")
    assert said in message


def test_https_does_not_become_http() -> None:
    with pytest.raises(DownloadError, match="redirects to http://"):
        url._check("https://a/b.jpg", "https", "http://a/b.jpg")
    url._check("http://a/b.jpg", "http", "https://a/b.jpg")


def test_limits_of_size_and_time(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url, "MAX_BYTES", 1000)
    with pytest.raises(DownloadError, match="larger than"):
        url.download(f"{server}/a.jpg")
    monkeypatch.setattr(url, "DURATION", 0.3)
    started = time.monotonic()
    with pytest.raises(DownloadError, match=r"more than 0.3 s"):
        url.download(f"{server}/slow.jpg")
    assert time.monotonic() - started < 10


def test_a_silent_server_is_not_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url, "SILENCE", 0.2)
    with Server(("127.0.0.1", 0), Pages) as silent:  # accepts, and never answers
        message = run("detect", f"http://127.0.0.1:{silent.server_port}/a.jpg").message
    assert "cannot be read (timed out)" in message


def piped(data: bytes, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, "detect", *map(str, arguments)], input=data, capture_output=True)


def test_stdin_is_an_image(photo: Path, tmp_path: Path) -> None:
    done = piped(photo.read_bytes(), "-", "--json", "-", "--save", f"{tmp_path}/drawn/")
    assert done.returncode == 0, done.stderr
    with Detector() as detect:
        expected = detect(read_image(photo)).to_dict()
    assert json.loads(done.stdout) == [{"image": "-", **expected}]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["stdin.png"]


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "-: the file is empty"), (b"no image", "-: not an image in a")]
)
def test_stdin_without_an_image_is_one_line(data: bytes, said: str) -> None:
    done = piped(data, "-")
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert said in line


def test_stdin_is_named_once(run: Run, tmp_path: Path) -> None:
    assert "name it once" in run("detect", "-", "-").message
    assert "stdin has not" in run("detect", "-", "--json", tmp_path / "a.json", "--resume").message
    assert "store those of URLs and stdin" in run("compare", "a.onnx", "b.onnx", "-").message


def test_a_video_is_told_what_to_do(run: Run, photo: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.MP4"
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64))
    writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    (tmp_path / "clip.mp4").rename(video)
    message = run("detect", video).message
    assert message == f"{video}: a video; detect takes images: use trt-mogface video VIDEO --sink jsonl:FILE"
    result = run("detect", video, photo, "--json", "-")
    assert result.status == 1
    assert [sorted(entry)[:2] for entry in json.loads(result.out)] == [
        ["error", "image"],
        ["dropped", "faces"],
    ]
