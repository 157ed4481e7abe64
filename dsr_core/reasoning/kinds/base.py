"""What goes into answering a kind of question, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.quantities import Viewer
from dsr_core.reasoning.rules import RobustRules
from dsr_core.scene import Scene


@dataclass(frozen=True, eq=False)
class ResolvedQuery:
    """A query whose names have become agents.

    Attributes:
        kind: One of `dsr_core.reasoning.vocabulary.KINDS`.
        subject: Whom it is about; for kinds of many things the first of `subjects`.
        other: Whom it is compared with, or None.
        viewer: Whose eyes; `at_s` is None for a relative viewpoint.
        absolute: Whether the viewpoint is held fixed (`viewer.at_s` None then means the window's start).
        window: (start, end) asked for in seconds, or None.
        subjects: The set of things that kinds of many things speak of.
        asked: What a yes/no question asks about, or what `count` counts (see `Query`).
        of: The relation that `count` counts.
        recent: It is about the present: of each thing that `count` judges the newest state decides.
    """

    kind: str
    subject: Agent
    other: Agent | None
    viewer: Viewer
    absolute: bool = False
    window: tuple[float, float] | None = None
    subjects: tuple[Agent, ...] = ()
    asked: str | tuple[str, ...] | None = None
    of: str | None = None
    recent: bool = False

    @property
    def reference(self) -> Agent:
        """Whom the subject is related to: the object, or the viewer where none is given."""
        return self.viewer.agent if self.other is None else self.other

    def replaced(self, **changes) -> ResolvedQuery:
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Found:
    """What was found for a kind.

    Attributes:
        states: What held when.
        value: Number of the kind (docs/kinds.md), or None. sigma: its one-sigma, or None.
        margin: Distance of the weakest decision from its threshold, in the kind's unit, or None.
        confidence: Probability that the states are right, 0..1.
        stamps_s: (T,) samples that were judged.
        window: (start, end) that was judged, seconds.
        viewer_at_s: Time at which the viewpoint was held fixed, or None.
        details: More, as JSON values.
        tracks: Ids of tracks that the answer rests on beside those of the query, the most important first.
        margin_sigmas: The margin in units of its own one-sigma noise, or None.
        chances: For each state the raw probability that its label is right; () where there is one state and
            `confidence` is its probability.
        others: For each state the label that it would have if its weakest decision fell the other way; () where the
            kind has no more than one such label or does not say.
        weakest: Index of the state with the weakest decision.
    """

    states: tuple[State, ...]
    value: float | None
    sigma: float | None
    margin: float | None
    confidence: float
    stamps_s: np.ndarray
    window: tuple[float, float]
    viewer_at_s: float | None = None
    details: dict = field(default_factory=dict)
    tracks: tuple[str, ...] = ()
    margin_sigmas: float | None = None
    chances: tuple[float, ...] = ()
    others: tuple[str, ...] = ()
    weakest: int = 0

    @property
    def raw_chances(self) -> tuple[float, ...]:
        """For each state the raw probability that its label is right, of no states that of the answer."""
        count = max(len(self.states), 1)
        return self.chances or (self.confidence ** (1.0 / count),) * count


FindKind = Callable[[Scene, ResolvedQuery, RobustRules], Found]
