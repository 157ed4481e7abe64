"""The adversarial filter: matched groups that blind attackers find easy are thinned out.

What matching leaves over (a box that hints at where a thing goes) is found by the attackers of the audit, trained on
some scenes and asked about others. From their scores follows how likely each group's true assignment of answers to
questions is, compared with other assignments of the same answers. A group is kept with probability

    min(1, mean likelihood of its assignments / likelihood of the true one),

as in rejection sampling: assignments that a blind reader expects become as rare as the others, and not rarer, so that
the opposite guess does not pay either. Only whole groups go, so that in what is left each option of a group is still
true for exactly one of its questions: nothing about the options alone can tell the truth, whatever is dropped.
Attackers are trained anew on what is left, in other folds, until they are at chance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from dsr_core.qa.audit.audit import FEWEST_LEARNED, credit_of
from dsr_core.qa.audit.features import Texts
from dsr_core.qa.audit.learned import folds_of, joint_boosted, joint_linear, one_thread, require_sklearn
from dsr_core.qa.audit.records import from_items
from dsr_core.qa.item import Item

REASON = "blind attackers find the answers of its group"
ATTACKERS = {"linear": joint_linear, "boosted": joint_boosted}


@dataclass(frozen=True)
class Round:
    """One round of the filter.

    Attributes:
        type: Questions of which type. number: From 0; the last one drops nothing.
        count: Questions before it. dropped: Of these. accuracy: Of the best attacker before it, or of all together.
    """

    type: str
    number: int
    count: int
    dropped: int
    accuracy: float


def filter_guessable(
    items: Sequence[Item], seed: int = 0, rounds: int = 4, tolerance: float = 0.01, progress: bool = False
) -> tuple[list[Item], list[Round]]:
    """Thins out groups until blind attackers are within `tolerance` of chance.

    Args:
        items: A whole question set; items without a group stay as they are, and so do types with too few questions
            or scenes to train on.
        seed: The same items and seed give the same result.
        rounds: At most so many times something is dropped.
        tolerance: How much better than chance the better attacker may be.
        progress: Shows a progress bar on stderr.

    Returns:
        What is left, in the same order, and what happened in each round.

    Raises:
        DependencyError: scikit-learn is missing.
    """
    from tqdm import tqdm

    require_sklearn()
    by_type = defaultdict(list)
    for item, record in zip(items, from_items(items), strict=True):
        if item.group:
            by_type[record.type, len(record.options)].append((item.group, record))
    dropped: set[str] = set()
    history = []
    for (type, options), members in tqdm(sorted(by_type.items(), key=lambda kv: kv[0]), disable=not progress):
        for number in range(rounds + 1):
            left = [(group, record) for group, record in members if group not in dropped]
            if len(left) < FEWEST_LEARNED or len({r.cluster for _, r in left}) < 2:
                break
            rng = np.random.default_rng((seed, number, options, len(left)))
            groups = np.array([group for group, _ in left])
            gains, accuracy = _attack(Texts([record for _, record in left]), seed + number)
            easy = _easy(groups, gains, rng) if number < rounds and accuracy > 1 / options + tolerance else set()
            dropped |= easy
            history.append(Round(type, number, len(left), int(np.isin(groups, list(easy)).sum()), accuracy))
            if not easy:
                break
    return [item for item in items if item.group not in dropped], history


def _attack(texts: Texts, seed: int) -> tuple[np.ndarray, float]:
    """By how much (N,) each question's truth is likelier than its options on average (log), and the best accuracy.

    The attackers' scores are weighed so that what they told out of fold is as likely as possible (conditional
    logistic regression). A weight may be negative: an attacker that is wrong more often than chance tells something.
    """
    fold = folds_of(texts.cluster, seed=seed)
    told = []
    for attacker in ATTACKERS.values():
        scores = one_thread(attacker, texts, fold, seed)
        scores = scores - scores.mean(axis=1, keepdims=True)
        told.append(scores / max(scores.std(), 1e-9))
    told = np.stack(told)

    def likelihoods(weights: np.ndarray) -> np.ndarray:
        together = np.tensordot(weights, told, 1)
        return together - np.log(np.exp(together).sum(axis=1, keepdims=True))

    def unlikeliness(weights: np.ndarray) -> float:
        return float(-np.take_along_axis(likelihoods(weights), texts.answer[:, None], axis=1).mean())

    weights = minimize(unlikeliness, np.zeros(len(told)), method="L-BFGS-B", bounds=[(-2.0, 2.0)] * len(told)).x
    likely = likelihoods(weights)
    best = max(
        float(np.mean([credit_of(s, a) for s, a in zip(scores, texts.answer, strict=True)]))
        for scores in (*told, likely)
    )
    return np.take_along_axis(likely, texts.answer[:, None], axis=1)[:, 0] - likely.mean(axis=1), best


def _easy(groups: np.ndarray, gains: np.ndarray, rng: np.random.Generator) -> set[str]:
    """Names of the groups to drop."""
    names, inverse = np.unique(groups, return_inverse=True)
    easier = np.bincount(inverse, gains)
    return set(names[rng.random(len(names)) > np.exp(-np.maximum(easier, 0.0))].tolist())
