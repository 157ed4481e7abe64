"""What an oracle says of a clear case: checks of an answer, and words for the report."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

NAMES = (("front", "behind"), ("left", "right"), ("above", "below"))


@dataclass
class Clear:
    """A clear case.

    Attributes:
        expected: In words, for the report.
        only: All states have this label. has: this label is among them. never: none of these is.
        sides: Name, "" (none) or None (unclear) by axis, of every state. value: the number, within tolerance.
        details: name -> (number or sequence, tolerance). bounds: name -> largest value.
        declined: A decline is expected.
    """

    expected: object = None
    only: str | None = None
    has: str | None = None
    never: tuple = ()
    sides: list | None = None
    value: float | None = None
    tolerance: float = 0.0
    details: dict = field(default_factory=dict)
    declined: bool = False
    check: object = None

    def __post_init__(self):
        if self.expected is None:
            parts = [self.only or self.has, self.sides, None if self.value is None else round(self.value, 3)]
            self.expected = tuple(p for p in parts if p is not None)

    def faults(self, answer) -> list[str]:
        """What of an answer disagrees; empty where all agrees."""
        if self.declined:
            return [] if answer.declined is not None else ["answered what should be declined"]
        if answer.declined is not None:
            return [f"declined {answer.declined.code}"]
        labels = {s.label for s in answer.states}
        wrong = []
        if self.only is not None and labels != {self.only}:
            wrong.append(f"labels {sorted(labels)}")
        if self.has is not None and (self.has not in labels or labels & set(self.never)):
            wrong.append(f"labels {sorted(labels)}")
        if self.sides is not None:
            for label in labels:
                for side, names in zip(self.sides, NAMES, strict=True):
                    if side is not None and set(label.split("|")) & set(names) != ({side} if side else set()):
                        wrong.append(f"label {label}")
        if self.value is not None and (answer.value is None or not abs(answer.value - self.value) <= self.tolerance):
            wrong.append(f"value {answer.value} not {self.value:.3f} +- {self.tolerance:.3f}")
        for name, (number, tolerance) in self.details.items():
            got = answer.details.get(name)
            if got is None or not np.all(np.abs(np.asarray(got, float) - np.asarray(number, float)) <= tolerance):
                wrong.append(f"{name} {got} not {number} +- {tolerance:.3f}")
        if self.check is not None:
            wrong += self.check(answer) or []
        return wrong


def sides_of(vector, noise):
    """Names of a vector's sides by axis: where its unit vector clearly exceeds 0.3; None where that is unclear."""
    unit = np.asarray(vector, float) / max(float(np.linalg.norm(vector)), 1e-9)
    out = []
    for component, (plus, minus) in zip(unit, NAMES, strict=True):
        margin = noise * np.sqrt(max(1 - component**2, 0.0)) + 0.02
        if abs(component) > 0.3 + margin:
            out.append(plus if component > 0 else minus)
        else:
            out.append("" if abs(component) < 0.3 - margin else None)
    return out
