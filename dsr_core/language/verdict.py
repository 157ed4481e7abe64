"""States -> yes or no: `dsr_core.reasoning.verdict`, under the name by which wording and options know it."""

from __future__ import annotations

from dsr_core.reasoning.verdict import DIRECTIONS, faster, holds, is_true, merged

__all__ = ["DIRECTIONS", "faster", "holds", "is_true", "merged"]
