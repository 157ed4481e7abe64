"""Where geometry tokens come from; each source is one file, imported when it is used.

`scene`: the robot's own tracks and camera (no network at all). `pi3_encoder`: patch features of a frozen DINOv2, as the
paper has them. `reconstruction`: depth, poses and points that a reconstruction network finds in the frames.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

from dsr_core.vlm.values import Context, GeometryTokens, VlmError

#: Name -> module, class.
SOURCES = {
    "scene": ("dsr_core.vlm.sources.scene", "SceneSource"),
    "pi3_encoder": ("dsr_core.vlm.sources.pi3_encoder", "Pi3EncoderSource"),
    "reconstruction": ("dsr_core.vlm.sources.reconstruction", "ReconstructionSource"),
}


class GeometrySource(ABC):
    """Makes geometry tokens; holds nothing that is trained.

    Attributes:
        name: Its key in `SOURCES`.
        features: F, numbers a token.
        hidden: Features of the hidden layer of its encoder, or None for a linear one.
        flags: How many of the features, the last ones, say what a token is (zeros and ones): its encoder gives them a
            weight of their own, or they would drown among the numbers.
        normalised: Whether its encoder begins with a normalisation, as features of a network want it.
        aligned: Whether its tokens stand one for one for the visual tokens of the clip.
        looks_at: "scene" or "clip": what of a `Context` it needs; without that it has no tokens.
        cached: Whether its tokens are worth keeping on disk.
    """

    name: str
    features: int
    hidden: int | None = None
    flags: int = 0
    normalised: bool = False
    aligned: bool = False
    looks_at: str = "scene"
    cached: bool = False

    @abstractmethod
    def tokens(self, context: Context) -> GeometryTokens:
        """The tokens of one question: (V, F), V = 0 where there is nothing to see.

        Raises:
            VlmError: what the context holds cannot be used; the message names it.
        """

    @abstractmethod
    def settings(self) -> dict:
        """All that its tokens depend on, as JSON: kept in checkpoints, and part of the key of cached tokens."""


def make_source(name: str, settings: Mapping | None = None) -> GeometrySource:
    """A source by its name.

    Raises:
        VlmError: there is no such source, or it has no such setting.
    """
    if name not in SOURCES:
        raise VlmError(f"there is no geometry source {name!r}; known: {', '.join(SOURCES)}")
    module, kind = SOURCES[name]
    made = getattr(importlib.import_module(module), kind)
    try:
        return made(**(settings or {}))
    except TypeError as error:
        raise VlmError(f"geometry source {name!r}: {error}") from None


def make_sources(sources: Mapping[str, Mapping]) -> dict[str, GeometrySource]:
    """All sources of a configuration, in its order."""
    return {name: make_source(name, settings) for name, settings in sources.items()}
