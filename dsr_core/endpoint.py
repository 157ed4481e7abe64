"""Chat completions from an OpenAI-compatible endpoint (vLLM, llama.cpp server, Ollama, …): one request, one reply.

A call ends within its time whatever the server does, reads no more than a bounded reply, follows no redirect (so that
the key goes nowhere else), and raises nothing but `EndpointError`.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dsr_core.errors import DsrError

#: Environment variables that name the endpoint where the command line does not.
URL_VARIABLE = "DSR_LANGUAGE_MODEL_URL"
NAME_VARIABLE = "DSR_LANGUAGE_MODEL_NAME"
API_KEY_VARIABLE = "DSR_LANGUAGE_MODEL_API_KEY"

_MAX_TIMEOUT_S = 600.0
_MAX_JSON_STARTS = 100
_CHUNK_BYTES = 8192
_HINTS = {
    **dict.fromkeys((301, 302, 307, 308), "give the URL that it points to"),
    **dict.fromkeys((401, 403), "set {config.api_key_env}"),
    404: "base_url ends before /chat/completions; is the model's name right?",
}
#: Refusals that may be gone a little later; so may those of 500 and more.
_PASSING = (408, 409, 425, 429)
#: What is left out, one after the other, where a server refuses a request: not all know all of it.
_OPTIONAL = ((), ("response_format", "max_tokens"), ("response_format", "max_tokens", "temperature"))


@dataclass(frozen=True)
class Usage:
    """Tokens of a request and its reply as the server counts them; None where it does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


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


class EndpointError(DsrError):
    """There is no reply, or none that can be used.

    Attributes:
        code: "config" (a setting cannot be used), "unavailable" (nobody there, or refused), "timeout", or "reply"
            (there is one, but it is empty or too long).
        what: The message without its subject, the endpoint.
        status: HTTP status, or None.
        retry_after_s: Seconds to wait before the next try as the server asks, or None.
        usage: What the request cost all the same.
    """

    def __init__(self, code: str, what: str, base_url: str = "", status: int | None = None, retry_after_s=None):
        super().__init__(f"the language model at {base_url} {what}" if base_url else what)
        self.code, self.what, self.status, self.retry_after_s = code, what, status, retry_after_s
        self.usage = Usage()

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later."""
        if self.status is None:
            return self.code != "config"
        return self.status == 200 or self.status in _PASSING or self.status >= 500


_Config = TypeVar("_Config", bound="EndpointConfig")


@dataclass(frozen=True)
class EndpointConfig:
    """Where a language model is, and how long it may take.

    Attributes:
        base_url: URL before `/chat/completions`, e.g. "http://localhost:8000/v1".
        model: Name of the model as the endpoint knows it.
        api_key_env: Environment variable that holds the API key; a variable that is not set means none.
        timeout_s: Longest wait for a reply, seconds.
        max_reply_characters: A longer reply is refused.

    Raises:
        EndpointError: a value cannot be used; the message names it.
    """

    base_url: str
    model: str
    api_key_env: str = API_KEY_VARIABLE
    timeout_s: float = 120.0
    max_reply_characters: int = 100_000

    def __post_init__(self):
        try:
            url = urllib.parse.urlsplit(self.base_url)
            usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except (ValueError, AttributeError, TypeError):
            usable = False
        if not usable or any(c.isspace() or not c.isprintable() for c in self.base_url):
            raise _unusable(f"base_url = {self.base_url!r} is no URL of an endpoint; give http://host:port/v1")
        if url.username is not None or url.password is not None or url.query or url.fragment:
            raise _unusable(
                "base_url must hold neither a user, a password nor a query; put an API key into the environment"
                f" variable {self.api_key_env}"
            )
        if not isinstance(self.model, str) or not self.model.strip():
            raise _unusable(f"model = {self.model!r} is no name of a model")
        if not isinstance(self.api_key_env, str) or not self.api_key_env.strip():
            raise _unusable(f"api_key_env = {self.api_key_env!r} is no name of an environment variable")
        timeout_s = self.timeout_s
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not math.isfinite(timeout_s):
            raise _unusable(f"timeout_s = {timeout_s!r} is no number of seconds")
        if not 0.0 < timeout_s <= _MAX_TIMEOUT_S:
            raise _unusable(f"timeout_s = {timeout_s!r} is not between 0 and {_MAX_TIMEOUT_S:g} s")
        most = self.max_reply_characters
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= 10_000_000:
            raise _unusable(f"max_reply_characters = {most!r} is not a whole number from 1 to 10,000,000")

    @classmethod
    def from_environment(
        cls: type[_Config], base_url: str | None = None, model: str | None = None, **fields
    ) -> _Config | None:
        """The endpoint that the arguments or else the environment name; None where they name none.

        Raises:
            EndpointError: a URL without a model's name or the other way round, or a value that cannot be used.
        """
        base_url = base_url or os.environ.get(URL_VARIABLE, "")
        if not base_url and model:
            raise _unusable(f"the language model {model!r} has no URL; set {URL_VARIABLE}, or give the URL too")
        if not base_url:
            return None
        model = model or os.environ.get(NAME_VARIABLE, "")
        if not model:
            raise _unusable(f"the language model at {base_url} has no name; set {NAME_VARIABLE}, or name it")
        return cls(base_url, model, **fields)


def _unusable(message: str) -> EndpointError:
    return EndpointError("config", message)


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
            status, answer = _post(trimmed, self.config, end)
            if status not in (400, 422):
                break
        if status == 200:
            self._left_out = left_out
            return _reply(answer[1], self.config, time.monotonic() - begun)
        reason, data, retry_after = answer
        hint = _HINTS.get(status, "see its log").format(config=self.config)
        what = f"answered {status} {shown(reason)[1:-1]}{_told(status, data, self.config)}; {hint}"
        raise EndpointError("unavailable", what, self.config.base_url, status, _seconds(retry_after))


# --- parts of messages and of replies --------------------------------------------------------------------------------


def text_part(text: str) -> dict:
    """A piece of text in a message of several parts."""
    return {"type": "text", "text": text}


def image_part(jpeg: bytes) -> dict:
    """A picture in a message, from the bytes of a JPEG file."""
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"},
    }


def object_in(content: str, accepts: Callable[[dict], bool] = lambda found: True) -> dict | None:
    """The first JSON object in a reply that is accepted, with or without code fences and text round it; else None."""
    decoder, start = json.JSONDecoder(), content.find("{")
    for _ in range(_MAX_JSON_STARTS):
        if start < 0:
            return None
        try:
            found, end = decoder.raw_decode(content, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if accepts(found):
                return found
        start = content.find("{", end)
    return None


def shown(text: str) -> str:
    """A short, printable, quoted piece of what came from outside."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return repr(text if len(text) <= 120 else text[:117] + "...")


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
        wrong = _too_long(config)
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


def _too_long(config: EndpointConfig) -> str:
    return f"its reply is longer than {config.max_reply_characters} characters"


def _seconds(text: str | None) -> float | None:
    """Seconds of a Retry-After header; dates are not read."""
    try:
        seconds = float(text)
    except (TypeError, ValueError):
        return None
    return seconds if 0.0 <= seconds < math.inf else None


# --- the wire --------------------------------------------------------------------------------------------------------


def _timeout(config: EndpointConfig) -> EndpointError:
    what = f"did not reply within {config.timeout_s:g} s; allow more time"
    return EndpointError("timeout", what, config.base_url)


def _post(body: dict, config: EndpointConfig, end: float) -> tuple[int, tuple[str, bytes, str | None]]:
    """Status of one POST, and its reason, body and Retry-After."""
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
        return response.status, (response.reason, data, response.getheader("Retry-After"))
    except EndpointError:
        raise
    except (OSError, http.client.HTTPException, ssl.SSLError, ValueError) as error:
        if isinstance(error, TimeoutError) or time.monotonic() >= end:
            raise _timeout(config) from None
        # A key that is no header value is not repeated: messages are shown to others.
        what = type(error).__name__ if isinstance(error, ValueError) and key else f"{type(error).__name__}: {error}"
        raise EndpointError("unavailable", f"cannot be used ({what}); is it running?", config.base_url) from None
    finally:
        if late is not None:
            late.cancel()
        connection.close()


def _hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _read(response: http.client.HTTPResponse, config: EndpointConfig) -> bytes:
    # Escaped in JSON a character takes at most 12 bytes (a surrogate pair); the rest is what surrounds the reply.
    most, out = 12 * config.max_reply_characters + 65_536, bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        out += chunk
        if len(out) > most:
            raise EndpointError("reply", _too_long(config), status=200)
    return bytes(out)
