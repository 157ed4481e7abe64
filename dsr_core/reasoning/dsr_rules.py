"""The published DSR Suite rules to the letter (arXiv 2512.20557 and its released code), and their wording.

Two layers: state machines turn bare series into `SampleState`s in the label vocabulary of this project, and
`word_states` turns labels into the published sentences. What looks odd is kept, because answers depend on it:

* Equal neighbours of distance and speed are not merged: a steady approach becomes several items.
* "Keep nearly constant and then become larger." is one item and the two states constant, increasing.
* "The latter is always faster." lacks the "(1)" that every other answer has.
* Ratios are IEEE divisions: x/0 is +inf or -inf and 0/0 is NaN, for which every comparison is false. So from an exact
  zero anything of 0.1 or more "becomes larger", and zero to zero is constant because both are below 0.1.
* 0.1 is an absolute length in the unit of the series, so an answer depends on the scale of the world.

NaN (which hangs the released code), infinities and vectors of no length are refused with the sample's number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dsr_core.errors import QueryError

#: Ratios between these are "nearly constant"; values below `SMALL` count as zero.
RATIO_LOW, RATIO_HIGH, SMALL = 0.8, 1.2, 0.1
#: A component of a unit vector beyond this names its side (72.5 degrees; the paper's text says 70).
DIRECTION_EPS = 0.3
#: Kinds that the published rules know.
PUBLISHED_KINDS = ("distance", "direction", "orientation", "speed", "speed_comparison", "direction_prediction")


class SampleState(NamedTuple):
    """A label that held from sample `first` to sample `last` (both included)."""

    label: str
    first: int
    last: int


def states(kind: str, *series) -> list[SampleState]:
    """States of bare series by the published rules.

    Args:
        kind: One of `PUBLISHED_KINDS`.
        *series: distance, speed: one (T,); direction, orientation: one (T, 3) in the viewer's frame (x forward, y left,
            z up, any length); speed_comparison: two (T,); direction_prediction: one displacement (3,).

    Raises:
        QueryError: unknown kind, wrong shape, no samples, a NaN or infinite sample, or a vector of no length.
    """
    if kind not in PUBLISHED_KINDS:
        raise QueryError(f"kind {kind!r} has no published rule; there are rules for {', '.join(PUBLISHED_KINDS)}")
    wanted = 2 if kind == "speed_comparison" else 1
    if len(series) != wanted:
        raise QueryError(f"{kind} needs {wanted} series, {len(series)} were given")
    if kind in ("distance", "speed"):
        return _trend(_checked(series[0], kind))
    if kind == "speed_comparison":
        former, latter = _checked(series[0], "the former speed"), _checked(series[1], "the latter speed")
        if len(former) != len(latter):
            raise QueryError(f"the speeds have {len(former)} and {len(latter)} samples; both need the same number")
        return _merged(_comparison_labels(former, latter))
    if kind == "direction_prediction":
        series = (np.asarray(series[0], float).reshape(1, -1),)
    return _merged(_direction_labels(_checked(series[0], kind, vectors=True)))


def _checked(series, name: str, vectors: bool = False) -> np.ndarray:
    values = np.asarray(series, float)
    shape = "(T, 3)" if vectors else "(T,)"
    if values.ndim != 1 + vectors or (vectors and values.shape[1] != 3):
        raise QueryError(f"{name} has shape {values.shape}, {shape} is needed")
    if not len(values):
        raise QueryError(f"{name} has no samples")
    finite = np.isfinite(values) if not vectors else np.isfinite(values).all(axis=1)
    if not finite.all():
        sample = int(np.flatnonzero(~finite)[0])
        raise QueryError(f"sample {sample} of {name} is {values[sample]}; leave out samples that are not numbers")
    if vectors and not np.linalg.norm(values, axis=1).all():
        sample = int(np.flatnonzero(np.linalg.norm(values, axis=1) == 0)[0])
        raise QueryError(f"sample {sample} of {name} is a vector of no length, which has no direction")
    return values


def _divide(a: float, b: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return float(np.float64(a) / np.float64(b))


def _trend(d: np.ndarray) -> list[SampleState]:
    """Distance and speed (paper table 8 and released code); a lone last sample gives nothing."""
    found: list[SampleState] = []
    n, i = len(d), 0
    while i < n - 1:
        j = i + 1
        if _nearly_constant(d[i], d[j]):
            while j < n and _nearly_constant(d[i], d[j]):
                j += 1
            found.append(SampleState("constant", i, j - 1))
            if j < n:
                side = "increasing" if _divide(d[j], d[i]) > RATIO_HIGH else "decreasing"
                found.append(SampleState(side, j - 1, j))
            i = j
        elif _divide(d[j], d[j - 1]) > RATIO_HIGH:
            while j < n and _divide(d[j], d[j - 1]) > RATIO_HIGH:
                j += 1
            found.append(SampleState("increasing", i, j - 1))
            i = n if j == n else j - 1
        else:
            while j < n and _divide(d[j], d[j - 1]) < RATIO_LOW and d[j] >= SMALL:
                j += 1
            # A value below 0.1 ends the fall and starts the next state; no step is needed to get there.
            stopped = j < n and d[j] < SMALL
            found.append(SampleState("decreasing", i, j if stopped else j - 1))
            i = j if j == n or stopped else j - 1
    return found


def _nearly_constant(reference: float, value: float) -> bool:
    ratio = _divide(value, reference)
    return RATIO_LOW <= ratio <= RATIO_HIGH or (reference < SMALL and value < SMALL)


def _comparison_labels(former: np.ndarray, latter: np.ndarray) -> list[str]:
    labels = []
    for a, b in zip(former, latter, strict=True):
        ratio = _divide(a, b)
        if a < SMALL and b < SMALL:
            labels.append("same")
        else:
            slower = "second_faster" if ratio < 1 / RATIO_HIGH else "same"
            labels.append("first_faster" if ratio > RATIO_HIGH else slower)
    return labels


def _direction_labels(vectors: np.ndarray) -> list[str]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    sides = (("front", "behind"), ("left", "right"), ("above", "below"))
    return [
        "|".join(names[0] if x > 0 else names[1] for x, names in zip(u, sides, strict=True) if abs(x) > DIRECTION_EPS)
        for u in unit
    ]


def _merged(labels: Sequence[str]) -> list[SampleState]:
    found: list[SampleState] = []
    for i, label in enumerate(labels):
        if found and found[-1].label == label:
            found[-1] = found[-1]._replace(last=i)
        else:
            found.append(SampleState(label, i, i))
    return found


# --- the published wording -------------------------------------------------------------------------------------------

_TREND_WORDS = {"increasing": "Become larger.", "decreasing": "Become smaller.", "constant": "Keep nearly constant."}
_AFTER_CONSTANT = {
    "increasing": "Keep nearly constant and then become larger.",
    "decreasing": "Keep nearly constant and then become smaller.",
}
_COMPARISON_WORDS = {
    "first_faster": "The former is faster.",
    "second_faster": "The latter is faster.",
    "same": "Nearly the same.",
}
_COMPARISON_ALONE = {
    "first_faster": "(1) The former is always faster.",
    "second_faster": "The latter is always faster.",
    "same": "(1) Their speed is nearly the same.",
}


def word_states(kind: str, labels: Sequence[str]) -> str:
    """Labels of consecutive states -> the published sentence, such as "(1) Become larger. (2) Become smaller."."""
    if kind == "speed_comparison" and len(labels) == 1:
        return _COMPARISON_ALONE[labels[0]]
    return " ".join(f"({number}) {item}" for number, item in enumerate(_WORDERS[kind](labels), 1))


def _trend_items(labels: Sequence[str]) -> list[str]:
    items, i = [], 0
    while i < len(labels):
        if labels[i] == "constant" and i + 1 < len(labels) and labels[i + 1] in _AFTER_CONSTANT:
            items.append(_AFTER_CONSTANT[labels[i + 1]])
            i += 2
        else:
            items.append(_TREND_WORDS[labels[i]])
            i += 1
    return items


def _comparison_items(labels: Sequence[str]) -> list[str]:
    return [_COMPARISON_WORDS[label] for label in labels]


def _direction_items(labels: Sequence[str]) -> list[str]:
    return ["|".join(side.capitalize() for side in label.split("|")) + "." for label in labels]


def _motion_items(labels: Sequence[str]) -> list[str]:
    return [label.capitalize() + "." for label in labels]


_WORDERS: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "distance": _trend_items,
    "speed": _trend_items,
    "speed_comparison": _comparison_items,
    "direction": _direction_items,
    "orientation": _direction_items,
    "direction_prediction": _direction_items,
    # Not published: moving or still, in the same style.
    "motion": _motion_items,
}
