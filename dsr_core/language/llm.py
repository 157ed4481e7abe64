"""Questions that the grammar does not understand, read by a language model behind an OpenAI-compatible endpoint.

The model turns words into a typed `Query`, which is checked like any other; names are then looked for in the scene as
always. It never answers itself.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsr_core.errors import DeclineError, QueryError
from dsr_core.language.config import LanguageModelConfig
from dsr_core.language.parse import ParsedQuestion
from dsr_core.language.prompt import reply_schema, system_prompt, user_prompt
from dsr_core.reasoning.query import Query, Viewpoint
from dsr_core.reasoning.vocabulary import VOCABULARY

MAX_NAMES = 60
#: A reply holds one query: its tokens are few.
_MAX_TOKENS = 2000
_MAX_JSON_STARTS = 100
_CHUNK_BYTES = 8192


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
        reading = _reading(_reply_object(content), config.model)
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
    decoder, start = json.JSONDecoder(), content.find("{")
    for _ in range(_MAX_JSON_STARTS):
        if start < 0:
            break
        try:
            found, end = decoder.raw_decode(content, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if "query" in found or "kind" in found:
                return found
        start = content.find("{", end)
    raise _not_understood(f"its reply {_shown(content)} holds no query")


def _reading(reply: dict, model: str) -> ModelReading:
    if "query" not in reply:  # a bare query
        reply = {"query": reply}
    data = reply["query"]
    if data is None:
        why = reply.get("why")
        raise _not_understood(f"it says: {_shown(why)}" if isinstance(why, str) and why else "it says so")
    try:
        query = Query.from_dict(_without_nulls(data))
    except (QueryError, TypeError, ValueError) as error:
        raise _not_understood(f"it replied with {_shown(json.dumps(data))}: {error}") from None
    last_s = reply.get("last_s")
    if last_s is not None:
        number = isinstance(last_s, (int, float)) and not isinstance(last_s, bool)
        if not number or not math.isfinite(last_s) or last_s <= 0:
            raise _not_understood(f"it replied with last_s = {_shown(repr(last_s))}, which is no length of time")
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


def _shown(text: str) -> str:
    """A short, printable piece of what came from outside."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return repr(text if len(text) <= 120 else text[:117] + "...")


# --- the endpoint ----------------------------------------------------------------------------------------------------


def _complete(text: str, names: list[str], config: LanguageModelConfig) -> str:
    """The model's reply as text; a server that refuses the schema or the bound is asked once more without them."""
    body = {
        "model": config.model,
        "messages": [
            {"role": "system", "content": system_prompt()},
            {"role": "user", "content": user_prompt(text, names)},
        ],
        "temperature": 0,
        "max_tokens": _MAX_TOKENS,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reading", "schema": reply_schema()},
        },
    }
    end = time.monotonic() + config.timeout_s
    status, reason, data = _post(body, config, end)
    if status in (400, 422):
        del body["response_format"], body["max_tokens"]
        status, reason, data = _post(body, config, end)
    if status != 200:
        hint = {
            301: "give the URL that it points to",
            302: "give the URL that it points to",
            307: "give the URL that it points to",
            308: "give the URL that it points to",
            401: f"set {config.api_key_env}",
            403: f"set {config.api_key_env}",
            404: "base_url ends before /chat/completions; is the model's name right?",
        }.get(status, "see its log")
        raise _unavailable(config, f"answered {status} {_shown(reason)[1:-1]}; {hint}")
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, RecursionError, LookupError, TypeError):
        shown = _shown(data.decode(errors="replace"))
        raise _unavailable(config, f"replied {shown}, which is no chat completion; is base_url right?") from None
    if not isinstance(content, str) or not content.strip():
        raise _not_understood("its reply is empty")
    if len(content) > config.max_reply_characters:
        raise _not_understood(f"its reply is longer than {config.max_reply_characters} characters")
    return content


def _unavailable(config: LanguageModelConfig, what: str) -> DeclineError:
    return DeclineError(
        "BACKEND_UNAVAILABLE",
        f"the grammar does not understand the question, and the language model at {config.base_url} {what}",
    )


def _timeout(config: LanguageModelConfig) -> DeclineError:
    return DeclineError(
        "TIMEOUT",
        "the grammar does not understand the question, and the language model at"
        f" {config.base_url} did not reply within {config.timeout_s:g} s; allow more time",
    )


def _post(body: dict, config: LanguageModelConfig, end: float) -> tuple[int, str, bytes]:
    """Status, reason and body of one POST; redirects are not followed, so the key goes nowhere else."""
    url = urllib.parse.urlsplit(config.base_url)
    left_s = end - time.monotonic()
    if left_s <= 0:
        raise _timeout(config)
    make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = make(url.hostname, url.port, timeout=left_s)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    key = os.environ.get(config.api_key_env, "").strip()
    if key:
        headers["Authorization"] = f"Bearer {key}"
    late = None
    try:
        connection.connect()
        # The socket's own timeout starts anew with every byte; this one does not.
        late = threading.Timer(max(end - time.monotonic(), 0.0), _hang_up, (connection.sock,))
        late.daemon = True
        late.start()
        connection.request("POST", f"{url.path.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        response = connection.getresponse()
        data = _read(response, config)
        if time.monotonic() >= end:  # then the reply may have been cut short
            raise _timeout(config)
        return response.status, response.reason, data
    except DeclineError:
        raise
    except (OSError, http.client.HTTPException, ssl.SSLError, ValueError) as error:
        if isinstance(error, TimeoutError) or time.monotonic() >= end:
            raise _timeout(config) from None
        # A key that is no header value is not repeated: messages are shown to others.
        what = type(error).__name__ if isinstance(error, ValueError) and key else f"{type(error).__name__}: {error}"
        raise _unavailable(config, f"cannot be used ({what}); is it running?") from None
    finally:
        if late is not None:
            late.cancel()
        connection.close()


def _hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _read(response: http.client.HTTPResponse, config: LanguageModelConfig) -> bytes:
    # Escaped in JSON a character takes at most 12 bytes (a surrogate pair); the rest is what surrounds the reply.
    most, out = 12 * config.max_reply_characters + 65_536, bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        out += chunk
        if len(out) > most:
            raise _not_understood(f"its reply is longer than {config.max_reply_characters} characters")
    return bytes(out)
