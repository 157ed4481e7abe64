"""What may help the grammar to read a question: a language model, and the meaning of names. Both are off by default."""

from __future__ import annotations

from dataclasses import dataclass

from dsr_core.endpoint import EndpointConfig, EndpointError
from dsr_core.errors import QueryError


@dataclass(frozen=True)
class LanguageModelConfig(EndpointConfig):
    """A language model behind an OpenAI-compatible endpoint (vLLM, llama.cpp server, Ollama, …).

    It is asked only for questions that the grammar does not understand. The question and the names of what has been
    seen are sent there; nothing else is.

    Its fields are those of `EndpointConfig`, with less time and shorter replies.

    Raises:
        QueryError: a value cannot be used; the message names it.
    """

    timeout_s: float = 10.0
    max_reply_characters: int = 20_000

    def __post_init__(self):
        try:
            super().__post_init__()
        except EndpointError as error:
            raise QueryError(str(error)) from None

    @classmethod
    def from_environment(
        cls, base_url: str | None = None, model: str | None = None, **fields
    ) -> LanguageModelConfig | None:
        """The endpoint that the arguments or else the environment name; None where they name none.

        Raises:
            QueryError: a URL without a model's name or the other way round, or a value that cannot be used.
        """
        try:
            return super().from_environment(base_url, model, **fields)
        except EndpointError as error:
            raise QueryError(str(error)) from None


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
