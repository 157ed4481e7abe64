"""Direction words -> direction labels: "to the left of" -> "left", "front-left" or "Front|Left" -> "front|left"."""

from __future__ import annotations

import re

_SIDES = {
    "front": "front", "ahead": "front", "forward": "front", "forwards": "front",
    "behind": "behind", "back": "behind", "rear": "behind", "backward": "behind", "backwards": "behind",
    "left": "left", "leftward": "left", "leftwards": "left", "lefthand": "left",
    "right": "right", "rightward": "right", "rightwards": "right", "righthand": "right",
    "above": "above", "up": "above", "upward": "above", "upwards": "above", "over": "above",
    "below": "below", "down": "below", "downward": "below", "downwards": "below", "under": "below",
    "underneath": "below", "beneath": "below",
}  # fmt: skip
_AXES = (("front", "behind"), ("left", "right"), ("above", "below"))
_BEFORE = frozenset(
    "in to on at the my your our and directly straight slightly towards toward from of somewhere".split()
)
_AFTER = frozenset("of side hand the and to from direction".split())
#: Before these, "right" is "exactly".
_EXACTLY = frozenset("in behind above below ahead at under over on".split())


def join_sides(sides: set[str]) -> str | None:
    """Sides -> label in the order of the contract; None for no side or for opposite ones."""
    chosen = [[s for s in axis if s in sides] for axis in _AXES]
    if not sides or any(len(c) > 1 for c in chosen):
        return None
    return "|".join(c[0] for c in chosen if c)


def direction_label(text: str) -> str | None:
    """The label of a phrase that says nothing but a direction, else None."""
    found = split_direction(text)
    return found[1] if found and not found[0] and not found[2] else None


def split_direction(text: str) -> tuple[str, str, str, bool] | None:
    """Finds the first direction phrase in `text`.

    Returns:
        The text before it, its label, the text after it, and whether it is the speaker's own side ("to my left");
        None where there is no direction or a contradictory one.
    """
    words = [w for w in re.sub(r"[.,;]+( |$)", " ", text).split() if w]
    parts = [[p for p in re.split(r"[-|/]+", w.lower()) if p] for w in words]

    def sides(k: int) -> set[str] | None:
        """Sides named by word k; None when it says something else."""
        if all(p in _SIDES or p in ("and", "hand", "side") for p in parts[k]):
            return {_SIDES[p] for p in parts[k] if p in _SIDES}
        return None

    exactly = {k for k in range(len(words) - 1) if parts[k] == ["right"] and _EXACTLY.intersection(parts[k + 1][:1])}
    exactly = {k for k in exactly if k == 0 or parts[k - 1][-1:] not in (["the"], ["my"], ["to"], ["and"])}
    first = next((k for k in range(len(words)) if k not in exactly and sides(k)), None)
    if first is None:
        return None
    start = first
    while start > 0 and (start - 1 in exactly or _BEFORE.intersection(parts[start - 1][-1:])):
        start -= 1
    named, end = set(sides(first)), first + 1
    while end < len(words):
        k = end
        while k < len(words) and (words[k].lower() in _AFTER or words[k].lower() in ("in", "on", "my", "your")):
            k += 1
        if k < len(words) and sides(k) and k > end - 1 and "of" not in [w.lower() for w in words[end:k]]:
            named |= sides(k)
            end = k + 1
        else:
            break
    own = any(w.lower() in ("my", "your", "our") for w in words[start:end])
    while end < len(words) and words[end].lower() in _AFTER:
        end += 1
    label = join_sides(named)
    if label is None:
        return None
    return " ".join(words[:start]), label, " ".join(words[end:]), own
