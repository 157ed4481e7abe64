"""Task: a benchmark as data. Each is one small file in `dsr_core/bench/tasks`, named as the task.

A result says by which task version, prompt version and parser version it came about (`Task.provenance`).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsr_core.bench.extract import PARSER_VERSION, extract_choice
from dsr_core.bench.frames import FramePolicy
from dsr_core.bench.numbers import extract_number
from dsr_core.bench.prompts import Prompt
from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.scores import MISSING, SCORED, UNPARSED, Outcome, Scores, mra

#: Tasks in the order in which they are listed; other names that a task is known by.
TASKS = ("dsr_bench", "vlm4d", "sti_bench", "vsi_bench", "vsti_bench", "mllm4d_bench", "own")
_ALIASES = {
    "dsr": "dsr_bench", "dsrbench": "dsr_bench", "sti": "sti_bench", "stibench": "sti_bench", "vsi": "vsi_bench",
    "vsibench": "vsi_bench", "vsti": "vsti_bench", "vstibench": "vsti_bench", "mllm4d": "mllm4d_bench",
    "mllm4dbench": "mllm4d_bench",
}  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """A published number.

    Attributes:
        model: Whose it is.
        value: Share between 0 and 1.
        source: Where it is printed.
        of: The figure that it is of; "" for the headline.
        note: What makes it differ from a run here.
    """

    model: str
    value: float
    source: str
    of: str = ""
    note: str = ""


@dataclass(frozen=True)
class Task:
    """A benchmark.

    Attributes:
        name: As in `TASKS`.
        version: Goes up when rows, keys, parsing or aggregation change.
        title: For people.
        source: Where its files are, and their terms.
        read: Path of a file or folder -> rows. Raises BenchError.
        prompts: The ways to ask by name, the default one first.
        frames: Which frames are shown.
        aggregate: Outcomes -> scores.
        types: Question types in the order of tables.
        chance: What guessing gets, as a share.
        sizes: Numbers of rows that are known, and what they are.
        references: Published numbers.
    """

    name: str
    version: int
    title: str
    source: str
    read: Callable[[Path], list[Row]]
    prompts: Mapping[str, Prompt]
    frames: FramePolicy
    aggregate: Callable[[Sequence[Outcome]], Scores]
    types: tuple[str, ...] = ()
    chance: float = 0.25
    sizes: Mapping[int, str] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()

    def prompt(self, name: str | None = None) -> Prompt:
        """A prompt by name, the default one without.

        Raises:
            BenchError: there is none of that name.
        """
        if name is None:
            return next(iter(self.prompts.values()))
        if name not in self.prompts:
            raise BenchError(f"{self.name} has no prompt {name!r}; it has {', '.join(self.prompts)}")
        return self.prompts[name]

    def outcome(self, row: Row, reply: str | None, why: str = "") -> Outcome:
        """What a reply is worth. None is a missing reply (`why` tells the reason), "" a reply that names nothing."""
        if reply is None:
            return Outcome(row, MISSING, 0.0, None, None, why)
        if row.choices is None:
            number = extract_number(reply)
            if number is None:
                return Outcome(row, UNPARSED, 0.0, None, reply)
            return Outcome(row, SCORED, mra(number, row.number), number, reply)
        letter = extract_choice(reply, row.choices)
        if letter is None:
            return Outcome(row, UNPARSED, 0.0, None, reply)
        return Outcome(row, SCORED, float(letter in row.letters), letter, reply)

    def score(self, rows: Sequence[Row], replies: Mapping[str, str | None]) -> tuple[list[Outcome], Scores]:
        """Outcomes of all rows, in their order, and their scores.

        Args:
            rows: All rows of the benchmark, so that missing ones are counted.
            replies: Row key -> raw reply; keys that are no row's raise.

        Raises:
            BenchError: replies to other rows.
        """
        known = {row.key for row in rows}
        foreign = [key for key in replies if key not in known]
        if foreign:
            raise BenchError(
                f"{len(foreign)} of {len(replies)} replies are to no row of {self.name}, as {foreign[0]!r};"
                f" its keys look like {rows[0].key!r}"
                if rows
                else f"{self.name} has no rows"
            )
        outcomes = [self.outcome(row, replies.get(row.key)) for row in rows]
        return outcomes, self.aggregate(outcomes)

    def about(self, rows: Sequence[Row]) -> str:
        """What the number of rows says: which publication of the benchmark this is."""
        known = self.sizes.get(len(rows))
        if known is not None:
            return f"{len(rows)} rows: {known}"
        if not self.sizes:
            return f"{len(rows)} rows"
        expected = ", ".join(f"{size} ({what})" for size, what in self.sizes.items())
        return f"{len(rows)} rows, where {expected} are known: scores of this set do not compare with published ones"

    def provenance(self, prompt: Prompt, policy: FramePolicy) -> dict:
        """What must be written beside a result."""
        return {
            "task": self.name,
            "task_version": self.version,
            "prompt": prompt.name,
            "prompt_version": prompt.version,
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "parser_version": PARSER_VERSION,
            "frames": policy.to_dict(),
        }


def find_task(name: str) -> Task:
    """The task of a name; its file is imported now.

    Raises:
        BenchError: there is none; the message names the nearest.
    """
    asked = name.strip().lower().replace("-", "_")
    asked = _ALIASES.get(asked.replace("_", ""), asked)
    if asked not in TASKS:
        near = difflib.get_close_matches(asked, (*TASKS, *_ALIASES), n=1)
        hint = f"did you mean {_ALIASES.get(near[0], near[0])!r}? " if near else ""
        raise BenchError(f"there is no benchmark {name!r}; {hint}There are {', '.join(TASKS)}")
    return importlib.import_module(f"dsr_core.bench.tasks.{asked}").TASK
