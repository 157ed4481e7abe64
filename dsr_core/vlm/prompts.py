"""What a model is asked, and what it shall reply, word for word; training and the robot ask the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from dsr_core.vlm.values import Asked, VlmError

#: letter: the reply is the letter of an option. text: it is the option's text.
REPLIES = ("letter", "text")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class PromptConfig:
    """The words around a question.

    Attributes:
        reply: One of `REPLIES`. "letter" with options shown is what DSR-Train's trainer shows: the question, "Options:"
            and a line for each option, "A …"; the reply is "B".
        show_options: Whether options are shown; "letter" needs them.
        system: System message; "" leaves it to the checkpoint's chat template.
    """

    reply: str = "letter"
    show_options: bool = True
    system: str = ""

    def __post_init__(self):
        if self.reply not in REPLIES:
            raise VlmError(f"reply = {self.reply!r} is not known; known: {', '.join(REPLIES)}")
        if self.reply == "letter" and not self.show_options:
            raise VlmError("a model that replies with a letter must be shown the options; set reply = text")

    def text(self, asked: Asked) -> str:
        """The words of a question, with its options where they are shown.

        Raises:
            VlmError: there are more options than letters.
        """
        if not (asked.options and self.show_options):
            return asked.question
        if self.reply == "text":
            return "\n".join([asked.question, "Options:", *asked.options])
        lines = [f"{letter} {option}" for letter, option in zip(self.letters(asked), asked.options, strict=True)]
        return "\n".join([asked.question, "Options:", *lines])

    def letters(self, asked: Asked) -> str:
        """A letter an option, in order."""
        if len(asked.options) > len(LETTERS):
            raise VlmError(f"{asked.key or 'a question'} has {len(asked.options)} options; letters go to {LETTERS[-1]}")
        return LETTERS[: len(asked.options)]

    def replies(self, asked: Asked) -> tuple[str, ...]:
        """What the model would reply for each option."""
        return tuple(self.letters(asked)) if self.reply == "letter" else asked.options

    def true_reply(self, asked: Asked) -> str:
        """What it shall reply; a question without options is answered in words.

        Raises:
            VlmError: nobody knows the answer.
        """
        if asked.options:
            if asked.answer_index is None:
                raise VlmError(f"{asked.key or 'a question'}: which option is true is not known")
            return self.replies(asked)[asked.answer_index]
        if not (asked.answer or "").strip():
            raise VlmError(f"{asked.key or 'a question'}: its answer is not known")
        return asked.answer

    def to_dict(self) -> dict:
        """For a checkpoint's `geometry.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping) -> PromptConfig:
        """Raises VlmError where a name is not known."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(told) - known):
            raise VlmError(f"the prompt has no setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        return cls(**told)
