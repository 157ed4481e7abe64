"""The sentences that are understood, one a line: an example, its pattern, and what it asks.

In a pattern {A} and {B} are names, {be} and {do} forms of the verbs, {trend} words of change, {dir} a direction; more
in `dsr_core.language.grammar`. Times and viewpoints ("between 2 and 5 s", "from the child's perspective") have been
taken out before. The first that fits counts.
"""

from dsr_core.language.grammar import Sentence, Table
from dsr_core.language.sentences import basic, meetings, motion, presence, sets

SENTENCES: tuple[Sentence, ...] = (
    *basic.PUBLISHED,
    *sets.SENTENCES,
    *meetings.SENTENCES,
    *presence.SENTENCES,
    *motion.SENTENCES,
    *basic.SENTENCES,
    *motion.LATER,
)
TABLE = Table(SENTENCES)
EXAMPLES = tuple(sentence.example for sentence in SENTENCES)

__all__ = ["EXAMPLES", "SENTENCES", "TABLE", "Sentence"]
