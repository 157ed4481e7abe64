"""Raw probabilities -> confidence: a probability that held on recorded data (docs/calibration.md).

Each kind has monotone maps from the raw probability of a state to the share of such states that were right, one for
states that say nothing happens ("constant", "still") and one for the rest: "beta calibration" (Kull et al., AISTATS
2017) with a term for states of which the answer has several,

    log-odds = offset + low ln p - high ln(1 - p) + each (states > 1),    low, high >= 0, each <= 0.

For answers with several states a map of this form takes the product of their probabilities. A last one, the same for
all kinds and straight between a few knots, takes off what is still too sure. `benchmarks/calibration.py --fit` makes
the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from dsr_core.reasoning.noise import RAW_SUREST, SUREST

#: Labels that say that nothing happens: noise alone leads to them, so they need a map of their own.
NOTHING = ("constant", "still", "same", "stayed", "straight", "none", "not_following")
#: The entry of the table for kinds that it does not name.
ANY = "any"


@cache
def _table() -> dict:
    return json.loads(Path(__file__).with_name("calibration.json").read_text())


def beta_map(coefficients: Sequence[float], chance: float, states: int = 1) -> float:
    """A probability through a map [offset, low, high, each] of the table; never surer than `SUREST`."""
    offset, low, high, each = coefficients
    chance = min(max(chance, 1.0 - RAW_SUREST), RAW_SUREST)
    x = offset + low * math.log(chance) - high * math.log1p(-chance) + each * (states > 1)
    return min(1.0 / (1.0 + math.exp(-x)), SUREST)


def group(label: str) -> str:
    """ "nothing" or "something": which map of its kind a label takes."""
    return "nothing" if label in NOTHING else "something"


def knotted(knots: Sequence[Sequence[float]], x: float) -> float:
    """A probability through a map that is straight between knots (from, to)."""
    for (x0, y0), (x1, y1) in pairwise(knots):
        if x <= x1:
            return y0 + (y1 - y0) * max(x - x0, 0.0) / (x1 - x0)
    return knots[-1][1]


def state_confidence(kind: str, label: str, chance: float, states: int = 1) -> float:
    """Calibrated probability that a state's label is right.

    Args:
        kind: Kind of the question. label: The state's label. chance: Its raw probability, 0..1.
        states: How many states the answer has.
    """
    return knotted(_table()["answer"], beta_map(_maps(kind)[group(label)], chance, states))


def answer_confidence(kind: str, labels: Sequence[str], chances: Sequence[float]) -> float:
    """Calibrated probability that all states of an answer are right.

    Args:
        kind: Kind of the question. labels: Of the states. chances: Their raw probabilities.
    """
    return confidences(kind, labels, chances)[1]


def confidences(kind: str, labels: Sequence[str], chances: Sequence[float]) -> tuple[tuple[float, ...], float]:
    """`state_confidence` of each state of an answer, and `answer_confidence` of all of them."""
    maps, count, knots = _maps(kind), len(labels), _table()["answer"]
    each = [beta_map(maps[group(label)], p, count) for label, p in zip(labels, chances, strict=True)]
    told = tuple(knotted(knots, p) for p in each)
    if count == 1:
        return told, told[0]
    product = math.prod(each)
    return told, knotted(knots, min(beta_map(maps["several"], product, count), *each))


def _maps(kind: str) -> dict[str, list[float]]:
    maps = _table()["maps"]
    return maps.get(kind, maps[ANY])
