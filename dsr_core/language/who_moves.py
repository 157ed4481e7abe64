"""Who caused a change of distance: the thing, the robot, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsr_core.language.names import same_class
from dsr_core.language.phrases import the
from dsr_core.reasoning.answer import State

_EGO = ("robot", "camera")
_WAYS = {"decreasing": ("approaches", "approaches it"), "increasing": ("moves away", "moves away from it")}


def trend_of(states: Sequence[State], recent: bool = False) -> str | None:
    """ "increasing" or "decreasing" where the states say one of them (the newest for the present), else None."""
    labels = {states[-1].label} if recent and states else {s.label for s in states}
    trends = labels & set(_WAYS)
    return trends.pop() if len(trends) == 1 else None


def who_moves(names: Mapping[str, str | None], motion: Mapping[str, str | None], trend: str | None = None) -> str:
    """ "; car 12 is parked, the robot approaches it".

    Args:
        names: "subject", "object" and "viewer" of the answer.
        motion: "ego" and "object": "moving", "still" or None in the world.
        trend: Of the distance between the two: "increasing", "decreasing" or None.

    Returns:
        A clause that begins with a semicolon, or "" where nothing is known.
    """
    pair = (names.get("subject"), names.get("object") or names.get("viewer"))
    thing = next((n for n in pair if n and n not in (*_EGO, "map")), None)
    ego = next((n for n in pair if n in _EGO), None)
    thing_does = motion.get("object") if thing else None
    ego_does = motion.get("ego") if ego else None
    if thing_does and thing_does == ego_does:
        return "; both move" if ego_does == "moving" else "; both stand still"
    alone, toward = _WAYS.get(trend, ("moves", "moves")) if thing_does and ego_does else ("moves", "moves")
    parts = []
    if thing_does:
        still = "is parked" if same_class("vehicle", thing.rsplit(" ", 1)[0]) else "stands still"
        parts.append(f"{the(thing)} {alone if thing_does == 'moving' else still}")
    if ego_does:
        parts.append(f"{the(ego)} {toward if ego_does == 'moving' else 'stands still'}")
    return "; " + ", ".join(parts) if parts else ""
