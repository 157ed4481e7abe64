"""Row: one question of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from dsr_core.errors import DsrError


class BenchError(DsrError):
    """A benchmark cannot be read, run or scored."""


@dataclass(frozen=True)
class Row:
    """One question.

    Attributes:
        key: Names the row in its benchmark; predictions are joined and runs are paired by it.
        video: Path of the video below the folder of videos, with its suffix; "" where there is none.
        question: The question's text, without options.
        choices: Letter -> text without letter, in order; None where a number is asked for.
        answer: The right letter, or, where a number is asked for, "".
        letters: All letters that count as right: more than `answer` where a benchmark goes by the text and two options
            have the same.
        number: The right number, or None.
        type: The question type that results are told by.
        group: A coarser group ("real", "indoor"), or "".
        window: (start, end) in seconds of the video that the question is about, or None for all of it.
        hide_from_s: Second from which the video must be hidden for the question to be fair, -1.0 for the last second of
            the video, or None.
        image_size: (width, height) that boxes in the texts refer to, or None where the benchmark does not say; for
            frames of another size the boxes are rescaled.
        fields: What else the benchmark tells of the row.
    """

    key: str
    video: str
    question: str
    choices: Mapping[str, str] | None
    answer: str = ""
    letters: tuple[str, ...] = ()
    number: float | None = None
    type: str = ""
    group: str = ""
    window: tuple[float, float] | None = None
    hide_from_s: float | None = None
    image_size: tuple[int, int] | None = None
    fields: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        if self.choices is None:
            if self.number is None or not math.isfinite(self.number):
                raise BenchError(f"row {self.key}: without choices the answer must be a number, not {self.number!r}")
            return
        if not self.letters:
            object.__setattr__(self, "letters", (self.answer,))
        unknown = [letter for letter in (self.answer, *self.letters) if letter not in self.choices]
        if unknown:
            raise BenchError(
                f"row {self.key}: the answer {unknown[0]!r} is none of its options {', '.join(self.choices)}"
            )

    @property
    def answer_text(self) -> str:
        """The right option's text, or the number."""
        return f"{self.number:g}" if self.choices is None else self.choices[self.answer]
