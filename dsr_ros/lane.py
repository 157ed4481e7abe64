"""A lane: one worker thread around a perception. The newest frame comes first, or, in replays, every frame in turn."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from dsr_core.errors import DsrError
from dsr_core.values import Frame

#: Frames that wait where none may be lost; more, and who hands them over waits, too.
_ROOM = 8
#: Rates and shares are averaged over so many seconds, ages over so many frames.
_OVER_S = 10.0
_AGES = 100


class FramePerception(Protocol):
    """What a lane runs: `dsr_core.perception.backends.Perception`."""

    counts: Counter[str]

    def step(self, frame: Frame) -> Frame: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one frame.

    Attributes:
        given: The frame that was handed over.
        frame: What the perception made of it, or None where it failed.
        error: Why it failed, "" where it did not.
        counts: Reason -> number of things that the perception could not say for this frame.
        generation: `Lane.generation` when the frame was begun.
    """

    given: Frame
    frame: Frame | None
    error: str
    counts: Counter[str]
    generation: int


class Lane:
    """Runs a perception in a thread of its own. Everything but the perception may be called from any thread.

    Args:
        name: For messages.
        perception: Only ever called in the lane's thread.
        finished: Takes each outcome, in the lane's thread and in the order of the frames; must return soon.
        reliable: No frame is shed: `put` waits while `_ROOM` frames wait.
        period_s: Least time between the stamps of two frames that are worked on.
        now_ns: The clock that stamps are compared with, for the age of results.

    Attributes:
        generation: Goes up by one with each reset; outcomes of an earlier one are stale.
        processed: Frames that came out.
        shed: Frames that gave way to newer ones.
        failed: Frames that the perception raised for.
        last_error: What it raised last, "" for nothing yet.
    """

    def __init__(
        self,
        name: str,
        perception: FramePerception,
        finished: Callable[[Outcome], None],
        reliable: bool = False,
        period_s: float = 0.0,
        now_ns: Callable[[], int] = time.time_ns,
    ):
        self.name, self._perception, self._finished = name, perception, finished
        self._room, self._period_ns, self._now_ns = _ROOM if reliable else 0, round(period_s * 1e9), now_ns
        self._wake = threading.Condition()
        self._waiting: deque[Frame] = deque()
        self._thread: threading.Thread | None = None
        # Which start the running thread belongs to; a thread whose number has passed ends.
        self._run_number, self._running = 0, False
        self._must_reset = False
        self._newest_ns: int | None = None
        self._period_from_ns: int | None = None
        self._begun_s: float | None = None
        self._busy: deque[tuple[float, float]] = deque(maxlen=1000)
        self._ages_s: deque[float] = deque(maxlen=_AGES)
        self._finishes: deque[float] = deque(maxlen=1000)
        self._failing = False
        self._started_s = time.monotonic()
        self.generation = self.processed = self.shed = self.failed = 0
        self.last_error = ""

    # --- life

    def start(self) -> None:
        """Begins to work; what the perception knew of earlier frames is forgotten."""
        with self._wake:
            self._run_number += 1
            self._running = self._must_reset = True
            self._newest_ns = self._period_from_ns = None
            self._started_s = time.monotonic()
            name, arguments = f"lane {self.name}", (self._run_number, self._thread)
            self._thread = threading.Thread(target=self._run, args=arguments, name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the frame that is being worked on, whose outcome is dropped; does not wait."""
        with self._wake:
            self._run_number += 1
            self._running = False
            self._drop_all()

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread to end; False where it is still at its last frame."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(timeout_s, 0.0))
            return not self._thread.is_alive()
        return True

    def reset(self) -> None:
        """Drops what waits and what is being worked on, and makes the perception forget: the clock jumped."""
        with self._wake:
            self._must_reset = True
            self._newest_ns = self._period_from_ns = None
            self._drop_all()

    def _drop_all(self) -> None:
        self.generation += 1
        self._waiting.clear()
        self._wake.notify_all()

    # --- frames

    def put(self, frame: Frame) -> Frame | None:
        """Hands over a frame.

        Returns:
            The frame that will not be worked on for it: an older one that had waited, or this one where it is too
            early after the one before, not newer than it, or the lane does not run. None where there is none.
        """
        with self._wake:
            self._wake.wait_for(lambda: not self._room or len(self._waiting) < self._room or not self._running)
            if not self._may_come(frame.stamp_ns):
                return frame
            gives_way = self._waiting.popleft() if self._waiting and not self._room else None
            self.shed += gives_way is not None
            self._waiting.append(frame)
            self._newest_ns = frame.stamp_ns
            if self._room:
                self._period_from_ns = frame.stamp_ns
            self._wake.notify_all()
            return gives_way

    def wants(self, stamp_ns: int) -> bool:
        """Whether `put` would take a frame of that stamp now."""
        with self._wake:
            return self._may_come(stamp_ns)

    def _may_come(self, stamp_ns: int) -> bool:
        if not self._running or (self._newest_ns is not None and stamp_ns <= self._newest_ns):
            return False
        return self._period_from_ns is None or stamp_ns - self._period_from_ns >= self._period_ns

    def is_current(self, outcome: Outcome) -> bool:
        """Whether an outcome is of the time after the last reset."""
        return outcome.generation == self.generation

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._running

    @property
    def occupied(self) -> bool:
        """Whether a frame waits or is being worked on."""
        with self._wake:
            return bool(self._waiting) or self._begun_s is not None

    # --- the lane's thread

    def _run(self, number: int, before: threading.Thread | None) -> None:
        if before is not None:
            # Stopped while a frame was worked on, and started again: a perception serves one thread at a time.
            before.join()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._run_number != number)
                if self._run_number != number:
                    return
                frame, generation = self._waiting.popleft(), self.generation
                must_reset, self._must_reset = self._must_reset, False
                self._period_from_ns = frame.stamp_ns if not self._room else self._period_from_ns
                self._begun_s = time.monotonic()
                self._wake.notify_all()
            outcome = self._work(frame, must_reset, generation)
            with self._wake:
                current = generation == self.generation and number == self._run_number
                self._note(outcome, current)
                # An error while it was made to forget: it is made to once more.
                self._must_reset |= must_reset and bool(outcome.error)
            if current:
                self._finished(outcome)
            # The last frame and its picture need not stay in memory until the next one comes.
            del frame, outcome

    def _work(self, frame: Frame, must_reset: bool, generation: int) -> Outcome:
        before = Counter(self._perception.counts)
        made, error = None, ""
        try:
            if must_reset:
                self._perception.reset()
            made = self._perception.step(frame)
        except Exception as raised:  # a network may raise anything; it costs this one frame
            error = str(raised) if isinstance(raised, DsrError) else f"{type(raised).__name__}: {raised}"
        return Outcome(frame, made, error, Counter(self._perception.counts) - before, generation)

    def _note(self, outcome: Outcome, current: bool) -> None:
        now = time.monotonic()
        self._busy.append((self._begun_s, now))
        self._begun_s = None
        if outcome.error:
            self.failed += 1
            self.last_error = outcome.error
        if not current:
            return
        self._failing = bool(outcome.error)
        if not outcome.error:
            self.processed += 1
            self._finishes.append(now)
            self._ages_s.append((self._now_ns() - outcome.given.stamp_ns) * 1e-9)

    # --- state

    def why_nothing(self) -> str:
        """One line: why nothing comes out although frames go in, or "" where something does."""
        with self._wake:
            if self._failing:
                return f"{self.name}: frames fail: {self.last_error}"
            working_s = 0.0 if self._begun_s is None else time.monotonic() - self._begun_s
        slow = working_s > max(2.0, 5 * self.last_duration_s)
        return f"{self.name}: at work on one frame for {working_s:.1f} s" if slow else ""

    @property
    def last_duration_s(self) -> float:
        """How long the newest frame took, 0 before the first."""
        begun, ended = self._busy[-1] if self._busy else (0.0, 0.0)
        return ended - begun

    def status(self) -> dict[str, object]:
        """What /diagnostics shows of the lane."""
        now = time.monotonic()
        with self._wake:
            since = max(now - _OVER_S, self._started_s)
            intervals = [*self._busy, *([] if self._begun_s is None else [(self._begun_s, now)])]
            busy_s = sum(max(ended - max(begun, since), 0.0) for begun, ended in intervals)
            finishes = sum(at >= since for at in self._finishes)
            values: dict[str, object] = {
                "processed": self.processed,
                "shed": self.shed,
                "failed": self.failed,
                "rate (Hz)": finishes / max(now - since, 1e-3),
                "busy share": min(busy_s / max(now - since, 1e-3), 1.0),
                "last duration (s)": self.last_duration_s,
                "result age p50 (s)": median(self._ages_s) if self._ages_s else None,
                "last error": self.last_error or "-",
            }
        return {f"{self.name} {key}": value for key, value in values.items()}
