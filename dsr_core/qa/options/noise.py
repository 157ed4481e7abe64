"""Wrong options the original way: the describer of the DSR Suite run on noise (arXiv 2512.20557, released code).

Kept for comparison. A reader who never sees the video does well on such options, because noise changes its state with
nearly every sample and real motion does not. Three slips of the release are kept, as they are part of what is guessed:

* The speeds of `rel_spd` are drawn from U(-1, 1), so half of them are negative; all others from U(0, 2).
* The series has the length of the truth, but an option gets a number of states of its own, from N - 3 to N + 3 (never
  less than one): an answer of one state stands among longer ones.
* "The latter is always faster." lacks the "(1)" that every other answer has.

One is not: the release asks numpy for `random_uniform` when an option of `rel_spd_comp` repeats, which kills the item.
"""

from __future__ import annotations

import re

import numpy as np

from dsr_core.qa.item import Candidate, QaError
from dsr_core.reasoning import describe
from dsr_core.reasoning.dsr_rules import states, word_states

#: The release samples 32 frames and keeps two, so that no series is longer.
MOST_SAMPLES = 30
MOST_DRAWS = 200
_EACH_ITEM = re.compile(r"\(\d+\) ")


def noise_options(candidate: Candidate, rng: np.random.Generator, count: int = 3) -> tuple[str, ...] | None:
    """Wrong answers to a question with states, from noise; None where `MOST_DRAWS` draws give too few different ones.

    Args:
        candidate: The question; `samples` is the length of the noise (30 where it is not known).
        rng: Noise comes from here alone.
        count: How many.
    """
    found: list[str] = []
    for _ in range(MOST_DRAWS):
        text = _draw(candidate, rng)
        if text and text != candidate.answer and text not in found:
            found.append(text)
            if len(found) == count:
                return tuple(found)
    return None


def numeric_options(value: float, unit: str, rng: np.random.Generator, count: int = 3) -> tuple[str, ...] | None:
    """Wrong numbers as MLLM-4D and VLM-3R make them: 25 to 175 % of the truth, one decimal, a fifth of it apart."""
    found = [round(value, 1)]
    for _ in range(30 * count):
        number = round(rng.uniform(0.25, 1.75) * value, 1)
        if all(abs(number - other) >= 0.2 * abs(value) for other in found) and number not in found:
            found.append(number)
            if len(found) > count:
                return tuple(f"{number:.1f} {unit}" for number in found[1:])
    return None


def _draw(candidate: Candidate, rng: np.random.Generator) -> str:
    kind, samples = candidate.kind, min(candidate.samples or MOST_SAMPLES, MOST_SAMPLES)
    wanted = rng.integers(max(1, _count(candidate) - 3), _count(candidate) + 4)
    if kind == "direction_prediction":
        return describe(kind, rng.uniform(-1, 1, 3), rules="dsr")
    if kind in ("direction", "orientation"):
        return word_states(kind, _labels(kind, rng.uniform(-1, 1, (samples, 3)))[:wanted])
    if kind == "speed_comparison":
        return word_states(kind, _labels(kind, *rng.uniform(0, 2, (2, samples)))[:wanted])
    if kind not in ("distance", "speed"):
        raise QaError(f"there is no noise for questions of kind {kind!r}; use physical distractors")
    lowest, highest = (-1, 1) if candidate.type == "rel_spd" else (0, 2)
    items = _EACH_ITEM.split(describe(kind, rng.uniform(lowest, highest, samples), rules="dsr"))[1:]
    return " ".join(f"({i}) {item.strip()}" for i, item in enumerate(items[:wanted], 1))


def _labels(kind: str, *series: np.ndarray) -> list[str]:
    return [state.label for state in states(kind, *series)]


def _count(candidate: Candidate) -> int:
    return max(1, len(_EACH_ITEM.findall(candidate.answer)))
