"""What may help the grammar to read a question: a language model, and the meaning of names. Both are off by default."""

from __future__ import annotations

import math
import os
import urllib.parse
from dataclasses import dataclass

from dsr_core.errors import QueryError

#: Environment variables that set up the language model of the command line.
URL_VARIABLE = "DSR_LANGUAGE_MODEL_URL"
NAME_VARIABLE = "DSR_LANGUAGE_MODEL_NAME"
API_KEY_VARIABLE = "DSR_LANGUAGE_MODEL_API_KEY"
_MAX_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class LanguageModelConfig:
    """A language model behind an OpenAI-compatible endpoint (vLLM, llama.cpp server, Ollama, …).

    It is asked only for questions that the grammar does not understand. The question and the names of what has been
    seen are sent there; nothing else is.

    Attributes:
        base_url: URL before `/chat/completions`, e.g. "http://localhost:8000/v1".
        model: Name of the model as the endpoint knows it.
        api_key_env: Environment variable that holds the API key; a variable that is not set means none.
        timeout_s: Longest wait for a reply, seconds.
        max_reply_characters: A longer reply is refused.

    Raises:
        QueryError: a value cannot be used; the message names it.
    """

    base_url: str
    model: str
    api_key_env: str = API_KEY_VARIABLE
    timeout_s: float = 10.0
    max_reply_characters: int = 20_000

    def __post_init__(self):
        try:
            url = urllib.parse.urlsplit(self.base_url)
            usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except (ValueError, AttributeError, TypeError):
            usable = False
        if not usable or any(c.isspace() or not c.isprintable() for c in self.base_url):
            raise QueryError(f"base_url = {self.base_url!r} is no URL of an endpoint; give http://host:port/v1")
        if url.username is not None or url.password is not None or url.query or url.fragment:
            raise QueryError(
                "base_url must hold neither a user, a password nor a query; put an API key into the environment"
                f" variable {self.api_key_env}"
            )
        if not isinstance(self.model, str) or not self.model.strip():
            raise QueryError(f"model = {self.model!r} is no name of a model")
        if not isinstance(self.api_key_env, str) or not self.api_key_env.strip():
            raise QueryError(f"api_key_env = {self.api_key_env!r} is no name of an environment variable")
        timeout_s = self.timeout_s
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not math.isfinite(timeout_s):
            raise QueryError(f"timeout_s = {timeout_s!r} is no number of seconds")
        if not 0.0 < timeout_s <= _MAX_TIMEOUT_S:
            raise QueryError(f"timeout_s = {timeout_s!r} is not between 0 and {_MAX_TIMEOUT_S:g} s")
        most = self.max_reply_characters
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= 10_000_000:
            raise QueryError(f"max_reply_characters = {most!r} is not a whole number from 1 to 10,000,000")

    @classmethod
    def from_environment(cls, base_url: str | None = None, model: str | None = None) -> LanguageModelConfig | None:
        """The endpoint that the arguments or else the environment name; None where they name none.

        Raises:
            QueryError: a URL without a model's name or the other way round, or a value that cannot be used.
        """
        base_url = base_url or os.environ.get(URL_VARIABLE, "")
        if not base_url and model:
            raise QueryError(f"the language model {model!r} has no URL; set {URL_VARIABLE}, or give the URL too")
        if not base_url:
            return None
        model = model or os.environ.get(NAME_VARIABLE, "")
        if not model:
            raise QueryError(f"the language model at {base_url} has no name; set {NAME_VARIABLE}, or name it")
        return cls(base_url, model)


@dataclass(frozen=True)
class LanguageConfig:
    """How questions and names are read.

    Attributes:
        language_model: Reads what the grammar does not understand; None: nobody does.
        name_embedding: Names that nothing fits by spelling or synonym are compared by meaning
            (`dsr_core.language.embedding`; needs the extra `names`).
    """

    language_model: LanguageModelConfig | None = None
    name_embedding: bool = False


DEFAULT_LANGUAGE = LanguageConfig()
