"""Judgement: states of a series with how safe they are."""

from __future__ import annotations

from dataclasses import dataclass

from dsr_core.reasoning.answer import State


@dataclass(frozen=True)
class Judgement:
    """States with how safe they are.

    Attributes:
        states: What held when; neighbours differ.
        margin: Distance of the weakest decision from its threshold, in the unit of the series.
        confidence: Raw probability that all states are right, 0..1 (`calibration` makes it honest).
        certain: False when the noise is too large to tell a change from none.
        margin_sigmas: The margin in units of its own one-sigma noise.
        chances: For each state the raw probability that its label is right.
        others: For each state the label that it would have if its weakest decision fell the other way.
        weakest: Index of the state with the weakest decision.
    """

    states: tuple[State, ...]
    margin: float
    confidence: float
    certain: bool = True
    margin_sigmas: float | None = None
    chances: tuple[float, ...] = ()
    others: tuple[str, ...] = ()
    weakest: int = 0
