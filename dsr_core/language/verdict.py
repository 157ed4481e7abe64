"""States and counts -> yes or no: `dsr_core.reasoning.verdict`, and whether there is any."""

from __future__ import annotations

from collections.abc import Mapping

from dsr_core.reasoning.verdict import DIRECTIONS, faster, holds, is_true, merged

__all__ = ["DIRECTIONS", "faster", "holds", "is_any", "is_true", "merged"]


def is_any(count: float | None, details: Mapping | None = None) -> bool | None:
    """Whether there is one ("is any car moving?"), of a count; None where that hangs on things that are undecided."""
    if count is not None and count > 0:
        return True
    return None if count is None or (details or {}).get("undecided") else False
