"""The blind audit of a question set: can the answers be guessed without seeing anything?

Attackers that read nothing but the text (rules, classifiers, neighbours, a language model) answer every question; those
that learn answer questions of scenes that they never saw. What they reach above chance is what a model can learn from
the set without looking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from dsr_core.qa.audit.features import Texts
from dsr_core.qa.audit.learned import LEARNERS, folds_of, one_thread, require_sklearn
from dsr_core.qa.audit.records import Record
from dsr_core.qa.audit.rules import RULES
from dsr_core.qa.audit.stats import effective_count, lower_bound, upper_bound
from dsr_core.qa.item import QaError

#: An attacker may be so much better than chance; types with fewer questions are not judged.
TOLERANCE, FEWEST_JUDGED = 0.03, 2000
#: Of these learners the opposite guess is scored, too: a set that was filtered too hard pays for it.
TURNED = {"joint: linear": "joint: linear, turned", "joint: boosted": "joint: boosted, turned"}
#: Learners need so many questions, in at least two clusters.
FEWEST_LEARNED = 40
CONFIDENCE = 0.95
OVERALL = "all"


@dataclass(frozen=True)
class Result:
    """How one attacker did on the questions of one type.

    Attributes:
        type, attacker: Names; the type `OVERALL` is all of them.
        family: "rule", "learned" or "language model".
        count: Questions. clusters: Scenes, or sets of scenes that share options.
        accuracy: Share answered rightly; ties share the credit.
        chance: Mean of 1 / number of options.
        bound: Lower bound of the accuracy to be expected on other scenes (Korn-Graubard effective count, Clopper-
            Pearson, one-sided 95 %, Bonferroni over attackers and types).
        item_bound: The same if questions were independent: never smaller, so the harder one to stay under.
        low, high: Two-sided 95 % interval for scenes as clusters, not corrected; for pictures.
    """

    type: str
    attacker: str
    family: str
    count: int
    clusters: int
    accuracy: float
    chance: float
    bound: float
    item_bound: float
    low: float
    high: float


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        results: One for each type and attacker.
        verdicts: By type: "pass": no attacker's `item_bound` is above chance + `TOLERANCE`; "leaks": some `bound` is;
            "unclear": questions are guessed, but in too few scenes to say so of others; "small": fewer than
            `FEWEST_JUDGED` questions.
        notes: What a reader must know about the figures.
    """

    results: tuple[Result, ...]
    verdicts: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def of(self, type: str) -> list[Result]:
        """Results of one type, best attacker first."""
        return sorted((r for r in self.results if r.type == type), key=lambda r: (-r.accuracy, r.attacker))

    def best(self, type: str) -> Result:
        """The attacker with the highest bound above chance."""
        return max(self.of(type), key=lambda r: (r.item_bound - r.chance, r.accuracy))

    def to_dict(self) -> dict:
        """For JSON."""
        return {
            "schema": 1,
            "verdicts": dict(self.verdicts),
            "results": [asdict(result) for result in self.results],
            "notes": list(self.notes),
        }


#: A language model's scores (options,) of one question.
Scorer = Callable[[Record], Sequence[float]]


def audit(
    records: Sequence[Record],
    seed: int = 0,
    learners: bool = True,
    scorers: Mapping[str, Scorer] | None = None,
    progress: bool = False,
) -> Audit:
    """Lets every attacker answer every question.

    Args:
        records: The question set.
        seed: Of folds and models; the same set and seed give the same figures.
        learners: False leaves out everything that is trained.
        scorers: Language models by name.
        progress: Shows a progress bar on stderr.

    Raises:
        QaError: there are no questions.
        DependencyError: scikit-learn is missing (`learners=True`).
    """
    if not records:
        raise QaError("there are no questions to audit; give a file with at least one")
    by_type = defaultdict(list)
    for record in records:
        by_type[record.type].append(record)
    if learners:
        require_sklearn()
    attackers = len(RULES) + (len(LEARNERS) + len(TURNED) if learners else 0) + len(scorers or {})
    bar = _bar(len(by_type) * attackers, progress)
    credits: dict[str, dict[str, np.ndarray]] = {}
    left_out = []
    for type in sorted(by_type):
        credits[type], skipped = _attack(by_type[type], seed, learners, scorers or {}, bar)
        left_out += [f"{type}: {reason}" for reason in skipped]
    bar.close()
    alpha = (1.0 - CONFIDENCE) / (attackers * (len(by_type) + 1))
    results = []
    for type, of_type in credits.items():
        ordered = _uniform(by_type[type])
        results += [_result(type, name, credit, ordered, alpha) for name, credit in of_type.items()]
    everything = [record for type in credits for record in _uniform(by_type[type])]
    for name in dict.fromkeys(name for of_type in credits.values() for name in of_type):
        if all(name in of_type for of_type in credits.values()):
            together = np.concatenate([of_type[name] for of_type in credits.values()])
            results.append(_result(OVERALL, name, together, everything, alpha))
    verdicts = {type: _verdict([r for r in results if r.type == type]) for type in (*credits, OVERALL)}
    return Audit(tuple(results), verdicts, tuple(left_out))


def credit_of(scores: np.ndarray, answer: int) -> float:
    """1 where the answer alone has the highest score, its share of a tie, else 0."""
    best = np.flatnonzero(np.asarray(scores) >= np.max(scores) - 1e-12)
    return float(answer in best) / len(best)


def _credits(scores: np.ndarray, answers: np.ndarray) -> np.ndarray:
    return np.array([credit_of(s, a) for s, a in zip(scores, answers, strict=True)])


def _uniform(records: Sequence[Record]) -> list[Record]:
    """The questions in the order in which they are attacked: by number of options."""
    return sorted(records, key=lambda r: len(r.options))


def _attack(records, seed: int, learners: bool, scorers, bar) -> tuple[dict[str, np.ndarray], list[str]]:
    """Credits (N,) of each attacker, in the order of `_uniform`."""
    records = _uniform(records)
    credits: dict[str, np.ndarray] = {}
    for name, rule in RULES.items():
        credits[name] = np.array([credit_of(rule(r.options), r.answer) for r in records])
        bar.update()
    for name, scorer in scorers.items():
        credits[name] = np.array([credit_of(scorer(r), r.answer) for r in records])
        bar.update()
    skipped = []
    if learners:
        by_options = defaultdict(list)
        for record in records:
            by_options[len(record.options)].append(record)
        learned: dict[str, list[np.ndarray]] = defaultdict(list)
        for same in by_options.values():
            clusters = len({r.cluster for r in same})
            if len(same) < FEWEST_LEARNED or clusters < 2:
                skipped.append(
                    f"nothing was trained on {len(same)} questions in {clusters} scene(s);"
                    f" it takes {FEWEST_LEARNED} questions in two scenes"
                )
                for name in (*LEARNERS, *TURNED.values()):  # counts as a guess
                    learned[name].append(np.full(len(same), 1.0 / len(same[0].options)))
                continue
            texts = Texts(same)
            fold = folds_of(texts.cluster, seed=seed)
            for name, learner in LEARNERS.items():
                bar.set_postfix_str(f"{same[0].type}, {name}")
                scores = one_thread(learner, texts, fold, seed)
                learned[name].append(_credits(scores, texts.answer))
                if name in TURNED:
                    learned[TURNED[name]].append(_credits(-scores, texts.answer))
                bar.update(1 / len(by_options))
        credits |= {name: np.concatenate(parts) for name, parts in learned.items()}
    return credits, skipped


def _result(type: str, name: str, credit: np.ndarray, records: Sequence[Record], alpha: float) -> Result:
    cluster = np.array([r.cluster for r in records])
    chance = float(np.mean([1.0 / len(r.options) for r in records]))
    share = float(credit.mean())
    worth, wide = (effective_count(credit, cluster, a) for a in (alpha, 0.025))
    return Result(
        type=type,
        attacker=name,
        family="rule" if name in RULES else "learned" if name in (*LEARNERS, *TURNED.values()) else "language model",
        count=len(credit),
        clusters=len(np.unique(cluster)),
        accuracy=share,
        chance=chance,
        bound=lower_bound(share * worth, worth, alpha),
        item_bound=lower_bound(credit.sum(), len(credit), alpha),
        low=lower_bound(share * wide, wide, 0.025),
        high=upper_bound(share * wide, wide, 0.025),
    )


def _verdict(results: Sequence[Result]) -> str:
    if results[0].count < FEWEST_JUDGED:
        return "small"
    if all(r.item_bound <= r.chance + TOLERANCE for r in results):
        return "pass"
    return "leaks" if any(r.bound > r.chance + TOLERANCE for r in results) else "unclear"


def _bar(total: int, progress: bool):
    from tqdm import tqdm

    return tqdm(
        total=total, disable=not progress, unit="attack", bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
    )
