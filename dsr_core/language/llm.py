"""Questions that the grammar does not understand, read by a language model behind an OpenAI-compatible endpoint.

The model turns words into a typed `Query`, which is checked like any other; names are then looked for in the scene as
always. It never answers itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsr_core.endpoint import Endpoint, EndpointError, object_in, shown
from dsr_core.errors import DeclineError, QueryError
from dsr_core.language.config import LanguageModelConfig
from dsr_core.language.parse import ParsedQuestion
from dsr_core.language.prompt import reply_schema, system_prompt, user_prompt
from dsr_core.reasoning.query import Query, Viewpoint
from dsr_core.reasoning.vocabulary import VOCABULARY

MAX_NAMES = 60
#: A reply holds one query: its tokens are few.
_MAX_TOKENS = 2000


@dataclass(frozen=True)
class ModelReading(ParsedQuestion):
    """A question as a language model read it.

    Attributes:
        model: Name of the model.
    """

    model: str = ""

    def told(self) -> dict:
        """What an answer's details say about it."""
        return {"parsed_by": "language_model", "language_model": self.model, "query": self.query.to_dict()}

    def given(
        self, window: tuple[float, float] | None = None, viewpoint: str | dict | Viewpoint | None = None
    ) -> ModelReading:
        """The reading with the window (start, end) in seconds and the viewpoint that a request gives beside the text.

        Raises:
            DeclineError: BAD_REQUEST for a window or viewpoint that is none.
        """
        changes = {"viewpoint": viewpoint, "window": None if window is None else tuple(window)}
        try:
            query = replace(self.query, **{name: value for name, value in changes.items() if value is not None})
        except QueryError as error:
            raise DeclineError("BAD_REQUEST", str(error)) from None
        if window is None:
            return replace(self, query=query)
        return replace(self, query=query, recent=False, last_s=None)


def read_question(
    text: str,
    names: Sequence[str],
    config: LanguageModelConfig,
    candidates: Sequence[str] = (),
    window: tuple[float, float] | None = None,
    viewpoint: str | dict | Viewpoint | None = None,
) -> ModelReading:
    """Asks the language model what a question asks; blocks for at most `config.timeout_s`.

    Args:
        text: The question.
        names: What has been seen ("car 12", "person"); the first `MAX_NAMES` are told.
        config: The endpoint.
        candidates: What a decline offers: sentences that the grammar understands.
        window: (start, end) in seconds that counts in place of what the text says.
        viewpoint: Whose eyes count in place of what the text says.

    Raises:
        DeclineError: NOT_UNDERSTOOD where the reply is no query (the model says so, or it is not one),
            BACKEND_UNAVAILABLE where the endpoint cannot be used, TIMEOUT.
    """
    try:
        content = _complete(text, list(names)[:MAX_NAMES], config)
        reading = reading_of(_reply_object(content), config.model)
    except DeclineError as error:
        raise DeclineError(error.code, str(error), tuple(candidates)) from None
    return reading.given(window, viewpoint)


# --- the reply -------------------------------------------------------------------------------------------------------


def _not_understood(why: str) -> DeclineError:
    return DeclineError(
        "NOT_UNDERSTOOD", f"neither the grammar nor the language model understands the question ({why})"
    )


def _reply_object(content: str) -> dict:
    """The JSON object in a reply, with or without code fences and text round it."""
    found = object_in(content, lambda found: "query" in found or "kind" in found)
    if found is None:
        raise _not_understood(f"its reply {shown(content)} holds no query")
    return found


def reading_of(reply: dict, model: str) -> ModelReading:
    """The question that a model's reply reads it as.

    Raises:
        DeclineError: NOT_UNDERSTOOD.
    """
    if "query" not in reply:  # a bare query
        reply = {"query": reply}
    data = reply["query"]
    if data is None:
        why = reply.get("why")
        raise _not_understood(f"it says: {shown(why)}" if isinstance(why, str) and why else "it says so")
    try:
        query = Query.from_dict(_without_nulls(data))
    except (QueryError, TypeError, ValueError) as error:
        raise _not_understood(f"it replied with {shown(json.dumps(data))}: {error}") from None
    last_s = reply.get("last_s")
    if last_s is not None:
        number = isinstance(last_s, (int, float)) and not isinstance(last_s, bool)
        if not number or not math.isfinite(last_s) or last_s <= 0:
            raise _not_understood(f"it replied with last_s = {shown(repr(last_s))}, which is no length of time")
    asked = None if VOCABULARY[query.kind].many else query.asked
    timeless = query.window is None
    return ModelReading(
        query=query,
        form="yes_no" if asked else "open",
        asked=asked,
        recent=timeless and last_s is None and reply.get("now") is True,
        last_s=float(last_s) if timeless and last_s is not None else None,
        model=model,
    )


def _without_nulls(data):
    return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


# --- the endpoint ----------------------------------------------------------------------------------------------------


def _complete(text: str, names: list[str], config: LanguageModelConfig) -> str:
    """The model's reply as text."""
    messages = [
        {"role": "system", "content": system_prompt()},
        {"role": "user", "content": user_prompt(text, names)},
    ]
    try:
        return Endpoint(config).complete(messages, reply_schema(), "reading", _MAX_TOKENS).content
    except EndpointError as error:
        if error.code == "reply":
            raise _not_understood(error.what) from None
        code = "TIMEOUT" if error.code == "timeout" else "BACKEND_UNAVAILABLE"
        raise DeclineError(code, f"the grammar does not understand the question, and {error}") from None
