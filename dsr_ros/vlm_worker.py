"""A vision-language model in a thread of its own: it is loaded and asked there, and the node waits for nothing.

One question is worked on at a time and few wait. Every question has an end: what has taken too long, or is wanted no
more, stops inside the model at the next layer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

from dsr_core.answerers import Answerer, declined, joined
from dsr_core.errors import DeclineError, DsrError
from dsr_core.reasoning.answer import Answer

#: What a job is given: the model, `check` (raises when the time is over) and `report` (takes the stage).
Job = Callable[[Answerer, Callable[[], None], Callable[[str], None]], Answer]

#: A model that hangs inside one layer is waited for so much longer than a question may take.
_GRACE_S = 0.2


class Asking:
    """A question that waits for the model, is being answered, or has been.

    Args:
        job: What is to be done.
        deadline: Monotonic second at which it is too late.

    Attributes:
        stage: "waiting", then what the model does.
    """

    def __init__(self, job: Job, deadline: float):
        self.job, self.deadline, self.stage = job, deadline, "waiting"
        self._begun = time.monotonic()
        self._withdrawn = False
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer | None:
        """The answer, None as long as there is none."""
        return self._answer

    def withdraw(self) -> None:
        """Nobody wants the answer any more."""
        self._withdrawn = True

    @property
    def over(self) -> bool:
        """Whether it is out of time or wanted no more."""
        return self._withdrawn or time.monotonic() >= self.deadline

    def check(self) -> None:
        """Raises DeclineError where it is over."""
        if self._withdrawn:
            raise DeclineError("TIMEOUT", "the question was withdrawn")
        if time.monotonic() >= self.deadline:
            most_s, doing = self.deadline - self._begun, self.stage
            raise DeclineError(
                "TIMEOUT", f"the model has not answered within {most_s:.3g} s (it was {doing}); allow more time"
            )

    def report(self, stage: str) -> None:
        self.stage = stage

    def finish(self, answer: Answer) -> None:
        self._answer = answer


class Pending:
    """An answer that is there, or waits for the model.

    Args:
        geometry: What the geometry says; None where only the model is asked.
        asking: The question at the model; None where it is not asked.
    """

    def __init__(self, geometry: Answer | None, asking: Asking | None = None):
        self._geometry, self._asking = geometry, asking

    @property
    def stage(self) -> str:
        """What the model is doing; "" where it is not asked."""
        return "" if self._asking is None else self._asking.stage

    def answer(self) -> Answer | None:
        """The answer, None as long as the model works on it."""
        if self._asking is None:
            return self._geometry
        said = self._asking.answer
        if said is None:
            if time.monotonic() < self._asking.deadline + _GRACE_S:
                return None
            self._asking.withdraw()
            said = declined("TIMEOUT", "the model has not answered in time; allow more time")
        return said if self._geometry is None else joined(self._geometry, said)

    def withdraw(self) -> None:
        """Nobody wants the answer any more: the model stops at it."""
        if self._asking is not None:
            self._asking.withdraw()


class VlmWorker:
    """Loads a model and puts questions to it.

    Args:
        name: The model, for messages.
        load: Makes the model; called in the thread.
        most_waiting: Questions that may wait while one is being answered.
        on_change: Called from the thread when a question is done, and when the model is loaded or cannot be.

    Attributes:
        failed: Why the model cannot be used, or "".
        answered, declined: Questions so far.
        last_s: How long the last one took.
    """

    def __init__(
        self, name: str, load: Callable[[], Answerer], most_waiting: int, on_change: Callable[[], None] = lambda: None
    ):
        self.name, self.failed = name, ""
        self.answered = self.declined = 0
        self.last_s: float | None = None
        self._load, self._most_waiting, self._on_change = load, most_waiting, on_change
        self._wake = threading.Condition()
        self._waiting: deque[tuple[Hashable, Asking]] = deque()
        self._current: tuple[Hashable, Asking] | None = None
        self._ready, self._running, self._begun = False, True, time.monotonic()
        self._thread = threading.Thread(target=self._run, name="vlm", daemon=True)
        self._thread.start()

    # --- any thread

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._ready

    def unavailable(self) -> str:
        """Why no question can be put to it now, or ""."""
        if self.failed:
            return f"the model {self.name} cannot be used: {self.failed}"
        if not self._running:
            return f"the model {self.name} is being dropped"
        if not self._ready:
            return f"the model {self.name} is still being loaded ({time.monotonic() - self._begun:.0f} s so far)"
        return ""

    def ask(self, job: Job, deadline: float, key: Hashable = None) -> Asking:
        """Puts a question in the queue; where it cannot be, it is done at once, and declined.

        Args:
            job: Called in the worker's thread.
            deadline: Monotonic second at which it is too late.
            key: A question of the same key that is not done yet is shared (a client sends its request again when it
                has waited long); None is never shared.
        """
        asking = Asking(job, deadline)
        why = self.unavailable()
        if why:
            asking.finish(declined("BACKEND_UNAVAILABLE", why, ("geometry", "auto")))
            return asking
        with self._wake:
            self._drop_over()
            there = [*self._waiting, *([self._current] if self._current else [])]
            same = (other for its, other in there if key is not None and its == key and not other.over)
            if (shared := next(same, None)) is not None:
                return shared
            busy = self._current is not None or bool(self._waiting)
            if busy and len(self._waiting) >= self._most_waiting:
                why = f"{len(self._waiting)} questions wait for the model {self.name} already; ask again"
                asking.finish(declined("BACKEND_UNAVAILABLE", why, ("geometry",)))
            else:
                self._waiting.append((key, asking))
                self._wake.notify()
        return asking

    def _drop_over(self) -> None:
        """Makes room of what waits although nobody waits for it any more."""
        for entry in [entry for entry in self._waiting if entry[1].over]:
            self._waiting.remove(entry)
            try:
                entry[1].check()
            except DeclineError as error:
                entry[1].finish(declined(error.code, str(error)))

    def withdraw_all(self) -> None:
        """Ends everything that waits or is being worked on."""
        with self._wake:
            for _, asking in [*self._waiting, *([self._current] if self._current else [])]:
                asking.withdraw()

    def stop(self, patience_s: float = 2.0) -> bool:
        """Ends the thread and drops the model; False where it is still at its last layer (it ends after that)."""
        with self._wake:
            self._running = False
            self._wake.notify()
        self.withdraw_all()
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def status(self) -> dict[str, object]:
        """What /diagnostics shows."""
        return {
            "vlm": self.unavailable() or self.name,
            "vlm questions": self.answered,
            "vlm declined": self.declined,
            "vlm waiting": len(self._waiting) + (self._current is not None),
            "vlm last duration (s)": self.last_s,
        }

    # --- the worker's thread

    def _run(self) -> None:
        try:
            answerer = self._load()
        except Exception as error:  # a model may fail in any way; the node says why
            self.failed = str(error) if isinstance(error, DsrError) else f"{type(error).__name__}: {error}"
            self._on_change()
            return
        self._ready = True
        self._on_change()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or not self._running)
                if not self._running:
                    break
                self._current = self._waiting.popleft()
            asking = self._current[1]
            begun = time.monotonic()
            answer = self._work(answerer, asking)
            self.last_s = time.monotonic() - begun
            self.answered += 1
            self.declined += answer.declined is not None
            asking.finish(answer)
            with self._wake:
                self._current = None
            # What the question held (a scene, pictures) need not stay until the next one comes.
            del asking, answer
            self._on_change()
        for _, asking in self._waiting:
            asking.finish(declined("TIMEOUT", "the node was stopped"))

    def _work(self, answerer: Answerer, asking: Asking) -> Answer:
        try:
            asking.check()
            return asking.job(answerer, asking.check, asking.report)
        except DeclineError as error:
            return declined(error.code, str(error), error.candidates)
        except Exception as error:  # whatever a model raises costs this one question
            what = f"the model {self.name} could not work on this question ({type(error).__name__}: {error})"
            return declined("BACKEND_UNAVAILABLE", what, ("geometry",))
