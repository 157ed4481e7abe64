"""Asking a language model many times: retries with the error told to it, waits, and what it costs."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from dsr_core.endpoint import Endpoint, EndpointError, Reply, Usage, object_in, shown
from dsr_core.errors import DependencyError, DsrError
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


class Stopped(QaError):
    """No more is asked in this run: the budget is spent, or the endpoint refuses everybody.

    Attributes:
        reason: The same in a few words.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class AskingConfig:
    """How often and how long a model is asked, and what it may cost.

    Attributes:
        tries: Requests for one reply, where the endpoint is busy, broken or silent.
        corrections: How often the model is told what is wrong with its reply.
        backoff_s: Wait before the second request; it doubles with each one (with chance of a half to one and a half).
        max_backoff_s: Longest wait, also where the server asks for more.
        concurrency: Entries that are asked about at a time.
        max_reply_tokens: Longest reply.
        price_prompt, price_completion: Price of a million tokens, in any currency; None: not known.
        max_cost: No request is begun that would probably cost more than this together with all before; needs prices.
        max_tokens: The same for tokens, prompts and replies together.
    """

    tries: int = 5
    corrections: int = 2
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    concurrency: int = 4
    max_reply_tokens: int = 4000
    price_prompt: float | None = None
    price_completion: float | None = None
    max_cost: float | None = None
    max_tokens: int | None = None

    def __post_init__(self):
        for name, least in (("tries", 1), ("corrections", 0), ("concurrency", 1), ("max_reply_tokens", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise QaError(f"{name} = {value!r} must be a whole number of at least {least}")
        for name in ("backoff_s", "max_backoff_s", "price_prompt", "price_completion", "max_cost", "max_tokens"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and (not number or value < 0):
                raise QaError(f"{name} = {value!r} must be a number of at least 0")
        if self.max_cost is not None and (self.price_prompt is None or self.price_completion is None):
            raise QaError("max_cost needs the prices of a million tokens: give price_prompt and price_completion")

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass
class Totals:
    """What has been asked so far.

    Attributes:
        requests, failures: Requests, and how many of them brought no reply.
        prompt_tokens, completion_tokens: As the server counts them, or guessed where it does not.
        guessed: Requests whose tokens are guessed.
        cost: In the currency of the prices, None without prices.
        took_s: Seconds since the first request.
    """

    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    guessed: int = 0
    cost: float | None = None
    took_s: float = 0.0

    def __str__(self) -> str:
        cost = "" if self.cost is None else f", cost {self.cost:.4g}"
        guessed = " (some guessed)" if self.guessed else ""
        failures = f" ({self.failures} failed)" if self.failures else ""
        return (
            f"{self.requests} requests{failures}, {self.prompt_tokens} + {self.completion_tokens} tokens{guessed}"
            f"{cost}, {self.took_s:.0f} s"
        )


@dataclass
class Ledger:
    """Counts tokens and cost, and says when the budget is spent; for several threads."""

    config: AskingConfig
    _totals: Totals = field(default_factory=Totals)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun_s: float | None = None
    _in_flight: int = 0
    _dearest: tuple[float, float] = (0.0, 0.0)  # of one request: cost, tokens

    def begin(self, prompt_tokens: int) -> None:
        """Takes one more request on.

        Raises:
            Stopped: the budget does not allow it.
        """
        with self._lock:
            self._begun_s = time.monotonic() if self._begun_s is None else self._begun_s
            cost, tokens = self._dearest
            if not tokens:
                tokens = prompt_tokens + self.config.max_reply_tokens
                cost = self._cost(prompt_tokens, self.config.max_reply_tokens) or 0.0
            spent = self._totals.prompt_tokens + self._totals.completion_tokens
            for what, limit, used, one in (
                ("max_cost", self.config.max_cost, self._totals.cost or 0.0, cost),
                ("max_tokens", self.config.max_tokens, spent, tokens),
            ):
                if limit is not None and used + (self._in_flight + 1) * one > limit:
                    raise Stopped(
                        "budget spent",
                        f"the budget is spent: {what} = {limit:g}, used {used:g}, one more request takes up to {one:g};"
                        " run again with a larger one to go on",
                    )
            self._in_flight += 1

    def end(self, guess: Usage, usage: Usage | None) -> None:
        """Counts a request that `begin` took on.

        Args:
            guess: Tokens where the server does not count. usage: None where there was no reply.
        """
        with self._lock:
            self._in_flight -= 1
            totals = self._totals
            totals.requests += 1
            totals.failures += usage is None
            if usage is None:
                return
            totals.guessed += usage.prompt_tokens is None or usage.completion_tokens is None
            prompt = guess.prompt_tokens if usage.prompt_tokens is None else usage.prompt_tokens
            completion = guess.completion_tokens if usage.completion_tokens is None else usage.completion_tokens
            totals.prompt_tokens += prompt
            totals.completion_tokens += completion
            cost = self._cost(prompt, completion)
            if cost is not None:
                totals.cost = (totals.cost or 0.0) + cost
            self._dearest = max(self._dearest[0], cost or 0.0), max(self._dearest[1], prompt + completion)

    def totals(self) -> Totals:
        """A copy of the totals so far."""
        with self._lock:
            took_s = 0.0 if self._begun_s is None else time.monotonic() - self._begun_s
            return Totals(**{**asdict(self._totals), "took_s": took_s})

    def _cost(self, prompt: int, completion: int) -> float | None:
        if self.config.price_prompt is None and self.config.price_completion is None:
            return None
        return (prompt * (self.config.price_prompt or 0.0) + completion * (self.config.price_completion or 0.0)) / 1e6


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
