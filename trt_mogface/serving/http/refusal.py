"""`Refusal`: an answer that is not faces, with its status, a word for programs and a reason for people."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

MEANINGS = {
    400: "The body is not what its headers say.",
    401: "The API key is missing or wrong.",
    404: "There is no such path.",
    405: "The path does not have this method.",
    406: "Only a request with one image can be answered with a drawing.",
    408: "The body did not arrive in time.",
    413: "The body has too many bytes, or an image too many pixels.",
    415: "The body is not an image or a multipart form.",
    422: "An image cannot be used, or an option is impossible.",
    429: "This client has too many images in the service.",
    431: "The head of the request is too large.",
    500: "The network failed.",
    503: "The service is full, starting, draining or broken.",
    504: "The faces were not found in time.",
}
"""Statuses of refusals, with what each means."""


class Refusal(Exception):  # noqa: N818 -- most are the client's errors, some are none
    """A request that is not answered with faces.

    Args:
        status: HTTP status, one of `MEANINGS`.
        code: Word for programs, such as ``too_large``.
        reason: What is wrong, and what to do; one line.
        retry_after: Seconds after which another attempt makes sense.
        headers: Further headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        reason: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.status, self.code, self.reason = status, code, reason
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def body(self) -> bytes:
        """Return the JSON of the answer."""
        return msgspec.json.encode({"error": self.code, "reason": self.reason})

    def response(self) -> Response:
        """Return the answer."""
        return Response(self.body(), self.status, self.headers, "application/json")


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Refusal:
    """Return the refusal of a request that no route takes."""
    phrase = HTTPStatus(status).phrase
    reason = MEANINGS.get(status, phrase)
    return Refusal(status, phrase.lower().replace(" ", "_"), f"{reason} See /openapi.json.", headers=headers)
