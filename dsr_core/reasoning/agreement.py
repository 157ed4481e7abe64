"""How far two answers to the same question agree, for comparing an estimate with the truth."""

from __future__ import annotations

import numpy as np

from dsr_core.reasoning.answer import Answer, State

STEP_S = 0.05


def label_at(states: tuple[State, ...], at_s: np.ndarray) -> np.ndarray:
    """Labels (T,) of str at `at_s` (T,); "" where no state holds."""
    out = np.full(len(at_s), "", dtype=object)
    for state in states:
        out[(at_s >= state.start - 1e-9) & (at_s <= state.end + 1e-9)] = state.label
    return out


def states_agreement(answer: Answer, truth: Answer, tolerance_s: float = 0.5) -> float | None:
    """Share 0..1 of the time that both judged in which the states agree.

    At each instant the answer agrees when its label is one that the truth has within `tolerance_s` of that instant.

    Returns:
        The share; 0 where just one of them was declined, None where both were or where they share no time.
    """
    if (answer.declined is None) != (truth.declined is None):
        return 0.0
    if answer.declined is not None or not answer.states or not truth.states:
        return None
    start = max(answer.states[0].start, truth.states[0].start)
    end = min(answer.states[-1].end, truth.states[-1].end)
    if end < start - tolerance_s:
        return None
    at = np.arange(min(start, end), max(start, end) + STEP_S / 2, STEP_S)
    given = label_at(answer.states, at) if end > start else np.array([answer.states[-1].label], dtype=object)
    agrees = np.zeros(len(at), bool)
    for state in truth.states:
        near = (at >= state.start - tolerance_s) & (at <= state.end + tolerance_s)
        agrees |= near & (given == state.label)
    return float(agrees.mean())
