"""`Guard`: the layer in front of the application, for every request whatever its route."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trt_mogface.serving.http.admission import PHASES
from trt_mogface.serving.http.page import POLICY
from trt_mogface.serving.http.refusal import Refusal

if TYPE_CHECKING:
    from trt_mogface.serving.http.keys import Keys
    from trt_mogface.serving.http.metrics import Metrics

LINGER = 2.0
"""Seconds for which the rest of a refused body is read and dropped.

A connection that is closed while data arrive is reset, and the client may lose the answer.
"""

LEFT = 499
"""Status of a request without an answer, because the client left; it is only counted."""

SMALL = 6
"""Digits of the length of a body that is read for the sake of the connection."""

HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
"""Headers of every answer."""


class Guard:
    """ASGI application around another one: API keys, headers of every answer, and an end to every request.

    The name of the client is put into the state of the request as ``client``.

    Args:
        app: Application behind it.
        keys: API keys.
        metrics: Counts the answers.
    """

    def __init__(self, app: ASGIApp, keys: Keys, metrics: Metrics) -> None:
        self._app, self._keys, self._metrics = app, keys, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.  See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        exchange = Exchange(receive, send, headers)
        try:
            address = (scope.get("client") or ("", 0))[0]
            scope["state"]["client"] = self._keys.client_of(scope["path"], headers, address)
            await self._app(scope, exchange.receive, exchange.send)
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            await refusal.response()(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:  # the service ends, and waits no longer
            if exchange.status == LEFT:
                await Refusal(503, "draining", PHASES["draining"]).response()(scope, receive, exchange.send)
        finally:
            route = scope["path"] if "endpoint" in scope else "other"  # no route has parameters in its path
            self._metrics.answered(route, exchange.status)


class Exchange:
    """A request and its answer.

    Args:
        receive, send: Functions of the server.
        headers: Headers of the request, with names in lower case.

    Attributes:
        status: Status of the answer; 499 if the client left without one.
    """

    def __init__(self, receive: Receive, send: Send, headers: Mapping[bytes, bytes]) -> None:
        self._receive, self._send = receive, send
        length = headers.get(b"content-length", b"0")
        is_chunked = b"transfer-encoding" in headers
        self._is_read = length == b"0" and not is_chunked
        self._is_small = len(length) <= SMALL and not is_chunked and b"expect" not in headers
        self.status = LEFT

    async def receive(self) -> Message:
        """Return the next piece of the request."""
        message = await self._receive()
        self._is_read = self._is_read or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a piece of the answer.

        The connection ends after the answer to a request whose body was not read, unless its rest is small
        and comes soon.
        """
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._is_small and not self._is_read and self.status != 408:
                await self._linger()
            closing = [] if self._is_read else [(b"connection", b"close")]
            message = {**message, "headers": [*message.get("headers", []), *HEADERS, *closing]}
        elif not self._is_read and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _linger(self) -> None:
        with anyio.move_on_after(LINGER):
            while not self._is_read:
                await self.receive()
