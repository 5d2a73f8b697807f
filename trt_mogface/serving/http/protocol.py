"""`Protocol`: uvicorn's HTTP/1.1 with limits on the head of a request, and errors as JSON."""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from trt_mogface.serving.http.refusal import Refusal

HEAD_BYTES = 32 * 1024
"""Largest head of a request: its line and its headers."""

HEAD_SECONDS = 10.0
"""Seconds within which the head of a request must be complete, from the connection or from its first byte."""


class Protocol(HttpToolsProtocol):
    """A connection.  See `asyncio.Protocol`; the other methods are called by the parser."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_in_head = True

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._end(_TOO_LARGE)

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        self._expect_head()

    @override
    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES:
            raise ValueError("head too large")  # the parser stops, and calls `send_400_response`
        super().on_headers_complete()

    @override
    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():  # the client does not read its answer
            self.transport.abort()
        super().timeout_keep_alive_handler()

    @override
    def send_400_response(self, msg: str) -> None:
        head = sum(len(name) + len(value) + 4 for name, value in self.headers or []) + len(self.url or b"")
        self._end(_TOO_LARGE if head > HEAD_BYTES else _NOT_HTTP)

    def _expect_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._end, None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, refusal: Refusal | None) -> None:
        """Close the connection, with an answer or without.

        An answer that is on its way to an earlier request of the connection goes out first.
        """
        self._stop_timer()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            self.pipeline.clear()
            return
        if refusal is not None:
            self.transport.write(_encoded(refusal))
        self.transport.close()


_NOT_HTTP = Refusal(400, "not_http", "request: not valid HTTP/1.1; send it again")
_TOO_LARGE = Refusal(431, "head_too_large", f"request: a head of more than {HEAD_BYTES} bytes; shorten it")


def _encoded(refusal: Refusal) -> bytes:
    body = refusal.body()
    fields = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    return STATUS_LINE[refusal.status] + fields + body
