"""How sure a yes or no is: only the states that it hangs on count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from dsr_core.reasoning.answer import State
from dsr_core.reasoning.noise import SUREST
from dsr_core.reasoning.verdict import is_true
from dsr_core.reasoning.vocabulary import VOCABULARY


def verdict_confidence(
    states: Sequence[State],
    kind: str,
    asked: str | Sequence[str],
    chances: Sequence[float],
    others: Sequence[str] = (),
    recent: bool = False,
) -> float:
    """Probability that the yes or no which follows from the states is right.

    A state counts with its chance p where the label next to its own would turn the answer. Where only a label farther
    off would ("no, it does not get closer" of a distance that grows), two decisions must be wrong: 1 - (1 - p)^2, and
    no less than three quarters, for of what is left most goes to the label next to it. Else it does not count.

    Args:
        states, kind, asked, recent: As in `is_true`.
        chances: Calibrated probability of each state. others: The label next to each one's; () where not known.
    """
    said = is_true(states, kind, asked, recent)
    labels = VOCABULARY[kind].labels

    def turns(k: int, label: str) -> bool:
        changed = [*states[:k], replace(states[k], label=label), *states[k + 1 :]]
        return is_true(changed, kind, asked, recent) != said

    counted = []
    for k, chance in enumerate(chances):
        near = others[k] if others and others[k] in labels else None
        if near is not None and turns(k, near):
            counted.append(chance)
        elif any(turns(k, label) for label in labels if label != states[k].label):
            counted.append(chance if near is None else 1.0 - min((1.0 - chance) ** 2, 0.25))
    return math.prod(counted, start=SUREST)
