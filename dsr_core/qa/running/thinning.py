"""The adversarial filter on sets that do not fit into memory: type by type, some blocks at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from dsr_core.qa.files.columns import as_json
from dsr_core.qa.running.blocks import bare_items, block_table

#: Attackers see about so many questions of a type at once, which takes about 1 GB. More teach them hardly more.
QUESTIONS = 20_000
_COLUMNS = ("type", "question", "options", "answer", "scene", "group")


@dataclass(frozen=True)
class Attack:
    """Questions of one type that attackers see together.

    Attributes:
        type: Which. blocks: Numbers of the blocks that they are in.
    """

    type: str
    blocks: tuple[int, ...]


def attacks(given: Sequence[dict[str, int]], size: int = QUESTIONS) -> list[Attack]:
    """What is attacked together: for each type neighbouring blocks with about `size` of its questions.

    Args:
        given: Of each block, type -> number of questions.
    """
    found = []
    for type_ in sorted({type_ for of_block in given for type_ in of_block}):
        total = sum(of_block.get(type_, 0) for of_block in given)
        share, seen, bound = total / max(1, round(total / size)), 0, 0.0
        runs: list[list[int]] = []
        for number, of_block in enumerate(given):
            if not of_block.get(type_, 0):
                continue
            if seen >= bound - 0.5:
                runs.append([])
                bound += share
            runs[-1].append(number)
            seen += of_block[type_]
        found += [Attack(type_, tuple(run)) for run in runs]
    return found


def questions_of(attack: Attack, read_block: Callable[[int], bytes]) -> bytes:
    """The text, options and key of the questions of an attack, as JSON lines."""
    return "\n".join(as_json(row) for row in _rows(attack, read_block)).encode()


def _rows(attack: Attack, read_block: Callable[[int], bytes]) -> Iterator[dict]:
    for number in attack.blocks:
        yield from block_table(read_block(number), attack.type, _COLUMNS).to_pylist()


def find_guessable(questions: bytes, seed: int) -> bytes:
    """The groups to drop, and how well attackers did, as JSON {"groups", "dropped", "rounds"}.

    Args:
        questions: Of one type, from `questions_of`. seed: Of the whole set.

    Raises:
        DependencyError: scikit-learn is missing.
    """
    from dsr_core.qa.options.filter import filter_guessable

    items = bare_items(json.loads(line) for line in questions.decode().split("\n"))
    kept, rounds = filter_guessable(items, seed)
    groups = {item.group for item in items} - {item.group for item in kept}
    dropped = len(items) - len(kept)
    return as_json({"groups": sorted(groups), "dropped": dropped, "rounds": [asdict(r) for r in rounds]}).encode()
