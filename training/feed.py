"""Batches of a process, prepared by threads while the ones before are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from dsr_core.vlm.inputs import Inputs
from dsr_core.vlm.rows import QuestionSet
from dsr_core.vlm.values import Asked, VlmError
from training.batches import Plan
from training.data import too_long, unbounded

#: Steps that are prepared ahead.
_AHEAD = 2


@dataclass
class MicroBatch:
    """A part of a step.

    Attributes:
        number: Among those of all processes, from the run's beginning.
        batch: Tensors; None where none of its rows could be used, or there are no rows left.
        keys: Of its rows. reply_tokens: Tokens that are learned. tokens: All of them, without padding.
    """

    number: int
    batch: dict | None
    keys: tuple[str, ...] = ()
    reply_tokens: int = 0
    tokens: int = 0


class Feed:
    """The micro-batches of one process.

    Args:
        plan: Of all steps. questions: Its rows; those that cannot be used are told there, and left out.
        inputs: The collator. max_tokens: Longer rows are left out.
        micro_batches: Of a step, over all processes.
        process, processes: Which of how many. device: Where a source that has a network computes, too.
        workers: Threads; 0 prepares when asked.
    """

    def __init__(
        self,
        plan: Plan,
        questions: QuestionSet,
        inputs: Inputs,
        max_tokens: int,
        micro_batches: int,
        process: int = 0,
        processes: int = 1,
        workers: int = 2,
        device: torch.device | None = None,
    ):
        self._plan, self._questions = plan, questions
        self._inputs, self._max_tokens = unbounded(inputs), max_tokens
        self._device = device
        self._count, self._process, self._processes, self._workers = micro_batches, process, processes, workers

    def steps(self, first: int) -> Iterator[tuple[int, list[MicroBatch]]]:
        """Steps from `first` on: their number, and this process's part of each, equally many for every process."""
        if not self._workers:
            for step in range(first, self._plan.steps):
                yield step, self._part(step)
            return
        pool = ThreadPoolExecutor(self._workers, "batches", self._begin)
        waiting: deque[tuple[int, Future]] = deque()
        try:
            for step in range(first, self._plan.steps):
                waiting.append((step, pool.submit(self._part, step)))
                if len(waiting) > max(_AHEAD, self._workers):
                    step, part = waiting.popleft()
                    yield step, part.result()
            while waiting:
                step, part = waiting.popleft()
                yield step, part.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> None:
        """A thread begins: which GPU is the current one is not handed down to it."""
        if self._device is not None and self._device.type == "cuda":
            torch.cuda.set_device(self._device)

    def _part(self, step: int) -> list[MicroBatch]:
        rows = self._plan.step(step)
        mine = range(self._process, self._count, self._processes)
        return [self.made(step * self._count + i, rows[i] if i < len(rows) else []) for i in mine]

    def made(self, number: int, indices: list[int]) -> MicroBatch:
        """A micro-batch of some rows."""
        asked = self._questions.usable(indices)
        batch = self._batch(asked)
        if batch is not None:
            longer = batch["attention_mask"].sum(1) > self._max_tokens
            if longer.any():
                tokens = batch["attention_mask"].sum(1).tolist()
                for one, count in zip(asked, tokens, strict=True):
                    if count > self._max_tokens:
                        self._questions.faults.add(one.key, *too_long(count, self._max_tokens))
                asked = [one for one, much in zip(asked, longer.tolist(), strict=True) if not much]
                batch = self._batch(asked)
        if batch is None:
            return MicroBatch(number, None)
        learned, tokens = int((batch["labels"] != -100).sum()), int(batch["attention_mask"].sum())
        return MicroBatch(number, batch, tuple(one.key for one in asked), learned, tokens)

    def _batch(self, asked: list[Asked]) -> dict | None:
        """Tensors of those rows that fit the model; `asked` keeps those alone."""
        if not asked:
            return None
        try:
            return self._tensors(asked)
        except VlmError:
            pass
        for one in list(asked):
            try:
                self._tensors([one])
            except VlmError as error:
                self._questions.faults.add(one.key, "it cannot be put to the model", str(error))
                asked.remove(one)
        return self._tensors(asked) if asked else None

    def _tensors(self, asked: list[Asked]) -> dict:
        # On the left, so that all replies stand at the end: the model makes logits from the first one on.
        return self._inputs(asked, [self._inputs.prompt.true_reply(one) for one in asked], side="left")
