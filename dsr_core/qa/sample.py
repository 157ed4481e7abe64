"""Draws what questions are about: who, seen by whom, and when; things that are long in view go first."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.qa.config import QaConfig
from dsr_core.qa.templates import PAIRS
from dsr_core.reasoning.agents import Agent, span
from dsr_core.reasoning.kinds.published import source_stamps
from dsr_core.scene import Scene, Track

#: Of a scene with more stretches of observation only so many, the longest ones, are drawn from.
MAX_STRETCHES = 400
_LENGTH_BINS = 3
_REDRAWS = 8


@dataclass(frozen=True, eq=False)
class Stretch:
    """A thing, or the camera, from `start_s` to `end_s` in which it was observed without a gap.

    `moves` says whether its places are farther apart than its own length: a hint for sampling alone.
    """

    agent: Agent
    start_s: float
    end_s: float
    moves: bool = False

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, eq=False)
class Draft:
    """What a question may be about.

    Attributes:
        kind: Kind of the query.
        subject, other: The one or two things. viewer: Whose eyes.
        absolute: Whether the viewpoint is held fixed, then at `at_s` (seconds, one decimal).
        window_s: (start, end) seconds with one decimal, None for predictions.
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
        self._all = self._cumulative(range(len(self.stretches)))
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
        self._luck: dict[tuple[str, bool, int], list[int]] = {}
        self._won: dict[tuple[str, bool], list[list[int]]] = {}

    def draw(self, kind: str, absolute: bool) -> Draft | str:
        """A draft, or the reason why this try gave none."""
        rng, config = self._rng, self._config
        if kind == "orientation":
            if not self._oriented:
                return "no heading"
            first = self._lucky(kind, absolute, self._oriented, self._oriented_weights)
        elif self.stretches:
            first = self._lucky(kind, absolute, range(len(self.stretches)), self._all)
        else:
            return "nothing observed long enough"
        subject, other, together = self.stretches[first], None, [self.stretches[first]]
        if kind in PAIRS:
            chance = rng.random() if self._camera is not None else 1.0
            share = config.camera_thing
            if chance < share + (1.0 - share) * share:
                other = self._camera
            elif self._partners[first]:
                # Of two the one that moves: what two parked things do is soon asked.
                other = max((self.stretches[i] for i in rng.choices(self._partners[first], k=2)), key=lambda s: s.moves)
            else:
                return "no second thing at the time"
            together.append(other)
            if chance < share:
                subject, other = other, subject
        viewer = self._viewer(first, kind, absolute, together)
        if viewer is None:
            return "no viewer"
        if not absolute:
            together.append(viewer)
        start, end = max(s.start_s for s in together), min(s.end_s for s in together)
        if kind == "direction_prediction":
            window, length_bin = None, 0
            latest = min(end, self._grid.future_s)
        else:
            length_bin = self._length_bin(kind, absolute)
            window = self._grid.window(rng, start, end, kind, length_bin)
            if window is None:
                return "not long enough together"
            latest = math.inf
        at_s = self._time_of(viewer, window, latest) if absolute else None
        if absolute and at_s is None:
            return "viewer not seen before"
        names = subject.agent, None if other is None else other.agent, viewer.agent
        return Draft(kind, *names, absolute, at_s, window, first, length_bin)

    def tell(self, draft: Draft, kept: bool) -> None:
        """Says whether a draft became a question: things and lengths of windows that do so are drawn more often."""
        luck = self._luck.setdefault((draft.kind, draft.absolute, draft.first), [0, 0])
        for won in (luck, self._wins(draft.kind, draft.absolute)[draft.length_bin]):
            won[0] += kept
            won[1] += 1

    def _lucky(self, kind: str, absolute: bool, which, weights: list[float]) -> int:
        """One of the stretches; one whose questions failed so far is passed over the more often the more it did."""
        for _ in range(_REDRAWS):
            first = self._rng.choices(which, cum_weights=weights)[0]
            kept, tries = self._luck.get((kind, absolute, first), (0, 0))
            if self._rng.random() * (tries + 1.0) < kept + 1.0:
                break
        return first

    def _viewer(self, first: int, kind: str, absolute: bool, things: list[Stretch]) -> Stretch | None:
        """The camera or a thing with a heading; nobody sees its own speed, heading or way from its own moving frame."""
        rng = self._rng
        own = kind not in ("distance", "direction") and not absolute
        camera = self._camera is not None and not (own and any(s is self._camera for s in things))
        if camera and rng.random() < self._config.camera_viewer:
            return self._camera
        if absolute:
            choice = self._oriented
        else:
            taken = {s.agent.name for s in things} if own else ()
            choice = (
                [i for i in self._viewers[first] if self.stretches[i].agent.name not in taken]
                if own
                else (self._viewers[first])
            )
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
        weights = [(kept + 1.0) / (tries + 2.0) for kept, tries in self._wins(kind, absolute)]
        return self._rng.choices(range(_LENGTH_BINS), weights=weights)[0]

    def _wins(self, kind: str, absolute: bool) -> list[list[int]]:
        return self._won.setdefault((kind, absolute), [[0, 0] for _ in range(_LENGTH_BINS)])

    def _cumulative(self, which) -> list[float]:
        longest, moving = self._config.max_window_s, self._config.moving_weight
        drawn = (self.stretches[i] for i in which)
        return list(accumulate(min(s.length_s, longest) * (moving if s.moves else 1.0) for s in drawn))


class Grid:
    """Which windows there can be: tenths of a second for robust rules, the published samples for the published ones.

    Args:
        scene: The scene. config: Lengths and rules.

    Attributes:
        least_s: A shorter stretch holds no window.
        future_s: What the published rules predict begins here; infinite for the robust rules.
    """

    def __init__(self, scene: Scene, config: QaConfig):
        self._samples = None
        shortest, longest = config.min_window_s, config.max_window_s
        self.least_s, self.future_s = shortest, math.inf
        if config.rules == "dsr":
            self._samples = source_stamps(scene)[:-2]  # the last two are kept for prediction
            self.future_s = float(self._samples[-1])
            self.least_s = 3.0 * float(np.median(np.diff(self._samples)))
        steps = np.linspace(math.log(shortest), math.log(longest), _LENGTH_BINS + 1)
        self._edges = [round(10 * math.exp(s)) for s in steps]

    def window(
        self, rng: random.Random, start_s: float, end_s: float, kind: str, length_bin: int
    ) -> tuple[float, float] | None:
        """A window inside a stretch, rounded to tenths of a second; None where none fits."""
        if self._samples is not None:
            return self._published(rng, start_s, end_s, kind)
        lo, hi = math.ceil(start_s * 10 - 1e-6), math.floor(end_s * 10 + 1e-6)
        shortest, longest = self._edges[length_bin], self._edges[length_bin + 1]
        if hi - lo < shortest:
            shortest = self._edges[0]
        if hi - lo < shortest:
            return None
        length = rng.randint(shortest, min(max(longest, shortest), hi - lo))
        first = rng.randint(lo, hi - length)
        return first / 10, (first + length) / 10

    def _published(self, rng: random.Random, start_s: float, end_s: float, kind: str) -> tuple[float, float] | None:
        """Two samples at least 4 steps apart, cut short where a thing is gone; 4 samples stay, 5 of speeds."""
        samples = self._samples
        first = int(samples.searchsorted(start_s - 1e-9))
        last = int(samples.searchsorted(end_s + 1e-9)) - 1
        least = 4 if "speed" in kind else 3
        latest = min(last - least, len(samples) - 5)
        if latest < first:
            return None
        i = rng.randint(first, latest)
        j = min(rng.randint(i + 4, len(samples) - 1), last)
        return None if j - i < least else (round(float(samples[i]), 1), round(float(samples[j]), 1))


def camera_stretch(scene: Scene) -> Stretch | None:
    """When the camera's pose is known, None where it never is."""
    try:
        agent = Agent("camera")
        return Stretch(agent, *span(scene, agent))
    except DeclineError:
        return None


def _has_front(track: Track, config: QaConfig) -> bool:
    return track.label not in config.no_front and bool(np.isfinite(track.orientations_xyzw).all())


def stretches(scene: Scene, config: QaConfig, least_s: float) -> list[Stretch]:
    """Where things were observed without a gap for long enough."""
    found = []
    for track in scene.tracks.values():
        if track.label in config.not_asked:
            continue
        rows = np.flatnonzero(track.observed)
        if len(rows) < 2:
            continue
        seen, agent = track.stamps_s[rows], Agent(track.id, track)
        breaks = np.flatnonzero(np.diff(seen) > config.max_gap_s)
        for lo, hi in zip(np.append(0, breaks + 1), np.append(breaks, len(seen) - 1), strict=True):
            start_s, end_s = float(seen[lo]), float(seen[hi])
            if end_s - start_s >= least_s - 1e-9:
                places = track.positions_world_m[rows[lo] : rows[hi] + 1]
                extent = float(np.linalg.norm(places.max(axis=0) - places.min(axis=0)))
                moves = agent.length_m is not None and extent > agent.length_m
                found.append(Stretch(agent, start_s, end_s, moves))
    if len(found) > MAX_STRETCHES:
        longest = sorted(range(len(found)), key=lambda i: -found[i].length_s)[:MAX_STRETCHES]
        found = [found[i] for i in sorted(longest)]
    return found
