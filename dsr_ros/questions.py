"""What the memory node does with a question: read it, let the geometry answer, put it to a model where that is wanted.

Nothing here blocks: a language model that reads and a vision-language model that answers are waited for by looking
again whenever the executor wakes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import dsr_core
from dsr_core.errors import DeclineError, QueryError
from dsr_core.language.config import LanguageConfig
from dsr_core.language.resolve import names_there
from dsr_core.reasoning.answer import Answer, Declined
from dsr_ros import convert
from dsr_ros.readings import Reading, Readings
from dsr_ros.vlm import Vlm
from dsr_ros.vlm_worker import Pending

#: A reading ends by itself when its time is over; this is for what no timeout reaches (a name server).
_READING_SLACK_S = 1.0


@dataclass(frozen=True)
class Begun:
    """A request that is being answered.

    Attributes:
        pending: Its answer, or what it waits for.
        origin_ns, newest_ns, world_frame: What the memory was when it was asked.
    """

    pending: Pending
    origin_ns: int
    newest_ns: int
    world_frame: str

    @property
    def stage(self) -> str:
        """What the model does, "" where none is asked."""
        return self.pending.stage

    def answer(self) -> Answer | None:
        """The answer, None as long as the model works on it."""
        return self.pending.answer()

    def withdraw(self) -> None:
        """Nobody wants the answer any more."""
        self.pending.withdraw()

    def message(self, answer: Answer):
        """The answer's message."""
        return convert.answer_to_message(answer, self.origin_ns, self.newest_ns, self.world_frame)


class Questions:
    """Answers requests of Ask and AskLong.

    Args:
        node: The memory node.
        readings: Reads what the grammar does not.
        vlm: The node's vision-language model.

    Attributes:
        asked, declined: Questions so far.
    """

    def __init__(self, node, readings: Readings, vlm: Vlm):
        self._node, self._readings, self._vlm = node, readings, vlm
        self._language = LanguageConfig(name_embedding=node.settings.name_embedding)
        self.asked = self.declined = 0

    async def serve(self, request, response):
        """The callback of the service `ask`."""
        begun_s = time.monotonic()
        reading = self.reading(request)
        if reading is not None:
            asked_s = convert.from_time(request.timeout) * 1e-9
            most_s = asked_s if asked_s > 0 else self._node.settings.language_model_timeout_s + _READING_SLACK_S
            while not reading.done and time.monotonic() - begun_s < most_s:
                await _NextTurn()
        begun = self.begin(request, reading, begun_s)
        while (answer := begun.answer()) is None:
            await _NextTurn()
        self.tally(answer)
        response.success = answer.declined is None
        response.answer = begun.message(answer)
        return response

    def reading(self, request) -> Reading | None:
        """The language model's reading of a request, begun by this call; None where none is needed."""
        text, model = request.question, self._node.model
        if not self._readings.enabled or request.query_json.strip() or model.origin_ns is None:
            return None
        if len(text) > self._node.settings.max_question_chars or request.backend.strip() == "vlm":
            return None
        try:
            return self._readings.of(text, names_there(model.scene()))
        except Exception:  # `begin` meets it too, and declines
            return None

    def begin(self, request, reading: Reading | None = None, begun_s: float | None = None, long: bool = False) -> Begun:
        """Answers a request of Ask or AskLong, or puts it to the model; whatever is wrong with it becomes a coded
        decline.

        Args:
            request: What is asked.
            reading: How the language model reads it, where the grammar does not.
            begun_s: Monotonic second from which the request's timeout counts; default: now.
            long: It is of AskLong, which has other bounds of time.
        """
        begun_s = time.monotonic() if begun_s is None else begun_s
        try:
            pending = self._pending(request, reading, begun_s, long)
        except DeclineError as error:
            pending = Pending(declined(error.code, str(error), error.candidates))
        except QueryError as error:
            pending = Pending(declined("BAD_REQUEST", str(error)))
        except Exception as error:  # the service keeps answering
            self._node.count(f"ask: unexpected {type(error).__name__}: {error}", log="error")
            what = f"this question could not be worked on ({type(error).__name__}: {error})"
            pending = Pending(declined("BAD_REQUEST", what))
        return self.now(pending)

    def now(self, pending: Pending) -> Begun:
        """An answer about the memory as it is now."""
        model = self._node.model
        return Begun(pending, model.origin_ns or 0, model.newest_ns or 0, model.world_frame)

    def tally(self, answer: Answer) -> None:
        """Counts an answer that goes out."""
        self.asked += 1
        self.declined += answer.declined is not None

    def _pending(self, request, reading: Reading | None, begun_s: float, long: bool) -> Pending:
        asked_s = convert.from_time(request.timeout) * 1e-9
        given = self._given(request, reading)
        geometry = self._of_geometry(given)
        took_s = time.monotonic() - begun_s
        if 0 < asked_s < took_s:
            return Pending(declined("TIMEOUT", f"the answer took {took_s:.3f} s, {asked_s:.3f} s were allowed"))
        origin_ns, typed = self._node.model.origin_ns, bool(request.query_json.strip())
        if origin_ns is None or given["backend"] == "geometry" or (typed and geometry is not None):
            return Pending(geometry)
        if not typed:  # what a language model has read of it is for the geometry alone
            given = given | {"question": request.question}
        most_s = asked_s or (self._node.settings.ask_long_timeout_s if long else self._vlm.settings.timeout_s)
        return self._vlm.pending(geometry, given, origin_ns, most_s - took_s, None if long else _key(request))

    def _given(self, request, reading: Reading | None) -> dict:
        """Arguments of `dsr_core.ask` for a request.

        Raises:
            DeclineError: the language model has not read it.
            QueryError: it is malformed.
        """
        node = self._node
        for name in ("question", "query_json"):
            if len(getattr(request, name)) > node.settings.max_question_chars:
                most = node.settings.max_question_chars
                raise QueryError(f"{name} has {len(getattr(request, name))} characters, at most {most} are read")
        origin_ns, newest_s = node.model.origin_ns, node.model.newest_s
        given = convert.question_from_request(request, origin_ns or 0, newest_s)
        if reading is not None:
            if not reading.done:
                raise DeclineError("TIMEOUT", "the language model has not read the question in time; allow more time")
            given["question"] = reading.result().given(given["window"], given["viewpoint"])
        question = given["question"]
        if isinstance(question, str) and not question.strip():
            raise QueryError("the question is empty; send a question or a query_json")
        given["scene"] = node.model.scene()
        if origin_ns is None:
            return given
        now_s, stale_s = (node.now_ns() - origin_ns) / 1e9, node.settings.stale_s or None
        return given | {"now_s": now_s, "stale_s": stale_s, "config": node.rules, "language": self._language}

    def _of_geometry(self, given: dict) -> Answer | None:
        """What the geometry says; None where only the model is asked.

        Raises:
            DeclineError: nothing is remembered.
        """
        if self._node.model.origin_ns is None:
            of_model = given["backend"] == "vlm" and self._vlm.enabled
            answer = dsr_core.ask(**given | ({"backend": "geometry"} if of_model else {}))
            wrong = ("BAD_REQUEST",) if of_model else ("NOT_UNDERSTOOD", "BAD_REQUEST", "BACKEND_UNAVAILABLE")
            if answer.declined is not None and answer.declined.code in wrong:
                return answer
            raise DeclineError("NOT_OBSERVED", f"the memory is empty: {self._node.why_nothing()}")
        return None if given["backend"] == "vlm" else dsr_core.ask(**given)


class _NextTurn:
    """Awaited in a callback: the executor goes on with other work and comes back when it next wakes."""

    def __await__(self):
        yield


def _key(request) -> tuple:
    """What makes two requests of Ask the same question."""
    times = (convert.from_time(request.start), convert.from_time(request.end), convert.from_time(request.timeout))
    return (*times, request.question, request.viewpoint, request.backend, request.rules, *request.choices)


def declined(code: str, message: str, candidates: tuple[str, ...] = ()) -> Answer:
    """A declined answer, worded as the library words it."""
    return replace(Answer(answer=f"No answer: {message}."), declined=Declined(code, message, tuple(candidates)))
