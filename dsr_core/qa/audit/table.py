"""The audit as text: a line for each type, its verdict and its best attackers."""

from __future__ import annotations

from collections.abc import Mapping

from dsr_core.qa.audit.audit import CONFIDENCE, FEWEST_JUDGED, OVERALL, TOLERANCE, Audit, Result


def table(audit: Audit, best: int = 4) -> str:
    """Lines for a terminal: type, questions, clusters, verdict, and the `best` attackers with accuracy and bounds."""
    lines = [f"{'type':<42} {'n':>6} {'scenes':>6} {'chance':>6}  {'verdict':<8} best attackers: accuracy (bounds)"]
    for type in _types(audit):
        results = audit.of(type)
        told = "; ".join(_told(r) for r in results[:best])
        first = results[0]
        lines.append(
            f"{_name(type):<42} {first.count:>6} {first.clusters:>6} {_percent(first.chance):>6}"
            f"  {audit.verdicts[type]:<8} {told}"
        )
    return "\n".join([*lines, "", legend(), *(f"note: {note}" for note in audit.notes)])


def side_by_side(audits: Mapping[str, Audit]) -> str:
    """Lines that compare audits of several sets: the best rule and the best attacker of each by type."""
    width = 44
    lines = [f"{'type':<16} " + "".join(f"{name:<{width}}" for name in audits)]
    for type in dict.fromkeys(t for audit in audits.values() for t in _types(audit)):
        cells = []
        for audit in audits.values():
            results = audit.of(type)
            if not results:
                cells.append(f"{'-':<{width}}")
                continue
            rule = next((r for r in results if r.family == "rule"), results[0])
            told = f"n {results[0].count:>6}  rule {_percent(rule.accuracy)}, best {_percent(results[0].accuracy)}"
            cells.append(f"{f'{told} {audit.verdicts[type]}':<{width}}")
        lines.append(f"{_name(type):<16} " + "".join(cells))
    return "\n".join(lines)


def legend() -> str:
    """What the bounds and verdicts mean."""
    return (
        f"Bounds: lower {CONFIDENCE:.0%} bounds, Bonferroni over attackers and types, first as if questions were"
        " independent,\nthen with scenes as clusters. pass: no first bound above chance +"
        f" {100 * TOLERANCE:.0f} points; leaks: a second bound is; unclear: between;\nsmall: fewer than"
        f" {FEWEST_JUDGED} questions, not judged."
    )


def _types(audit: Audit) -> list[str]:
    return [*sorted(t for t in audit.verdicts if t != OVERALL), OVERALL]


def _name(type: str) -> str:
    return "all types" if type == OVERALL else type


def _told(result: Result) -> str:
    return f"{result.attacker} {_percent(result.accuracy)} ({_percent(result.item_bound)}, {_percent(result.bound)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
