"""Clients of an HTTP service on loopback: connections in a closed loop, and arrivals on schedule."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Answer:
    """An answer, or a connection that ended without one (status 0).

    Attributes:
        due: Scheduled time of the request, in monotonic seconds; in a closed loop that of sending.
        done: Time of the answer.
        headers: Headers with names in lower case.
    """

    status: int
    due: float
    done: float
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ms(self) -> float:
        return (self.done - self.due) * 1e3


class Connection:
    """A connection that is opened again when it has ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, due: float | None = None) -> Answer:
        sent = time.monotonic() if due is None else due
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *fields = head.strip().split("\r\n")
            headers = dict(each.lower().split(": ", 1) for each in fields)
            await reader.readexactly(int(headers["content-length"]))
            if headers.get("connection") == "close":
                self.close()
            return Answer(int(line.split()[1]), sent, time.monotonic(), headers)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return Answer(0, sent, time.monotonic())

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def closed_loop(port: int, request: bytes, connections: int, count: int) -> list[Answer]:
    """Send `count` requests over connections of which each waits for its answer."""
    left, answers = count, list[Answer]()

    async def client() -> None:
        nonlocal left
        connection = Connection(port)
        while left > 0:
            left -= 1
            answers.append(await connection.ask(request))
        connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return answers


async def open_loop(port: int, request: bytes, rate: float, seconds: float, seed: int) -> list[Answer]:
    """Send requests at the times of a Poisson process, each over a free connection or a new one."""
    rng, free, tasks = random.Random(seed), list[Connection](), list[asyncio.Task[Answer]]()  # noqa: S311
    start = due = time.monotonic()

    async def one(due: float) -> Answer:
        connection = free.pop() if free else Connection(port)
        answer = await connection.ask(request, due)
        free.append(connection)
        return answer

    while due < start + seconds:
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(due)))
        due += rng.expovariate(rate)
    answers = await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    return answers


def post(body: bytes, kind: str, path: str = "/v1/detect") -> bytes:
    """Return a request with a body."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def form(body: bytes, name: str) -> tuple[bytes, str]:
    """Return a multipart form with a JPEG file as the field `name`, and its type."""
    head = f'--X\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n'
    return head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + body + b"\r\n--X--\r\n", (
        "multipart/form-data; boundary=X"
    )


def rate(answers: Sequence[Answer]) -> float:
    """Return the good answers per second, from the first request to the last answer."""
    good = [answer for answer in answers if answer.status == 200]
    return len(good) / (max(answer.done for answer in answers) - min(answer.due for answer in answers))
