"""What is asked while a bag plays, and when an answer is right: about all that its truth knows, or a set of questions.

Every question has a window that has ended when it is asked, so that its true answer is certain.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from dsr_core.api import ask
from dsr_core.bench.row import BenchError
from dsr_core.demo import GOOD_AGREEMENT
from dsr_core.qa.item import Item
from dsr_core.reasoning.agreement import states_agreement
from dsr_core.reasoning.answer import Answer
from dsr_core.scene import Scene, Track
from dsr_ros import convert
from dsr_ros.client import AskClient
from dsr_ros.demo import LAST_FRAMES_S

WINDOW_S = 4.0
#: Questions whose true answer would change if places were known no better than this are not asked: a thing that stands
#: drifts by less than that, and whether it gets faster by a millimetre a second is no question.
NOISE_M, _CERTAIN = 0.05, 0.8
#: A thing is asked about when it was seen for so much of the window, and in its last half second.
_SEEN_SHARE, _SEEN_LAST_S = 0.8, 0.5
_MOST_A_ROUND = 40
#: Longest wait for an answer to a question of a set, which a large model may be asked.
_TIMEOUT_S = 60.0
_TEXTS = {
    "distance": "How does the distance between {0} and {1} change?",
    "direction": "How does the direction of {0} to {1} change?",
    "orientation": "How does the orientation of {0} change?",
    "speed": "How does the speed of {0} change?",
    "speed_comparison": "Compare the speed between {0} and {1}.",
    "motion": "Does {0} move?",
}


@dataclass(frozen=True)
class Question:
    """What is asked at a second of the recording.

    Attributes:
        kind: Kind of the query. text: English, or "" where things have to be shown by their boxes.
        query: The typed query. at_s: Second at which it is asked, the end of its window or later.
    """

    kind: str
    text: str
    query: dict
    at_s: float


@dataclass(frozen=True)
class Asked:
    """A question and what came of it.

    Attributes:
        question: The question.
        agreement: Share 0..1 of the time in which the answer's states agree with the truth, 0 or 1 for a choice; None
            where it was declined.
        declined: Code, or "".
        latency_s: From sending to the response. data_age_s: Age of the newest data that was used.
        confidence: How sure the answer says it is, 0..1; NaN where it was declined.
    """

    question: Question
    agreement: float | None
    declined: str
    latency_s: float
    data_age_s: float
    confidence: float = float("nan")

    @property
    def right(self) -> bool:
        return self.agreement is not None and self.agreement >= GOOD_AGREEMENT


class Rounds(Protocol):
    """Questions in the order of the seconds at which they are asked.

    Attributes:
        times_s: The seconds, rising.
        untold: Questions that were not asked so far. told: What that means, and when an answer is right.
    """

    times_s: Sequence[float]
    untold: int

    def ask_at(self, at_s: float, client: AskClient) -> Iterator[Asked]:
        """Asks what is to be asked at one of the seconds."""

    @property
    def told(self) -> str: ...


class TruthRounds:
    """Asks every so often about everything that was in view; see `Rounds`.

    Args:
        truth: The recording's true tracks. every_s: Seconds between two rounds.
    """

    def __init__(self, truth: Scene, every_s: float):
        self._truth, self._blurred = truth, _blurred(truth)
        self.times_s = [float(s) for s in np.arange(WINDOW_S, truth.end_s - LAST_FRAMES_S, every_s)]
        self.untold = 0

    def ask_at(self, at_s: float, client: AskClient) -> Iterator[Asked]:
        for question in questions_at(self._truth, round(at_s, 3)):
            expected = _answer(self._truth, question)
            if not _certain(expected, _answer(self._blurred, question)):
                self.untold += 1
                continue
            yield _ask(client, self._truth, question, expected)

    @property
    def told(self) -> str:
        return (
            f"right: states agree with the truth for {100 * GOOD_AGREEMENT:.0f} % of the time; accuracy: of what was"
            f" answered; {self.untold} questions were not asked: their true answers hang on less than"
            f" {100 * NOISE_M:g} cm"
        )


class SetRounds:
    """Asks the multiple-choice questions of a set, each as soon as its window is over; see `Rounds`.

    Args:
        items: The questions, about this recording. truth: Its true tracks.
        backend: Who shall answer, as for `dsr_core.ask`.

    Raises:
        BenchError: none of them can be asked.
    """

    def __init__(self, items: Sequence[Item], truth: Scene, backend: str = ""):
        self._origin_ns, self._backend = truth.origin_ns, backend
        self._items: dict[float, list[Item]] = {}
        self.untold = 0
        last_s = truth.end_s - LAST_FRAMES_S
        for item in items:
            # A prediction is fair only to who has not seen what came: the node has, a moment later.
            if item.candidate.future_from_s is not None or item.candidate.window[1] > truth.end_s + 1e-6:
                self.untold += 1
                continue
            at_s = max(item.candidate.window[1], item.candidate.viewpoint.get("at") or 0.0)
            self._items.setdefault(round(min(at_s, last_s), 3), []).append(item)
        self.times_s = sorted(self._items)
        if not self.times_s:
            raise BenchError(
                f"none of {len(items)} questions can be asked in a replay: they predict, or their windows end after"
                f" {truth.end_s:.1f} s"
            )

    def ask_at(self, at_s: float, client: AskClient) -> Iterator[Asked]:
        for item in self._items[at_s]:
            made = item.candidate
            window_ns = [self._origin_ns + round(s * 1e9) for s in made.window]
            sent = time.perf_counter()
            message = client.ask(
                made.question,
                choices=item.options,
                start_ns=window_ns[0],
                end_ns=window_ns[1],
                backend=self._backend,
                timeout_s=_TIMEOUT_S,
            ).answer
            latency_s = time.perf_counter() - sent
            answer = convert.answer_from_message(message)
            right = None if answer.declined is not None else float(answer.choice_index == item.answer_index)
            question = Question(made.kind, made.question, made.query, at_s)
            yield _asked(question, answer, right, latency_s, message)

    @property
    def told(self) -> str:
        return (
            f"right: the true one of {len(next(iter(self._items.values()))[0].options)} options was chosen; accuracy:"
            f" of what was answered; {self.untold} questions of the set were not asked: they predict, or end later than"
            " the bag"
        )


# --- questions about all that is known -------------------------------------------------------------------------------


def questions_at(truth: Scene, at_s: float, window_s: float = WINDOW_S) -> list[Question]:
    """What can be asked at a second about the things that were there in the window before it.

    Things are called by their class where no other thing has it, else shown by their box at that second; those that
    have neither are left out.
    """
    window = (max(at_s - window_s, 0.0), at_s)
    there = [track for track in truth.tracks.values() if _was_there(track, window)]
    names = {track.id: name for track in there if (name := _who(truth, track, at_s)) is not None}
    out: list[Question] = []
    for place, (id_, who) in enumerate(names.items()):
        out += [_question(kind, who, "robot", at_s, window) for kind in ("distance", "direction")]
        out += [_question(kind, who, None, at_s, window) for kind in ("orientation", "speed", "motion")]
        for other in list(names)[place + 1 :]:
            if other != id_:
                out += [_question(kind, who, names[other], at_s, window) for kind in ("distance", "speed_comparison")]
    if len(out) > _MOST_A_ROUND:
        out = [out[int(i)] for i in np.linspace(0, len(out) - 1, _MOST_A_ROUND)]
    return out


def _was_there(track: Track, window: tuple[float, float]) -> bool:
    inside = (track.stamps_s >= window[0] - 1e-6) & (track.stamps_s <= window[1] + 1e-6)
    seen = track.stamps_s[inside & track.observed]
    if not len(seen) or window[1] - seen[-1] > _SEEN_LAST_S or seen[0] - window[0] > _SEEN_LAST_S:
        return False
    return len(seen) >= _SEEN_SHARE * inside.sum()


def _who(truth: Scene, track: Track, at_s: float) -> str | dict | None:
    if sum(other.label == track.label for other in truth.tracks.values()) == 1:
        return track.label
    sample = int(np.abs(track.stamps_s - at_s).argmin())
    box = track.boxes_px[sample]
    if track.image_size is None or not np.isfinite(box).all():
        return None
    size = [int(side) for side in track.image_size]
    return {
        "label": track.label,
        "box": [round(float(v), 1) for v in box],
        "image_size": size,
        "at": round(float(track.stamps_s[sample]), 3),
    }


def _question(kind: str, subject, other, at_s: float, window: tuple[float, float]) -> Question:
    named = all(isinstance(who, str) for who in (subject, other) if who is not None)
    text = _TEXTS[kind].format(f"the {subject}", f"the {other}") if named else ""
    return Question(kind, text, {"kind": kind, "subject": subject, "object": other, "window": list(window)}, at_s)


def _answer(scene: Scene, question: Question) -> Answer:
    """What a scene says to a question as it is asked: words and types may mean different viewpoints."""
    if question.text:
        return ask(scene, question.text, until=question.at_s, window=tuple(question.query["window"]))
    return ask(scene, question.query, until=question.at_s)


def _blurred(truth: Scene) -> Scene:
    """The truth as if places were known to `NOISE_M` only."""
    tracks = {
        id_: replace(track, covariances=np.broadcast_to(NOISE_M**2 * np.eye(3), (len(track), 3, 3)))
        for id_, track in truth.tracks.items()
    }
    return replace(truth, tracks=tracks)


def _certain(expected: Answer, blurred: Answer) -> bool:
    """Whether the true answer stands although places are known no better."""
    if expected.declined is not None or blurred.declined is not None or blurred.confidence < _CERTAIN:
        return False
    agreement = states_agreement(blurred, expected)
    return agreement is not None and agreement >= GOOD_AGREEMENT


def _ask(client: AskClient, truth: Scene, question: Question, expected) -> Asked:
    start_ns, end_ns = (truth.origin_ns + round(s * 1e9) for s in question.query["window"])
    sent = time.perf_counter()
    if question.text:
        message = client.ask(question.text, start_ns=start_ns, end_ns=end_ns).answer
    else:
        message = client.ask(query=question.query).answer
    latency_s = time.perf_counter() - sent
    answer = convert.answer_from_message(message)
    agreement = None if answer.declined is not None else states_agreement(answer, expected) or 0.0
    return _asked(question, answer, agreement, latency_s, message)


def _asked(question: Question, answer: Answer, agreement: float | None, latency_s: float, message) -> Asked:
    age_s = convert.from_time(message.data_age) * 1e-9
    if answer.declined is not None:
        return Asked(question, None, answer.declined.code, latency_s, age_s)
    return Asked(question, agreement, "", latency_s, age_s, answer.confidence)
