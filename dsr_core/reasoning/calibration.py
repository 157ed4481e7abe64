"""Raw probabilities -> confidence: a probability that held on recorded data (docs/calibration.md).

Each kind has a monotone map from the raw probability of a state to the share of such states that were right, one for
states that say nothing happens ("constant", "still") and one for the rest:
log-odds = offset + low ln p - high ln(1 - p) + each (states - 1), with low, high >= 0 and each <= 0 ("beta calibration", Kull et al., AISTATS 2017, with a term for
the number of states in the answer). For answers with several states a second map of this form takes the product of their
probabilities. `benchmarks/calibration.py --fit` makes the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from dsr_core.reasoning.noise import RAW_SUREST, SUREST

#: Labels that say that nothing happens: noise alone leads to them, so they need a map of their own.
NOTHING = ("constant", "still", "same", "stayed", "straight", "none", "not_following")
#: The entry of the table for kinds that it does not name.
ANY = "any"


@cache
def _table() -> dict[str, dict[str, list[float]]]:
    return json.loads(Path(__file__).with_name("calibration.json").read_text())["maps"]


def beta_map(coefficients: Sequence[float], chance: float, states: int = 1) -> float:
    """A probability through a map [offset, low, high, each] of the table; never surer than `SUREST`."""
    offset, low, high, each = coefficients
    chance = min(max(chance, 1.0 - RAW_SUREST), RAW_SUREST)
    x = offset + low * math.log(chance) - high * math.log1p(-chance) + each * (states - 1)
    return min(1.0 / (1.0 + math.exp(-x)), SUREST)


def group(label: str) -> str:
    """ "nothing" or "something": which map of its kind a label takes."""
    return "nothing" if label in NOTHING else "something"


def state_confidence(kind: str, label: str, chance: float, states: int = 1) -> float:
    """Calibrated probability that a state's label is right.

    Args:
        kind: Kind of the question. label: The state's label. chance: Its raw probability, 0..1.
        states: How many states the answer has.
    """
    table = _table()
    return beta_map(table.get(kind, table[ANY])[group(label)], chance, states)


def confidence(kind: str, chances: Sequence[float]) -> float:
    """Calibrated probability that all states of an answer are right.

    Args:
        kind: Kind of the question. chances: The calibrated probability of each state (`state_confidence`).
    """
    product = math.prod(chances)
    if len(chances) < 2:
        return product
    table = _table()
    return min(beta_map(table.get(kind, table[ANY])["several"], product, len(chances)), *chances)
