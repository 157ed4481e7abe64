"""The reasoning road on one page: resolved query -> the kind's maths -> who moves -> finding."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dsr_core.errors import DeclineError
from dsr_core.reasoning import calibration
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning import states as judge
from dsr_core.reasoning.agents import Agent, interpolate, places_at
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.kinds import REGISTRY
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.kinds.published import PUBLISHED
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules
from dsr_core.reasoning.vocabulary import DIRECTION_KINDS, VOCABULARY, Kind
from dsr_core.reasoning.window import check_window
from dsr_core.scene import Scene

__all__ = ["Finding", "ResolvedQuery", "check_window", "find"]


@dataclass(frozen=True, eq=False)
class Finding:
    """What the engine found: the machine-readable part of an `Answer`.

    Beside these: `chances`, the calibrated probability of each state's label; `raw_chances`, the same before
    calibration; `others`, the label that each state would have if its weakest decision fell the other way.
    """

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
    details: dict = field(default_factory=dict)
    tracks: tuple[str, ...] = ()
    chances: tuple[float, ...] = ()
    raw_chances: tuple[float, ...] = ()
    others: tuple[str, ...] = ()


def find(scene: Scene, query: ResolvedQuery, rules: str = "robust", config: RobustRules = DEFAULT_RULES) -> Finding:
    """Answers a resolved query from a scene.

    Kinds that the published rules do not know are judged by the robust rules under either.

    Raises:
        DeclineError: with the code that says why there is no answer.
    """
    kind = VOCABULARY[query.kind]
    if kind.lengths and not scene.metric:
        raise DeclineError(
            "NOT_METRIC",
            f"the {kind.name.replace('_', ' ')} is a length, and this scene has no scale;"
            " give depth, stereo or metric poses, or ask how something changes",
            ("distance", "direction", "motion"),
        )
    published = PUBLISHED.get(query.kind) if rules == "dsr" else None
    found = (published or REGISTRY[query.kind])(scene, query, config)
    ego, thing = _who_moves(scene, query, found, config)
    metric = scene.metric or kind.unit in ("rad", "s", None)
    details = dict(found.details)
    if found.margin_sigmas is not None and math.isfinite(found.margin_sigmas):
        details["margin_sigmas"] = float(found.margin_sigmas)
    if found.margin is not None and found.states:
        details["would_change"] = _would_change(found, kind, metric)
    raw, chances, confidence = _confidence(found, kind.name, calibrate=published is None and not kind.many)
    return Finding(
        states=found.states,
        value=found.value if metric else None,
        sigma=found.sigma if metric else None,
        margin=found.margin if metric else None,
        unit=kind.unit if metric else None,
        confidence=confidence,
        window=found.window,
        samples=len(found.stamps_s),
        ego_motion=ego,
        object_motion=thing,
        viewer_at_s=found.viewer_at_s,
        details=details,
        tracks=found.tracks,
        chances=chances,
        raw_chances=raw,
        others=found.others,
    )


def expected_share(finding: Finding) -> float:
    """Share of the time for which the states are expected to be right.

    That all of several states are right may be much less likely; the `confidence` says so.
    """
    lasting = [max(state.end - state.start, 1e-9) for state in finding.states]
    return sum(p * s for p, s in zip(finding.chances, lasting, strict=True)) / sum(lasting)


def require_confident(
    finding: Finding, query: ResolvedQuery, verdict: float | None = None, config: RobustRules = DEFAULT_RULES
) -> None:
    """Refuses an answer that is little better than a guess.

    Args:
        verdict: Of a yes/no question the probability that yes or no is right; else the states are judged.

    Raises:
        DeclineError: TOO_UNCERTAIN, with the margin.
    """
    # A number of things is told with its sigma, however unlikely it is that none of many verdicts is wrong. A direction
    # is several decisions: with one side in doubt the others still say much (and noise of the angle is judged before).
    if not finding.states or query.kind == "count" or (query.kind in DIRECTION_KINDS and verdict is None):
        return
    sure = verdict if verdict is not None else max(finding.confidence, expected_share(finding))
    if sure >= config.least_confidence:
        return
    margin = ""
    if finding.margin is not None:
        sigmas = finding.details.get("margin_sigmas")
        size = "" if sigmas is None else f" ({sigmas:.1f} sigma)"
        margin = f", {finding.margin:.2g} {finding.unit}{size} from its threshold"
    found = " then ".join(state.label for state in finding.states)
    raise DeclineError(
        "TOO_UNCERTAIN",
        f"the {query.kind.replace('_', ' ')} of {query.subject.label} is too close to call: {found}{margin}, is only"
        f" {100 * sure:.0f} % sure; ask about another window or a nearer thing",
    )


def _confidence(found: Found, kind: str, calibrate: bool) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Raw and calibrated probability of each state, and the confidence in all of them."""
    raw = found.raw_chances
    if not calibrate or not found.states:
        return raw, raw, found.confidence
    labels = [s.label for s in found.states]
    return raw, *calibration.confidences(kind, labels, raw)


def _would_change(found: Found, kind: Kind, metric: bool) -> dict:
    """What would change the states: the label that the weakest one would have, and by how much."""
    state, changed = found.states[found.weakest], {}
    if found.others:
        changed["label"] = found.others[found.weakest]
    elif len(kind.labels) == 2:
        changed["label"] = next(label for label in kind.labels if label != state.label)
    if len(found.states) > 1:
        changed |= {"state": state.label, "start": state.start, "end": state.end}
    if metric:
        changed |= {"by": float(found.margin), "unit": kind.unit}
    if found.margin_sigmas is not None and math.isfinite(found.margin_sigmas):
        changed["sigmas"] = float(found.margin_sigmas)
    return changed


def _who_moves(scene: Scene, query: ResolvedQuery, found, config) -> tuple[str | None, str | None]:
    """Whether the robot and the thing asked about moved in the world at any time in the window."""

    def judged(agent: Agent) -> str | None:
        try:
            if agent.track is None:
                places, sigma = places_at(scene, agent, found.stamps_s), float(scene.ego_sigma_m)
            else:
                places, covariances, _ = interpolate(agent.track, found.stamps_s)
                sigma = q.world_sigma(scene, covariances)
        except DeclineError:
            return None
        moved = judge.moved(found.stamps_s, places, sigma, agent.length_m, config)
        return "moving" if moved else "still"

    if not len(found.stamps_s):
        return None, None
    things = [a for a in (query.subject, query.other) if a is not None and a.track is not None]
    many = VOCABULARY[query.kind].many
    return judged(Agent("robot")), None if many or not things else judged(things[0])
