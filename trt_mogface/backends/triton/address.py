"""`Address`: a model on a Triton server, as ``triton://HOST:PORT/MODEL``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from trt_mogface.errors import ModelError

Protocol = Literal["grpc", "http"]

SCHEMES: dict[str, Protocol] = {"triton": "grpc", "triton+grpc": "grpc", "triton+http": "http"}
PORTS: dict[Protocol, int] = {"grpc": 8001, "http": 8000}
TIMEOUT = 30.0
"""Default seconds within which a batch must be answered."""

LOCAL = {"localhost", "127.0.0.1", "::1"}
"""Hosts that are this machine."""


@dataclass(frozen=True)
class Address:
    """A model on a server.

    Attributes:
        text: The address as it was written, for messages.
        protocol: ``grpc`` or ``http``.
        host: Name and port of the server.
        model, version: Name of the model, and number of the version; an empty text is the newest.
        timeout: Seconds within which a batch must be answered.
    """

    text: str
    protocol: Protocol
    host: str
    model: str
    version: str = ""
    timeout: float = TIMEOUT

    @staticmethod
    def parse(text: str) -> Address:
        """Parse ``triton://HOST[:PORT]/MODEL[?version=N&timeout=SECONDS]``.

        Raises:
            ModelError: If the address has another form.
        """
        wanted = "use triton://HOST:PORT/MODEL, with ?version=N&timeout=SECONDS if necessary"
        try:
            parts = urlsplit(text)
            given = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            protocol, name = SCHEMES[parts.scheme], parts.path.strip("/")
            version, timeout = given.pop("version", ""), float(given.pop("timeout", TIMEOUT))
            port = parts.port or PORTS[protocol]
            is_good = (
                bool(parts.hostname and name) and "/" not in name and not given and "@" not in parts.netloc
            )
            if not is_good or not (version == "" or version.isdecimal()) or not 0 < timeout < 1e6:
                raise ValueError
        except (KeyError, ValueError) as error:
            shown = re.sub(r"//[^/]*@", "//***@", text)[:200]
            raise ModelError(f"{shown}: not the address of a model; {wanted}") from error
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        return Address(text, protocol, f"{host}:{port}", name, version, timeout)

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine."""
        return self.host.rpartition(":")[0].strip("[]") in LOCAL
