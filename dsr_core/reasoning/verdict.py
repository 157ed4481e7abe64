"""States -> yes or no. Wording, options and counting all ask here, so they never disagree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from dsr_core.reasoning.answer import State
from dsr_core.reasoning.vocabulary import DIRECTION_KINDS

_OPPOSITE = {
    "increasing": "decreasing",
    "decreasing": "increasing",
    "first_faster": "second_faster",
    "second_faster": "first_faster",
}
DIRECTIONS = DIRECTION_KINDS
_ALL_THE_TIME = ("constant", "still", "same", "straight", "none", "not_following")
#: Kinds of what is true of a window when it happens at any time in it.
_HAPPENINGS = ("motion", "path_length", "turning", "crossing", "overtaking", "following")
#: Labels that are true of a window when they hold at any time in it.
_AT_ANY_TIME = {"occluded", "out_of_view"}


def merged(labels: Sequence[str]) -> list[str]:
    """Labels without equal neighbours."""
    return [label for i, label in enumerate(labels) if i == 0 or label != labels[i - 1]]


def holds(kind: str, label: str, asked: str) -> bool:
    """Whether a state is what was asked about: "front" is true of "front|left" too; of "overtook|passed" either is."""
    named = set(asked.split("|"))
    return named <= set(label.split("|")) if kind in DIRECTIONS else label in named


def is_true(states: Sequence[State], kind: str, asked: str | Sequence[str], recent: bool = False) -> bool:
    """Whether what was asked about is so.

    * Labels in order ("from in front to behind-left"): the first and the last state are those; for motion ("does it
      stop?") the one follows the other at some time.
    * `recent` ("is it getting closer?"): the newest state decides.
    * Else over the window: moving if it moves at any time, and so what happens (a turn, a crossing, following, being
      out of view); still, constant, straight and none if nothing else holds; increasing or decreasing (and faster) if
      it holds longer than its opposite; a direction if it holds at least half of the time.
    """
    if not states:
        return False
    if not isinstance(asked, str):
        labels = [s.label for s in states]
        if kind in DIRECTIONS:
            return len(labels) > 1 and holds(kind, labels[0], asked[0]) and holds(kind, labels[-1], asked[-1])
        return any(pair == tuple(asked) for pair in pairwise(labels))
    if recent:
        return holds(kind, states[-1].label, asked)
    if asked in _ALL_THE_TIME:
        return all(s.label == asked for s in states)
    if kind in _HAPPENINGS or set(asked.split("|")) <= _AT_ANY_TIME:
        return any(holds(kind, s.label, asked) for s in states)
    lasting = _duration(states, kind, asked)
    if asked in _OPPOSITE:
        return lasting > _duration(states, kind, _OPPOSITE[asked])
    return lasting >= 0.5 * sum(_length(s) for s in states)


def _duration(states: Sequence[State], kind: str, asked: str) -> float:
    return sum(_length(s) for s in states if holds(kind, s.label, asked))


def _length(state: State) -> float:
    return max(state.end - state.start, 1e-9)  # an instant counts too


def faster(states: Sequence[State], recent: bool = False) -> str:
    """ "first_faster", "second_faster" or "same": the answer to "which is faster?"."""
    for label in ("first_faster", "second_faster"):
        if is_true(states, "speed_comparison", label, recent):
            return label
    return "same"
