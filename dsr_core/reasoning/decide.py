"""Decisions about one number: did it change, did a thing move, beyond noise and by enough to matter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.ends import Change
from dsr_core.reasoning.noise import ROUNDING, THREE_AXES, chance_beyond, chance_within
from dsr_core.reasoning.rules import RobustRules


@dataclass(frozen=True)
class Decision:
    """Whether a number changed: beyond its threshold or not.

    Attributes:
        changed: Beyond it. margin: Distance from it. sigmas: The same in units of the noise, inf without noise.
        chance: Raw probability that the decision is right. hidden: The noise could hide what matters.
    """

    changed: bool
    margin: float
    sigmas: float
    chance: float
    hidden: bool


def decide_change(change: float, noise: float, reference: float, rules: RobustRules, rounding: float = 0.0) -> Decision:
    """Whether a number changed beyond noise and `fraction` of a reference (> `rounding`, which is none)."""
    least = max(rules.fraction * reference, ROUNDING * reference, rounding)
    threshold = max(rules.sigmas * noise, least)
    changed = abs(change) > threshold
    chance = chance_beyond(abs(change), least, noise) if changed else chance_within(change, least, noise)
    hidden = not changed and rules.sigmas * noise > max(rules.uncertain_fraction * reference, rounding)
    margin = abs(abs(change) - threshold)
    return Decision(changed, margin, margin / noise if noise > 0 else math.inf, float(chance), hidden)


def decide_moved(change: Change, agent: Agent, rules: RobustRules) -> Decision:
    """Whether a thing moved: its displacement beyond noise and `fraction` of its length."""
    distance, known = float(np.linalg.norm(change.vector)), agent.length_m is not None
    largest = max(float(np.abs(change.first.value).max()), float(np.abs(change.last.value).max()))
    least = max(rules.fraction * agent.length_m if known else 0.0, ROUNDING * largest)
    noise = THREE_AXES * change.sigma
    threshold = max(rules.sigmas * noise, least)
    moved = distance > threshold
    matters = least if known else threshold
    # Noise across the motion makes a displacement longer: its square by twice that of an axis.
    net = math.sqrt(max(distance**2 - 2.0 * change.sigma**2, 0.0))
    # How small a move matters to a thing of unknown size is not known either: then it is what would be seen.
    chance = chance_beyond(net, least, change.sigma) if moved else chance_within(net, matters, change.sigma)
    hidden = known and not moved and rules.sigmas * noise > rules.uncertain_lengths * agent.length_m
    margin = abs(distance - threshold)
    return Decision(moved, margin, margin / noise if noise > 0 else math.inf, float(chance), hidden)
