"""What a run says of itself: how many questions of each type, what was dropped why, and everything it depended on."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import dsr_core
from dsr_core.qa.options.filter import REASON

FORMAT = 1
#: Below this yield a hint is printed.
LOW = 0.2
_HINT = (
    "hint: options that cannot be guessed are true answers of other questions, so there must be many like ones;",
    "ask more of each scene (--per-scene), give more recordings, or take the original options (--distractors dsr)",
)
_PACKAGES = ("numpy", "scipy", "pyarrow", "scikit-learn")


def make_report(
    recordings: Sequence, config, opener: str, heads: list[dict], failed: dict[str, str], blocks: list[dict], easy
) -> dict:
    """The report of a run, JSON values without times and paths: the same run gives the same report.

    Args:
        recordings: What was given. config: `SetConfig`. opener: How recordings were opened.
        heads: Of the shards. failed: Name of recording -> why it could not be asked about.
        blocks: Heads of the blocks. easy: What the filter found (`Easy`).
    """
    asked, given = _sum(blocks, "asked"), _sum(blocks, "given")
    tried, by_type = Counter(), {}
    for head in heads:
        for type_, reason, count in head["drops"]:
            tried[reason] += count
            by_type.setdefault(type_, Counter())[reason] += count
    types = {
        type_: {
            "tried": asked[type_] + by_type.get(type_, Counter()).total(),
            "asked": asked[type_],
            "questions": given[type_] - easy.counts.get(type_, 0),
            "not_asked": dict(sorted(by_type.get(type_, {}).items())),
        }
        for type_ in sorted({*asked, *by_type})
    }
    options = _sum(blocks, "drops")
    if easy.counts:
        options[REASON] += sum(easy.counts.values())
    return {
        "format": FORMAT,
        "made_by": f"dsr_ros {dsr_core.__version__}",
        "recordings": len(recordings),
        "scenes": sum(len(head["scenes"]) for head in heads),
        "failed": dict(sorted(failed.items())),
        "tried": sum(t["tried"] for t in types.values()),
        "asked": asked.total(),
        "questions": sum(t["questions"] for t in types.values()),
        "types": types,
        "not_asked": _most(tried),
        "dropped": _most(options),
        "filter": list(easy.rounds),
        "settings": {**config.to_dict(), "open": opener},
        "versions": _versions(),
    }


def told_drops(report: dict) -> str:
    """The drops in words, the most frequent first."""
    drops = Counter(report["not_asked"]) + Counter(report["dropped"])
    return ", ".join(f"{reason} {count}" for reason, count in drops.most_common())


def table(report: dict) -> str:
    """The report for a terminal."""
    lines = [f"{'type':34} {'tried':>9} {'asked':>9} {'questions':>9} {'yield':>6}"]
    for type_, of_type in report["types"].items():
        lines.append(_row(type_, of_type))
    lines.append(_row("all", report))
    for title, drops in (("not asked", report["not_asked"]), ("dropped", report["dropped"])):
        if drops:
            lines.append(f"{title}:")
            lines += [f"  {count:9d}  {reason}" for reason, count in drops.items()]
    if report["questions"] < LOW * report["asked"]:
        lines += _HINT
    if report["failed"]:
        lines.append(f"{len(report['failed'])} of {report['recordings']} recordings could not be asked about:")
        lines += [f"  {name}: {why}" for name, why in report["failed"].items()]
    return "\n".join(lines)


def _row(name: str, counts: dict) -> str:
    share = counts["questions"] / counts["asked"] if counts["asked"] else 0.0
    return f"{name:34} {counts['tried']:9d} {counts['asked']:9d} {counts['questions']:9d} {share:6.0%}"


def _sum(heads: Sequence[dict], name: str) -> Counter:
    total: Counter = Counter()
    for head in heads:
        total.update(head[name])
    return total


def _most(counts: Counter) -> dict[str, int]:
    """By reason, the most frequent first."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
