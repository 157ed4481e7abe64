"""A worker thread with a bounded inbox: callbacks stay short, and the oldest image gives way when work piles up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

#: In reliable mode nothing is dropped; a sender that outruns the worker by this much is broken.
_MOST_ITEMS = 20_000


class Worker:
    """Runs jobs one after the other in its own thread, in the order they came.

    Args:
        most_droppable: Most droppable jobs that wait; 0: nothing is dropped.
        on_idle: Called when nothing has come for `idle_s` seconds, once a silence.
        idle_s: See `on_idle`.
        on_drop: Called when a job was dropped.
    """

    def __init__(self, most_droppable: int, on_idle: Callable[[], None], idle_s: float, on_drop: Callable[[], None]):
        self._jobs: deque[tuple[Callable[[], None], bool]] = deque()
        self._droppable, self._most_droppable = 0, most_droppable
        self._on_idle, self._idle_s, self._on_drop = on_idle, idle_s, on_drop
        self._wake = threading.Condition()
        self._running = True
        self.busy_s = 0.0
        self._thread = threading.Thread(target=self._run, name="observer-worker", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Number of jobs that wait."""
        return len(self._jobs)

    def put(self, job: Callable[[], None], droppable: bool = False) -> None:
        """Adds a job; may drop the oldest droppable one."""
        dropped = False
        with self._wake:
            self._jobs.append((job, droppable))
            self._droppable += droppable
            if (self._most_droppable and self._droppable > self._most_droppable) or len(self._jobs) > _MOST_ITEMS:
                dropped = self._drop_oldest()
            self._wake.notify()
        if dropped:
            self._on_drop()

    def _drop_oldest(self) -> bool:
        for i, (_, droppable) in enumerate(self._jobs):
            if droppable:
                del self._jobs[i]
                self._droppable -= 1
                return True
        return False

    def stop(self) -> None:
        """Ends the thread after the job that is being worked on."""
        with self._wake:
            self._running = False
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)

    def _run(self) -> None:
        silent = False
        while True:
            with self._wake:
                if not self._jobs and self._running:
                    self._wake.wait(None if silent else self._idle_s)
                if not self._running:
                    return
                job, droppable = self._jobs.popleft() if self._jobs else (None, False)
                self._droppable -= droppable
            begun = time.monotonic()
            if job is not None:
                silent = False
                job()
            elif not silent:
                silent = True
                self._on_idle()
            self.busy_s += time.monotonic() - begun
