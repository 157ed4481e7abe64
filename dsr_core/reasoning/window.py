"""Windows of time: which are refused, and which stamps of a scene lie in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning.agents import Agent, span
from dsr_core.reasoning.rules import RobustRules
from dsr_core.scene import Scene

#: A window without length is judged from what lies within this of it.
INSTANT_HALF_WINDOW_S = 0.5


def check_window(scene: Scene, window: tuple[float, float] | None) -> None:
    """Refuses a window that runs backwards or lies outside the recording."""
    if window is None:
        return
    start, end = window
    if not start <= end:
        reversed_window = f"the window ends at {end:.1f} s, before it starts at {start:.1f} s; swap them"
        raise DeclineError("BAD_WINDOW", reversed_window)
    if start > scene.end_s + INSTANT_HALF_WINDOW_S or end < 0:
        raise DeclineError(
            "BAD_WINDOW",
            f"the window {start:.1f} s to {end:.1f} s lies outside the recording (0.0 s to {scene.end_s:.1f} s)",
        )


def is_instant(window: tuple[float, float] | None) -> bool:
    return window is not None and window[0] == window[1]


def common_span(scene: Scene, agents: Sequence[Agent]) -> tuple[float, float]:
    """First and last second at which all the agents were there; the recording's where none of them says."""
    spans = [span(scene, agent) for agent in agents]
    start, end = max((s[0] for s in spans), default=-math.inf), min((s[1] for s in spans), default=math.inf)
    if not math.isfinite(start):
        start, end = (float(scene.stamps_s[0]), float(scene.stamps_s[-1])) if len(scene.stamps_s) else (0.0, 0.0)
    return start, end


def check_viewpoint_time(scene: Scene, viewer: Agent, at_s: float) -> None:
    """Refuses an absolute viewpoint at a time at which the viewer was not seen."""
    seen = span(scene, viewer)
    if not seen[0] - 0.5 <= at_s <= seen[1] + 0.5:
        raise DeclineError(
            "NOT_OBSERVED",
            f"{viewer.label} was not seen at {at_s:.1f} s, only from {seen[0]:.1f} s to {seen[1]:.1f} s",
        )


def stamps_in(
    scene: Scene, agents: Sequence[Agent], window: tuple[float, float] | None, config: RobustRules
) -> np.ndarray:
    """Stamps (T,) inside the window at which all the agents are known, at most `max_samples`, thinned evenly.

    An instant is widened by `INSTANT_HALF_WINDOW_S` to either side. The stamps are those of the first agent that is a
    track (the recording's where there is none).

    Raises:
        DeclineError: BAD_WINDOW; NOT_OBSERVED where there are fewer than `min_samples` observed samples.
    """
    check_window(scene, window)
    if is_instant(window):
        window = (window[0] - INSTANT_HALF_WINDOW_S, window[1] + INSTANT_HALF_WINDOW_S)
    first, last = common_span(scene, agents)
    start, end = (first, last) if window is None else (max(first, window[0]), min(last, window[1]))
    driver = next((a.track for a in agents if a.track is not None), None)
    stamps = scene.stamps_s if driver is None else driver.stamps_s
    lo, hi = rows_between(stamps, start, end)
    seen = hi - lo
    for agent in agents:
        if agent.track is not None:
            rows = (lo, hi) if agent.track is driver else rows_between(agent.track.stamps_s, start, end)
            seen = min(seen, int(np.count_nonzero(agent.track.observed[slice(*rows)])))
    if end < start or seen < config.min_samples:
        raise DeclineError("NOT_OBSERVED", when_seen(scene, agents, window))
    stamps = stamps[lo:hi]
    if len(stamps) > config.max_samples:
        stamps = stamps[np.round(np.linspace(0, len(stamps) - 1, config.max_samples)).astype(int)]
    return stamps


def rows_between(stamps_s: np.ndarray, start_s: float, end_s: float) -> tuple[int, int]:
    """First row in a closed time span, give or take a nanosecond, and the one after its last."""
    return int(stamps_s.searchsorted(start_s - 1e-9, "left")), int(stamps_s.searchsorted(end_s + 1e-9, "right"))


def when_seen(scene: Scene, agents: Sequence[Agent], window) -> str:
    """ "too few common samples between 1.0 s and 2.0 s: car 12 was seen from 3.0 s to 9.0 s"."""
    when = "" if window is None else f" between {window[0]:.1f} s and {window[1]:.1f} s"
    parts = []
    for agent in agents:
        if agent.name != "map":
            first, last = span(scene, agent)
            parts.append(f"{agent.label} was seen from {first:.1f} s to {last:.1f} s")
    return f"too few common samples{when}: " + ", ".join(dict.fromkeys(parts))
