"""How often a model is asked and what that may cost; tokens, cost and time so far."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import asdict, dataclass, field

from dsr_core.endpoint import Usage
from dsr_core.qa.item import QaError


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
        requests = f"{self.requests} request{'' if self.requests == 1 else 's'}{failures}"
        tokens = f"{self.prompt_tokens} + {self.completion_tokens} tokens{guessed}{cost}"
        return f"{requests}, {tokens}, {self.took_s:.0f} s"


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
