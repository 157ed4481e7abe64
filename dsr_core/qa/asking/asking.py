"""Asking a language model until a reply can be used: the error is told to it, and broken servers are waited for."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from dsr_core.endpoint import Endpoint, EndpointError, Reply, Usage, object_in, shown
from dsr_core.errors import DependencyError, DsrError
from dsr_core.qa.asking.ledger import AskingConfig, Ledger, Stopped
from dsr_core.qa.item import QaError

#: Where a server does not count tokens they are guessed from the characters, and so many for a picture.
_CHARACTERS_PER_TOKEN, _TOKENS_PER_IMAGE = 3.5, 1000
#: Refusals that concern every request.
_HOPELESS = (301, 302, 307, 308, 401, 403, 404)

T = TypeVar("T")


class BadReply(QaError):
    """A reply that cannot be used; the message is told to the model.

    Attributes:
        reason: The same in a few words, for counts.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


class Unfinished(QaError):
    """There is no result for one entry in this run; another run may have more luck."""


class NoReply(Unfinished):
    """The endpoint gave no reply to one entry."""


class Asker:
    """Asks one endpoint until a reply can be used, or it is certain that none comes.

    Args:
        endpoint: Whom. config: How often.

    Attributes:
        ledger: Tokens and cost. stop: Set it to end all waiting.
    """

    def __init__(self, endpoint: Endpoint, config: AskingConfig):
        self.endpoint, self.config, self.ledger = endpoint, config, Ledger(config)
        self.stop = threading.Event()
        self._chance = random.Random()

    def ask(self, messages: Sequence[Mapping], schema: Mapping, read: Callable[[dict], T]) -> T:
        """What `read` makes of the reply's JSON object.

        A reply that is no such object, or that `read` refuses, goes back to the model with what is wrong with it.

        Args:
            messages: As `Endpoint.complete` takes them.
            schema: JSON Schema of the reply; `read` gets only what fulfils it. Nulls inside its fields count
                as left out.
            read: Raises `BadReply` for what cannot be used.

        Raises:
            BadReply: the model's last reply cannot be used either.
            NoReply: there is none.
            Stopped: nothing more is to be asked.
        """
        asked = list(messages)
        for left in range(self.config.corrections, -1, -1):
            reply = None
            try:
                reply = self._reply(asked, schema)
                found = object_in(reply.content, lambda found: bool(_named(schema) & found.keys()))
                if found is None:
                    cut = ", because it was cut off: be brief" if reply.cut else ""
                    raise BadReply("no JSON object", f"the reply {shown(reply.content)} holds no such JSON object{cut}")
                found = {name: _without_nulls(value) for name, value in found.items()}
                check(found, schema)
                return read(found)
            except BadReply as error:
                if not left:
                    raise
                if reply is not None:
                    wrong = f"This cannot be used: {error}. Reply with the corrected JSON object alone."
                    asked = [
                        *messages,
                        {"role": "assistant", "content": reply.content},
                        {"role": "user", "content": wrong},
                    ]
        raise AssertionError("unreachable")

    def _reply(self, messages: list, schema: Mapping) -> Reply:
        guess = _guessed(messages)
        wait_s = self.config.backoff_s
        for left in range(self.config.tries - 1, -1, -1):
            if self.stop.is_set():
                raise Stopped("stopped", "stopped before all was asked; run again to go on")
            self.ledger.begin(guess)
            usage, answer = None, ""
            try:
                reply = self.endpoint.complete(messages, schema, max_tokens=self.config.max_reply_tokens)
                usage, answer = reply.usage, reply.content
                return reply
            except EndpointError as error:
                if error.code == "reply":
                    usage = error.usage
                    raise BadReply("empty or endless reply", error.what) from None
                if error.code == "config" or error.status in _HOPELESS:
                    raise Stopped("endpoint refuses", str(error)) from None
                if not error.passing or not left:
                    tried = self.config.tries - left
                    raise NoReply(f"{error} (tried {tried} time{'s' if tried > 1 else ''})") from None
                pause_s = max(wait_s * (0.5 + self._chance.random()), error.retry_after_s or 0.0)
            finally:
                self.ledger.end(Usage(guess, round(len(answer) / _CHARACTERS_PER_TOKEN)), usage)
            self.stop.wait(min(pause_s, self.config.max_backoff_s))
            wait_s *= 2.0
        raise AssertionError("unreachable")


def _guessed(messages: Sequence[Mapping]) -> int:
    """Tokens of a prompt, roughly."""
    parts = [part for m in messages for part in (m["content"] if isinstance(m["content"], list) else [m["content"]])]
    texts = [part if isinstance(part, str) else part.get("text") for part in parts]
    images = sum(text is None for text in texts)
    return round(sum(len(text) for text in texts if text) / _CHARACTERS_PER_TOKEN) + images * _TOKENS_PER_IMAGE


def _named(schema: Mapping) -> set[str]:
    return set(schema["properties"])


def _without_nulls(value):
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def check(found: dict, schema: Mapping) -> None:
    """Checks a reply.

    Raises:
        BadReply: it does not fulfil the schema; the message says where.
        DependencyError: jsonschema is missing.
    """
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        raise DependencyError(
            "replies of a model are checked by jsonschema; install it: pip install jsonschema"
        ) from None
    errors = sorted(
        Draft202012Validator(schema).iter_errors(found), key=lambda e: (list(map(str, e.absolute_path)), e.message)
    )
    if errors:
        where = ".".join(map(str, errors[0].absolute_path))
        told = errors[0].message if len(errors[0].message) <= 300 else errors[0].message[:297] + "..."
        raise BadReply("not as the schema says", f"{where + ': ' if where else ''}{told}")


def as_text(value) -> str:
    """JSON as a prompt holds it: short, the same for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def told_error(error: Exception) -> str:
    """An error in words; what is none of ours with its type."""
    return str(error) if isinstance(error, DsrError) else f"{type(error).__name__}: {error}"
