"""Which windows of time questions are asked about."""

from __future__ import annotations

import math
import random

import numpy as np

from dsr_core.qa.config import QaConfig
from dsr_core.reasoning.kinds.published import source_stamps
from dsr_core.scene import Scene

#: The lengths of windows fall into so many bins, each as much longer than the one before.
LENGTH_BINS = 3


class Grid:
    """Which windows there can be: tenths of a second for robust rules, the published samples for the published ones.

    Args:
        scene: The scene. config: Lengths and rules.

    Attributes:
        least_s: A shorter stretch holds no window.
        future_s: What the published rules predict begins here; infinite for the robust rules.
    """

    def __init__(self, scene: Scene, config: QaConfig):
        self._samples = None
        shortest, longest = config.min_window_s, config.max_window_s
        self.least_s, self.future_s = shortest, math.inf
        if config.rules == "dsr":
            self._samples = source_stamps(scene)[:-2]  # the last two are kept for prediction
            self.future_s = float(self._samples[-1])
            self.least_s = 3.0 * float(np.median(np.diff(self._samples)))
        steps = np.linspace(math.log(shortest), math.log(longest), LENGTH_BINS + 1)
        self._edges = [round(10 * math.exp(s)) for s in steps]

    def window(
        self, rng: random.Random, start_s: float, end_s: float, kind: str, length_bin: int
    ) -> tuple[float, float] | None:
        """A window inside a stretch, rounded to tenths of a second; None where none fits."""
        if self._samples is not None:
            return self._published(rng, start_s, end_s, kind)
        lo, hi = math.ceil(start_s * 10 - 1e-6), math.floor(end_s * 10 + 1e-6)
        shortest, longest = self._edges[length_bin], self._edges[length_bin + 1]
        if hi - lo < shortest:
            shortest = self._edges[0]
        if hi - lo < shortest:
            return None
        length = rng.randint(shortest, min(max(longest, shortest), hi - lo))
        first = rng.randint(lo, hi - length)
        return first / 10, (first + length) / 10

    def _published(self, rng: random.Random, start_s: float, end_s: float, kind: str) -> tuple[float, float] | None:
        """Two samples at least 4 steps apart, cut short where a thing is gone; 4 samples stay, 5 of speeds."""
        samples = self._samples
        first = int(samples.searchsorted(start_s - 1e-9))
        last = int(samples.searchsorted(end_s + 1e-9)) - 1
        least = 4 if "speed" in kind else 3
        latest = min(last - least, len(samples) - 5)
        if latest < first:
            return None
        i = rng.randint(first, latest)
        j = min(rng.randint(i + 4, len(samples) - 1), last)
        return None if j - i < least else (round(float(samples[i]), 1), round(float(samples[j]), 1))
