"""Answer: what `ask` returns, and its JSON form (the same in Python, on the command line and in ROS)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SCHEMA = 1
DECLINE_CODES = (
    "NO_SUCH_OBJECT",
    "AMBIGUOUS_OBJECT",
    "NOT_OBSERVED",
    "NO_ORIENTATION",
    "NO_POSE",
    "TOO_UNCERTAIN",
    "NOT_METRIC",
    "STALE_DATA",
    "NOT_UNDERSTOOD",
    "BAD_WINDOW",
    "BAD_REQUEST",
    "BACKEND_UNAVAILABLE",
    "TIMEOUT",
)


@dataclass(frozen=True)
class State:
    """A label that held from `start` to `end` (seconds, closed)."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Declined:
    """Why there is no answer, and what would help."""

    code: str
    message: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A typed, explained answer.

    Attributes:
        answer: Wording for a person.
        kind: Kind of the query; "" when the question was not understood.
        states: What held when.
        value: Kind-specific number at the window's end (see docs/answers.md), or None.
        sigma: One-sigma of `value`, or None.
        margin: How far the weakest decision was from its threshold, in `unit`, or None.
        unit: "m", "m/s", "rad", "s" or None.
        confidence: Probability that the states are right, 0..1.
        choice: The chosen option as given, or None.
        choice_index: Its index, -1 for none.
        choice_probabilities: One number an option.
        backend: Which engine answered.
        declined: Why there is no answer, or None.
        viewpoint: The resolved viewpoint: {"agent", "mode", "at"}.
        motion: {"ego": str | None, "object": str | None}: "moving" or "still" in the world.
        tracks: Ids of the tracks used.
        samples: Number of samples used.
        window: (start, end) in seconds that was judged, or None.
        data_age_s: Age of the newest data used when the question was asked, or None.
        details: More of the answer, by kind (see docs/kinds.md), and what would change it; values are JSON.
    """

    answer: str
    kind: str = ""
    states: tuple[State, ...] = ()
    value: float | None = None
    sigma: float | None = None
    margin: float | None = None
    unit: str | None = None
    confidence: float = 0.0
    choice: str | None = None
    choice_index: int = -1
    choice_probabilities: tuple[float, ...] = ()
    backend: str = "geometry"
    declined: Declined | None = None
    viewpoint: dict = field(default_factory=dict)
    motion: dict = field(default_factory=lambda: {"ego": None, "object": None})
    tracks: tuple[str, ...] = ()
    samples: int = 0
    window: tuple[float, float] | None = None
    data_age_s: float | None = None
    details: dict = field(default_factory=dict)

    def to_dict(self) -> dict:
        """The JSON form (docs/schemas/answer.schema.json); numbers are rounded to six decimals."""

        def number(x):
            return None if x is None or not math.isfinite(x) else round(float(x), 6) + 0.0

        return {
            "schema": SCHEMA,
            "answer": self.answer,
            "choice": self.choice,
            "choice_index": self.choice_index,
            "kind": self.kind,
            "states": [{"label": s.label, "start": number(s.start), "end": number(s.end)} for s in self.states],
            "value": number(self.value),
            "sigma": number(self.sigma),
            "margin": number(self.margin),
            "unit": self.unit,
            "confidence": number(self.confidence),
            "backend": self.backend,
            "declined": None
            if self.declined is None
            else {
                "code": self.declined.code,
                "message": self.declined.message,
                "candidates": list(self.declined.candidates),
            },
            "viewpoint": self.viewpoint,
            "motion": self.motion,
            "evidence": {
                "tracks": list(self.tracks),
                "samples": self.samples,
                "window": None if self.window is None else [number(s) for s in self.window],
                "data_age_s": number(self.data_age_s),
            },
            "details": _plain(self.details),
        }


def _plain(value):
    """JSON values with numbers rounded to six decimals; what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        return [_plain(v) for v in value] if not hasattr(value, "tolist") else _plain(value.tolist())
    if isinstance(value, float):
        return round(value, 6) + 0.0 if math.isfinite(value) else None
    return value
