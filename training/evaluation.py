"""How often a model is right about held-out questions, and what that owes to what it sees."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.replies import option_log_probabilities
from dsr_core.vlm.rows import QuestionSet
from dsr_core.vlm.values import Asked, VlmError
from training.data import too_long, unbounded

#: The same model, shown less or something else. blind: neither frames nor geometry. shuffled_geometry: the geometry of
#: another row, of the same type and of another scene where there is one.
CONTROLS = ("blind", "shuffled_geometry")
_CHUNK = 8


@dataclass
class Counts:
    """Right answers of a set.

    Attributes:
        right, rows: By question type. chance: Sum over all rows of one in so many options.
        log_probability: Sum over all rows of that of the true option.
    """

    right: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    chance: float = 0.0
    log_probability: float = 0.0

    def add(self, kind: str, asked: Asked, found: np.ndarray) -> None:
        """Counts a row whose options got the log-probabilities `found`."""
        self.rows[kind] += 1
        self.right[kind] += int(np.argmax(found) == asked.answer_index)
        self.chance += 1.0 / len(asked.options)
        self.log_probability += float(found[asked.answer_index])

    def merge(self, other: Counts) -> None:
        for mine, others in ((self.right, other.right), (self.rows, other.rows)):
            for kind, count in others.items():
                mine[kind] += count
        self.chance += other.chance
        self.log_probability += other.log_probability

    def to_dict(self) -> dict:
        """Accuracy with its standard error, by type, and the mean log-probability of the true option."""
        rows, right = sum(self.rows.values()), sum(self.right.values())
        if not rows:
            return {"rows": 0, "accuracy": None}
        share = right / rows
        by_type = {k: {"rows": n, "accuracy": self.right[k] / n} for k, n in sorted(self.rows.items())}
        return {
            "rows": rows,
            "accuracy": share,
            "standard_error": math.sqrt(share * (1 - share) / rows),
            "log_probability": self.log_probability / rows,
            "by_type": by_type,
        }


def evaluate(
    model: GeometryVLM,
    questions: QuestionSet,
    batch: int,
    controls: Sequence[str] = CONTROLS,
    part: tuple[int, int] = (0, 1),
    gathered: Callable[[dict[str, Counts]], list[dict[str, Counts]]] = lambda counts: [counts],
    seen: Callable[[int], None] = lambda rows: None,
) -> dict:
    """Asks a model held-out questions.

    Args:
        model: The model. questions: The set; rows that cannot be used are told there. batch: Rows at once.
        controls: Those of `CONTROLS` that are asked beside it.
        part: (number, count): every count-th batch is this process's. gathered: The counts of all processes.
        seen: Told how many rows are done.

    Returns:
        {"rows", "accuracy", "standard_error", "log_probability", "by_type", "chance"}, and the same of each control.
    """
    # What the model does not look at cannot be taken from it.
    controls = [name for name in controls if name == "blind" or (model.geometry is not None and questions.sources)]
    counts = {name: Counts() for name in ("", *controls)}
    donors = donors_of(questions)
    with model.evaluating():
        for indices in _chunks(len(questions), batch, part):
            shown = _usable(questions, indices, model)
            for name, count in counts.items():
                rows = _as(name, shown, questions, donors)
                found = option_log_probabilities(model, [asked for _, asked in rows], batch) if rows else []
                for (index, asked), log_probabilities in zip(rows, found, strict=True):
                    count.add(questions.questions[index].row.type, asked, log_probabilities)
            seen(len(indices))
    whole = {name: Counts() for name in counts}
    for others in gathered(counts):
        for name, count in others.items():
            whole[name].merge(count)
    rows = sum(whole[""].rows.values())
    out = whole[""].to_dict() | {"chance": whole[""].chance / rows if rows else None}
    return out | {name: whole[name].to_dict() for name in controls}


def donors_of(questions: QuestionSet) -> list[int]:
    """For each row the one whose geometry it gets when that is shuffled; every row gives to exactly one."""
    by_type: dict[str, list[int]] = defaultdict(list)
    for index, question in enumerate(questions.questions):
        by_type[question.row.type].append(index)
    out = list(range(len(questions)))
    lone = []
    for indices in by_type.values():
        if len(indices) > 1:
            _rotate(indices, questions, out)
        else:
            lone += indices
    _rotate(lone, questions, out)
    return out


def _rotate(indices: list[int], questions: QuestionSet, out: list[int]) -> None:
    """Gives each row the geometry of one of the next scene, where no scene has more than half of the rows."""
    most = max(Counter(questions.questions[i].scene for i in indices).values(), default=0)
    shift = most if most < len(indices) else 1
    order = sorted(indices, key=lambda i: questions.questions[i].scene)
    for at, index in enumerate(order):
        out[index] = order[(at + shift) % len(order)]


def _chunks(count: int, batch: int, part: tuple[int, int]) -> Iterator[range]:
    size = batch * _CHUNK
    starts = range(0, count, size)
    for start in list(starts)[part[0] :: part[1]]:
        yield range(start, min(start + size, count))


def _usable(questions: QuestionSet, indices: Sequence[int], model: GeometryVLM) -> list[tuple[int, Asked]]:
    numbers = {questions.questions[i].key: i for i in indices}
    inputs, most, out = unbounded(model.inputs), model.inputs.max_tokens, []
    for asked in questions.usable(indices):
        try:
            length = inputs.length(asked)
        except VlmError as error:
            questions.faults.add(asked.key, "it cannot be put to the model", str(error))
            continue
        if length > most:
            questions.faults.add(asked.key, *too_long(length, most))
            continue
        out.append((numbers[asked.key], asked))
    return out


def _as(name: str, rows: list, questions: QuestionSet, donors: list[int]) -> list:
    """Rows as a control shows them."""
    if name == "blind":
        return [(i, replace(asked, clips=(), images=(), geometry={})) for i, asked in rows]
    if name == "shuffled_geometry":
        out = []
        for i, asked in rows:
            given = questions.usable([donors[i]])
            if given:
                out.append((i, replace(asked, geometry=given[0].geometry)))
        return out
    return rows
