"""Rows that cannot be used: told by reason and count, and never replaced by others."""

from __future__ import annotations

from dataclasses import dataclass, field

from dsr_core.errors import DsrError
from dsr_core.vlm.values import VlmError

#: Keys that a table names of each reason.
SHOWN = 5


class RowFault(VlmError):
    """A row cannot be used.

    Attributes:
        reason: In words that many rows may share, for counts.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


@dataclass
class Faults:
    """Rows that were left out, each once.

    Attributes:
        rows: Key of a row -> (reason, detail), in the order of finding.
        repaired: What was damaged and could be made again (a file of the cache) -> how often.
    """

    rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)

    def add(self, key: str, reason: str, detail: str = "") -> None:
        """Tells a row; the first reason counts."""
        self.rows.setdefault(key, (reason, detail))

    def merge(self, other: Faults) -> None:
        """Takes in what another process has found."""
        for key, (reason, detail) in other.rows.items():
            self.add(key, reason, detail)
        for what, count in other.repaired.items():
            self.repaired[what] = self.repaired.get(what, 0) + count

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def by_reason(self) -> dict[str, list[str]]:
        """Reason -> keys, the commonest reason first."""
        out: dict[str, list[str]] = {}
        for key, (reason, _) in self.rows.items():
            out.setdefault(reason, []).append(key)
        return dict(sorted(out.items(), key=lambda item: -len(item[1])))

    def to_dict(self) -> dict:
        """For a result: reason -> {"count", "first", "detail"}, and what was repaired."""
        rows = {
            reason: {"count": len(keys), "first": keys[:SHOWN], "detail": self.rows[keys[0]][1]}
            for reason, keys in self.by_reason.items()
        }
        return {"rows": rows, "repaired": dict(self.repaired)}

    def table(self, total: int) -> str:
        """What was left out of `total` rows, a line a reason; "" where nothing was."""
        lines = []
        if self.rows:
            lines.append(f"{len(self.rows)} of {total} rows are left out:")
        for reason, keys in self.by_reason.items():
            more = " …" if len(keys) > SHOWN else ""
            lines.append(f"  {len(keys):6d}  {reason}: {', '.join(keys[:SHOWN])}{more}")
            if self.rows[keys[0]][1]:
                lines.append(f"          {self.rows[keys[0]][1]}")
        lines += [f"  {count:6d}  {what}" for what, count in self.repaired.items()]
        return "\n".join(lines)


def told(error: Exception) -> str:
    """An error in words; one that was not raised on purpose with its kind."""
    return str(error) if isinstance(error, DsrError) else f"{type(error).__name__}: {error}"
