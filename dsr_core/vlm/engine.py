"""A model with what it remembers of the last clip: composes questions, encodes pictures once, and can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.scene import Scene
from dsr_core.vlm.compose import compose
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import Asked, Clip, Context, GeometryTokens


class _OncePerClip(GeometrySource):
    """A source that looks at pictures, asked once about each clip."""

    def __init__(self, source: GeometrySource):
        self.name, self.features, self.hidden, self.looks_at = (
            source.name, source.features, source.hidden, source.looks_at,
        )  # fmt: skip
        self._source = source
        self._kept: tuple[Clip, GeometryTokens] | None = None

    def tokens(self, context: Context) -> GeometryTokens:
        if self._kept is None or self._kept[0] is not context.clip:
            self._kept = (context.clip, self._source.tokens(context))
        return self._kept[1]

    def settings(self) -> dict:
        return self._source.settings()

    def forget(self) -> None:
        self._kept = None


class Engine:
    """A model with what it remembers of the last clip; one question at a time."""

    def __init__(self, model):
        self.model = model
        self._sources = {
            name: _OncePerClip(source) if source.looks_at == "clip" else source
            for name, source in model.sources.items()
        }
        self._encoded: tuple[Clip, object] | None = None
        self._from_zero: tuple[Clip, Clip] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, check: Callable[[], None]):
        """The engine, for one question; `check` is called at every layer of the model."""
        import torch

        with self._lock, torch.inference_mode(), _checked(self.model, check):
            yield self

    def forget(self) -> None:
        """Drops what was encoded."""
        with self._lock:
            self._encoded = self._from_zero = None
            for source in self._sources.values():
                if isinstance(source, _OncePerClip):
                    source.forget()

    def from_zero(self, clip: Clip) -> Clip:
        """The clip with times that count from its first picture; the same object for the same clip."""
        if self._from_zero is None or self._from_zero[0] is not clip:
            times_s = [time_s - clip.times_s[0] for time_s in clip.times_s]
            self._from_zero = (clip, Clip(clip.frames, times_s))
        return self._from_zero[1]

    def compose(self, question: str, choices, scene: Scene, clip: Clip | None, window) -> Asked:
        return compose(question, choices, scene=scene, clip=clip, window=window, sources=self._sources)

    def encode(self, asked: Asked):
        """What the model sees in the clip, encoded now or for an earlier question; None without a clip."""
        if not asked.clips:
            return None
        clip = asked.clips[0]
        if self._encoded is None or self._encoded[0] is not clip:
            self._encoded = None  # two clips at once might not fit into memory
            self._encoded = (clip, self.model.encode(self.model.inputs([asked])))
        return self._encoded[1]

    def choose(self, asked: Asked, encoded) -> tuple[int, np.ndarray]:
        """The likeliest option and the probabilities of all."""
        from dsr_core.vlm.replies import option_log_probabilities

        found = np.exp(option_log_probabilities(self.model, [asked], encoded=encoded)[0])
        if not np.isfinite(found).all():
            raise _not_finite()
        found = found / found.sum()
        return int(found.argmax()), found

    def say(self, asked: Asked, encoded, most_tokens: int) -> tuple[str, float]:
        """What the model says, and the geometric mean of the probabilities of its tokens."""
        import torch

        batch = self.model.inputs([asked], side="left", pixels=encoded is None)
        batch |= {} if encoded is None else {"encoded": encoded}
        out = self.model.generate(batch, max_new_tokens=most_tokens, return_dict_in_generate=True, output_scores=True)
        ids = out.sequences[0, -len(out.scores) :]
        logs = [torch.log_softmax(scores[0].float(), -1)[i] for scores, i in zip(out.scores, ids, strict=True)]
        text = self.model.tokenizer.decode(ids, skip_special_tokens=True).strip()
        confidence = float(torch.stack(logs).mean().exp())
        if not np.isfinite(confidence):
            raise _not_finite()
        if not text:
            raise DeclineError("TOO_UNCERTAIN", "the model said nothing; give choices, or ask in other words")
        return text, confidence


@contextmanager
def _checked(model, check: Callable[[], None]):
    """Calls `check` before every layer of a model and of its sources' networks: what it raises stops the question."""
    from torch import nn

    networks = [model, *(v for s in model.sources.values() for v in vars(s).values() if isinstance(v, nn.Module))]
    layers = {
        layer: None
        for network in networks
        for module in network.modules()
        if isinstance(module, nn.ModuleList)
        for layer in module
    }
    hooks = [layer.register_forward_pre_hook(lambda *_: check()) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _not_finite() -> DeclineError:
    what = "the model's numbers are not finite; load it with another dtype (vlm.dtype), or train it anew"
    return DeclineError("BACKEND_UNAVAILABLE", what, ("geometry",))
