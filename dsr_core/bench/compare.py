"""Two results of the same benchmark, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from dsr_core.bench.result import Result
from dsr_core.bench.row import BenchError
from dsr_core.bench.scores import MISSING, Outcome, mcnemar_p

ALL = "all rows"


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: A type, or `ALL`.
        rows: Rows to which both have a reply.
        first, second: Mean scores of these rows.
        both, neither: Rows that both, or neither, have right. first_only, second_only: Rows that one alone has right.
        p: McNemar's exact two-sided probability of counts that differ so much or more between runs of equal worth.
    """

    name: str
    rows: int
    first: float
    second: float
    both: int
    neither: int
    first_only: int
    second_only: int
    p: float


@dataclass(frozen=True)
class Comparison:
    """Two runs on the rows that both have replies to.

    Attributes:
        first, second: Their names.
        lines: All rows, then each type.
        left_out: Rows to which one of the runs has no reply.
        differ: What is different in how they were made: name -> (first, second).
    """

    first: str
    second: str
    lines: tuple[Line, ...]
    left_out: int
    differ: Mapping[str, tuple]

    def to_dict(self) -> dict:
        return asdict(self)


def compare(first: Result, second: Result) -> Comparison:
    """Pairs two results by the keys of their rows; a row counts as right with a score above 0.5.

    Raises:
        BenchError: they are of different benchmarks, share no row, or disagree on what is right.
    """
    tasks = [result.settings["task"] for result in (first, second)]
    if tasks[0] != tasks[1]:
        raise BenchError(f"a result of {tasks[0]} does not compare with one of {tasks[1]}")
    ours, theirs = ({o.row.key: o for o in result.outcomes} for result in (first, second))
    shared = [key for key in ours if key in theirs]
    wrong = next((key for key in shared if _truth(ours[key]) != _truth(theirs[key])), None)
    if wrong is not None:
        raise BenchError(
            f"the right answer of row {wrong!r} is {_truth(ours[wrong])!r} in one and {_truth(theirs[wrong])!r} in the"
            " other: their data files differ; run both on the same"
        )
    pairs = [(ours[k], theirs[k]) for k in shared if MISSING not in (ours[k].status, theirs[k].status)]
    if not pairs:
        raise BenchError("the two results have no row in common to which both have a reply")
    groups: dict[str, list] = {ALL: pairs}
    for pair in pairs:
        groups.setdefault(pair[0].row.type, []).append(pair)
    replied = {o.row.key for r in (first, second) for o in r.outcomes if o.status != MISSING}
    return Comparison(
        first.name,
        second.name,
        tuple(_line(name, group) for name, group in groups.items()),
        len(replied) - len(pairs),
        _differences(first.settings, second.settings),
    )


def _truth(outcome: Outcome) -> str | float | None:
    return outcome.row.answer or outcome.row.number


def _line(name: str, pairs: list[tuple[Outcome, Outcome]]) -> Line:
    right = [(a.score > 0.5, b.score > 0.5) for a, b in pairs]
    first_only, second_only = right.count((True, False)), right.count((False, True))
    return Line(
        name,
        len(pairs),
        sum(a.score for a, _ in pairs) / len(pairs),
        sum(b.score for _, b in pairs) / len(pairs),
        right.count((True, True)),
        right.count((False, False)),
        first_only,
        second_only,
        mcnemar_p(first_only, second_only),
    )


def _differences(first: Mapping, second: Mapping, prefix: str = "") -> dict[str, tuple]:
    out = {}
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            out |= _differences(one, other, f"{prefix}{name}.")
        elif one != other:
            out[prefix + name] = (one, other)
    return out


def table(found: Comparison) -> str:
    """The comparison as text."""
    lines = [f"first:  {found.first}", f"second: {found.second}"]
    lines += [f"  {name}: {one} | {other}" for name, (one, other) in found.differ.items() if name != "model.name"]
    wide = max(len(line.name) for line in found.lines)
    head = f"{'':{wide}}  {'rows':>5} {'first':>7} {'second':>7} {'second - first':>15} {'1st only':>9} {'2nd only':>9}"
    lines += ["", f"{head} {'McNemar p':>10}"]
    for line in found.lines:
        change = 100 * (line.second - line.first)
        lines.append(
            f"{line.name:{wide}}  {line.rows:>5} {100 * line.first:>7.2f} {100 * line.second:>7.2f} {change:>+15.2f}"
            f" {line.first_only:>9} {line.second_only:>9} {line.p:>10.3g}"
        )
    if found.left_out:
        lines.append(f"{found.left_out} rows are left out: one of the two has no reply to them")
    return "\n".join(lines)
