"""Addresses of cameras and servers: variables of the environment in them, and forms safe to show."""

from __future__ import annotations

import os
import re

from trt_mogface.errors import ArgumentError

VARIABLE = re.compile(r"\$\{(\w+)\}")
SECRET = re.compile(
    r"(?i)((?:pass(?:word|wd|phrase)?|pwd|token|secret|key|auth|sig(?:nature)?|user(?:name)?|login)[=_:])[^&/;,]+"
)
"""Parts of a path with a password, as some cameras have them."""


def expand(text: str) -> str:
    """Replace each ``${VARIABLE}`` by its value in the environment.

    Raises:
        ArgumentError: If a variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        try:
            return os.environ[found[1]]
        except KeyError:
            raise ArgumentError(
                "sources", f"the environment has no variable {found[1]}; set it", redact(text)
            ) from None

    return VARIABLE.sub(value, text)


def scheme_of(text: str) -> str:
    """Return the scheme of an address in lower case, or an empty text for a path."""
    scheme, separator, _ = text.partition("://")
    return scheme.lower() if separator and re.fullmatch(r"[A-Za-z][\w+.-]*", scheme) else ""


def redact(address: str) -> str:
    """Return an address without user, password, query and fragment; variables stay as they are written.

    >>> redact("rtsp://admin:${PASSWORD}@door:554/live?token=1")
    'rtsp://door:554/live'
    """
    scheme = scheme_of(address)
    if not scheme:
        return address
    rest = address.partition("://")[2]
    server = re.split(r"[/?#]", rest, maxsplit=1)[0]
    has_cut_password = "@" not in server and "@" in rest and not re.fullmatch(r"[^:]*(:\d*)?", server)
    if has_cut_password:  # a password with one of these characters, not percent-encoded
        rest = rest.rpartition("@")[2]
        server = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = re.split(r"[?#]", rest[len(server) :], maxsplit=1)[0]
    shown = SECRET.sub(r"\1***", path)
    return f"{scheme}://{server.rpartition('@')[2]}{shown}"
