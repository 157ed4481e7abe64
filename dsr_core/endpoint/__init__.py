"""Chat completions from an OpenAI-compatible endpoint (vLLM, llama.cpp server, Ollama, …).

A call ends within its time whatever the server does, reads no more than a bounded reply, follows no redirect (so that
the key goes nowhere else), and raises nothing but `EndpointError`.
"""

from dsr_core.endpoint.client import Endpoint, Reply
from dsr_core.endpoint.config import (
    API_KEY_VARIABLE,
    NAME_VARIABLE,
    URL_VARIABLE,
    EndpointConfig,
    EndpointError,
    Usage,
)
from dsr_core.endpoint.messages import image_part, object_in, shown, text_part

__all__ = [
    "API_KEY_VARIABLE",
    "NAME_VARIABLE",
    "URL_VARIABLE",
    "Endpoint",
    "EndpointConfig",
    "EndpointError",
    "Reply",
    "Usage",
    "image_part",
    "object_in",
    "shown",
    "text_part",
]
