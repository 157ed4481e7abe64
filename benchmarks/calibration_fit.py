"""Fits the maps from raw probabilities to confidence (dsr_core/reasoning/calibration.py) to judged cases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
from scipy.optimize import minimize

from dsr_core.reasoning import calibration
from dsr_core.reasoning.calibration import ANY, answer_confidence, beta_map, group
from dsr_core.reasoning.noise import RAW_SUREST, SUREST

#: Each parameter of a kind's map is held to that of all kinds together as if by so many cases (a Gaussian prior).
PRIOR_CASES = 20.0
#: Ends of the ranges of confidence that the last map has knots for; above `SURE` it only lowers.
KNOTS = (0.1, 0.3, 0.45, 0.55, 0.65, 0.75, 0.85, 0.93, 0.975, 1.0)
SURE = 0.9
#: The last map takes off so many sigma of the share that was right, and fewer below `DOUBTFUL`: there nobody acts on
#: the answer, and there are so few cases that much would be taken off.
CAUTION, DOUBTFUL, DOUBTFUL_CAUTION = 1.5, 0.65, 0.5
#: So many answers about the same things count as one.
CASES_OF_ONE = 5.0
#: A kind needs so many judged states to have a map of its own.
LEAST_CASES = 60


def fit(cases: Sequence) -> dict:
    """The table: "maps", kind -> {"nothing", "something", "several"} -> [offset, low, high, each], and "answer", knots.

    Args:
        cases: `calibration_cases.Case`s; declined ones and states that the labels cannot judge are left out.
    """
    answered = [c for c in cases if not c.declined]
    states = [
        (c.question.kind, group(label), p, len(c.labels), ok)
        for c in answered
        for label, p, ok in zip(c.labels, c.chances, c.right, strict=True)
        if ok is not None
    ]
    kinds = sorted({s[0] for s in states})
    table: dict[str, dict[str, list[float]]] = {kind: {} for kind in (ANY, *kinds)}
    for name in ("nothing", "something"):
        _fit_kinds(table, name, [(s[0], *s[2:]) for s in states if s[1] == name])
    several = [
        (c.question.kind, _product(table, c), len(c.labels), all(c.right))
        for c in answered
        if len(c.labels) > 1 and None not in c.right
    ]
    _fit_kinds(table, "several", several)
    maps = {
        kind: {name: [round(float(v), 4) for v in values] for name, values in maps.items()}
        for kind, maps in table.items()
    }
    return {"answer": _fit_knots(maps, answered), "maps": maps}


def _fit_knots(maps, answered) -> list[list[float]]:
    """Knots of the last map: in each range of confidence the share that was right, less some sigma of that share.

    Answers about one thing are not independent: so many of them count as one.
    """
    judged = [c for c in answered if None not in c.right]
    table = {"answer": [[0.0, 0.0], [1.0, 1.0]], "maps": maps}
    with use_table(table):
        told = np.array([answer_confidence(c.question.kind, c.labels, c.chances) for c in judged])
    right = np.array([all(c.right) for c in judged])
    knots = [[0.0, 0.0]]
    for low, high in pairwise(KNOTS):
        here = (told >= low) & (told < high)
        count = max(int(here.sum()) / CASES_OF_ONE, 1.0)
        share = float(right[here].mean()) if here.any() else low
        caution = CAUTION if high > DOUBTFUL else DOUBTFUL_CAUTION
        cautious = share - caution * np.sqrt(max(share * (1.0 - share), 0.01 * 0.99) / count)
        middle = float(told[here].mean()) if here.any() else (low + high) / 2
        knots.append([middle, float(np.clip(cautious, knots[-1][1], middle if low >= SURE else 1.0))])
    knots.append([1.0, SUREST])
    return [[round(x, 4), round(y, 4)] for x, y in knots]


@contextmanager
def use_table(table: dict) -> Iterator[None]:
    """Lets the library take this table in place of its own."""
    own = calibration._table
    calibration._table = lambda: table
    try:
        yield
    finally:
        calibration._table = own


def _fit_kinds(table, name: str, rows) -> None:
    """Fits one map for all kinds and, held to it, one for each that has enough rows (kind, chance, states, right)."""
    table[ANY][name] = pooled = _fit_map(rows, (0.0, 0.5, 0.2, -0.1), 1.0)
    for kind in table:
        mine = [row for row in rows if row[0] == kind]
        if kind != ANY:
            table[kind][name] = _fit_map(mine, pooled, PRIOR_CASES) if len(mine) >= LEAST_CASES else pooled


def _product(table, case) -> float:
    maps, n = table[case.question.kind], len(case.labels)
    return math.prod(beta_map(maps[group(label)], p, n) for label, p in zip(case.labels, case.chances, strict=True))


def _fit_map(rows, prior, weight: float) -> list[float]:
    """Maximum a posteriori of the map's coefficients, low and high >= 0 and each <= 0: monotone."""
    chance = np.clip([row[1] for row in rows], 1.0 - RAW_SUREST, RAW_SUREST)
    count = np.array([row[2] for row in rows], float)
    x = np.stack([np.ones(len(rows)), np.log(chance), -np.log1p(-chance), count > 1], axis=1)
    y, prior = np.array([row[3] for row in rows], float), np.array(prior)

    def loss(w):
        z = x @ w
        value = np.logaddexp(0.0, z).sum() - y @ z + 0.5 * weight * ((w - prior) ** 2).sum()
        return value, x.T @ (1.0 / (1.0 + np.exp(-z)) - y) + weight * (w - prior)

    bounds = [(None, None), (0.0, None), (0.01, None), (None, 0.0)]
    return list(minimize(loss, prior, jac=True, bounds=bounds).x)
