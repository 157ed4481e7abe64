"""A model behind an OpenAI-compatible endpoint; frames go as JPEG pictures in the message."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import numpy as np

from dsr_core.bench.models.base import Decoding, Model, ModelStopped, NoReply, Request, Said
from dsr_core.endpoint import Endpoint, EndpointConfig, EndpointError, Reply, Usage, image_part, text_part
from dsr_core.qa.asking.asking import AskingConfig, Ledger, Stopped

JPEG_QUALITY = 90
#: Answers that concern every request: a wrong URL, key or name.
_HOPELESS = (301, 302, 307, 308, 401, 403, 404)
#: For budgets, where a server does not count.
_CHARACTERS_PER_TOKEN, _PIXELS_PER_TOKEN = 3.5, 28 * 28


class EndpointModel(Model):
    """Asks an endpoint, again after a while where it is busy or broken.

    Args:
        config: Where it is.
        asking: Tries, waits, concurrency, prices and budget.
    """

    def __init__(self, config: EndpointConfig, asking: AskingConfig | None = None):
        self.config, self.asking = config, asking or AskingConfig()
        self.name, self.workers = config.model, self.asking.concurrency
        self.ledger = Ledger(self.asking)
        self._endpoint, self._stop, self._chance = Endpoint(config), threading.Event(), random.Random()

    def settings(self) -> dict:
        return {"kind": "endpoint", "name": self.config.model, "url": self.config.base_url, "jpeg": JPEG_QUALITY}

    def spent(self) -> str:
        return str(self.ledger.totals())

    def stop(self) -> None:
        self._stop.set()

    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        return [self._one(request, decoding) for request in requests]

    def _one(self, request: Request, decoding: Decoding) -> Said | NoReply:
        messages, guess = messages_of(request), _guessed(request)
        wait_s = self.asking.backoff_s
        for left in range(self.asking.tries - 1, -1, -1):
            if self._stop.is_set():
                return NoReply("the run was stopped", again=True)
            try:
                self.ledger.begin(guess)
            except Stopped as error:
                raise ModelStopped(str(error)) from None
            usage, text = None, ""
            try:
                reply = self._endpoint.complete(
                    messages, max_tokens=decoding.max_tokens, temperature=decoding.temperature
                )
                usage, text = reply.usage, reply.content
                return Said(text, _told(reply))
            except EndpointError as error:
                if error.code == "reply":  # it said nothing, which is an answer, too
                    usage = error.usage
                    return Said("", {"why": error.what})
                if error.code == "config" or error.status in _HOPELESS:
                    raise ModelStopped(str(error)) from None
                if not error.passing:
                    return NoReply("the endpoint refuses it", True, error.what)
                if not left:
                    return NoReply(f"no reply after {self.asking.tries} tries", True, error.what)
                pause_s = max(wait_s * (0.5 + self._chance.random()), error.retry_after_s or 0.0)
            finally:
                self.ledger.end(Usage(guess, round(len(text) / _CHARACTERS_PER_TOKEN)), usage)
            self._stop.wait(min(pause_s, self.asking.max_backoff_s))
            wait_s *= 2.0
        raise AssertionError("unreachable")


def messages_of(request: Request) -> list[dict]:
    """The chat messages of a row: system, then text, pictures and text in one turn."""
    message = request.message
    out = [{"role": "system", "content": message.system}] if message.system else []
    parts = [text_part(message.before)] if message.before else []
    parts += [image_part(jpeg(picture)) for picture in request.frames]
    parts.append(text_part(message.after))
    content = parts if request.frames else message.before + message.after
    return [*out, {"role": "user", "content": content}]


def jpeg(rgb: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """A picture (H, W, 3) uint8 RGB as the bytes of a JPEG file."""
    import cv2

    return cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _guessed(request: Request) -> int:
    message = request.message
    text = len(message.system) + len(message.before) + len(message.after)
    pixels = sum(picture.shape[0] * picture.shape[1] for picture in request.frames)
    return round(text / _CHARACTERS_PER_TOKEN + pixels / _PIXELS_PER_TOKEN)


def _told(reply: Reply) -> dict:
    told = {"took_s": round(reply.took_s, 3)}
    if reply.usage.prompt_tokens is not None:
        told["prompt_tokens"] = reply.usage.prompt_tokens
    if reply.usage.completion_tokens is not None:
        told["completion_tokens"] = reply.usage.completion_tokens
    if reply.cut:
        told["cut"] = True
    return told
