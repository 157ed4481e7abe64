"""How many things satisfy a relation: the relation's own road for each of them, then the usual yes or no."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import calibration
from dsr_core.reasoning.agents import Agent, span
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.certainty import verdict_confidence
from dsr_core.reasoning.kinds.base import FindKind, Found, ResolvedQuery
from dsr_core.reasoning.noise import SUREST
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.verdict import is_true
from dsr_core.reasoning.window import check_window
from dsr_core.scene import Scene

#: What may be declined for one thing and still leave a count of the others.
_ALONE = ("NOT_OBSERVED", "NO_ORIENTATION", "TOO_UNCERTAIN")


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether one thing satisfies the relation.

    Attributes:
        said: None where it cannot be told; `code` then says why.
        chance: Probability that it does.
    """

    agent: Agent
    said: bool | None
    chance: float = math.nan
    code: str | None = None


def find_count(scene: Scene, query: ResolvedQuery, config: RobustRules, kinds: Mapping[str, FindKind]) -> Found:
    """The number of things that were seen, or of those that satisfy a relation.

    Things of which it cannot be told are left out and listed; those seen too little in the window are left out.

    Args:
        kinds: How the relations are answered, by name.
    """
    check_window(scene, query.window)
    if query.of is None:
        verdicts = [Verdict(agent, True, SUREST) for agent in query.subjects]
    else:
        verdicts = _verdicts(scene, query, config, kinds[query.of])
    satisfying = [v for v in verdicts if v.said]
    number = len(satisfying)
    chances = np.array([v.chance for v in verdicts if v.said is not None]) if query.of else np.ones(number)
    start_s, end_s = _window(scene, query)
    stamps = scene.stamps_s[slice(*scene.stamps_s.searchsorted((start_s - 1e-9, end_s + 1e-9)))]
    details = {"satisfying": [{"track": v.agent.name, "label": v.agent.label} for v in satisfying]}
    if query.of:
        details |= {"of": query.of, "asked": query.asked if isinstance(query.asked, str) else list(query.asked)}
        undecided = [v for v in verdicts if v.said is None]
        details["undecided"] = [{"track": v.agent.name, "label": v.agent.label, "code": v.code} for v in undecided]
        for row, verdict in zip(details["satisfying"], satisfying, strict=True):
            row["confidence"] = verdict.chance
    return Found(
        states=(State(str(number), start_s, end_s),),
        value=float(number),
        sigma=math.sqrt(float((chances * (1.0 - chances)).sum())),
        margin=None,
        confidence=min(chance_of_number(chances, number), SUREST),
        stamps_s=stamps[:: max(-(-len(stamps) // config.max_samples), 1)],
        window=(start_s, end_s),
        details=details,
        tracks=tuple(v.agent.name for v in satisfying),
    )


def chance_of_number(chances: Sequence[float], number: int) -> float:
    """Probability that exactly `number` of independent events with these chances happen (Poisson binomial)."""
    spread = np.ones(1)
    for chance in chances:
        spread = np.convolve(spread, (1.0 - chance, chance))
    return float(spread[number])


def _verdicts(scene: Scene, query: ResolvedQuery, config: RobustRules, find: FindKind) -> list[Verdict]:
    """A verdict on each thing but the reference; those seen too little in the window are left out."""
    verdicts, unseen, reference = [], None, query.reference
    for agent in query.subjects:
        if reference.track is not None and agent.name == reference.name:
            continue
        one = query.replaced(kind=query.of, subject=agent, subjects=(), asked=None, of=None)
        try:
            verdicts.append(_verdict(agent, find(scene, one, config), query, config))
        except DeclineError as error:
            if error.code not in _ALONE:
                raise
            if error.code == "NOT_OBSERVED":
                unseen = unseen or error
            else:
                verdicts.append(Verdict(agent, None, code=error.code))
    if any(v.said is not None for v in verdicts):
        return verdicts
    if not verdicts:
        raise unseen or DeclineError("NO_SUCH_OBJECT", f"nothing but {reference.label} itself was seen")
    codes = {v.code for v in verdicts}
    raise DeclineError(
        codes.pop() if len(codes) == 1 else "TOO_UNCERTAIN",
        f"of none of {len(verdicts)} things can it be told ({query.of.replace('_', ' ')});"
        " ask for a longer window, or about one of them by its id",
        tuple(v.agent.label for v in verdicts[:20]),
    )


def _verdict(agent: Agent, found: Found, query: ResolvedQuery, config: RobustRules) -> Verdict:
    said = is_true(found.states, query.of, query.asked, query.recent)
    chances, _ = calibration.confidences(query.of, [s.label for s in found.states], found.raw_chances)
    sure = verdict_confidence(found.states, query.of, query.asked, chances, found.others, query.recent)
    if sure < config.least_confidence:
        return Verdict(agent, None, code="TOO_UNCERTAIN")
    return Verdict(agent, said, sure if said else 1.0 - sure)


def _window(scene: Scene, query: ResolvedQuery) -> tuple[float, float]:
    """The window asked for, or the time in which any of the things was seen."""
    if query.window is not None:
        return query.window
    spans = [span(scene, agent) for agent in query.subjects]
    return min(first for first, _ in spans), max(last for _, last in spans)
