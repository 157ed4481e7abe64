"""Small pieces of wording: names with their article, numbers with their unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsr_core.language.verdict import is_true
from dsr_core.reasoning.answer import State


@dataclass(frozen=True)
class Told:
    """What is put into words (see `dsr_core.language.wording.word` for the fields)."""

    states: Sequence[State]
    kind: str
    names: Mapping[str, str | None]
    value: float | None
    sigma: float | None
    unit: str | None
    form: str
    asked: str | Sequence[str] | None
    motion: Mapping[str, str | None]
    recent: bool
    at_s: float | None
    details: Mapping

    @property
    def subject(self) -> str:
        return the(self.names.get("subject"))

    @property
    def other(self) -> str:
        """The object, or the viewer where there is none."""
        return the(self.names.get("object") or self.names.get("viewer"))

    @property
    def number(self) -> str:
        """The value with its sigma and unit, "" where there is none."""
        return number_with_unit(self.value, self.sigma, self.unit)


def said(told: Told, text: str) -> str:
    """A sentence: "Yes: car 12 moved." where yes or no was asked, else "Car 12 moved."."""
    if told.form == "yes_no" and told.asked is not None:
        verdict = "Yes" if is_true(told.states, told.kind, told.asked, told.recent) else "No"
        return f"{verdict}: {text}."
    return f"{text[0].upper()}{text[1:]}."


def the(name: str | None) -> str:
    """A name as it stands in a sentence: "the robot", "car 12"."""
    if not name or name.startswith("the "):
        return name or "it"
    # With its id ("car 12") a name is a proper one; ids of data sets can be long and hold letters.
    return name if " " in name and any(c.isdigit() for c in name.split()[-1]) else f"the {name}"


def number_with_unit(value: float | None, sigma: float | None, unit: str | None) -> str:
    """ "5.0 ± 0.2 m"; "" where there is no number."""
    if value is None or unit is None or not math.isfinite(value):
        return ""
    digits = 1 if abs(value) >= 1 else 2
    spread = "" if not sigma or not math.isfinite(sigma) else f" ± {sigma:.{digits}f}"
    return f"{value:.{digits}f}{spread} {unit}"
