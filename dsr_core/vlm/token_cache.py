"""Geometry tokens that took a network to make: kept on disk by what they depend on."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np

import dsr_core
from dsr_core.vlm.disk_cache import DiskCache, key_of
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import Clip, Context, GeometryTokens

#: Rooms whose code decides what a source makes of frames.
_ROOMS = ("geometry", "perception", "vlm")


class CachedSource(GeometrySource):
    """A source that looks at frames alone, whose tokens are kept under a key of its settings, its code and the frames.

    Features of a network, which its encoder normalises, are kept as float16 where they fit: those of pi3 for 32 frames
    of 640 x 360 take 69 MB. They are the same whether they were kept or have just been made.

    Args:
        source: The source. cache: Where its tokens are kept.
    """

    def __init__(self, source: GeometrySource, cache: DiskCache):
        self.source, self.cache = source, cache
        for name in GeometrySource.__annotations__:
            setattr(self, name, getattr(source, name))

    def settings(self) -> dict:
        return self.source.settings()

    def tokens(self, context: Context) -> GeometryTokens:
        settings = json.dumps(self.settings(), sort_keys=True)
        key = key_of("tokens", self.name, settings, code_digest(), content_of(context.clip))
        kept = self.cache.get(key)
        if kept is None:
            # Nothing but the clip: what the key does not tell must not change the tokens.
            made = self.source.tokens(Context(clip=context.clip))
            features = _small(made.features) if self.normalised else made.features
            labels = np.array(made.labels) if made.labels else np.zeros(0, "<U1")
            grid = np.array(made.grid or (), int)
            kept = {"features": features, "labels": labels, "grid": grid}
            self.cache.put(key, kept)
        grid = tuple(int(n) for n in kept["grid"]) or None
        return GeometryTokens(kept["features"].astype(np.float32), tuple(kept["labels"].tolist()), grid)


def with_cache(sources: dict[str, GeometrySource], folder: str | Path, max_bytes: float) -> dict[str, GeometrySource]:
    """The sources, of which those worth it and looking at frames keep their tokens in `folder`."""
    cache = DiskCache(folder, max_bytes)
    return {
        name: CachedSource(source, cache) if source.cached and source.looks_at == "clip" else source
        for name, source in sources.items()
    }


def _small(features: np.ndarray) -> np.ndarray:
    """Features as float16, unless one is too large for that."""
    with np.errstate(over="ignore"):
        half = features.astype(np.float16)
    return half if np.isfinite(half).all() else features


def content_of(clip: Clip) -> str:
    """A digest of a clip's pictures and times."""
    digest = hashlib.sha256(json.dumps([float(t) for t in clip.times_s]).encode())
    for frame in clip.frames:
        digest.update(str(frame.shape).encode())
        digest.update(np.ascontiguousarray(frame))
    return digest.hexdigest()


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the code that tokens depend on: other code may make other ones."""
    root = Path(dsr_core.__file__).parent
    digest = hashlib.sha256(dsr_core.__version__.encode())
    for room in _ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()
