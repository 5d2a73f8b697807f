"""Files from web servers: HTTP and HTTPS only, with limits of size and time."""

from __future__ import annotations

import time
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from typing_extensions import override

from trt_mogface.errors import DownloadError

SCHEMES = ("http", "https")
MAX_BYTES = 256 << 20
SILENCE = 20.0
"""Seconds that a server may be silent."""
DURATION = 300.0
"""Seconds that a download may take."""

PIECE = 1 << 16
AGENT = "trt-mogface"


def is_url(text: str) -> bool:
    """Return whether a text is a URL of any scheme, rather than a path."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.isascii() and scheme.replace("+", "").isalnum()


def download(url: str) -> bytes:
    """Return the contents of a URL.  Redirections lead to HTTP and HTTPS only, and never from HTTPS to HTTP.

    Raises:
        DownloadError: If the scheme is another, the server cannot be reached or answers with an error, the
            download ends early, takes too long, or is larger than `MAX_BYTES`.
    """
    _check(url, "", url)
    try:
        request = Request(url, headers={"User-Agent": AGENT})  # noqa: S310 -- the scheme was checked
        with build_opener(_Redirections()).open(request, timeout=SILENCE) as answer:
            return _read(url, answer)
    except HTTPError as error:
        raise DownloadError(f"{url}: cannot be read (HTTP {error.code} {error.reason})") from error
    except URLError as error:
        raise DownloadError(f"{url}: cannot be read ({_reason(error.reason)})") from error
    except (OSError, HTTPException, ValueError) as error:
        raise DownloadError(f"{url}: cannot be read ({_reason(error)})") from error


class _Redirections(HTTPRedirectHandler):
    """Refuses redirections that leave HTTP and HTTPS, which could read local files."""

    @override
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        _check(req.get_full_url(), req.type, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _check(url: str, before: str, target: str) -> None:
    scheme = target.partition("://")[0].lower()
    if scheme not in SCHEMES or (before == "https" and scheme == "http"):
        problem = f"redirects to {scheme}://" if before else f"{scheme}:// is not supported"
        raise DownloadError(f"{url}: {problem}; use an http:// or https:// address of the file itself")


def _read(url: str, answer: HTTPResponse) -> bytes:
    length = answer.headers.get("Content-Length", "")
    expected = int(length) if length.isdecimal() else None
    data, end = bytearray(), time.monotonic() + DURATION
    while len(data) <= MAX_BYTES and (expected is None or expected <= MAX_BYTES):
        piece = answer.read1(PIECE)
        data += piece
        if not piece and expected is not None and len(data) < expected:
            raise DownloadError(f"{url}: the download ended after {len(data)} of {expected} bytes; try again")
        if not piece:
            return bytes(data)
        if time.monotonic() > end:
            raise DownloadError(f"{url}: took more than {DURATION:g} s; download it by other means")
    raise DownloadError(f"{url}: larger than {MAX_BYTES >> 20} MiB; download it by other means")


def _reason(error: object) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())[:200]
