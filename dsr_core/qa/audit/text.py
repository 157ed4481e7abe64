"""What a blind reader can take from the text: numbers of the question, states and shape of the options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

_TIME = re.compile(r"(\d+(?:\.\d+)?) ?s\b")
_FRAME = re.compile(r"\bframe (\d+)|\bframes (\d+) (?:and|to) (\d+)")
_BOX = re.compile(r"\[(\d+), ?(\d+), ?(\d+), ?(\d+)\]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MARK = re.compile(r"\(\d+\)\s*")
_WORD = re.compile(r"[a-z]+")
#: Times and boxes of a question that are read.
TIMES, BOXES = 3, 3
#: What states are made of, in the words of the DSR types and of MLLM-4D.
STEMS = (
    "front", "behind", "left", "right", "above", "below", "larger", "smaller", "constant", "former", "latter", "same",
    "always", "closer", "farther", "not", "moving", "forward", "backward", "up", "down",
)  # fmt: skip


def question_numbers(question: str) -> np.ndarray:
    """Times or frames, their difference, boxes as centre and log size, and the number of boxes; NaN is absent.

    Returns:
        (TIMES + 1 + 4 BOXES + 1,) float64.
    """
    found = np.full(TIMES + 1 + 4 * BOXES + 1, np.nan)
    frames = [number for numbers in _FRAME.findall(question) for number in numbers if number]
    times = [float(t) for t in (*_TIME.findall(question), *frames)][:TIMES]
    found[: len(times)] = times
    if len(times) >= 2:
        found[TIMES] = times[1] - times[0]
    boxes = _BOX.findall(question)[:BOXES]
    for i, box in enumerate(boxes):
        x1, y1, x2, y2 = (float(v) for v in box)
        place = (x1 + x2) / 2, (y1 + y2) / 2, np.log(max(x2 - x1, 1.0)), np.log(max(y2 - y1, 1.0))
        found[TIMES + 1 + 4 * i : TIMES + 5 + 4 * i] = place
    found[-1] = len(boxes)
    return found


@lru_cache(maxsize=1 << 16)
def question_words(question: str) -> tuple[str, ...]:
    """Words of the question in order, without numbers."""
    return tuple(_WORD.findall(_BOX.sub(" ", _TIME.sub(" ", question)).lower()))


@lru_cache(maxsize=1 << 16)
def states_of(option: str) -> tuple[str, ...]:
    """The states that an option lists, without their numbers."""
    return tuple(part.strip() for part in _MARK.split(option) if part.strip())


def is_numbered(option: str) -> bool:
    return _MARK.match(option) is not None


@lru_cache(maxsize=1 << 16)
def option_words(option: str) -> frozenset[str]:
    """Its states and their words: what options are compared by."""
    states = states_of(option)
    return frozenset(states) | frozenset(_WORD.findall(option.lower()))


def likeness(a: str, b: str) -> float:
    """Share of what two options have in common (Jaccard)."""
    a, b = option_words(a), option_words(b)
    return len(a & b) / max(len(a | b), 1)


def first_number(option: str) -> float:
    """The number in an option outside of its state marks, NaN where there is none."""
    found = _NUMBER.search(_MARK.sub(" ", option))
    return float(found[0]) if found else float("nan")


@lru_cache(maxsize=1 << 16)
def roughness(option: str) -> float:
    """How many words change from state to state, on average: real motion changes little at a time."""
    states = [frozenset(_WORD.findall(state.lower())) for state in states_of(option)]
    changes = [len(a ^ b) for a, b in pairwise(states)]
    return float(np.mean(changes)) if changes else 0.0


@lru_cache(maxsize=1 << 16)
def _own_shape(option: str) -> tuple[float, ...]:
    states = [state.lower() for state in states_of(option)] or [""]
    counts = [sum(stem in state for state in states) for stem in STEMS]
    first, last = ([float(stem in state) for stem in STEMS] for state in (states[0], states[-1]))
    repeats = sum(a == b for a, b in pairwise(states))
    own = len(states), len(option), float(is_numbered(option)), repeats, len(set(states)), roughness(option)
    return (*own, *counts, *first, *last)


#: Columns of `option_shapes`.
SHAPES = 6 + 3 * len(STEMS) + 1 + 5


def option_shapes(options: Sequence[str]) -> np.ndarray:
    """(len(options), SHAPES) numbers that describe the options, alone and beside each other."""
    own = np.array([_own_shape(option) for option in options])
    number = np.array([first_number(option) for option in options])
    alike = np.array([[likeness(a, b) for b in options] for a in options])
    beside = [
        own[:, 0] - own[:, 0].mean(),
        own[:, 1] - own[:, 1].mean(),
        own[:, 5] - own[:, 5].mean(),
        (alike.sum(axis=1) - 1.0) / max(len(options) - 1, 1),
        np.argsort(np.argsort(number)) if np.isfinite(number).all() else np.full(len(options), np.nan),
    ]
    return np.column_stack([own, number, *beside])


#: Pairs of words that options differ by, in their first and in their last state.
_OPPOSITES = (("front", "behind"), ("left", "right"), ("above", "below"), ("larger", "smaller"), ("former", "latter"))


def contrasts_of(shapes: np.ndarray) -> np.ndarray:
    """What options (..., SHAPES) say for or against, within -1 and 1: sides, growth, who is faster, change at all."""
    first, last = 6 + len(STEMS), 6 + 2 * len(STEMS)
    found = []
    for begin in (first, last):
        for a, b in _OPPOSITES:
            found.append(shapes[..., begin + STEMS.index(a)] - shapes[..., begin + STEMS.index(b)])
    several = np.clip((shapes[..., 0] - 1.0) / 3.0, 0.0, 1.0)
    return np.stack([*found, shapes[..., first + STEMS.index("constant")], several], axis=-1)
