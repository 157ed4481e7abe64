"""How a run is asked to stop."""

from __future__ import annotations

import signal
import threading


class Stop:
    """Whether the run shall stop: SIGTERM or Ctrl-C, or so many steps; a second Ctrl-C ends at once."""

    def __init__(self, after: int | None):
        self._after, self._asked, self._before = after, False, {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *exception) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _heard(self, number: int, frame) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True

    def now(self, steps: int) -> bool:
        return self._asked or (self._after is not None and steps >= self._after)
