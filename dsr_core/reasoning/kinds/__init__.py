"""How each kind of question is answered: one function a kind, from a resolved query to what was found."""

from __future__ import annotations

from functools import partial

from dsr_core.reasoning.kinds.approach import APPROACH_KINDS
from dsr_core.reasoning.kinds.base import FindKind, Found, ResolvedQuery
from dsr_core.reasoning.kinds.counting import find_count
from dsr_core.reasoning.kinds.events import EVENT_KINDS
from dsr_core.reasoning.kinds.following import FOLLOWING_KINDS
from dsr_core.reasoning.kinds.heading import HEADING_KINDS
from dsr_core.reasoning.kinds.metric import METRIC_KINDS
from dsr_core.reasoning.kinds.presence import PRESENCE_KINDS
from dsr_core.reasoning.kinds.ranking import RANKING_KINDS
from dsr_core.reasoning.kinds.series import SERIES_KINDS

REGISTRY: dict[str, FindKind] = {
    **SERIES_KINDS,
    **HEADING_KINDS,
    **APPROACH_KINDS,
    **EVENT_KINDS,
    **FOLLOWING_KINDS,
    **METRIC_KINDS,
    **PRESENCE_KINDS,
    **RANKING_KINDS,
}
REGISTRY["count"] = partial(find_count, kinds=REGISTRY)

__all__ = ["REGISTRY", "FindKind", "Found", "ResolvedQuery"]
