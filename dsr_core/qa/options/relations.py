"""How two answers of one kind relate: the same in other words, a near miss, mirror images, reversals in time."""

from __future__ import annotations

from collections.abc import Sequence

_MIRROR = {"left": "right", "right": "left"}
_SWAP = {"first_faster": "second_faster", "second_faster": "first_faster"}
_REVERSE = {"increasing": "decreasing", "decreasing": "increasing"}

Labels = tuple[str, ...]


def canonical(labels: Sequence[str]) -> Labels:
    """The states that an answer claims: equal neighbours are one state, however they are worded."""
    return tuple(label for i, label in enumerate(labels) if i == 0 or label != labels[i - 1])


def mirrored(labels: Labels) -> Labels:
    """Left and right changed over; for comparisons of speed the two things."""
    return tuple("|".join(_MIRROR.get(side, side) for side in _SWAP.get(label, label).split("|")) for label in labels)


def reversed_in_time(labels: Labels) -> Labels:
    """What the same motion would be called backwards: what grew shrinks."""
    return tuple(_REVERSE.get(label, label) for label in reversed(labels))


def one_edit_apart(a: Labels, b: Labels) -> bool:
    """Whether one state put in, left out or exchanged turns `a` into `b`."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        return a[same + 1 :] == b[same + 1 :]
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[same + 1 :] == shorter[same:]


def relations(truth: Labels, other: Labels) -> tuple[str, ...]:
    """Which of "near_miss", "mirrored" and "reversed" the canonical states `other` are of `truth`."""
    found = []
    if one_edit_apart(truth, other):
        found.append("near_miss")
    if other != truth and other == mirrored(truth):
        found.append("mirrored")
    if other != truth and other == reversed_in_time(truth):
        found.append("reversed")
    return tuple(found)


def runners_up(labels: Sequence[str], others: Sequence[str]) -> frozenset[Labels]:
    """The answers that would be true had one state's weakest decision fallen the other way, in canonical form.

    Args:
        labels: The true states.
        others: For each the label it would have instead; any other length means that they are not known.
    """
    if len(labels) != len(others):
        return frozenset()
    truth = canonical(labels)
    turned = (canonical((*labels[:i], other, *labels[i + 1 :])) for i, other in enumerate(others))
    return frozenset(answer for answer in turned if answer != truth)
