"""Blind rules: which option to take by its look alone, without learning anything.

A rule maps the options of one question to a score each; the highest is taken. Options that tie share the credit, so a
rule that cannot tell them apart scores chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from dsr_core.qa.audit.text import first_number, is_numbered, likeness, roughness, states_of


def _each(value: Callable[[str], float]) -> Callable[[Sequence[str]], np.ndarray]:
    return lambda options: np.array([value(option) for option in options], float)


def _others(options: Sequence[str]) -> np.ndarray:
    """Mean likeness of each option to the others."""
    alike = np.array([[likeness(a, b) for b in options] for a in options])
    return (alike.sum(axis=1) - 1.0) / max(len(options) - 1, 1)


def _shared_states(options: Sequence[str]) -> np.ndarray:
    """How many of an option's states other options have, too, at the same place."""
    states = [states_of(option) for option in options]
    return np.array(
        [sum(x == y for j, b in enumerate(states) if j != i for x, y in zip(a, b, strict=False)) / max(len(a), 1)
         for i, a in enumerate(states)]
    )  # fmt: skip


def _repeats(option: str) -> float:
    states = states_of(option)
    return sum(a == b for a, b in pairwise(states))


def _from_middle(options: Sequence[str]) -> np.ndarray:
    """Minus the distance of each number's rank from the middle; all alike where there are no numbers."""
    numbers = np.array([first_number(option) for option in options])
    if not np.isfinite(numbers).all():
        return np.zeros(len(options))
    ranks = np.argsort(np.argsort(numbers))
    return -np.abs(ranks - (len(options) - 1) / 2)


def _numbers(options: Sequence[str]) -> np.ndarray:
    return np.nan_to_num(np.array([first_number(option) for option in options]), nan=0.0)


def _opposite(rule: Callable[[Sequence[str]], np.ndarray]) -> Callable[[Sequence[str]], np.ndarray]:
    return lambda options: -rule(options)


#: Scores of the options, by the name of the rule.
RULES: dict[str, Callable[[Sequence[str]], np.ndarray]] = {
    "longest": _each(len),
    "shortest": _opposite(_each(len)),
    "most states": _each(lambda o: len(states_of(o))),
    "fewest states": _opposite(_each(lambda o: len(states_of(o)))),
    "not numbered": _opposite(_each(is_numbered)),
    "most repeats": _each(_repeats),
    "smoothest": _opposite(_each(roughness)),
    "odd one out": _opposite(_others),
    "most like the others": _others,
    "shares most states": _shared_states,
    "middle number": _from_middle,
    "largest number": _numbers,
    "smallest number": _opposite(_numbers),
}
