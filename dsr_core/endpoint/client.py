"""Asks an endpoint: one call, one reply."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsr_core.endpoint.config import EndpointConfig, EndpointError, Usage
from dsr_core.endpoint.messages import shown
from dsr_core.endpoint.wire import post, too_long

_HINTS = {
    **dict.fromkeys((301, 302, 307, 308), "give the URL that it points to"),
    **dict.fromkeys((401, 403), "set {config.api_key_env}"),
    404: "base_url ends before /chat/completions; is the model's name right?",
}
#: What is left out, one after the other, where a server refuses a request: not all know all of it.
_OPTIONAL = ((), ("response_format", "max_tokens"), ("response_format", "max_tokens", "temperature"))


@dataclass(frozen=True)
class Reply:
    """What a model said.

    Attributes:
        content: The text; never empty.
        usage: The tokens. took_s: Seconds until it was there.
        cut: The model was stopped by the bound on tokens.
    """

    content: str
    usage: Usage
    took_s: float
    cut: bool = False


class Endpoint:
    """Asks one endpoint; may be used from several threads.

    Args:
        config: Where it is.
    """

    def __init__(self, config: EndpointConfig):
        self.config = config
        self._left_out: tuple[str, ...] = ()

    def complete(
        self,
        messages: Sequence[Mapping],
        schema: Mapping | None = None,
        schema_name: str = "reply",
        max_tokens: int | None = None,
        temperature: float = 0.0,
    ) -> Reply:
        """The model's reply; blocks for at most `timeout_s`.

        A server that refuses the schema, the bound on tokens or the temperature is asked again without them, and not
        given them in later calls: a reply that must follow a schema has to be checked by the caller in any case.

        Args:
            messages: {"role", "content"} each; content is a text or a list of parts (`text_part`, `image_part`).
            schema: JSON Schema that the reply should follow.
            schema_name: Its name.
            max_tokens: Most tokens of the reply.
            temperature: 0 for the likeliest reply.

        Raises:
            EndpointError: there is none.
        """
        body = {"model": self.config.model, "messages": list(messages), "temperature": temperature}
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        if schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": schema_name, "schema": schema}}
        begun = time.monotonic()
        end = begun + self.config.timeout_s
        status, answer, sent = 0, None, None
        for left_out in _OPTIONAL:
            left_out = tuple(dict.fromkeys((*self._left_out, *left_out)))
            trimmed = {name: value for name, value in body.items() if name not in left_out}
            if trimmed.keys() == sent:
                continue
            sent = trimmed.keys()
            status, answer = post(trimmed, self.config, end)
            if status not in (400, 422):
                break
        if status == 200:
            self._left_out = left_out
            return _reply(answer[1], self.config, time.monotonic() - begun)
        reason, data, retry_after = answer
        hint = _HINTS.get(status, "see its log").format(config=self.config)
        what = f"answered {status} {shown(reason)[1:-1]}{_told(status, data, self.config)}; {hint}"
        raise EndpointError("unavailable", what, self.config.base_url, status, _seconds(retry_after))


def _reply(data: bytes, config: EndpointConfig, took_s: float) -> Reply:
    try:
        completion = json.loads(data)
        choice = completion["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, RecursionError, LookupError, TypeError):
        what = f"replied {shown(data.decode(errors='replace'))}, which is no chat completion; is base_url right?"
        raise EndpointError("unavailable", what, config.base_url, 200) from None
    usage = _usage(completion.get("usage"))
    wrong = ""
    if not isinstance(content, str) or not content.strip():
        wrong = "its reply is empty"
    elif len(content) > config.max_reply_characters:
        wrong = too_long(config)
    if wrong:
        error = EndpointError("reply", wrong, status=200)
        error.usage = usage
        raise error
    return Reply(content, usage, took_s, choice.get("finish_reason") == "length")


def _told(status: int, data: bytes, config: EndpointConfig) -> str:
    """What a refusal says of itself, where that cannot be the key."""
    try:
        error = json.loads(data)["error"]
        message = error["message"] if isinstance(error, dict) else error
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
    key = os.environ.get(config.api_key_env, "").strip()
    if not isinstance(message, str) or status in (401, 403) or (key and key in message):
        return ""
    return f" ({shown(message)[1:-1]})"


def _usage(data) -> Usage:
    def count(name: str) -> int | None:
        value = data.get(name) if isinstance(data, dict) else None
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    return Usage(count("prompt_tokens"), count("completion_tokens"))


def _seconds(text: str | None) -> float | None:
    """Seconds of a Retry-After header; dates are not read."""
    try:
        seconds = float(text)
    except (TypeError, ValueError):
        return None
    return seconds if 0.0 <= seconds < math.inf else None
