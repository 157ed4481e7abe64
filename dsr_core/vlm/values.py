"""The values that flow through the model side: a clip, tokens of geometry, a question with all that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dsr_core.errors import DsrError
from dsr_core.reasoning.quantities import Viewer
from dsr_core.scene import Scene

#: What a question can name a thing as.
ROLES = ("subject", "object", "viewer")


class VlmError(DsrError):
    """A question cannot be put to the model, or a model cannot be loaded; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a video that a model is shown.

    Attributes:
        frames: Pictures (H, W, 3) uint8 RGB of one size, in the order of showing.
        times_s: Their seconds on the clock of the question, increasing, as many as frames.
    """

    frames: Sequence[np.ndarray]
    times_s: Sequence[float]

    def __post_init__(self):
        if len(self.frames) != len(self.times_s) or not len(self.frames):
            raise VlmError(f"a clip needs a time a frame, not {len(self.frames)} frames and {len(self.times_s)} times")
        shapes = {np.shape(frame) for frame in self.frames}
        if len(shapes) != 1 or len(next(iter(shapes))) != 3 or next(iter(shapes))[2] != 3:
            raise VlmError(f"the frames of a clip are (H, W, 3) and of one size, not {sorted(shapes)}")


@dataclass(frozen=True, eq=False)
class Context:
    """What a geometry source may look at to make its tokens.

    Attributes:
        scene: What is known of the space, nothing later than the question allows; or None.
        clip: The frames that the model is shown, or None.
        window: (start, end) in seconds that the question is about; None: all of it.
        viewer: Whose eyes the question asks for, as the grammar reads it; None where it tells nothing.
        roles: Name of an agent ("camera", a track's id) -> those of `ROLES` that the question gives it.
    """

    scene: Scene | None = None
    clip: Clip | None = None
    window: tuple[float, float] | None = None
    viewer: Viewer | None = None
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GeometryTokens:
    """What one geometry source has to say about one question.

    Attributes:
        features: (V, F) float32, finite.
        labels: A text a token (class and name of a thing: "car 12"), or () where tokens have no name.
        grid: (t, h, w) where the tokens stand one for one for the visual tokens of the clip (t * h * w = V), or None.
    """

    features: np.ndarray
    labels: tuple[str, ...] = ()
    grid: tuple[int, int, int] | None = None

    def __post_init__(self):
        features = np.ascontiguousarray(self.features, np.float32)
        if features.ndim != 2:
            raise VlmError(f"geometry features have shape {features.shape}, expected (tokens, features)")
        bad = int((~np.isfinite(features)).any(axis=1).sum())
        if bad:
            raise VlmError(f"{bad} of {len(features)} geometry tokens are not finite; leave such a question out")
        if self.labels and len(self.labels) != len(features):
            raise VlmError(f"{len(self.labels)} labels for {len(features)} geometry tokens")
        if self.grid is not None and int(np.prod(self.grid)) != len(features):
            raise VlmError(f"a grid {self.grid} of geometry is not one of {len(features)} tokens")
        object.__setattr__(self, "features", features)

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, eq=False)
class Asked:
    """A question with all that a model gets to see, and in training what it shall say.

    Attributes:
        question: Its text.
        options: Texts without letters; () for an open question.
        clips: Videos, in the order of showing. images: Pictures (H, W, 3) uint8.
        geometry: Source name -> tokens; empty for a model without geometry.
        answer_index: Which option is true; None where nobody knows, or there are no options.
        answer: True answer in words; None where nobody knows.
        key: Names the question in reports ("train.parquet row 17").
    """

    question: str
    options: tuple[str, ...] = ()
    clips: tuple[Clip, ...] = ()
    images: tuple[np.ndarray, ...] = ()
    geometry: Mapping[str, GeometryTokens] = field(default_factory=dict)
    answer_index: int | None = None
    answer: str | None = None
    key: str = ""

    def __post_init__(self):
        if not self.question.strip():
            raise VlmError(f"{self.key or 'a question'}: its text is empty")
        if self.answer_index is not None and not 0 <= self.answer_index < len(self.options):
            raise VlmError(f"{self.key}: option {self.answer_index} of {len(self.options)} cannot be the answer")
