"""The reasoning road on one page: resolved query -> window -> quantity -> states -> answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning import states as judge
from dsr_core.reasoning.agents import Agent, motion, span
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.judgement import Judgement
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules
from dsr_core.scene import Scene

UNITS = {
    "distance": "m",
    "speed": "m/s",
    "speed_comparison": "m/s",
    "motion": "m/s",
    "direction": "rad",
    "orientation": "rad",
    "direction_prediction": "rad",
}
#: Kinds whose states are those of one instant when the window has no length.
_OF_AN_INSTANT = ("direction", "orientation")
#: A window without length is judged from what lies within this of it.
INSTANT_HALF_WINDOW_S = 0.5


@dataclass(frozen=True, eq=False)
class ResolvedQuery:
    """A query whose names have become agents.

    Attributes:
        kind: One of `dsr_core.reasoning.query.KINDS`.
        subject: Whom it is about.
        other: Whom it is compared with, or None.
        viewer: Whose eyes; `at_s` is None for a relative viewpoint.
        absolute: Whether the viewpoint is held fixed (`viewer.at_s` None then means the window's start).
        window: (start, end) asked for in seconds, or None.
    """

    kind: str
    subject: Agent
    other: Agent | None
    viewer: q.Viewer
    absolute: bool = False
    window: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Finding:
    """What the engine found: the machine-readable part of an `Answer`."""

    states: tuple[State, ...]
    value: float | None
    sigma: float | None
    margin: float | None
    unit: str | None
    confidence: float
    window: tuple[float, float]
    samples: int
    ego_motion: str | None
    object_motion: str | None
    viewer_at_s: float | None


def find(scene: Scene, query: ResolvedQuery, rules: str = "robust", config: RobustRules = DEFAULT_RULES) -> Finding:
    """Answers a resolved query from a scene.

    Raises:
        DeclineError: with the code that says why there is no answer.
    """
    query = _complete(query)
    stamps_s = _stamps(scene, query, config) if rules == "robust" else _published_stamps(scene, query)
    instant = query.window is not None and query.window[0] == query.window[1]
    end_s = query.window[0] if instant else float(stamps_s[-1])
    query = _fix_viewpoint(query, query.window[0] if instant else float(stamps_s[0]))
    measured = _measure(scene, query, stamps_s, config)
    if rules == "robust":
        judged = _judge(query, measured, stamps_s, config)
    else:
        judged = _judge_published(scene, query, measured)
    states = judged.states
    if instant and query.kind in _OF_AN_INSTANT:
        states = (State(next(s.label for s in states if s.end >= end_s - 1e-9), end_s, end_s),)
    value, sigma = _value(query.kind, measured, end_s, config)
    ego, thing = _motion_summary(scene, query, stamps_s, config)
    window = (end_s, end_s) if instant else (float(stamps_s[0]), float(stamps_s[-1]))
    metric = scene.metric or UNITS[query.kind] == "rad"
    return Finding(
        states=states,
        value=value if metric else None,
        sigma=sigma if metric else None,
        margin=judged.margin if metric else None,
        unit=UNITS[query.kind] if metric else None,
        confidence=judged.confidence,
        window=window,
        samples=len(stamps_s),
        ego_motion=ego,
        object_motion=thing,
        viewer_at_s=query.viewer.at_s,
    )


def _complete(query: ResolvedQuery) -> ResolvedQuery:
    """Fills in what the kind implies and refuses what makes no sense."""
    kind, other, viewer, absolute = query.kind, query.other, query.viewer, query.absolute
    if kind in ("distance", "direction") and other is None:
        other = viewer.agent
    if kind in ("distance", "direction", "speed_comparison"):
        q.require_two_things(query.subject, other)
        if kind == "distance" and "map" in (query.subject.name, other.name):
            raise DeclineError(
                "BAD_REQUEST",
                "the map has no place of its own; ask for the distance to a thing or to the robot",
                ("robot", "camera"),
            )
    if kind == "motion" or (kind in ("speed", "speed_comparison") and absolute):
        # A frame that is held fixed changes no speed, so neither the viewer's place nor its heading is needed.
        viewer, absolute = q.Viewer(Agent("map")), False
    return ResolvedQuery(kind, query.subject, other, viewer, absolute, query.window)


def _fix_viewpoint(query: ResolvedQuery, start_s: float) -> ResolvedQuery:
    if not query.absolute or query.viewer.at_s is not None:
        return query
    viewer = q.Viewer(query.viewer.agent, start_s)
    return ResolvedQuery(query.kind, query.subject, query.other, viewer, True, query.window)


# --- window ----------------------------------------------------------------------------------------------------------


def _needed(query: ResolvedQuery) -> list[Agent]:
    """The agents that must have been seen in the window."""
    agents = [query.subject] + ([query.other] if query.other else [])
    sees = query.kind in ("direction", "orientation", "speed", "speed_comparison", "direction_prediction")
    if sees and not query.absolute:
        agents.append(query.viewer.agent)
    return agents


def _common_span(scene: Scene, query: ResolvedQuery) -> tuple[float, float]:
    spans = [span(scene, agent) for agent in _needed(query)]
    start, end = max(s[0] for s in spans), min(s[1] for s in spans)
    if not math.isfinite(start):
        start, end = (float(scene.stamps_s[0]), float(scene.stamps_s[-1])) if len(scene.stamps_s) else (0.0, 0.0)
    if query.absolute and query.viewer.at_s is not None:
        seen = span(scene, query.viewer.agent)
        if not seen[0] - 0.5 <= query.viewer.at_s <= seen[1] + 0.5:
            raise DeclineError(
                "NOT_OBSERVED",
                f"{query.viewer.agent.label} was not seen at {query.viewer.at_s:.1f} s,"
                f" only from {seen[0]:.1f} s to {seen[1]:.1f} s",
            )
    return start, end


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


def _stamps(scene: Scene, query: ResolvedQuery, config: RobustRules) -> np.ndarray:
    """Stamps (T,) at which everything that the query needs is known, inside its window."""
    check_window(scene, query.window)
    asked = query.window
    if asked is not None and asked[0] == asked[1]:
        asked = (asked[0] - INSTANT_HALF_WINDOW_S, asked[1] + INSTANT_HALF_WINDOW_S)
    first, last = _common_span(scene, query)
    start, end = (first, last) if asked is None else (max(first, asked[0]), min(last, asked[1]))
    driver = next((a.track for a in _needed(query) if a.track is not None), None)
    stamps = scene.stamps_s if driver is None else driver.stamps_s
    lo, hi = np.searchsorted(stamps, start - 1e-9, "left"), np.searchsorted(stamps, end + 1e-9, "right")
    seen = hi - lo
    for agent in _needed(query):
        if agent.track is not None:
            seen = min(seen, int(agent.track.between(start - 1e-9, end + 1e-9).observed.sum()))
    if end < start or seen < config.min_samples:
        raise DeclineError("NOT_OBSERVED", _when_seen(scene, query, asked))
    stamps = stamps[lo:hi]
    if len(stamps) > config.max_samples:
        stamps = stamps[np.round(np.linspace(0, len(stamps) - 1, config.max_samples)).astype(int)]
    return stamps


def _when_seen(scene: Scene, query: ResolvedQuery, asked) -> str:
    when = "" if asked is None else f" between {asked[0]:.1f} s and {asked[1]:.1f} s"
    parts = []
    for agent in _needed(query):
        if agent.name != "map":
            first, last = span(scene, agent)
            parts.append(f"{agent.label} was seen from {first:.1f} s to {last:.1f} s")
    return f"too few common samples{when}: " + ", ".join(dict.fromkeys(parts))


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


def _published_stamps(scene: Scene, query: ResolvedQuery) -> np.ndarray:
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
    first, last = _common_span(scene, query)
    chosen = np.unique(chosen[(chosen >= first - 1e-9) & (chosen <= last + 1e-9)])
    needed = 2 if query.kind == "direction_prediction" else 5 if "speed" in query.kind or query.kind == "motion" else 4
    if len(chosen) < needed:
        raise DeclineError(
            "NOT_OBSERVED",
            f"{len(chosen)} of the recording's 32 samples fall into the window, {needed} are needed; "
            + _when_seen(scene, query, query.window),
        )
    return chosen


# --- quantities ------------------------------------------------------------------------------------------------------


def _measure(scene: Scene, query: ResolvedQuery, stamps_s, config) -> tuple[q.Series, ...]:
    """The series that the kind is judged by; positions where speeds come from them."""
    kind = query.kind
    if kind == "distance":
        return (q.distance(scene, query.subject, query.other, stamps_s),)
    if kind == "direction":
        return (q.direction(scene, query.subject, query.other, query.viewer, stamps_s),)
    if kind == "orientation":
        return (q.orientation(scene, query.subject, query.viewer, stamps_s),)
    positions = [q.position_in_view(scene, query.subject, query.viewer, stamps_s)]
    if kind == "speed_comparison":
        positions.append(q.position_in_view(scene, query.other, query.viewer, stamps_s))
    return tuple(positions)


def _judge(query: ResolvedQuery, measured, t, config) -> Judgement:
    kind, first = query.kind, measured[0]
    if kind == "distance":
        judged = judge.trend_states(t, first.values, first.sigma, config)
    elif kind in ("direction", "orientation"):
        judged = judge.direction_states(t, first.values, first.sigma, config)
    elif kind == "motion":
        judged = judge.motion_states(t, first.values, first.sigma, _length(query.subject), config)
    elif kind == "speed":
        speed = q.speed(first, config)
        judged = judge.trend_states(t, speed.values, speed.sigma, config)
        judged = Judgement(judged.states, judged.margin, judged.confidence, True)
    elif kind == "speed_comparison":
        a, b = q.speed(first, config), q.speed(measured[1], config)
        judged = judge.comparison_states(t, a.values, b.values, np.hypot(a.sigma, b.sigma), config)
    else:
        judged = _predict(query, first, t, config)
    if not judged.certain:
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"the noise ({float(np.median(first.sigma)):.2g} {'rad' if UNITS[kind] == 'rad' else 'm'} one sigma)"
            f" is too large to judge the {kind.replace('_', ' ')};"
            " ask for a longer window or a nearer thing",
        )
    return judged


def _predict(query: ResolvedQuery, position: q.Series, t, config) -> Judgement:
    # The slope over the last second: half a second to either side of half a second ago.
    velocity, sigma = q.heading(position, float(t[-1]) - config.speed_half_window_s, config)
    speed = float(np.linalg.norm(velocity))
    # A velocity whose noise is half of it points within half a radian of its direction.
    if not speed * config.uncertain_angle_rad > max(sigma, 1e-9):
        raise _no_direction(query.subject, speed, sigma)
    judged = judge.direction_states([t[-1]], velocity[None], sigma / speed, config)
    return judged


def _no_direction(agent: Agent, speed: float, sigma: float) -> DeclineError:
    noise = f", which noise of {sigma:.2f} m/s (one sigma) can fake" if speed > 0.005 else ""
    return DeclineError("TOO_UNCERTAIN", f"{agent.label} moves at {speed:.2f} m/s{noise}: no direction to predict")


def _judge_published(scene: Scene, query: ResolvedQuery, measured) -> Judgement:
    """States by the published rules, to the letter."""
    from dsr_core.reasoning import dsr_rules

    t, first = measured[0].stamps_s, measured[0].values
    if query.kind == "motion":
        return _judge(query, measured, t, DEFAULT_RULES)  # not a published kind
    if query.kind == "direction_prediction":
        if not np.any(first[-1] - first[0]):
            raise _no_direction(query.subject, 0.0, 0.0)
        runs, t = dsr_rules.states(query.kind, first[-1] - first[0]), t[-1:]
    elif query.kind == "speed":
        runs, t = dsr_rules.states(query.kind, _steps(first)), t[1:]
    elif query.kind == "speed_comparison":
        runs, t = dsr_rules.states(query.kind, _steps(first), _steps(measured[1].values)), t[1:]
    else:
        runs = dsr_rules.states(query.kind, first)
    return Judgement(tuple(State(label, float(t[i]), float(t[j])) for label, i, j in runs), math.nan, 1.0)


def _steps(positions: np.ndarray) -> np.ndarray:
    """Published speed: length of the displacement between neighbouring samples."""
    return np.linalg.norm(np.diff(positions, axis=0), axis=1)


def _value(kind: str, measured, end_s: float, config) -> tuple[float, float]:
    """Value and one-sigma at the window's end."""
    first = measured[0]
    if kind == "distance":
        return float(np.interp(end_s, first.stamps_s, first.values)), _at(first.sigma, first, end_s)
    if kind in ("direction", "orientation"):
        i = int(np.abs(first.stamps_s - end_s).argmin())
        x, y, _ = first.values[i]
        flat = math.hypot(x, y) / max(float(np.linalg.norm(first.values[i])), 1e-12)
        return math.atan2(y, x), float(first.sigma[i]) / max(flat, 1e-3)
    if kind == "direction_prediction":
        velocity, sigma = q.heading(first, end_s - config.speed_half_window_s, config)
        return math.atan2(velocity[1], velocity[0]), sigma / max(float(np.hypot(*velocity[:2])), 1e-9)
    velocity, sigma = q.heading(first, end_s, config)
    speed = float(np.linalg.norm(velocity))
    if kind == "speed_comparison":
        other, other_sigma = q.heading(measured[1], end_s, config)
        return speed - float(np.linalg.norm(other)), math.hypot(sigma, other_sigma)
    return speed, sigma


def _at(values, series: q.Series, at_s: float) -> float:
    return float(values[int(np.abs(series.stamps_s - at_s).argmin())])


# --- who moves ------------------------------------------------------------------------------------------------------


def _length(agent: Agent) -> float | None:
    """The longest side of a thing in metres, None where its size is not known."""
    if agent.track is None or not np.isfinite(agent.track.size_lwh_m).any():
        return None
    return float(np.nanmax(agent.track.size_lwh_m))


def _motion_summary(scene: Scene, query: ResolvedQuery, stamps_s, config) -> tuple[str | None, str | None]:
    """Whether the robot and the thing asked about moved in the world at any time in the window."""

    def judged(agent: Agent) -> str | None:
        try:
            m = motion(scene, agent, stamps_s)
        except DeclineError:
            return None
        sigma = q.world_sigma(scene, m.covariances)
        return "moving" if judge.moved(stamps_s, m.positions_m, sigma, _length(agent), config) else "still"

    thing = next((a for a in (query.subject, query.other) if a is not None and a.track is not None), None)
    return judged(Agent("robot")), None if thing is None else judged(thing)
