"""The `Accept` header: whether a client prefers a drawing to JSON."""

from __future__ import annotations


def prefers_jpeg(accept: str) -> bool:
    """Return whether a client prefers ``image/jpeg`` to ``application/json``; JSON is the default.

    >>> [prefers_jpeg(text) for text in ("", "*/*", "image/jpeg", "image/*;q=0.5, application/json")]
    [False, False, True, False]
    """
    ranges = dict(_range(part) for part in accept.lower().split(","))
    jpeg = _quality(ranges, "image/jpeg", "image/*")
    return jpeg > _quality(ranges, "application/json", "application/*")


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (each.strip() for each in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return name, 0.0
    return name, 1.0


def _quality(ranges: dict[str, float], *names: str) -> float:
    return next((ranges[name] for name in (*names, "*/*") if name in ranges), 0.0)
