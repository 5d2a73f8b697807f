"""The page at ``/``, and the policy that lets it run nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


def _sources(tag: str) -> str:
    """Return the hashes of all elements of a tag, as sources of a policy."""
    texts = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"


POLICY = (
    f"default-src 'none'; script-src {_sources('script')}; style-src {_sources('style')}; "
    "connect-src 'self'; img-src blob: data:; media-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of every answer."""
