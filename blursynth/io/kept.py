"""A cache of bounded size that threads share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key, the least recently used forgotten when together they are larger than ``most``."""

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._most, self._size, self._used = most, size, 0
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:  # held while it is made, so that threads do not make it twice
            if key not in self._values:
                self.put(key, make())
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Hashable, value: T) -> None:
        with self._lock:
            if key in self._values:
                self._used -= self._size(self._values.pop(key))
            self._used += self._size(value)
            while self._values and self._used > self._most:
                self._used -= self._size(self._values.popitem(last=False)[1])
            self._values[key] = value
