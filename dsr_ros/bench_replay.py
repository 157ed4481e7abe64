"""`dsr bench replay`: a bag is played into real nodes, and what its ground truth knows is asked while it plays.

Every question has a window that ends at the second at which it is asked, so that its true answer is certain.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import rclpy
from rclpy.context import Context

from dsr_core.api import ask
from dsr_core.bench.row import BenchError
from dsr_core.demo import GOOD_AGREEMENT
from dsr_core.errors import DsrError
from dsr_core.reasoning.agreement import states_agreement
from dsr_core.reasoning.answer import Answer
from dsr_core.scene import Scene, Track
from dsr_ros import convert
from dsr_ros.bench_truth import truth_of
from dsr_ros.client import AskClient
from dsr_ros.demo import LAST_FRAMES_S, Watcher, running, running_nodes

WINDOW_S = 4.0
#: Questions whose true answer would change if places were known no better than this are not asked: a thing that stands
#: drifts by less than that, and whether it gets faster by a millimetre a second is no question.
NOISE_M, _CERTAIN = 0.05, 0.8
#: A thing is asked about when it was seen for so much of the window, and in its last half second.
_SEEN_SHARE, _SEEN_LAST_S = 0.8, 0.5
_MOST_A_ROUND = 40
_TEXTS = {
    "distance": "How does the distance between {0} and {1} change?",
    "direction": "How does the direction of {0} to {1} change?",
    "orientation": "How does the orientation of {0} change?",
    "speed": "How does the speed of {0} change?",
    "speed_comparison": "Compare the speed between {0} and {1}.",
    "motion": "Does {0} move?",
}
_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Question:
    """What is asked at a second of the recording.

    Attributes:
        kind: Kind of the query. text: English, or "" where things have to be shown by their boxes.
        query: The typed query. at_s: Second at which it is asked, the end of its window.
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
        agreement: Share 0..1 of the time in which the answer's states agree with the truth; None where it was declined.
        declined: Code, or "".
        latency_s: From sending to the response. data_age_s: Age of the newest data that was used.
    """

    question: Question
    agreement: float | None
    declined: str
    latency_s: float
    data_age_s: float

    @property
    def right(self) -> bool:
        return self.agreement is not None and self.agreement >= GOOD_AGREEMENT


@dataclass(frozen=True)
class Evaluation:
    """All that was asked during one replay.

    Attributes:
        bag: The recording. rate: Recorded seconds a second.
        asked: The questions in their order.
        untold: Questions that were not asked because even the truth does not tell their answer for certain.
    """

    bag: str
    rate: float
    asked: tuple[Asked, ...]
    untold: int
    kinds: tuple[str, ...] = field(default=tuple(_TEXTS))

    def to_dict(self) -> dict:
        groups = {kind: [a for a in self.asked if a.question.kind == kind] for kind in self.kinds}
        return {
            "bag": self.bag,
            "rate": self.rate,
            "untold": self.untold,
            "all": _summary(self.asked),
            "kinds": {kind: _summary(group) for kind, group in groups.items() if group},
            "wrong": [
                {
                    "question": a.question.text or json.dumps(a.question.query),
                    "at": a.question.at_s,
                    "agreement": a.agreement,
                }
                for a in self.asked
                if not a.declined and not a.right
            ],
        }

    def __str__(self) -> str:
        told = self.to_dict()
        head = f"{'':18} {'asked':>6} {'answered':>9} {'right':>6} {'accuracy':>9} {'agreement':>10}"
        lines = [f"{head}   {'latency ms p50/p95/p99':>24}   {'data age ms p50/p95/p99':>24}  declined"]
        for name, one in {**told["kinds"], "all": told["all"]}.items():
            shares = [f"{100 * v:.1f} %" if v is not None else "–" for v in (one["accuracy"], one["agreement"])]
            times = [" / ".join(map(_shown, one[what].values())) for what in ("latency_ms", "data_age_ms")]
            declines = ", ".join(f"{count} {code}" for code, count in one["declined"].items()) or "–"
            lines.append(
                f"{name:18} {one['asked']:>6} {one['answered']:>9} {one['right']:>6} {shares[0]:>9} {shares[1]:>10}"
                f"   {times[0]:>24}   {times[1]:>24}  {declines}"
            )
        lines.append(
            f"right: states agree with the truth for {100 * GOOD_AGREEMENT:.0f} % of the time; accuracy: of what was"
            f" answered; {self.untold} questions were not asked: their true answers hang on less than"
            f" {100 * NOISE_M:g} cm"
        )
        return "\n".join(lines)


def _shown(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:.1f}"


def _summary(asked: Sequence[Asked]) -> dict:
    answered = [a for a in asked if not a.declined]
    latencies, ages = [a.latency_s for a in asked], [a.data_age_s for a in answered]
    return {
        "asked": len(asked),
        "answered": len(answered),
        "right": sum(a.right for a in answered),
        "accuracy": sum(a.right for a in answered) / len(answered) if answered else None,
        "agreement": float(np.mean([a.agreement for a in answered])) if answered else None,
        "declined": dict(Counter(a.declined for a in asked if a.declined).most_common()),
        "latency_ms": _quantiles(latencies),
        "data_age_ms": _quantiles(ages),
    }


def _quantiles(seconds: Sequence[float]) -> dict:
    """Milliseconds; None where there are none."""
    known = 1e3 * np.array([s for s in seconds if np.isfinite(s)])
    return {f"p{p}": round(float(np.percentile(known, p)), 3) if len(known) else None for p in _PERCENTILES}


# --- questions -------------------------------------------------------------------------------------------------------


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


# --- asking ----------------------------------------------------------------------------------------------------------


def evaluate(
    bag: str | Path,
    service: str = "/dsr/ask",
    truth: str = "auto",
    rate: float = 1.0,
    every_s: float = 2.0,
    nodes_run: bool = False,
) -> Evaluation:
    """Plays a bag and asks while it plays.

    Args:
        bag: The recording.
        service: Who is asked; its namespace is that of the nodes.
        truth: Where the ground truth is; see `truth_of`.
        rate: Recorded seconds a second.
        every_s: Recorded seconds between two rounds of questions.
        nodes_run: The nodes run already (with use_sim_time); only the player is started.

    Raises:
        DsrError: the bag has no truth, nothing can be asked, or the nodes do not do what they should.
    """
    namespace, _, name = service.rpartition("/")
    if not namespace.startswith("/") or name != "ask":
        raise BenchError(f"service = {service!r} is no memory node's; give /NAMESPACE/ask")
    if not rate > 0 or not every_s > 0:
        raise BenchError(f"rate = {rate} and every = {every_s} s must be positive")
    if not nodes_run:  # other robots on the network shall not hear it, nor it them
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        os.environ.setdefault("ROS_DOMAIN_ID", str(20 + os.getpid() % 80))
    known = truth_of(bag, truth)
    asked: list[Asked] = []
    with tempfile.TemporaryDirectory(prefix="dsr_bench_") as folder:
        log = Path(folder) / "nodes.log"
        with _replaying(Path(bag), rate, log, namespace, nodes_run) as process, _context() as context:
            watcher = Watcher(context, known.origin_ns, namespace)
            try:
                with AskClient(service, context) as client:
                    untold = _ask_while_it_plays(asked, known, every_s, watcher, client, process)
            except DsrError as error:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise BenchError(f"{error}; the end of the nodes' output:\n{tail}") from error
            finally:
                watcher.close()
    if not asked:
        raise BenchError(f"nothing can be asked about {bag}: no thing of its truth stays in view for {WINDOW_S:g} s")
    return Evaluation(str(bag), rate, tuple(asked), untold)


def _ask_while_it_plays(asked: list[Asked], truth: Scene, every_s, watcher: Watcher, client: AskClient, process) -> int:
    untold, blurred = 0, _blurred(truth)
    for at_s in np.arange(WINDOW_S, truth.end_s - LAST_FRAMES_S, every_s):
        watcher.wait_until(float(at_s), process)
        for question in questions_at(truth, round(float(at_s), 3)):
            expected = _answer(truth, question)
            if not _certain(expected, _answer(blurred, question)):
                untold += 1
                continue
            asked.append(_ask(client, truth, question, expected))
    return untold


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
    age_s = convert.from_time(message.data_age) * 1e-9
    if answer.declined is not None:
        return Asked(question, None, answer.declined.code, latency_s, age_s)
    agreement = states_agreement(answer, expected)
    return Asked(question, 0.0 if agreement is None else agreement, "", latency_s, age_s)


@contextlib.contextmanager
def _replaying(bag: Path, rate: float, log: Path, namespace: str, nodes_run: bool) -> Iterator:
    """The player, with the nodes where they do not run already."""
    if not nodes_run:
        with running_nodes(bag, rate, log, namespace) as process:
            yield process
        return
    command = [sys.executable, "-m", "dsr_ros.player", "--bag", str(bag.resolve()), "--rate", f"{rate:g}"]
    with running([*command, "--lockstep", "true", "--ros-args", "-r", f"__ns:={namespace}"], log) as process:
        yield process


@contextlib.contextmanager
def _context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    try:
        yield context
    finally:
        rclpy.try_shutdown(context=context)
