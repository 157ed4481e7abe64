"""Writes the understood sentences, by kind, into docs/questions.md: `python tools/list_sentences.py`."""

from __future__ import annotations

from pathlib import Path

from dsr_core.language.sentences import SENTENCES
from dsr_core.reasoning.vocabulary import KINDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "questions.md"
HEADING = "## The sentences, by kind\n"


def sentences_by_kind() -> str:
    """Markdown: a heading a kind, an example a line, in the order in which they are tried."""
    sections = []
    for kind in KINDS:
        lines = []
        for sentence in SENTENCES:
            if kind in (sentence.kind, sentence.stretch):
                lines.append(f"* {sentence.example}" + "".join(f" *({note})*" for note in _notes(sentence, kind)))
        sections.append(f"### {kind}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(sections)


def _notes(sentence, kind: str) -> list[str]:
    notes = [sentence.note] if sentence.note else []
    if sentence.swap and kind == "direction":
        notes.append("asks where B is for A")
    if sentence.stretch == kind:
        notes.append("with a stretch of time, or in the past")
    return notes


def page(text: str) -> str:
    """The page with its list made anew."""
    return text[: text.index(HEADING)] + HEADING + "\n" + sentences_by_kind()


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
