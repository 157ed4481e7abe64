"""Answers as sentences for a person: short, with the numbers and times that they rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dsr_core.language.phrases import Told, number_with_unit, the
from dsr_core.language.verdict import DIRECTIONS, faster, is_any, is_true
from dsr_core.language.who_moves import trend_of, who_moves
from dsr_core.language.words import WORDS
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.dsr_rules import word_states

_VERBS = {
    "distance": {
        "increasing": "gets farther from",
        "decreasing": "gets closer to",
        "constant": "keeps its distance to",
    },
    "speed": {"increasing": "speeds up", "decreasing": "slows down", "constant": "keeps its speed"},
    "motion": {"moving": "moves", "still": "stands still"},
    "speed_comparison": {
        "first_faster": "is faster than",
        "second_faster": "is slower than",
        "same": "is about as fast as",
    },
}
_PLACES = {
    "front": "in front of",
    "behind": "behind",
    "left": "to the left of",
    "right": "to the right of",
    "above": "above",
    "below": "below",
}
_WAYS = {"front": "forward", "behind": "backward", "left": "left", "right": "right", "above": "up", "below": "down"}
_OPPOSITE_SIDE = {"first_faster": "second_faster", "second_faster": "first_faster", "same": "same"}


def word(
    states: Sequence[State],
    kind: str,
    names: Mapping[str, str | None],
    value: float | None = None,
    sigma: float | None = None,
    unit: str | None = None,
    form: str = "open",
    asked: str | Sequence[str] | None = None,
    motion: Mapping[str, str | None] | None = None,
    rules: str = "robust",
    recent: bool = False,
    at_s: float | None = None,
    details: Mapping | None = None,
) -> str:
    """Words an answer.

    Args:
        states: What held when.
        kind: Kind of the query.
        names: "subject", "object" (None: the viewer) and "viewer": "car 12", "robot", …
        value: Number at the window's end, with its one-sigma and unit.
        form: "open", "yes_no" or "which", and what was asked (see `ParsedQuestion`).
        motion: "ego" and "object": "moving", "still" or None in the world.
        rules: With "dsr" the published wording.
        recent: The question was about the present.
        at_s: Second that `value` belongs to (the window's end); default: the end of the last state.
        details: More of the answer, by kind.
    """
    if kind in WORDS:
        told = Told(states, kind, names, value, sigma, unit, form, asked, motion or {}, recent, at_s, details or {})
        text = WORDS[kind](told)
        if kind == "count" and form == "yes_no":
            verdict = {True: "Yes", False: "No", None: "Not known"}[is_any(value, details)]
            text = f"{verdict}: {text[0].lower()}{text[1:]}"
        return text
    verdict = None
    if form == "yes_no" and asked is not None:
        verdict = "Yes" if is_true(states, kind, asked, recent) else "No"
    if rules == "dsr":
        published = word_states(kind, [s.label for s in states])
        return published if verdict is None else f"{verdict}. {published}"
    if kind == "speed_comparison":
        states, names = _with_answer_first(states, names, form, asked, recent)
        value = None if value is None else abs(value)
    sentence = _history(states, kind, names, since=recent)
    number = number_with_unit(value, sigma, unit)
    at = f"at {states[-1].end if at_s is None else at_s:.1f} s"
    if asked == "value" and number:
        sentence = f"{_value_clause(kind, names, number)} {at}; it {_history(states, kind, names, False, recent)}"
    elif number and kind == "speed_comparison" and states[-1].label != "same":
        sentence += f", by {number} {at}"
    elif number and verdict is None and kind in ("distance", "speed"):
        sentence += f"; {number} {at}"
    elif value is not None and verdict is None and kind in DIRECTIONS:
        sentence += f"; bearing {math.degrees(value):.0f} degrees {at}"
    moves = who_moves(names, motion or {}, trend_of(states, recent)) if kind == "distance" else ""
    sentence = f"{sentence}{moves}."
    return f"{verdict}: {sentence}" if verdict else sentence[0].upper() + sentence[1:]


def _other(names: Mapping[str, str | None]) -> str:
    return the(names.get("object") or names.get("viewer"))


def _history(
    states: Sequence[State], kind: str, names: Mapping[str, str | None], with_subject: bool = True, since: bool = False
) -> str:
    """ "the car 12 gets closer to the robot from 2.0 s to 5.0 s, then keeps its distance to it until 7.0 s"."""
    parts = []
    for i, state in enumerate(states):
        clause = _clause(kind, state.label, names, first=i == 0)
        if i and since and kind == "motion" and state is states[-1] and state.label == "still":
            parts.append(f"and stands still since {state.start:.1f} s")
        elif i:
            parts.append(f"then {clause.removeprefix('is ')} until {state.end:.1f} s")
        elif kind == "direction_prediction" or state.start == state.end:
            parts.append(f"{clause} at {state.end:.1f} s" if kind != "direction_prediction" else clause)
        else:
            parts.append(f"{clause} from {state.start:.1f} s to {state.end:.1f} s")
    told = ", ".join(parts)
    viewer, other = names.get("viewer"), names.get("object") or names.get("viewer")
    seen = ""
    if kind in ("orientation", "direction_prediction") or (kind == "direction" and viewer != other):
        seen = f", seen from {the(viewer)}"
    elif kind in ("speed", "speed_comparison") and viewer not in (None, "map"):
        seen = f", relative to {the(viewer)}"
    return f"{the(names.get('subject'))} {told}{seen}" if with_subject else f"{told}{seen}"


def _clause(kind: str, label: str, names: Mapping[str, str | None], first: bool) -> str:
    if kind == "direction":
        return f"is {' and '.join(_PLACES[side] for side in label.split('|'))} {_other(names) if first else 'it'}"
    if kind in DIRECTIONS:
        ways = " and ".join(_WAYS[side] for side in label.split("|"))
        return f"faces {ways}" if kind == "orientation" else f"moves {ways}"
    verb = _VERBS[kind][label]
    if kind in ("distance", "speed_comparison"):
        return f"{verb} {_other(names) if first else 'it'}"
    return verb


def _value_clause(kind: str, names: Mapping[str, str | None], number: str) -> str:
    verb = f"is {number} from {_other(names)}" if kind == "distance" else f"moves at {number}"
    return f"{the(names.get('subject'))} {verb}"


def _with_answer_first(states, names, form, asked, recent):
    """Turns a comparison round, where needed, so that the thing that the answer is about comes first."""
    if form != "which":
        return states, names
    answer = faster(states, recent)
    first_is_answer = answer == ("second_faster" if asked == "slower" else "first_faster")
    if first_is_answer or answer == "same":
        return states, names
    turned = [State(_OPPOSITE_SIDE[s.label], s.start, s.end) for s in states]
    return turned, {**names, "subject": names.get("object"), "object": names.get("subject")}
