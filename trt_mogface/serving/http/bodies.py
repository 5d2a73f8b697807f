"""Bodies of requests: read in pieces that are counted before anything is parsed, and split into images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.types import Receive

from trt_mogface._printable import printable
from trt_mogface.serving.http.options import ServiceOptions
from trt_mogface.serving.http.refusal import Refusal

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each damaged form

RATE = 16 * 1024
"""Bytes per second at which a body must arrive once the timeout has passed."""

LONGEST_NAME = 200
"""Characters of a file's name that are repeated in an answer."""

TYPES = "send the image as the body with its type, such as Content-Type: image/jpeg, or a multipart form"


class Gone(Exception):  # noqa: N818 -- nobody is left who would see an error
    """The client has left before its body was complete."""


@dataclass(frozen=True)
class Upload:
    """An image file that a client has sent.

    Attributes:
        name: Name of the file; None in a body that is the image.
        data: Content of the file.
    """

    name: str | None
    data: bytes

    @property
    def title(self) -> str:
        """Name for messages."""
        return self.name or "image"


def boundary_of(headers: Headers) -> bytes | None:
    """Return the boundary of a multipart form, or None for a body that is an image.

    Raises:
        Refusal: If the body is said to be something else.
    """
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refusal(415, "unsupported_type", "body: compressed; send the image file as it is")
    kind, parameters = parse_options_header(headers.get("content-type"))
    if kind.startswith(b"image/"):
        return None
    if kind != b"multipart/form-data":
        shown = printable(kind.decode("latin-1"))[:80] or "no content type"
        raise Refusal(415, "unsupported_type", f"body: {shown} is not accepted; {TYPES}")
    boundary = parameters.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise Refusal(400, "damaged_form", "multipart form: no valid boundary in its Content-Type; add one")
    return boundary


def check_length(headers: Headers, options: ServiceOptions) -> None:
    """Refuse a body that is too large by its own account.

    Raises:
        Refusal: If it is.
    """
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:20]) > options.max_bytes:
        raise too_large(options)


def too_large(options: ServiceOptions) -> Refusal:
    """Return the refusal of a body with too many bytes."""
    return Refusal(
        413, "too_large", f"body: more than {options.max_bytes} bytes; send a smaller image, or fewer"
    )


async def read_body(receive: Receive, options: ServiceOptions, count: Callable[[int], None]) -> bytes:
    """Read a whole body.

    Args:
        receive: Function of the server that returns the next piece.
        options: Limits.
        count: Called with the number of bytes of each piece before it is kept; may raise.

    Raises:
        Refusal: If there are too many bytes, or they come too slowly.
        Gone: If the client leaves.
    """
    pieces: list[bytes] = []
    size, more = 0, True
    with anyio.CancelScope(deadline=anyio.current_time() + options.timeout) as scope:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece, more = message.get("body", b""), message.get("more_body", False)
            size += len(piece)
            if size > options.max_bytes:
                raise too_large(options)
            count(len(piece))
            pieces.append(piece)
            scope.deadline += len(piece) / RATE
        return b"".join(pieces)
    raise Refusal(
        408, "slow_body", f"body: incomplete after {size} bytes; send it at {RATE // 1024} KiB/s or faster"
    )


@dataclass
class _Part:
    """A part of a form while it is parsed."""

    headers: dict[str, bytearray] = field(default_factory=dict)
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    pieces: list[bytes] = field(default_factory=list)


def split(body: bytes, boundary: bytes | None, most: int) -> list[Upload]:
    """Return the images of a body.

    Args:
        body: The whole body.
        boundary: Boundary of the multipart form; None if the body is an image.
        most: Largest number of images.

    Raises:
        Refusal: If the form is damaged, has no images or too many, or a part is not a file.
    """
    if boundary is None:
        return [Upload(None, body)]
    uploads = [_upload(part) for part in _parts(body, boundary, most)]
    if not uploads:
        raise Refusal(422, "no_image", "multipart form: no files; add the images as files")
    return uploads


def _parts(body: bytes, boundary: bytes, most: int) -> list[_Part]:
    parts: list[_Part] = []
    is_complete = False

    def begin() -> None:
        if len(parts) == most:
            raise Refusal(422, "too_many", f"multipart form: more than {most} images; send several requests")
        parts.append(_Part())

    def end_header() -> None:
        part = parts[-1]
        part.headers[part.name.decode("latin-1").strip().lower()] = part.value
        part.name, part.value = bytearray(), bytearray()

    def end() -> None:
        nonlocal is_complete
        is_complete = True

    callbacks: Any = {
        "on_part_begin": begin,
        "on_part_data": lambda data, start, stop: parts[-1].pieces.append(data[start:stop]),
        "on_header_field": lambda data, start, stop: parts[-1].name.extend(data[start:stop]),
        "on_header_value": lambda data, start, stop: parts[-1].value.extend(data[start:stop]),
        "on_header_end": end_header,
        "on_end": end,
    }
    try:
        MultipartParser(boundary, callbacks).write(body)
    except FormParserError as error:
        raise Refusal(400, "damaged_form", "multipart form: damaged; send it again") from error
    if not is_complete:
        raise Refusal(400, "damaged_form", "multipart form: truncated; send it again")
    return parts


def _upload(part: _Part) -> Upload:
    disposition, parameters = parse_options_header(_text(part, "content-disposition"))
    kind, _ = parse_options_header(_text(part, "content-type"))
    field_name = _shown(parameters.get(b"name", b""))
    if disposition != b"form-data" or (b"filename" not in parameters and not kind.startswith(b"image/")):
        raise Refusal(
            422, "not_a_file", f"part {field_name!r}: not a file; options belong into the query, as ?conf=0.5"
        )
    return Upload(_shown(parameters.get(b"filename", b"")) or field_name, b"".join(part.pieces))


def _text(part: _Part, name: str) -> str:
    return part.headers.get(name, bytearray()).decode("latin-1")


def _shown(name: bytes) -> str:
    return printable(name.decode("utf-8", "replace")[:LONGEST_NAME])
