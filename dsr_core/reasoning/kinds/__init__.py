"""How each kind of question is answered: one function a kind, from a resolved query to what was found."""

from __future__ import annotations

from dsr_core.reasoning.kinds.base import FindKind, Found, ResolvedQuery
from dsr_core.reasoning.kinds.metric import METRIC_KINDS
from dsr_core.reasoning.kinds.series import SERIES_KINDS

REGISTRY: dict[str, FindKind] = {**SERIES_KINDS, **METRIC_KINDS}

__all__ = ["REGISTRY", "FindKind", "Found", "ResolvedQuery"]
