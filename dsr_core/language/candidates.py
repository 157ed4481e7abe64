"""The understood sentences that are nearest to a question that is not understood."""

from __future__ import annotations

from functools import lru_cache

from dsr_core.language.sentences import EXAMPLES

_MAX_CHARACTERS = 200


def nearest_sentences(text: str, count: int = 4) -> tuple[str, ...]:
    """Examples that share most of their threes of letters with the text; the first ones where none does."""
    threes = _threes(text[:_MAX_CHARACTERS])
    rated = [(_shared(threes, of_example), -rank) for rank, of_example in enumerate(_of_examples())]
    best = sorted(rated, reverse=True)[:count]
    return tuple(EXAMPLES[-rank] for share, rank in best if share > 0.15) or EXAMPLES[:count]


def _threes(text: str) -> frozenset[str]:
    padded = f" {text.lower()} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    """Dice's coefficient of two sets."""
    return 2.0 * len(one & other) / (len(one) + len(other))


@lru_cache(maxsize=1)
def _of_examples() -> tuple[frozenset[str], ...]:
    return tuple(_threes(example) for example in EXAMPLES)
