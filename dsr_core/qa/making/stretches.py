"""When things were observed without a gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.qa.config import QaConfig
from dsr_core.reasoning.agents import Agent, span
from dsr_core.scene import Scene

#: Of a scene with more stretches only so many, the longest ones, are drawn from.
MAX_STRETCHES = 400


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


def camera_stretch(scene: Scene) -> Stretch | None:
    """When the camera's pose is known, None where it never is."""
    try:
        agent = Agent("camera")
        return Stretch(agent, *span(scene, agent))
    except DeclineError:
        return None


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
