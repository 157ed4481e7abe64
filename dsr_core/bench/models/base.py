"""The one protocol of everything that answers a benchmark's rows: an endpoint, a checkpoint, a file, a baseline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dsr_core.bench.prompts import Message
from dsr_core.bench.row import BenchError, Row


@dataclass(frozen=True)
class Decoding:
    """How a reply is written.

    Attributes:
        temperature: 0 takes the likeliest word.
        max_tokens: Longest reply.
    """

    temperature: float
    max_tokens: int

    def __post_init__(self):
        if not 0.0 <= self.temperature <= 10.0:
            raise BenchError(f"temperature = {self.temperature} is not between 0 and 10")
        if self.max_tokens < 1:
            raise BenchError(f"max_tokens = {self.max_tokens} must be at least 1")


@dataclass(frozen=True)
class Request:
    """One row as a model gets it.

    Attributes:
        row: The row; only baselines and the geometry engine look at more of it than its key.
        message: The texts.
        frames: Pictures (H, W, 3) uint8 RGB in the order of showing; empty for a blind model.
        times_s: Their seconds in the video, increasing, as many as pictures.
    """

    row: Row
    message: Message
    frames: Sequence[np.ndarray] = ()
    times_s: Sequence[float] = ()


@dataclass(frozen=True)
class Said:
    """A raw reply.

    Attributes:
        text: Word for word; "" where the model said nothing.
        told: What else is kept beside it, as JSON: tokens, seconds, why it was declined.
    """

    text: str
    told: dict = field(default_factory=dict)


@dataclass(frozen=True)
class NoReply:
    """There is no reply to a row.

    Attributes:
        why: In a few words, for counts.
        again: Whether another run may bring one.
        detail: More of it, for this row alone.
    """

    why: str
    again: bool = False
    detail: str = ""


class ModelStopped(BenchError):
    """Nothing more can be asked in this run; replies so far are kept, and the same command goes on."""


class Model(ABC):
    """Answers rows.

    Attributes:
        name: For tables.
        sees: Whether frames are shown to it.
        batch_size: Rows that it is given at once.
        workers: Batches that are worked on at once; `replies` must then be safe to call from so many threads.
    """

    name: str = ""
    sees: bool = True
    batch_size: int = 1
    workers: int = 1

    @abstractmethod
    def settings(self) -> dict:
        """What its replies depend on, as JSON; stands in the result and is compared when a run goes on."""

    @abstractmethod
    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        """A reply to each row, in their order.

        Raises:
            ModelStopped: nothing more can be asked.
        """

    def spent(self) -> str:
        """What this run has cost so far, in words; "" where it costs nothing."""
        return ""

    def stop(self) -> None:
        """Ends all waiting; called from another thread."""
        return None
