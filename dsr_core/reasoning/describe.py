"""describe: the worded states of bare series."""

from __future__ import annotations

import numpy as np

from dsr_core.errors import QueryError
from dsr_core.reasoning.dsr_rules import PUBLISHED_KINDS, states, word_states

RULES = ("robust", "dsr")


def describe(kind: str, *series, rules: str = "dsr", stamps_s=None, sigma=None) -> str:
    """The worded states of bare series, such as "(1) Become larger. (2) Keep nearly constant.".

    Args:
        kind: distance, direction, orientation, speed, speed_comparison or direction_prediction.
        *series: distance, speed: one (T,) in metres, metres a step or m/s; direction, orientation: one (T, 3) of
            vectors of any length in the viewer's frame (x forward, y left, z up); speed_comparison: two (T,);
            direction_prediction: one displacement (3,).
        rules: "dsr", the published rules to the letter (which know neither time nor noise), or "robust".
        stamps_s: (T,) seconds for the robust rules; one sample a second where not given.
        sigma: One-sigma of a sample for the robust rules: a number or (T,), in the unit of the series (rad for
            directions).

    Returns:
        The wording; "" where the published rules give no state (a lone distance or speed).

    Raises:
        QueryError: unknown kind or rules, or series that the rules cannot take (the message names the sample).
    """
    if kind not in PUBLISHED_KINDS:
        raise QueryError(f"kind {kind!r} has no bare series; known kinds: {', '.join(PUBLISHED_KINDS)}")
    if rules == "dsr":
        return word_states(kind, [state.label for state in states(kind, *series)])
    if rules != "robust":
        raise QueryError(f"rules = {rules!r}; known: {', '.join(RULES)}")
    from dsr_core.reasoning.states import robust_states

    states(kind, *series)  # the same checks of shapes and numbers for both sets of rules
    if stamps_s is not None:
        stamps_s = np.asarray(stamps_s, float)
        samples = 1 if kind == "direction_prediction" else len(series[0])
        if stamps_s.shape != (samples,) or not np.isfinite(stamps_s).all() or np.any(np.diff(stamps_s) <= 0):
            raise QueryError(f"stamps_s must be {samples} finite, increasing seconds, one a sample")
    return word_states(kind, [state.label for state in robust_states(kind, *series, stamps_s=stamps_s, sigma=sigma)])
