"""`dsr bench replay`: a bag is played into real nodes, which are asked meanwhile and judged by its ground truth."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from rclpy.context import Context

from dsr_core.bench.row import BenchError
from dsr_core.errors import DsrError
from dsr_core.qa.files.readers import read_items
from dsr_core.scene import Scene
from dsr_ros.bench_rounds import WINDOW_S, Asked, Rounds, SetRounds, TruthRounds
from dsr_ros.bench_truth import truth_of
from dsr_ros.client import AskClient
from dsr_ros.demo import Watcher, running, running_nodes

#: Longest wait for a model to be loaded.
_LOADING_S = 600.0
_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Evaluation:
    """All that was asked during one replay.

    Attributes:
        bag: The recording. rate: Recorded seconds a second.
        asked: The questions in their order.
        untold: Questions that were not asked.
        told: Why these were not, and when an answer is right.
    """

    bag: str
    rate: float
    asked: tuple[Asked, ...]
    untold: int
    told: str = ""

    def to_dict(self) -> dict:
        groups: dict[str, list[Asked]] = {}
        for a in self.asked:
            groups.setdefault(a.question.kind, []).append(a)
        return {
            "bag": self.bag,
            "rate": self.rate,
            "untold": self.untold,
            "all": _summary(self.asked),
            "kinds": {kind: _summary(group) for kind, group in groups.items()},
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
        head = f"{'':18} {'asked':>6} {'answered':>9} {'right':>6} {'accuracy':>9} {'agreement':>10} {'sure':>8}"
        lines = [f"{head}   {'latency ms p50/p95/p99':>24}   {'data age ms p50/p95/p99':>24}  declined"]
        for name, one in {**told["kinds"], "all": told["all"]}.items():
            shares = [
                f"{100 * v:.1f} %" if v is not None else "–"
                for v in (one["accuracy"], one["agreement"], one["confidence"])
            ]
            times = [" / ".join(map(_shown, one[what].values())) for what in ("latency_ms", "data_age_ms")]
            declines = ", ".join(f"{count} {code}" for code, count in one["declined"].items()) or "–"
            lines.append(
                f"{name:18} {one['asked']:>6} {one['answered']:>9} {one['right']:>6}"
                f" {shares[0]:>9} {shares[1]:>10} {shares[2]:>8}   {times[0]:>24}   {times[1]:>24}  {declines}"
            )
        return "\n".join([*lines, self.told])


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
        "confidence": float(np.mean([a.confidence for a in answered])) if answered else None,
        "declined": dict(Counter(a.declined for a in asked if a.declined).most_common()),
        "latency_ms": _quantiles(latencies),
        "data_age_ms": _quantiles(ages),
    }


def _quantiles(seconds: Sequence[float]) -> dict:
    """Milliseconds; None where there are none."""
    known = 1e3 * np.array([s for s in seconds if np.isfinite(s)])
    return {f"p{p}": round(float(np.percentile(known, p)), 3) if len(known) else None for p in _PERCENTILES}


# --- the replay ----------------------------------------------------------------------------------------------------


def evaluate(
    bag: str | Path,
    service: str = "/dsr/ask",
    truth: str = "auto",
    rate: float = 1.0,
    every_s: float = 2.0,
    nodes_run: bool = False,
    questions: str | Path | None = None,
    limit: int | None = None,
    model: str = "",
    frames: int = 0,
) -> Evaluation:
    """Plays a bag and asks while it plays.

    Args:
        bag: The recording.
        service: Who is asked; its namespace is that of the nodes.
        truth: Where the ground truth is; see `truth_of`.
        rate: Recorded seconds a second.
        every_s: Recorded seconds between two rounds of questions.
        nodes_run: The nodes run already (with use_sim_time); only the player is started.
        questions: A file of multiple-choice questions about the bag (`dsr qa --refer classes`) to ask in place of what
            the truth knows. limit: Only so many of them, evenly from all.
        model: "geometry"; "vlm:FOLDER" for a vision-language model that the nodes are started with; "vlm" for the one
            that running nodes have; "" for what the node does by itself.
        frames: Pictures that the model is shown.

    Raises:
        DsrError: the bag has no truth, nothing can be asked, or the nodes do not do what they should.
    """
    namespace, _, name = service.rpartition("/")
    if not namespace.startswith("/") or name != "ask":
        raise BenchError(f"service = {service!r} is no memory node's; give /NAMESPACE/ask")
    if not rate > 0 or not every_s > 0:
        raise BenchError(f"rate = {rate} and every = {every_s} s must be positive")
    backend, arguments = _asked_model(model, frames, nodes_run, questions is not None)
    if not nodes_run:  # other robots on the network shall not hear it, nor it them
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        os.environ.setdefault("ROS_DOMAIN_ID", str(20 + os.getpid() % 80))
    known = truth_of(bag, truth)
    rounds = _rounds(known, bag, every_s, questions, limit, backend)
    asked: list[Asked] = []
    with tempfile.TemporaryDirectory(prefix="dsr_bench_") as folder:
        log = Path(folder) / "nodes.log"
        with _replaying(Path(bag), rate, log, namespace, nodes_run, arguments) as process, _context() as context:
            watcher = Watcher(context, known.origin_ns, namespace)
            try:
                with AskClient(service, context) as client:
                    if backend == "vlm":
                        watcher.wait_until(0.0, process)
                        _wait_for_model(client, process)
                    for at_s in rounds.times_s:
                        watcher.wait_until(at_s, process)
                        asked += rounds.ask_at(at_s, client)
            except DsrError as error:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise BenchError(f"{error}; the end of the nodes' output:\n{tail}") from error
            finally:
                watcher.close()
    if not asked:
        raise BenchError(f"nothing can be asked about {bag}: no thing of its truth stays in view for {WINDOW_S:g} s")
    return Evaluation(str(bag), rate, tuple(asked), rounds.untold, rounds.told)


def _asked_model(model: str, frames: int, nodes_run: bool, has_choices: bool) -> tuple[str, list[str]]:
    """The backend to ask for, and launch arguments of the nodes."""
    if model in ("", "geometry"):
        return model, []
    kind, _, folder = model.partition(":")
    if kind != "vlm" or bool(folder) == nodes_run:
        raise BenchError(
            f"model = {model!r} cannot be replayed; give geometry, vlm:FOLDER, or with nodes that run already vlm"
        )
    if not has_choices:
        raise BenchError("a model's words are judged by its choice among options; give --data QUESTIONS (dsr qa)")
    if folder and not Path(folder).is_dir():
        raise BenchError(f"{folder} is no folder of a model; dsr train writes one as OUT/model")
    return "vlm", [f"vlm_model:={Path(folder).resolve()}", f"vlm_frames:={frames}"] if folder else []


def _rounds(truth: Scene, bag, every_s: float, questions, limit: int | None, backend: str) -> Rounds:
    if questions is None:
        return TruthRounds(truth, every_s)
    items = read_items(questions)
    scenes = {item.candidate.scene for item in items}
    if len(scenes) > 1:
        raise BenchError(
            f"{questions} asks about {len(scenes)} recordings, a replay is of one: dsr qa {bag} --out FILE"
        )
    if limit is not None and limit < len(items):
        items = [items[int(i)] for i in np.linspace(0, len(items) - 1, limit)]
    return SetRounds(items, truth, backend)


def _wait_for_model(client: AskClient, process) -> None:
    """Asks until the model is loaded; the bag plays on meanwhile, and its windows are asked about later.

    Raises:
        BenchError: it is not there, or takes too long.
    """
    begun = time.monotonic()
    while process.poll() is None:
        answer = client.ask("Is anything moving?", choices=("yes", "no"), backend="vlm", timeout_s=60.0).answer
        if answer.declined_code != "BACKEND_UNAVAILABLE":
            return
        if "being loaded" not in answer.declined_message or time.monotonic() - begun > _LOADING_S:
            raise BenchError(f"no question can be put to the model: {answer.declined_message}")
        time.sleep(0.5)


@contextlib.contextmanager
def _replaying(bag: Path, rate: float, log: Path, namespace: str, nodes_run: bool, arguments: list[str]) -> Iterator:
    """The player, with the nodes where they do not run already."""
    if not nodes_run:
        with running_nodes(bag, rate, log, namespace, arguments) as process:
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
