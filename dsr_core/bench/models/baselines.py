"""What can be scored without understanding anything: chance, and what is right most often elsewhere."""

from __future__ import annotations

import statistics
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from dsr_core.bench.models.base import Decoding, Model, NoReply, Request, Said
from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.wording import words

#: Where a number is asked for, chance draws a whole one of these.
_NUMBERS = (1, 10)


class RandomModel(Model):
    """Draws an option, by a seed and the row's key, so that the order of rows decides nothing."""

    sees = False

    def __init__(self, seed: int = 0):
        if seed < 0:
            raise BenchError(f"the seed {seed} must not be negative")
        self.seed, self.name = seed, f"random (seed {seed})"

    def settings(self) -> dict:
        return {"kind": "random", "name": self.name, "seed": self.seed}

    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        return [Said(self._drawn(request.row)) for request in requests]

    def _drawn(self, row: Row) -> str:
        chance = np.random.default_rng((self.seed, zlib.crc32(row.key.encode())))
        if row.choices is None:
            return str(chance.integers(_NUMBERS[0], _NUMBERS[1] + 1))
        return list(row.choices)[chance.integers(len(row.choices))]


class MajorityModel(Model):
    """Takes the option whose text is right most often among questions of its type in another file; where none of the
    texts ever is, the letter that is; where a number is asked for, the median of those.

    Args:
        rows: The other file's rows. source: What to call it. sha256: Of that file.

    Raises:
        BenchError: it holds no rows.
    """

    sees = False

    def __init__(self, rows: Iterable[Row], source: str, sha256: str):
        self._texts: dict[str, Counter] = defaultdict(Counter)
        self._letters: dict[str, Counter] = defaultdict(Counter)
        numbers: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            for type_ in (row.type, ""):
                if row.choices is None:
                    numbers[type_].append(row.number)
                else:
                    self._texts[type_][words(row.choices[row.answer])] += 1
                    self._letters[type_][row.answer] += 1
        if not self._letters and not numbers:
            raise BenchError(f"{source} holds no questions to take a prior from")
        self._medians = {type_: statistics.median(found) for type_, found in numbers.items()}
        self.name, self._sha256 = f"majority of {source}", sha256

    def settings(self) -> dict:
        return {"kind": "majority", "name": self.name, "prior_sha256": self._sha256}

    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        return [self._likeliest(request.row) for request in requests]

    def _likeliest(self, row: Row) -> Said | NoReply:
        if row.choices is None:
            median = self._medians.get(row.type, self._medians.get(""))
            return NoReply("the prior holds no numbers") if median is None else Said(f"{median:g}")
        if not self._letters:
            return NoReply("the prior holds no options")
        type_ = row.type if row.type in self._letters else ""
        texts, letters = self._texts[type_], self._letters[type_]
        ranked = sorted(row.choices, key=lambda one: (-texts[words(row.choices[one])], -letters[one], one))
        return Said(ranked[0])
