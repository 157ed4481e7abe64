"""What changes now and then, such as a camera's calibration: each value holds from its stamp on."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByStamp(Generic[Value]):
    """Values in the order of their stamps; what was before the first is taken to be like it.

    Args:
        most: Most values kept; the oldest are forgotten.

    Attributes:
        newest: The value that came last, None before the first.
    """

    def __init__(self, most: int = 16):
        self._most = most
        self._entries: list[tuple[int, Value]] = []
        self.newest: Value | None = None

    def put(self, stamp_ns: int, value: Value) -> None:
        """Takes a value that holds from `stamp_ns` on."""
        insort(self._entries, (stamp_ns, value), key=lambda e: e[0])
        del self._entries[: -self._most]
        self.newest = value

    def at(self, stamp_ns: int) -> Value | None:
        """The value that holds at a stamp, None where there is none at all."""
        if not self._entries:
            return None
        return self._entries[max(bisect_right(self._entries, stamp_ns, key=lambda e: e[0]) - 1, 0)][1]

    def restart(self) -> None:
        """After a jump of the clock: what came last holds at any time, until more comes."""
        self._entries = self._entries[:0] if self.newest is None else [(0, self.newest)]
