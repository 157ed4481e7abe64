"""Matrices for blind classifiers: dense numbers, and hashed words and pairs of words."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import sparse

from dsr_core.qa.audit.records import Record
from dsr_core.qa.audit.text import (
    SHAPES,
    contrasts_of,
    first_number,
    option_shapes,
    question_numbers,
    question_words,
    states_of,
)

#: Columns that words, and pairs of words, are hashed to.
WORD_COLUMNS, PAIR_COLUMNS = 1 << 16, 1 << 18
#: Numbers of the question are cut into so many bins with equally many questions.
BINS = 8


class Texts:
    """The questions of one type, prepared once for all attackers.

    Attributes:
        records: The questions, all with `options` options.
        options: Options of each.
        answer: (N,) index of the true one.
        cluster: (N,) which questions stay together.
        numbers: (N, Q) numbers of the question, NaN where absent.
        shapes: (N, options, SHAPES) of the options.
    """

    def __init__(self, records: Sequence[Record]):
        self.records = list(records)
        self.options = len(records[0].options)
        self.answer = np.array([r.answer for r in records])
        self.cluster = np.array([r.cluster for r in records])
        self.numbers = np.array([question_numbers(r.question) for r in records])
        self.shapes = np.array([option_shapes(r.options) for r in records])

    def __len__(self) -> int:
        return len(self.records)

    def dense(self) -> np.ndarray:
        """(N * options, SHAPES + options + M) float32 rows of the options: option, its place, question, products.

        Where every option is true equally often, neither question nor option tells anything alone, and a tree finds no
        first split; so each number of the question also comes multiplied by what the options contrast in.
        """
        asked = np.repeat(np.hstack([self.numbers, self._telling_words()]), self.options, axis=0)
        place = np.tile(np.eye(self.options), (len(self), 1))
        known = np.nan_to_num((self.numbers - column_means(self.numbers)) / column_spreads(self.numbers))
        contrasts = contrasts_of(self.shapes)
        products = (known[:, None, :, None] * contrasts[:, :, None, :]).reshape(len(self) * self.options, -1)
        return np.hstack([self.shapes.reshape(-1, SHAPES), place, asked, products]).astype(np.float32)

    def question_dense(self) -> np.ndarray:
        """(N, M) float32 rows of the questions: indicators of binned numbers and of hashed words."""
        binned = self._binned()
        indicators = (binned[:, :, None] == np.arange(-1, BINS)).reshape(len(self), -1)
        words = np.zeros((len(self), 256))
        for row, record in enumerate(self.records):
            words[row, [_hash(word) % 256 for word in question_words(record.question)]] = 1.0
        return np.hstack([indicators, words]).astype(np.float32)

    def option_words(self) -> sparse.csr_matrix:
        """(N * options, WORD_COLUMNS) what each option says: text, states by place, runs of words and characters."""
        return _hashed([_option_tokens(o) for r in self.records for o in r.options], WORD_COLUMNS)

    def pairs(self) -> sparse.csr_matrix:
        """(N * options, PAIR_COLUMNS) every word and binned number of the question with every state of the option."""
        binned = self._binned()
        columns, ends = [], [0]
        for row, record in enumerate(self.records):
            asked = {f"{slot}={value}" for slot, value in enumerate(binned[row]) if value >= 0}
            asked |= set(question_words(record.question)) | {""}
            question = np.array([_hash(token) for token in sorted(asked)], np.uint64)
            for option in record.options:
                said = np.array([_hash(token) for token in _claims(option)], np.uint64)
                crossed = (question[:, None] * np.uint64(2654435761) + said[None] * np.uint64(40503)).ravel()
                columns.append(((crossed ^ (crossed >> np.uint64(17))) % np.uint64(PAIR_COLUMNS)).astype(np.int32))
                ends.append(ends[-1] + len(columns[-1]))
        indices = np.concatenate(columns)
        matrix = sparse.csr_matrix(
            (np.ones(len(indices), np.float32), indices, np.array(ends)), shape=(len(ends) - 1, PAIR_COLUMNS)
        )
        matrix.sum_duplicates()
        return matrix

    def _telling_words(self, most: int = 24) -> np.ndarray:
        """(N, most) which of the words that not all questions have a question has; the most evenly spread ones."""
        asked = [set(question_words(r.question)) for r in self.records]
        counts = Counter(word for words in asked for word in words)
        half = len(asked) / 2
        words = sorted((w for w, n in counts.items() if n < len(asked)), key=lambda w: (abs(counts[w] - half), w))
        return np.array([[word in words_of for word in words[:most]] for words_of in asked], float).reshape(
            len(asked), -1
        )

    def _binned(self) -> np.ndarray:
        """(N, Q) bin of each number of the question, -1 where absent."""
        binned = np.full(self.numbers.shape, -1)
        for column, values in enumerate(self.numbers.T):
            known = np.isfinite(values)
            if known.any():
                edges = np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1])
                binned[known, column] = np.searchsorted(edges, values[known], side="right")
        return binned


def column_means(numbers: np.ndarray) -> np.ndarray:
    """(Q,) mean of what is known of each column of (N, Q)."""
    known = np.isfinite(numbers)
    return np.where(known, numbers, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def column_spreads(numbers: np.ndarray) -> np.ndarray:
    """(Q,) standard deviation of what is known of each column; 1 where that is nothing or constant."""
    off = np.nan_to_num(numbers - column_means(numbers))
    spread = np.sqrt((off**2).sum(axis=0) / np.maximum(np.isfinite(numbers).sum(axis=0), 1))
    return np.where(spread > 1e-9, spread, 1.0)


@lru_cache(maxsize=1 << 18)
def _hash(token: str) -> int:
    return zlib.crc32(token.encode())


@lru_cache(maxsize=1 << 15)
def _claims(option: str) -> tuple[str, ...]:
    """What an option claims, coarse to fine."""
    states = states_of(option)
    first, last = (states[0], states[-1]) if states else ("", "")
    number = first_number(option)
    size = "" if np.isnan(number) else f"about {round(4 * np.log(max(abs(number), 1e-3)))}"
    claims = {f"whole {option}", f"first {first}", f"last {last}", f"states {len(states)}", size}
    claims |= {f"first {side}" for side in first.rstrip(".").split("|")}
    claims |= {f"last {side}" for side in last.rstrip(".").split("|")}
    claims |= {f"has {state}" for state in states}
    return tuple(sorted(claims))


@lru_cache(maxsize=1 << 15)
def _option_tokens(option: str) -> tuple[int, ...]:
    states = states_of(option)
    words = option.lower().split()
    tokens = [f"whole {option}", f"states {len(states)}"]
    tokens += [f"{i} {state}" for i, state in enumerate(states)]
    tokens += [f"{a} > {b}" for a, b in pairwise(states)]
    tokens += [" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)]
    tokens += [option[i : i + 3] for i in range(len(option) - 2)]
    return tuple(sorted({_hash(token) for token in tokens}))


def _hashed(rows: Sequence[tuple[int, ...]], columns: int) -> sparse.csr_matrix:
    ends = np.cumsum([0, *(len(row) for row in rows)])
    indices = np.fromiter((token % columns for row in rows for token in row), np.int32, ends[-1])
    matrix = sparse.csr_matrix((np.ones(len(indices), np.float32), indices, ends), shape=(len(rows), columns))
    matrix.sum_duplicates()
    return matrix
