"""Draws what questions are about: who, seen by whom, and when; things that are long in view and move go first."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from dsr_core.qa.config import QaConfig
from dsr_core.qa.making.stretches import Stretch, camera_stretch, stretches
from dsr_core.qa.making.templates import PAIRS
from dsr_core.qa.making.windows import LENGTH_BINS, Grid
from dsr_core.reasoning.agents import Agent
from dsr_core.scene import Scene, Track

_REDRAWS = 8


@dataclass(frozen=True, eq=False)
class Draft:
    """What a question may be about.

    Attributes:
        kind: Kind of the query.
        subject, other: The one or two things. viewer: Whose eyes.
        absolute: Whether the viewpoint is held fixed, then at `at_s` (seconds, one decimal).
        window_s: (start, end) seconds with one decimal, None for predictions that tell none.
        first, length_bin: Which stretch and which length of the window were drawn, for `Sampler.tell`.
    """

    kind: str
    subject: Agent
    other: Agent | None
    viewer: Agent
    absolute: bool
    at_s: float | None
    window_s: tuple[float, float] | None
    first: int = 0
    length_bin: int = 0


class Sampler:
    """Draws drafts of questions about one scene.

    Args:
        scene: The scene. config: What is drawn. rng: Where chance comes from.
    """

    def __init__(self, scene: Scene, config: QaConfig, rng: random.Random):
        self._config, self._rng = config, rng
        self._camera = camera_stretch(scene)
        self._grid = Grid(scene, config)
        self.stretches = stretches(scene, config, self._grid.least_s)
        self._any = range(len(self.stretches))
        self._any_weights = self._cumulative(self._any)
        oriented = [i for i, s in enumerate(self.stretches) if _has_front(s.agent.track, config)]
        self._oriented, self._oriented_weights = oriented, self._cumulative(oriented)
        start = np.array([s.start_s for s in self.stretches])
        end = np.array([s.end_s for s in self.stretches])
        ids = np.array([s.agent.name for s in self.stretches], dtype=object)
        shared = np.minimum(end, end[:, None]) - np.maximum(start, start[:, None])
        together = (shared >= self._grid.least_s) & (ids != ids[:, None])
        self._partners = [np.flatnonzero(row).tolist() for row in together]
        fronts = np.zeros(len(ids), bool)
        fronts[oriented] = True
        self._viewers = [np.flatnonzero(row & fronts).tolist() for row in together]
        self._luck: dict[tuple[str, bool, int], list[float]] = {}
        self._won: dict[tuple[str, bool], list[list[float]]] = {}

    def draw(self, kind: str, absolute: bool) -> Draft | str:
        """A draft, or the reason why this try gave none."""
        oriented = kind == "orientation"
        which, weights = (self._oriented, self._oriented_weights) if oriented else (self._any, self._any_weights)
        if not which:
            return "no heading" if oriented else "nothing observed long enough"
        first = self._lucky(kind, absolute, which, weights)
        things = self._things(first, kind)
        if things is None:
            return "no second thing at the time"
        viewer = self._viewer(first, kind, absolute, things)
        if viewer is None:
            return "no viewer"
        together = things if absolute else (*things, viewer)
        start, end = max(s.start_s for s in together), min(s.end_s for s in together)
        predicts, window, length_bin = kind == "direction_prediction", None, 0
        if not predicts or self._config.windowed_predictions:
            length_bin = self._length_bin(kind, absolute)
            window = self._grid.window(self._rng, start, end, kind, length_bin)
            if window is None:
                return "not long enough together"
        latest = math.inf
        if predicts:
            latest = min(end, self._grid.future_s) if window is None else window[1]
        at_s = self._time_of(viewer, window, latest) if absolute else None
        if absolute and at_s is None:
            return "viewer not seen before"
        other = things[1].agent if len(things) > 1 else None
        return Draft(kind, things[0].agent, other, viewer.agent, absolute, at_s, window, first, length_bin)

    def _things(self, first: int, kind: str) -> tuple[Stretch, ...] | None:
        """The one or two things, in order; None where there is no second one."""
        drawn = self.stretches[first]
        if kind not in PAIRS:
            return (drawn,)
        share = self._config.camera_thing
        chance = self._rng.random() if self._camera is not None else 1.0
        if chance < share:
            return self._camera, drawn
        if chance < share + (1.0 - share) * share:
            return drawn, self._camera
        if not self._partners[first]:
            return None
        # Of two the one that moves: what two parked things do is soon asked.
        two = [self.stretches[i] for i in self._rng.choices(self._partners[first], k=2)]
        return drawn, max(two, key=lambda s: s.moves)

    def tell(self, draft: Draft, worth: float) -> None:
        """Says what a draft was worth, 0 to 1: things and lengths of windows that give more are drawn more often."""
        luck = self._luck.setdefault((draft.kind, draft.absolute, draft.first), [0.0, 0.0])
        for won in (luck, self._wins(draft.kind, draft.absolute)[draft.length_bin]):
            won[0] += worth
            won[1] += 1.0

    def _lucky(self, kind: str, absolute: bool, which, weights: list[float]) -> int:
        """One of the stretches; one whose questions failed so far is passed over the more often the more it did."""
        for _ in range(_REDRAWS):
            first = self._rng.choices(which, cum_weights=weights)[0]
            worth, tries = self._luck.get((kind, absolute, first), (0.0, 0.0))
            if self._rng.random() * (tries + 1.0) < worth + 1.0:
                break
        return first

    def _viewer(self, first: int, kind: str, absolute: bool, things: tuple[Stretch, ...]) -> Stretch | None:
        """The camera or a thing with a heading; nobody sees its own speed, heading or way from its own moving frame."""
        rng = self._rng
        own = kind not in ("distance", "direction") and not absolute
        camera = self._camera is not None and not (own and any(s is self._camera for s in things))
        if camera and rng.random() < self._config.camera_viewer:
            return self._camera
        choice = self._oriented if absolute else self._viewers[first]
        if own:
            choice = [i for i in choice if all(self.stretches[i].agent.name != s.agent.name for s in things)]
        if choice:
            return self.stretches[rng.choice(choice)]
        return self._camera if camera else None

    def _time_of(self, viewer: Stretch, window, latest_s: float) -> float | None:
        """A time of an absolute viewpoint, in the window or anywhere where the viewer was seen, one decimal."""
        lo, hi = math.ceil(viewer.start_s * 10 - 1e-6), math.floor(min(viewer.end_s, latest_s) * 10 + 1e-6)
        if window is not None and self._rng.random() < self._config.at_inside:
            inside = max(lo, round(window[0] * 10)), min(hi, round(window[1] * 10))
            lo, hi = inside if inside[0] <= inside[1] else (lo, hi)
        return None if hi < lo else self._rng.randint(lo, hi) / 10

    def _length_bin(self, kind: str, absolute: bool) -> int:
        weights = [(worth + 1.0) / (tries + 2.0) for worth, tries in self._wins(kind, absolute)]
        return self._rng.choices(range(LENGTH_BINS), weights=weights)[0]

    def _wins(self, kind: str, absolute: bool) -> list[list[float]]:
        return self._won.setdefault((kind, absolute), [[0.0, 0.0] for _ in range(LENGTH_BINS)])

    def _cumulative(self, which) -> list[float]:
        longest, moving = self._config.max_window_s, self._config.moving_weight
        drawn = (self.stretches[i] for i in which)
        return list(accumulate(min(s.length_s, longest) * (moving if s.moves else 1.0) for s in drawn))


def _has_front(track: Track, config: QaConfig) -> bool:
    return track.label not in config.no_front and bool(np.isfinite(track.orientations_xyzw).all())
