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
        confidence: Probability that no decision would flip with fresh noise, 0..1.
        certain: False when the noise is too large to tell a change from none.
    """

    states: tuple[State, ...]
    margin: float
    confidence: float
    certain: bool = True
