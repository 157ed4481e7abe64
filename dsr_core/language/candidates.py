"""The understood sentences that are nearest to a question that is not understood."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

from dsr_core.language.sentences import EXAMPLES

_MAX_CHARACTERS = 200
#: Less in common is no likeness.
_LEAST_SHARE = 0.15


def nearest_sentences(text: str, count: int = 4) -> tuple[str, ...]:
    """Examples that share most threes of letters with the text (Dice's coefficient); the first ones for none."""
    threes = _threes(text[:_MAX_CHARACTERS])
    holders, sizes = _index()
    shared = [0] * len(EXAMPLES)
    for three in threes:
        for k in holders.get(three, ()):
            shared[k] += 1
    shares = [2.0 * common / (len(threes) + size) for common, size in zip(shared, sizes, strict=True)]
    best = sorted(range(len(EXAMPLES)), key=lambda k: -shares[k])[:count]
    return tuple(EXAMPLES[k] for k in best if shares[k] > _LEAST_SHARE) or EXAMPLES[:count]


def _threes(text: str) -> frozenset[str]:
    padded = f" {text.lower()} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


@lru_cache(maxsize=1)
def _index() -> tuple[dict[str, list[int]], list[int]]:
    """Which examples hold three letters, and how many threes each example has."""
    holders = defaultdict(list)
    sizes = []
    for k, example in enumerate(EXAMPLES):
        threes = _threes(example)
        sizes.append(len(threes))
        for three in threes:
            holders[three].append(k)
    return dict(holders), sizes
