"""Where a language model is, and what goes wrong with it."""

from __future__ import annotations

import math
import os
import urllib.parse
from dataclasses import dataclass
from typing import TypeVar

from dsr_core.errors import DsrError

#: Environment variables that name the endpoint where the command line does not.
URL_VARIABLE = "DSR_LANGUAGE_MODEL_URL"
NAME_VARIABLE = "DSR_LANGUAGE_MODEL_NAME"
API_KEY_VARIABLE = "DSR_LANGUAGE_MODEL_API_KEY"

_MAX_TIMEOUT_S = 600.0
#: Refusals that may be gone a little later; so may those of 500 and more.
_PASSING = (408, 409, 425, 429)


@dataclass(frozen=True)
class Usage:
    """Tokens of a request and its reply as the server counts them; None where it does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


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
