"""Questions that a language model reads, in threads of their own: the node goes on taking frames meanwhile."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from dsr_core.errors import DeclineError
from dsr_core.language.config import LanguageModelConfig
from dsr_core.language.llm import ModelReading, read_question
from dsr_core.language.parse import parse

_MOST_AT_ONCE = 4
_MOST_KEPT = 64


class Reading:
    """A question that is being read, or has been."""

    def __init__(self):
        self._result: ModelReading | DeclineError | None = None

    @property
    def done(self) -> bool:
        return self._result is not None

    @property
    def failed(self) -> bool:
        return isinstance(self._result, DeclineError)

    def finish(self, result: ModelReading | DeclineError) -> None:
        self._result = result

    def result(self) -> ModelReading:
        """What was read.

        Raises:
            DeclineError: why it could not be read.
        """
        if isinstance(self._result, DeclineError):
            raise self._result
        return self._result


class Readings:
    """Reads questions by a language model and remembers what it read.

    The same question asked again meanwhile (a client sends its request again when it has waited long) shares the
    reading, and what was read is kept for a while.

    Args:
        config: The endpoint; None: nothing is read.
        on_done: Called from a thread of this class when a reading is done.
    """

    def __init__(self, config: LanguageModelConfig | None, on_done: Callable[[], None]):
        self._config, self._on_done = config, on_done
        self._readings: OrderedDict[str, tuple[Reading, tuple[str, ...]]] = OrderedDict()
        self._running = 0
        self._lock = threading.Lock()

    @property
    def enabled(self) -> bool:
        return self._config is not None

    def of(self, text: str, names: Sequence[str]) -> Reading | None:
        """The reading of a question, begun where it is not yet; None where the grammar reads it, or refuses it.

        Args:
            text: The question.
            names: Names of what has been seen; where they have changed a question is read again.
        """
        if self._config is None:
            return None
        try:
            parse(text)
            return None
        except DeclineError as error:
            if error.code != "NOT_UNDERSTOOD":
                return None
            candidates = error.candidates
        with self._lock:
            reading, named = self._readings.get(text, (None, ()))
            if reading is not None and (not reading.done or (not reading.failed and named == tuple(names))):
                self._readings.move_to_end(text)
                return reading
            reading = Reading()
            if self._running >= _MOST_AT_ONCE:
                busy = f"the language model is reading {_MOST_AT_ONCE} other questions; ask again"
                reading.finish(DeclineError("BACKEND_UNAVAILABLE", busy, candidates))
                return reading
            self._readings[text] = (reading, tuple(names))
            while len(self._readings) > _MOST_KEPT:
                self._readings.popitem(last=False)
            self._running += 1
        threading.Thread(
            target=self._read, args=(reading, text, names, candidates), name="language-model", daemon=True
        ).start()
        return reading

    def _read(self, reading: Reading, text: str, names: Sequence[str], candidates: Sequence[str]) -> None:
        try:
            reading.finish(read_question(text, names, self._config, candidates))
        except DeclineError as error:
            reading.finish(error)
        except Exception as error:  # whatever an endpoint sends: the question is declined, and the node goes on
            what = f"the language model's reply could not be worked on ({type(error).__name__}: {error})"
            reading.finish(DeclineError("BACKEND_UNAVAILABLE", what, candidates))
        finally:
            with self._lock:
                self._running -= 1
            self._on_done()
