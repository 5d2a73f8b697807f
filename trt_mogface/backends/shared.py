"""`Shared`: a resource of several users, closed with the last of them."""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

T = TypeVar("T", bound=Any)


class Shared(Generic[T]):
    """A resource with a method ``close``, and the number of its users, which starts at one."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._users, self._lock = 1, threading.Lock()

    def retain(self) -> Shared[T]:
        """Add a user."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """Remove a user; the last one closes the resource."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self.value.close()
