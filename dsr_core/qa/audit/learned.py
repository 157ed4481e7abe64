"""Blind attackers that learn: trained on some scenes, scored on others that they never saw.

Each gives every option of every question a score from a model that was trained without the question's fold. Folds hold
whole clusters (`Record.cluster`), so that nothing of a scene, nor of a group of shared options, is seen in training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
from scipy import sparse

from dsr_core.errors import DependencyError
from dsr_core.qa.audit.features import Texts, column_means
from dsr_core.qa.audit.text import SHAPES, likeness, question_words

FOLDS = 5
#: Answer texts that are classes of their own for the question-only classifier.
MOST_CLASSES = 24
NEIGHBOURS = 40
#: Models of a boosted attacker.
BAGS = 3
#: Inverse strength of regularisation of the linear models.
C_WORDS, C_PAIRS, C_QUESTION = 0.05, 0.02, 0.05


def require_sklearn():
    """scikit-learn, or an error that says how to get it."""
    try:
        import sklearn
    except ImportError as error:
        raise DependencyError("blind classifiers need scikit-learn: pip install 'dsr_ros[qa]'") from error
    return sklearn


def folds_of(cluster: np.ndarray, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """(N,) fold of each question: whole clusters, spread so that folds are about equally large.

    Fewer clusters than folds make fewer folds; with a single cluster nothing can be held out, and all are in fold 0.
    """
    names, inverse, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(names)), -counts))
    filled = np.zeros(min(folds, len(names)), int)
    fold = np.empty(len(names), int)
    for name in order:
        fold[name] = filled.argmin()
        filled[fold[name]] += counts[name]
    return fold[inverse]


def prior(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """How often an answer text is right where it is offered."""
    scores = np.zeros((len(texts), texts.options))
    for train, test in _splits(fold):
        offered, right = Counter(), Counter()
        for i in train:
            offered.update(texts.records[i].options)
            right[texts.records[i].options[texts.answer[i]]] += 1
        for i in test:
            scores[i] = [(right[o] + 1.0) / (offered[o] + texts.options) for o in texts.records[i].options]
    return scores


def popularity(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """How often an answer text is the right one, offered or not."""
    scores = np.zeros((len(texts), texts.options))
    for train, test in _splits(fold):
        right = Counter(texts.records[i].options[texts.answer[i]] for i in train)
        for i in test:
            scores[i] = [right[o] for o in texts.records[i].options]
    return scores


def letter(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """The most frequent letter."""
    scores = np.zeros((len(texts), texts.options))
    for train, test in _splits(fold):
        scores[test] = np.bincount(texts.answer[train], minlength=texts.options)
    return scores


def option_words(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """Logistic regression on hashed words and characters of the option, and its shape."""
    shapes = texts.shapes.reshape(-1, texts.shapes.shape[-1])
    varies = np.nan_to_num(shapes)
    varies = (varies - varies.mean(axis=0)) / np.maximum(varies.std(axis=0), 1e-9)
    return _linear(texts, sparse.hstack([texts.option_words(), sparse.csr_matrix(varies)]).tocsr(), fold, C_WORDS)


def option_shapes(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """Gradient boosting on the shape of the options, alone and beside each other."""
    return _boosted(texts, texts.dense()[:, :SHAPES], fold, seed)


def question_only(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """Logistic regression from the question to the text of the answer."""
    from sklearn.linear_model import LogisticRegression

    answers = [r.options[r.answer] for r in texts.records]
    asked = texts.question_dense()
    scores = np.zeros((len(texts), texts.options))
    for train, test in _splits(fold):
        frequent = {a: n for n, (a, _) in enumerate(Counter(answers[i] for i in train).most_common(MOST_CLASSES))}
        classes = np.array([frequent.get(answers[i], len(frequent)) for i in train])
        if len(np.unique(classes)) < 2:
            continue
        model = LogisticRegression(C=C_QUESTION, max_iter=300, tol=1e-2).fit(asked[train], classes)
        chance = np.zeros((len(test), len(frequent) + 1))
        chance[:, model.classes_] = model.predict_proba(asked[test])
        for row, i in enumerate(test):
            scores[i] = [chance[row, frequent[o]] if o in frequent else 0.0 for o in texts.records[i].options]
    return scores


def joint_linear(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """Logistic regression on every word and binned number of the question with every state of the option."""
    return _linear(texts, texts.pairs(), fold, C_PAIRS)


def joint_boosted(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """Gradient boosting on the numbers of the question and the shape of the option."""
    return _boosted(texts, texts.dense(), fold, seed)


def neighbours(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """Which options were right for the training questions with the most similar numbers and words."""
    from scipy.spatial import cKDTree

    vocabulary = {w: n for n, w in enumerate(sorted({w for r in texts.records for w in question_words(r.question)}))}
    words = np.zeros((len(texts), len(vocabulary)))
    for row, record in enumerate(texts.records):
        words[row, [vocabulary[w] for w in question_words(record.question)]] = 1.0
    words = words[:, words.std(axis=0) > 0.05]
    numbers = np.nan_to_num(texts.numbers - column_means(texts.numbers))
    numbers = numbers / np.maximum(numbers.std(axis=0), 1e-9)
    places = np.hstack([numbers, 2.0 * words])
    scores = np.zeros((len(texts), texts.options))
    for train, test in _splits(fold):
        near = cKDTree(places[train]).query(places[test], k=min(NEIGHBOURS, len(train)))[1].reshape(len(test), -1)
        for row, i in enumerate(test):
            votes: dict[str, float] = defaultdict(float)
            for j in train[near[row]]:
                record = texts.records[j]
                for k, option in enumerate(record.options):
                    votes[option] += 1.0 if k == record.answer else -1.0 / (texts.options - 1)
            scores[i] = [votes[o] for o in texts.records[i].options]
    return scores


def similar_text(texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """The option most like the answer of the training question whose whole text is most similar (tf-idf)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    whole = [f"{r.question} {' '.join(sorted(r.options))}" for r in texts.records]
    vectors = TfidfVectorizer(token_pattern=r"[^\s,;]+", ngram_range=(1, 2), min_df=2).fit_transform(whole)
    scores = np.zeros((len(texts), texts.options))
    for train, test in _splits(fold):
        known = vectors[train].T.tocsr()
        for begin in range(0, len(test), 512):
            some = test[begin : begin + 512]
            nearest = np.asarray((vectors[some] @ known).todense()).argmax(axis=1)
            for i, j in zip(some, train[nearest], strict=True):
                told = texts.records[j]
                scores[i] = [likeness(o, told.options[told.answer]) for o in texts.records[i].options]
    return scores


def one_thread(learner: Learner, texts: Texts, fold: np.ndarray, seed: int) -> np.ndarray:
    """Runs an attacker on one core, for figures that do not depend on the machine and for others who use it."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return learner(texts, fold, seed)


Learner = Callable[[Texts, np.ndarray, int], np.ndarray]
#: Scores (N, options) out of fold, by name.
LEARNERS: dict[str, Learner] = {
    "letter": letter,
    "prior of the text": prior,
    "popular text": popularity,
    "options: words": option_words,
    "options: shapes": option_shapes,
    "question only": question_only,
    "joint: linear": joint_linear,
    "joint: boosted": joint_boosted,
    "neighbours": neighbours,
    "similar text": similar_text,
}


def _splits(fold: np.ndarray):
    for k in range(fold.max() + 1):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if len(train):
            yield train, test


def _rows(questions: np.ndarray, options: int) -> np.ndarray:
    return (questions[:, None] * options + np.arange(options)).ravel()


def _right(texts: Texts) -> np.ndarray:
    """(N * options,) whether each option is true."""
    return (np.arange(texts.options) == texts.answer[:, None]).ravel()


def _linear(texts: Texts, features: sparse.csr_matrix, fold: np.ndarray, C: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    right = _right(texts)
    scores = np.zeros((len(texts), texts.options))
    for train, test in _splits(fold):
        rows = _rows(train, texts.options)
        model = LogisticRegression(C=C, solver="liblinear", tol=1e-2, max_iter=50, random_state=0)
        model.fit(features[rows], right[rows])
        scores[test] = model.decision_function(features[_rows(test, texts.options)]).reshape(len(test), -1)
    return scores


def _boosted(texts: Texts, features: np.ndarray, fold: np.ndarray, seed: int) -> np.ndarray:
    """Means of `BAGS` models on three quarters of the rows each; every split chooses among a third of the columns."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    right, rng = _right(texts), np.random.default_rng(seed)
    scores = np.zeros((len(texts), texts.options))
    for train, test in _splits(fold):
        asked = features[_rows(test, texts.options)]
        for bag in range(BAGS):
            rows = np.sort(rng.permutation(_rows(train, texts.options))[: 3 * len(train) * texts.options // 4])
            known = np.isfinite(features[rows])
            lowest = np.where(known, features[rows], np.inf).min(axis=0)
            varies = np.where(known, features[rows], -np.inf).max(axis=0) > lowest  # the others cannot be binned
            model = HistGradientBoostingClassifier(
                max_iter=60, learning_rate=0.1, max_leaf_nodes=12, min_samples_leaf=20, l2_regularization=1.0,
                max_features=0.33, max_bins=64, early_stopping=False, random_state=seed + bag,
            )  # fmt: skip
            model.fit(features[rows][:, varies], right[rows])
            scores[test] += model.decision_function(asked[:, varies]).reshape(len(test), -1) / BAGS
    return scores
