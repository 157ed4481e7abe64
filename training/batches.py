"""Which rows a step sees, and at which rate: both depend on settings, data and the step's number alone.

Packing here is by tokens: rows of like length make a micro-batch that holds about `tokens` of them, so that little is
padding. Rows are not concatenated: no row can attend to another one, and a batch is computed as its rows alone are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from training.config import BatchConfig, OptimizerConfig
from training.settings import TrainingError


class Plan:
    """Micro-batches of all steps.

    Args:
        lengths: (N,) tokens of each row, at least about.
        batch: How many go together.
        epochs: Times that all rows are seen. steps: So many steps instead.
        seed: Of the order.

    Attributes:
        steps: How many there are.

    Raises:
        TrainingError: there are no rows.
    """

    def __init__(self, lengths: Sequence[int], batch: BatchConfig, epochs: float, steps: int | None, seed: int):
        if not len(lengths):
            raise TrainingError("there are no rows to make batches of")
        self._lengths, self._batch, self._seed = np.asarray(lengths), batch, seed
        self.epoch = lru_cache(maxsize=2)(self._epoch)
        self._starts = [0]
        if steps is None:
            whole, part = int(epochs), epochs - int(epochs)
            for number in range(whole):
                self._start(number + 1)
            count = self._starts[whole] + math.ceil(part * len(self.epoch(whole)) if part > 1e-9 else 0)
            steps = math.ceil(count / batch.micro_batches)
            self._count = count
        else:
            self._count = steps * batch.micro_batches
        self.steps = max(steps, 1)

    def step(self, number: int) -> list[list[int]]:
        """Row numbers of each micro-batch of a step, counted from 0; the last step may have fewer of them."""
        first = number * self._batch.micro_batches
        return [self._micro_batch(i) for i in range(first, min(first + self._batch.micro_batches, self._count))]

    def epochs_at(self, number: int) -> float:
        """How often all rows have been seen when a step begins."""
        at = number * self._batch.micro_batches
        epoch = self._epoch_of(at)
        return epoch + (at - self._starts[epoch]) / len(self.epoch(epoch))

    def _micro_batch(self, at: int) -> list[int]:
        epoch = self._epoch_of(at)
        return self.epoch(epoch)[at - self._starts[epoch]]

    def _epoch_of(self, at: int) -> int:
        while self._starts[-1] <= at:
            self._start(len(self._starts))
        return next(i for i in reversed(range(len(self._starts))) if self._starts[i] <= at)

    def _start(self, number: int) -> None:
        if number == len(self._starts):
            self._starts.append(self._starts[-1] + len(self.epoch(number - 1)))

    def _epoch(self, number: int) -> list[list[int]]:
        rng = np.random.default_rng((self._seed, number))
        order = rng.permutation(len(self._lengths))
        each = self._batch.rows or max(1, int(self._batch.tokens / max(self._lengths.mean(), 1)))
        out = []
        for start in range(0, len(order), each * self._batch.pool):
            some = order[start : start + each * self._batch.pool]
            out += self._cut(some[np.argsort(self._lengths[some], kind="stable")])
        return [out[i] for i in rng.permutation(len(out))]

    def _cut(self, rows: np.ndarray) -> list[list[int]]:
        """Rows, the shortest first, in pieces that hold the tokens."""
        out: list[list[int]] = [[]]
        for row in rows.tolist():
            count = len(out[-1]) + 1
            full = count * self._lengths[row] > self._batch.tokens or count > (self._batch.rows or count)
            if out[-1] and full:
                out.append([])
            out[-1].append(row)
        return out


def rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Share of the highest learning rate at a step, counted from 0: a linear rise, then half a cosine to `floor`."""
    rise = math.ceil(config.warmup * steps)
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(steps - rise, 1)
    return config.floor + (1.0 - config.floor) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
