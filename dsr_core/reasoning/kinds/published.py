"""The published kinds by the published rules, to the letter: 32 samples of the source, the last two for prediction."""

from __future__ import annotations

import math

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import dsr_rules
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.dsr_rules import PUBLISHED_KINDS
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.kinds.series import complete, fix_viewpoint, measure, needed, no_direction, value_at
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.window import check_viewpoint_time, check_window, common_span, is_instant, when_seen
from dsr_core.scene import Scene


def source_stamps(scene: Scene, count: int = 32) -> np.ndarray:
    """The published sampling: `count` frames, evenly spaced over the whole recording by index, seconds."""
    stamps = scene.stamps_s
    if not len(stamps):
        stamps = np.unique(np.concatenate([t.stamps_s for t in scene.tracks.values()] or [np.zeros(0)]))
    if len(stamps) < 2:
        raise DeclineError(
            "NOT_OBSERVED", f"the recording has {len(stamps)} frames; the published rules need 32 samples of it"
        )
    return stamps[np.round(np.linspace(0, len(stamps) - 1, count)).astype(int)]


def find_published(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """A published kind by the published rules; they know no noise, so their confidence is 1."""
    query = complete(query)
    if query.absolute and query.viewer.at_s is not None:
        check_viewpoint_time(scene, query.viewer.agent, query.viewer.at_s)
    t = _stamps(scene, query)
    instant = is_instant(query.window)
    end_s = query.window[0] if instant else float(t[-1])
    query = fix_viewpoint(query, query.window[0] if instant else float(t[0]))
    measured = measure(scene, query, t)
    states = _states(query, measured, t)
    if instant and query.kind in ("direction", "orientation"):
        states = (State(next(s.label for s in states if s.end >= end_s - 1e-9), end_s, end_s),)
    value, sigma = value_at(query.kind, measured, end_s, config)
    window = (end_s, end_s) if instant else (float(t[0]), end_s)
    return Found(states, value, sigma, None, 1.0, t, window, query.viewer.at_s)


def _stamps(scene: Scene, query: ResolvedQuery) -> np.ndarray:
    """Samples of the published rules inside the window; the last two are kept for prediction."""
    samples = source_stamps(scene)
    step = float(np.median(np.diff(samples)))
    if query.kind == "direction_prediction":
        chosen = samples[[29, 31]]
    else:
        check_window(scene, query.window)
        start, end = query.window or (-math.inf, math.inf)
        usable = samples[:-2]
        chosen = usable[(usable >= start - step / 2) & (usable <= end + step / 2)]
    first, last = common_span(scene, needed(query))
    chosen = np.unique(chosen[(chosen >= first - 1e-9) & (chosen <= last + 1e-9)])
    required = 2 if query.kind == "direction_prediction" else 5 if "speed" in query.kind else 4
    if len(chosen) < required:
        raise DeclineError(
            "NOT_OBSERVED",
            f"{len(chosen)} of the recording's 32 samples fall into the window, {required} are needed; "
            + when_seen(scene, needed(query), query.window),
        )
    return chosen


def _states(query: ResolvedQuery, measured, t) -> tuple[State, ...]:
    first = measured[0].values
    if query.kind == "direction_prediction":
        if not np.any(first[-1] - first[0]):
            raise no_direction(query.subject, 0.0, 0.0)
        runs, t = dsr_rules.states(query.kind, first[-1] - first[0]), t[-1:]
    elif query.kind == "speed":
        runs, t = dsr_rules.states(query.kind, _steps(first)), t[1:]
    elif query.kind == "speed_comparison":
        runs, t = dsr_rules.states(query.kind, _steps(first), _steps(measured[1].values)), t[1:]
    else:
        runs = dsr_rules.states(query.kind, first)
    return tuple(State(label, float(t[i]), float(t[j])) for label, i, j in runs)


def _steps(positions: np.ndarray) -> np.ndarray:
    """Published speed: length of the displacement between neighbouring samples."""
    return np.linalg.norm(np.diff(positions, axis=0), axis=1)


PUBLISHED = dict.fromkeys(PUBLISHED_KINDS, find_published)
