"""API keys: read from a file, and compared without telling by time how much of a guess was right."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from trt_mogface._text import read_lines
from trt_mogface.errors import UsageError
from trt_mogface.serving.http.refusal import Refusal

SCHEME = "bearer "
OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
"""Paths that need no key: probes of orchestrators send none."""


class Keys:
    """API keys that requests must have.

    Args:
        keys: The keys; none makes every request welcome.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode("ascii")) for key in keys]

    def client_of(self, path: str, headers: Mapping[bytes, bytes], address: str) -> str:
        """Return the name that limits per client count under: the number of the key, else the address.

        Args:
            path: Path of the request.
            headers: Headers of the request, with names in lower case.
            address: IP address of the client.

        Raises:
            Refusal: If the path needs a key, and the request has no right one.
        """
        if not self._digests or path in OPEN:
            return address
        given = headers.get(b"x-api-key", b"")
        authorization = headers.get(b"authorization", b"")
        if authorization[: len(SCHEME)].lower() == SCHEME.encode():
            given = authorization[len(SCHEME) :].strip()
        digest = _digest(given)
        # Every key is compared, each in constant time.
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(found):
            problem = "wrong" if given else "missing"
            raise Refusal(
                401,
                "unauthorized",
                f"API key: {problem}; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return f"key {found.index(True)}"


def read_keys(path: Path) -> tuple[str, ...]:
    """Read API keys, a line each; lines that begin with ``# `` are comments.

    Raises:
        UsageError: If the file cannot be read, has no key, or one that no header can carry.  No message
            shows a key.
    """
    try:
        keys = tuple(dict.fromkeys(read_lines(path)))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a file of API keys") from error
    except ValueError as error:
        raise UsageError(f"{path}: not a list of API keys; write a key in each line") from error
    if not keys:
        raise UsageError(f"{path}: no API key; write a key in each line")
    for number, key in enumerate(keys, start=1):
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise UsageError(f"{path}: key {number} is not one word of ASCII characters; choose another key")
    return keys


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()  # of one length, whatever the key's
