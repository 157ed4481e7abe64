"""How far the text of a question foretells its answer: the scale on which partners of a group must agree.

Questions could be matched on every number that they show, but with nine numbers no two of a thousand questions are near
each other. It is enough that they agree in what the numbers say about the answer (Hansen, "The prognostic analogue of
the propensity score", Biometrika 2008): the best quadratic prediction of the answer's first state, last state, number
of states and most frequent texts, each question predicted from all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dsr_core.qa.options.relations import Labels

#: Share of what is left unexplained that the ridge adds; keeps small strata from being read too much into.
RIDGE = 0.02
#: Classes with fewer members are not predicted; no more than so many texts are.
FEWEST, MOST_TEXTS = 5, 24
MOST_DIMENSIONS = 5
#: Weight of the bare numbers (in standard deviations) beside the prediction: among equals the nearest are taken.
BARE = 0.02


def prognostic_scores(covariates: np.ndarray, answers: Sequence[Labels] | np.ndarray) -> np.ndarray:
    """Where questions of one stratum stand by what their text foretells.

    Args:
        covariates: (N, D) numbers that the text shows; columns may be constant.
        answers: N true answers in canonical form, then distances are differences of probability; or (N,) positive
            numbers, then they are those of the numbers' logarithms.

    Returns:
        (N, R) float64, R >= 1.
    """
    x = standardised(covariates)
    if len(x) < 4 * FEWEST or not x.shape[1]:
        return x * 0.25 if x.shape[1] else np.zeros((len(x), 1))
    told = np.log(answers)[:, None] if isinstance(answers, np.ndarray) else _targets(answers)
    predicted = _left_out_predictions(_quadratic(x), told)
    centred = predicted - predicted.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    kept = axes[: min(MOST_DIMENSIONS, int((sizes > 1e-9).sum()))]
    return np.hstack([centred @ kept.T, BARE * x])


def standardised(covariates: np.ndarray) -> np.ndarray:
    """(N, D) columns of mean 0 and deviation 1, clipped at 3; constant columns are left out."""
    x = np.asarray(covariates, float)
    spread = x.std(axis=0)
    varies = spread > 1e-9
    return np.clip((x[:, varies] - x[:, varies].mean(axis=0)) / spread[varies], -3, 3)


def _quadratic(x: np.ndarray) -> np.ndarray:
    """(N, P) constant, numbers, and their squares and products where there are ten questions for each."""
    products = [x]
    if len(x) >= 10 * x.shape[1] * (x.shape[1] + 3) // 2:
        i, j = np.triu_indices(x.shape[1])
        products.append(x[:, i] * x[:, j])
    elif len(x) >= 20 * x.shape[1]:
        products.append(x**2)
    phi = np.hstack(products)
    return np.hstack([np.ones((len(x), 1)), phi - phi.mean(axis=0)])


def _targets(answers: Sequence[Labels]) -> np.ndarray:
    """(N, M) indicators of first state, last state and frequent answers, and the number of states."""
    columns = [np.array([len(a) for a in answers], float)[:, None]]
    columns[0] = 0.25 * (columns[0] - columns[0].mean()) / max(columns[0].std(), 1e-9)
    for of in (lambda a: a[:1], lambda a: a[-1:], lambda a: a):
        values = [of(answer) for answer in answers]
        frequent = [v for v, n in sorted(Counter(values).items(), key=lambda c: (-c[1], c[0])) if n >= FEWEST]
        code = {v: i for i, v in enumerate(frequent[:MOST_TEXTS])}
        indicators = np.zeros((len(values), len(code)))
        for row, value in enumerate(values):
            if value in code:
                indicators[row, code[value]] = 1.0
        columns.append(indicators)
    return np.hstack(columns)


def _left_out_predictions(phi: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, M) ridge predictions of each row by all others, in closed form."""
    gram = phi.T @ phi
    ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    ridge[0, 0] = 0.0
    solved = np.linalg.solve(gram + ridge, phi.T)
    leverage = np.einsum("np,pn->n", phi, solved)[:, None]
    fitted = phi @ (solved @ y)
    return (fitted - leverage * y) / np.maximum(1.0 - leverage, 0.05)
