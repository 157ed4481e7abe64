"""The engine's answer to a draft, where it is sure enough to be called true."""

from __future__ import annotations

from dsr_core.errors import DeclineError, QueryError
from dsr_core.qa.config import QaConfig
from dsr_core.reasoning.engine import Finding, ResolvedQuery, find, require_confident
from dsr_core.reasoning.vocabulary import VOCABULARY
from dsr_core.scene import Scene


def truth(scene: Scene, query: ResolvedQuery, config: QaConfig, rules: str) -> Finding | str:
    """What the engine finds, or the reason why that is not sure enough for a question.

    What `ask` would decline is declined here with the same code; beyond that answers are dropped that are too likely to
    be wrong, or whose weakest decision lies inside the noise. The published rules know no noise.

    The confidence is that of all states together. What is asked of it is `min_confidence` a state: one bound for all
    would leave answers of one state alone, for no two of a speed are surer than 0.83, however clear they are.
    """
    try:
        found = find(scene, query, rules)
        if rules == "robust":
            require_confident(found, query)
    except DeclineError as error:
        return error.code
    except QueryError:
        return "BAD_REQUEST"
    if not found.states and VOCABULARY[query.kind].labels:
        return "no states"
    if found.confidence < config.min_confidence ** max(len(found.states), 1):
        return "not confident"
    if found.details.get("margin_sigmas", config.min_margin_sigmas) < config.min_margin_sigmas:
        return "margin inside the noise"
    return found
