"""Scores: accuracy with its intervals, mean relative accuracy, the aggregates of each benchmark, paired comparison.

Three things are kept apart everywhere: rows that were scored, rows whose reply names nothing (they count as wrong, and
are counted), and rows that have no reply at all, as where a video is missing (they are left out of the score, and are
counted). All shares are between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dsr_core.bench.row import BenchError, Row

SCORED, UNPARSED, MISSING = "scored", "unparsed", "missing"
#: Two-sided 95 %.
Z_95 = 1.959963984540054
#: 1 - theta for theta = .50, .55, ... .95.
_MRA_BOUNDS = tuple(round(0.5 - 0.05 * step, 2) for step in range(10))
#: Relative errors are rounded to so many decimals before they are compared: 0.1 must pass the bound 0.1.
_MRA_DECIMALS = 9


@dataclass(frozen=True)
class Outcome:
    """What became of one row.

    Attributes:
        row: The row.
        status: `SCORED`, `UNPARSED` (a reply that names nothing) or `MISSING` (no reply).
        score: 1 right, 0 wrong, between them for mean relative accuracy; 0 where nothing was scored.
        parsed: The letter or the number that was read, or None.
        reply: The raw reply, or None.
        why: Why it is missing, or "".
    """

    row: Row
    status: str
    score: float
    parsed: str | float | None = None
    reply: str | None = None
    why: str = ""


@dataclass(frozen=True)
class Figure:
    """One number of a table.

    Attributes:
        name: What it is of.
        value: Share, NaN where no row has a reply.
        rows: Rows that have a reply. unparsed: Of these, replies that name nothing. missing: Rows without a reply.
        low, high: 95 % interval: Wilson's for shares of right rows, normal for means of graded scores; NaN for means of
            means.
        unit: "accuracy" or "MRA" or "mean".
    """

    name: str
    value: float
    rows: int
    unparsed: int = 0
    missing: int = 0
    low: float = math.nan
    high: float = math.nan
    unit: str = "accuracy"


@dataclass(frozen=True)
class Scores:
    """A benchmark's result.

    Attributes:
        headline: The number that is published as the result.
        figures: Others that belong to it, by name.
        by_type: One a question type, in the task's order.
        notes: What a reader must know: rows missing, types absent.
    """

    headline: Figure
    figures: Mapping[str, Figure]
    by_type: tuple[Figure, ...]
    notes: tuple[str, ...] = ()


def wilson(right: float, rows: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927), within [0, 1]; (0, 1) of no rows.

    Raises:
        BenchError: `right` is not between 0 and `rows`.
    """
    if not 0 <= right <= rows:
        raise BenchError(f"{right} right of {rows} rows is no share")
    if rows == 0:
        return 0.0, 1.0
    share, zz = right / rows, z * z / rows
    middle = (share + zz / 2) / (1 + zz)
    half = z / (1 + zz) * math.sqrt(share * (1 - share) / rows + zz / (4 * rows))
    return (0.0 if right == 0 else max(0.0, middle - half)), (1.0 if right == rows else min(1.0, middle + half))


def mra(said: float | None, truth: float) -> float:
    """Mean relative accuracy (VSI-Bench): share of theta in .50, .55, … .95 with |said - truth| / |truth| <= 1 - theta.

    The comparison is "<=", as the published code has it (the paper prints "<"), and the error is rounded to nine
    decimals first, so that exact bounds do not depend on binary fractions. A truth of 0 is met by 0 alone.
    """
    if said is None or not math.isfinite(said) or not math.isfinite(truth):
        return 0.0
    if truth == 0:
        return float(said == 0)
    error = round(abs(said - truth) / abs(truth), _MRA_DECIMALS)
    return sum(error <= bound for bound in _MRA_BOUNDS) / len(_MRA_BOUNDS)


def figure(name: str, outcomes: Iterable[Outcome]) -> Figure:
    """The mean score of some rows (micro: every row with a reply weighs the same) with its 95 % interval."""
    outcomes = list(outcomes)
    replied = [o for o in outcomes if o.status != MISSING]
    unparsed = sum(o.status == UNPARSED for o in replied)
    missing = len(outcomes) - len(replied)
    if not replied:
        return Figure(name, math.nan, 0, 0, missing)
    graded = any(o.row.number is not None for o in replied)
    total = math.fsum(o.score for o in replied)
    value = total / len(replied)
    if graded:
        spread = math.sqrt(math.fsum((o.score - value) ** 2 for o in replied) / max(len(replied) - 1, 1) / len(replied))
        low, high = max(0.0, value - Z_95 * spread), min(1.0, value + Z_95 * spread)
    else:
        low, high = wilson(total, len(replied))
    return Figure(name, value, len(replied), unparsed, missing, low, high, "MRA" if graded else "accuracy")


def mean_of(name: str, figures: Iterable[Figure]) -> Figure:
    """The unweighted mean of figures (macro); those without rows are left out."""
    figures = list(figures)
    values = [f.value for f in figures if f.rows]
    return Figure(
        name,
        math.fsum(values) / len(values) if values else math.nan,
        sum(f.rows for f in figures),
        sum(f.unparsed for f in figures),
        sum(f.missing for f in figures),
        unit="mean",
    )


def by(outcomes: Iterable[Outcome], key: Callable[[Row], str], order: Sequence[str] = ()) -> tuple[Figure, ...]:
    """One figure a value of `key`: those of `order` first, others after them by name."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(key(outcome.row), []).append(outcome)
    names = [name for name in order if name in groups] + sorted(set(groups) - set(order))
    return tuple(figure(name, groups[name]) for name in names)


def notes_of(outcomes: Sequence[Outcome], types: Sequence[str] = ()) -> tuple[str, ...]:
    """What a reader of a score must know about its rows."""
    notes = []
    missing = [o for o in outcomes if o.status == MISSING]
    if missing:
        reasons: dict[str, int] = {}
        for outcome in missing:
            reasons[outcome.why or "no reply"] = reasons.get(outcome.why or "no reply", 0) + 1
        said = ", ".join(f"{count} {why}" for why, count in sorted(reasons.items(), key=lambda item: -item[1])[:4])
        notes.append(f"{len(missing)} of {len(outcomes)} rows are missing and not in the score ({said})")
    unparsed = sum(o.status == UNPARSED for o in outcomes)
    if unparsed:
        notes.append(f"{unparsed} replies name no option or number; they count as wrong")
    absent = [name for name in types if name not in {o.row.type for o in outcomes}]
    if absent:
        notes.append(f"no rows of {', '.join(absent)}")
    return tuple(notes)


def micro(outcomes: Sequence[Outcome], types: Sequence[str] = ()) -> Scores:
    """All rows weigh the same: DSR-Bench, STI-Bench, our own sets. The macro average stands beside it."""
    by_type = by(outcomes, lambda row: row.type, types)
    return Scores(
        figure("micro average", outcomes),
        {"macro": mean_of("macro average", by_type)},
        by_type,
        notes_of(outcomes, types),
    )


def macro(outcomes: Sequence[Outcome], types: Sequence[str] = ()) -> Scores:
    """All types weigh the same: VSTI-Bench, MLLM4D-Bench. The micro average stands beside it."""
    by_type = by(outcomes, lambda row: row.type, types)
    return Scores(
        mean_of("mean of types", by_type),
        {"micro": figure("micro average", outcomes)},
        by_type,
        notes_of(outcomes, types),
    )


def merged(by_type: Sequence[Figure], groups: Mapping[str, Sequence[str]]) -> tuple[Figure, ...]:
    """Types of a group become one figure, their unweighted mean, in the place of the first of them."""
    group_of = {name: group for group, names in groups.items() for name in names}
    out: dict[str, list[Figure]] = {}
    for one in by_type:
        out.setdefault(group_of.get(one.name, one.name), []).append(one)
    return tuple(ones[0] if name not in groups else mean_of(name, ones) for name, ones in out.items())


@dataclass(frozen=True)
class Paired:
    """Two runs on the same rows.

    Attributes:
        rows: Rows that both have.
        both, neither: Rows that both, or neither, have right.
        first_only, second_only: Keys of the rows that one alone has right.
        p: McNemar's exact two-sided probability that runs of equal worth differ this much or more.
        left_out: Rows that only one of the runs has.
    """

    rows: int
    both: int
    neither: int
    first_only: tuple[str, ...]
    second_only: tuple[str, ...]
    p: float
    left_out: int


def mcnemar(first: Iterable[Outcome], second: Iterable[Outcome]) -> Paired:
    """Compares two runs row by row with McNemar's exact test (binomial, two-sided); rows are paired by their key.

    Rows that are missing in either run are left out. A row counts as right with a score above 0.5.

    Raises:
        BenchError: the runs share no row, or a key stands twice in a run.
    """
    right = [_right_by_key(outcomes) for outcomes in (first, second)]
    keys = [key for key in right[0] if key in right[1]]
    if not keys:
        raise BenchError("the two runs have no row in common; are they of the same benchmark?")
    first_only = tuple(key for key in keys if right[0][key] and not right[1][key])
    second_only = tuple(key for key in keys if right[1][key] and not right[0][key])
    both = sum(right[0][key] and right[1][key] for key in keys)
    neither = len(keys) - both - len(first_only) - len(second_only)
    left_out = len(right[0]) + len(right[1]) - 2 * len(keys)
    return Paired(
        len(keys), both, neither, first_only, second_only, mcnemar_p(len(first_only), len(second_only)), left_out
    )


def mcnemar_p(first_only: int, second_only: int) -> float:
    """min(1, 2 P(X <= the smaller count)) for X binomial with p = 1/2; 1 where the runs never differ."""
    rows, least = first_only + second_only, min(first_only, second_only)
    if rows == 0:
        return 1.0
    log_half = rows * math.log(0.5)
    tail = math.fsum(
        math.exp(math.lgamma(rows + 1) - math.lgamma(k + 1) - math.lgamma(rows - k + 1) + log_half)
        for k in range(least + 1)
    )
    return min(1.0, 2.0 * tail)


def _right_by_key(outcomes: Iterable[Outcome]) -> dict[str, bool]:
    out: dict[str, bool] = {}
    seen: set[str] = set()
    for outcome in outcomes:
        key = outcome.row.key
        if key in seen:
            raise BenchError(f"row {key!r} stands twice in a run; rows are paired by their key")
        seen.add(key)
        if outcome.status != MISSING:
            out[key] = outcome.score > 0.5
    return out
