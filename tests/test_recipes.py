"""Recipes in docs/tasks/processes.md, run as they stand there."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import WAIT
from tests.support.project import REPOSITORY

PAGE = REPOSITORY / "docs" / "tasks" / "processes.md"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}

Post = Callable[[bytes], tuple[int, Any]]

GLOBAL = """
import json
import numpy as np
from trt_mogface import Detector, MogFaceError

detect = Detector()
detect(np.zeros((64, 64, 3), np.uint8))

def app(environ, start_response):
    try:
        text = str(len(detect(np.zeros((64, 64, 3), np.uint8))))
    except MogFaceError as error:
        text = str(error)
    start_response("200 OK", [])
    return [json.dumps(text).encode()]
"""


def recipe(name: str) -> str:
    """Return the code block of this title."""
    found = re.search(rf'```python title="{name}"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Post]]:
    """Return a function that serves an application by gunicorn, with two workers that are forked from it.

    After the test all its processes must end within seconds, with success.
    """
    pytest.importorskip("gunicorn", reason="pip install gunicorn")
    started: list[subprocess.Popen[str]] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def start(code: str) -> Post:
            (tmp_path / "app.py").write_text(code)
            bind = f"fd://{listening.fileno()}"
            options = ("--preload", "--workers=2", "--graceful-timeout=5", f"--bind={bind}")
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "gunicorn", *options, "app:app"],
                    cwd=tmp_path,
                    env=ENVIRONMENT,
                    pass_fds=[listening.fileno()],
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )

            host, port = listening.getsockname()

            def post(body: bytes) -> tuple[int, Any]:
                connection = http.client.HTTPConnection(host, port, timeout=WAIT)
                connection.request("POST", "/", body)
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())

            return post

        yield start
        for process in started:
            process.send_signal(signal.SIGTERM)
            try:
                _, log = process.communicate(timeout=WAIT)
            finally:
                process.kill()
            assert process.returncode == 0
            assert log.count("Worker exiting") == 2  # neither was killed
            assert "SIGKILL" not in log


def test_gunicorn(serve: Callable[[str], Post], photo_folder: Path) -> None:
    post = serve(recipe("app.py"))
    for _ in range(4):  # whichever worker takes them
        status, answer = post((photo_folder / "group.jpg").read_bytes())
        assert (status, len(answer["faces"])) == (200, 6)
    status, answer = post(b"")
    assert status == 400
    assert "\n" not in answer["error"]


def test_a_detector_from_before_the_fork_is_refused_and_the_workers_exit(
    serve: Callable[[str], Post],
) -> None:
    post = serve(GLOBAL)
    assert "after the fork" in post(b"")[1]


def test_data_loader(photo_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="pip install torch")
    (tmp_path / "loader.py").write_text(recipe("loader.py"))
    done = subprocess.run(
        [sys.executable, "loader.py", str(photo_folder)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=4 * WAIT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["group.jpg: 6 faces", "portrait.jpg: 1 faces"]
