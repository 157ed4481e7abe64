"""Prompts: what a model is asked, word for word as each benchmark's authors ask it.

A prompt is data with a version: text before the frames, text after them, and how the reply is decoded. Changing a word
changes scores, so a changed prompt gets a new version.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dsr_core.bench.row import Row


@dataclass(frozen=True)
class Message:
    """What is sent: `system` (or ""), `before` the frames, the frames, `after` them."""

    system: str
    before: str
    after: str


@dataclass(frozen=True)
class Prompt:
    """A way to ask.

    Attributes:
        name: "official", "cot", …
        version: Goes up with every changed word.
        source: Where the words come from.
        after: (row, frames a second of the frames, or NaN) -> text after the frames.
        before: Text before the frames. system: System message.
        max_tokens: Longest reply. temperature: 0 takes the likeliest word.
        frame_times: Whether the frames' times are told in the text, for models that know none of their own.
    """

    name: str
    version: int
    source: str
    after: Callable[[Row, float], str]
    before: str = ""
    system: str = ""
    max_tokens: int = 2048
    temperature: float = 0.0
    frame_times: bool = False

    def message(self, row: Row, times_s: Sequence[float] = ()) -> Message:
        """The texts of a row, whose frames were taken at `times_s` seconds (empty for a blind model)."""
        times = list(times_s)
        span = times[-1] - times[0] if len(times) > 1 else 0.0
        rate_hz = (len(times) - 1) / span if span > 0 else math.nan
        before = self.before
        if self.frame_times and times:
            before += f"The frames were taken at {', '.join(f'{t:.1f}' for t in times)} seconds.\n"
        return Message(self.system, before, self.after(row, rate_hz))


def lettered(row: Row, shape: str = "{letter}. {text}") -> str:
    """The options, one a line."""
    return "\n".join(shape.format(letter=letter, text=text) for letter, text in (row.choices or {}).items())


VIDEO_MME = (
    "These are the frames of a video. Select the best answer to the following multiple-choice question based on the"
    " video. Respond with only the letter ({letters}) of the correct option.\n"
)


def letters_in_words(row: Row) -> str:
    """ "A, B, C, or D" """
    letters = list(row.choices or ())
    return letters[0] if len(letters) == 1 else f"{', '.join(letters[:-1])}, or {letters[-1]}"


def multiple_choice(row: Row, rate_hz: float) -> str:
    """Video-MME's instruction, then the question with its options: what DSR-Bench is evaluated with."""
    return VIDEO_MME.format(letters=letters_in_words(row)) + f"Question: {row.question}\n{lettered(row)}\nAnswer: "


def as_in_training(row: Row, rate_hz: float) -> str:
    """What DSR-Train's trainer shows: the question, "Options:" and lettered lines; the reply is a letter."""
    return f"{row.question}\nOptions:\n{lettered(row, '{letter} {text}')}"


def direct(row: Row, rate_hz: float) -> str:
    """The direct prompt of MMVU and VLM4D."""
    return (
        f"Question: {row.question}\n{lettered(row, '{letter}: {text}')}\nVisual Information: processed video\n"
        "Do not generate any intermediate reasoning process. Answer directly with the option letter from the given"
        " choices."
    )


def chain_of_thought(row: Row, rate_hz: float) -> str:
    """The chain-of-thought prompt of MMVU and VLM4D."""
    return (
        f"Question: {row.question}\n{lettered(row, '{letter}: {text}')}\nVisual Information: processed video\n"
        "Answer the given multiple-choice question step by step. Begin by explaining your reasoning process clearly."
        ' Conclude by stating the final answer using the following format: "Therefore, the final answer is: $LETTER"'
        " (without quotes), where $LETTER is one of the options. Think step by step before answering."
    )


def in_window(row: Row, rate_hz: float) -> str:
    """STI-Bench: the frame rate, the time window, the options, and the letter alone asked for."""
    rate = f"sampled at about {rate_hz:.2f} FPS" if math.isfinite(rate_hz) else "sampled at an unspecified frame rate"
    window = "" if row.window is None else f"From {row.window[0]:g} seconds to {row.window[1]:g} seconds. "
    return (
        f"Answer the question below based on the frames provided, which are {rate}.\n"
        f"Question: {window}{row.question}\n{lettered(row, '({letter}) {text}')}\n"
        "Please output only the option you choose!"
    )


def frames_of_a_video(row: Row, rate_hz: float) -> str:
    """VSI-Bench and VSTI-Bench: options and the letter, or "a single word or phrase" for numbers."""
    if row.choices is None:
        return (
            f"These are frames of a video.\n{row.question}\nPlease answer the question using a single word or phrase."
        )
    return (
        f"These are frames of a video.\n{row.question}\nOptions:\n{lettered(row)}\n"
        "Answer with the option's letter from the given choices directly."
    )


def plain_question(row: Row, rate_hz: float) -> str:
    """Ours: the question, its options, and how to reply."""
    if row.choices is None:
        return f"{row.question}\nReply with the number alone."
    return f"{row.question}\n{lettered(row)}\nReply with the letter of the right option alone."
