"""InOrder: what lanes of different speed make goes on in the order of its stamps."""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import Any


class InOrder:
    """Holds what is done until nothing older is still being worked on.

    Args:
        longest_s: What is newer than a frame at work by more than this is not held for it.
    """

    def __init__(self, longest_s: float = float("inf")):
        self._longest_ns = longest_s * 1e9
        self._at_work: dict[str, deque[int]] = {}
        self._done: list[tuple[int, int, str, Any]] = []
        self._number = 0

    def begin(self, camera: str, stamp_ns: int) -> None:
        """A camera's frame of that stamp is being worked on; stamps of one camera increase."""
        self._at_work.setdefault(camera, deque()).append(stamp_ns)

    def end(self, camera: str, stamp_ns: int) -> None:
        """It is so no longer, with a result or without."""
        stamps = self._at_work.get(camera)
        if stamps and stamp_ns in stamps:
            stamps.remove(stamp_ns)

    def put(self, camera: str, stamp_ns: int, item: Any) -> None:
        """Takes what was made of a frame."""
        self._number += 1
        insort(self._done, (stamp_ns, self._number, camera, item), key=lambda entry: entry[:2])

    def take(self) -> list[tuple[str, Any]]:
        """Camera and item of what need not wait, the oldest first."""
        if not self._done:
            return []
        oldest_ns = min((stamps[0] for stamps in self._at_work.values() if stamps), default=None)
        ready = len(self._done)
        if oldest_ns is not None:
            newest_ns = self._done[-1][0]
            ready = sum(s < oldest_ns or newest_ns - oldest_ns > self._longest_ns for s, *_ in self._done)
        out, self._done = self._done[:ready], self._done[ready:]
        return [(camera, item) for _, _, camera, item in out]

    def forget(self, camera: str) -> None:
        """Drops what is known of a camera: its clock jumped."""
        self._at_work.pop(camera, None)
        self._done = [entry for entry in self._done if entry[2] != camera]
