"""Parts of messages to a language model, and JSON in its replies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

_MAX_JSON_STARTS = 100


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
