"""`serve`: run a service on a socket until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio
import uvicorn
from typing_extensions import override

from trt_mogface.errors import ArgumentError
from trt_mogface.serving.http.protocol import Protocol
from trt_mogface.serving.http.service import Service

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

BACKLOG = 1024
FINISH = 5
"""Seconds for clients to take the last answers."""


class Server(uvicorn.Server):
    """Uvicorn with a service, which answers the accepted requests before it ends.

    Args:
        service: The service.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(
            uvicorn.Config(
                service.app,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=FINISH,
            )
        )
        self._service = service
        self._ending: asyncio.Task[None] | None = None
        self.unanswered = 0

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the event loop, but those that our parent ignores (nohup)."""
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for each in ENDING:
                if signal.getsignal(each) != signal.SIG_IGN:
                    loop.add_signal_handler(each, self.end)
        yield

    def end(self) -> None:
        """Refuse new requests, answer the accepted ones, then end; a second call ends at once."""
        self._service.admission.phase = "draining"
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._drain())
        else:
            self._ending.cancel()
            self._stop()

    async def _drain(self) -> None:
        with anyio.move_on_after(self._service.options.drain):
            await self._service.admission.idle.wait()
        self._stop()

    def _stop(self) -> None:
        self.unanswered = self._service.admission.requests
        if self.unanswered:
            self.config.timeout_graceful_shutdown = 0
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: Name or IP address of this machine.
        port: Number of the port; 0 chooses a free one.

    Raises:
        ArgumentError: If the host is unknown, or the port is in use or not allowed.
    """
    if not 0 <= port < 65536:
        raise ArgumentError("port", "must be within 0..65535", port)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ArgumentError("host", f"unknown ({error}); use an address of this machine", host) from error
    try:
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except PermissionError as error:
        raise ArgumentError("port", "not allowed for this user; use one from 1024 on", port) from error
    except OSError as error:
        problem = f"cannot be used on {host} ({error.strerror}); choose another one"
        raise ArgumentError("port", problem, port) from error


End = Callable[[], object]
"""Function that ends a service as a signal does, from any thread."""


def serve(service: Service, listening: socket.socket, on_ready: Callable[[End], object]) -> int:
    """Run a service until SIGTERM, SIGINT or SIGHUP.

    Args:
        service: The service.
        listening: Socket of `bind`, which is closed.
        on_ready: Called once requests are accepted, with a function that ends the service.

    Returns:
        Number of accepted requests that were not answered.

    Raises:
        MogFaceError: If the network fails on the first image.
    """
    return anyio.run(_serve, service, listening, on_ready, backend_options={"use_uvloop": True})


async def _serve(service: Service, listening: socket.socket, on_ready: Callable[[End], object]) -> int:
    server, loop = Server(service), asyncio.get_running_loop()
    running = asyncio.create_task(server.serve([listening]))
    try:
        await service.warm_up()
        if service.admission.phase == "ready":
            on_ready(partial(loop.call_soon_threadsafe, server.end))
    except BaseException:
        server.should_exit = True
        await running
        raise
    await running
    return server.unanswered
