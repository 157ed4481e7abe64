"""How many questions one core answers: by kind on recorded tracks, in a robot's full memory, and how fast text is read.

    python benchmarks/reasoning.py                        about four minutes, half of it filling the memory
    python benchmarks/reasoning.py --tracks 0             without the memory
    python benchmarks/reasoning.py --kinds distance speed

Recorded tracks are those of the KITTI labels, asked over windows of 2 to 5 s with typed queries. The memory holds 200
tracks x 10 minutes at 10 Hz as the tracker left them and is asked through `SceneMemory.scene()`, as on the node. "whole
memory" asks without a window. One thread answers. `--clock cpu` leaves out what else the machine does.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ask_latency import fill, resident_mb

import dsr_core
from dsr_core.language.parse import parse
from dsr_core.language.sentences import EXAMPLES
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.reasoning.kinds import REGISTRY
from dsr_core.reasoning.vocabulary import VOCABULARY
from dsr_core.scene import Scene

KITTI = Path(__file__).resolve().parents[2] / "shared" / "data" / "kitti_tracking"
SEQUENCES = ("0000", "0001", "0007", "0011")
#: What is counted, in turn.
COUNTED = (("motion", "moving"), ("distance", "decreasing"), ("facing", "facing"), (None, None))
_HEADS = (
    "Between 2.0s and 5.0s, following the perspective of {c}, ",
    "Between 2.0s and 5.0s, from the perspective of {c} at 3.0s, ",
)
_CORES = (
    "how does the distance between {a} and {b} change?",
    "how does the direction of {a} to {b} change?",
    "how does the orientation of {a} change?",
    "how does the speed of {a} change?",
    "compare the speed between {a} and {b}.",
    "predict the moving direction of {a}.",
)
_BOXED = "{} with initial bounding box coordinates [10,20,30,40]"
#: The published templates, filled in.
TEMPLATES = tuple(
    (head + core).format(a=_BOXED.format("the red car"), b=_BOXED.format("a person"), c="the camera")
    for head in _HEADS
    for core in _CORES
)


def query(kind: str, scene: Scene, window: tuple[float, float] | None, rng, number: int) -> dict:
    """A typed query about random things that are there in the window."""
    there = [t.id for t in scene.tracks.values() if window is None or len(t.between(*window)) > 2]
    subject, other = rng.choice(there, 2, replace=False) if len(there) > 1 else (*there, "robot")
    found = {"kind": kind, "subject": str(subject)}
    if VOCABULARY[kind].many:
        found["subject"] = "anything"
        of, asked = COUNTED[number % len(COUNTED)]
        if kind == "count" and of is not None:
            found |= {"of": of, "asked": asked}
    elif kind == "speed_comparison" or (VOCABULARY[kind].relates and number % 2):
        found["object"] = str(other)
    return found if window is None else {**found, "window": list(window)}


#: Reads seconds; set by --clock.
clock = time.perf_counter


def seconds_each(ask: Callable, questions: Sequence) -> tuple[np.ndarray, int]:
    """Seconds (N,) that each question takes, and how many were declined."""
    times, declined = np.empty(len(questions)), 0
    for i, question in enumerate(questions):
        begun = clock()
        answer = ask(question)
        times[i] = clock() - begun
        declined += getattr(answer, "declined", None) is not None
    return times, declined


def print_row(name: str, times: np.ndarray, declined: int | None = None) -> None:
    rate, (p50, p99) = 1.0 / times.mean(), 1e3 * np.quantile(times, (0.5, 0.99))
    print(
        f"{name:28s} {rate:10.0f} {p50:8.3f} {p99:8.3f} {1e3 * times.max():8.2f} {len(times):7d}"
        f" {'' if declined is None else declined:>9}",
        flush=True,
    )


def print_head(title: str) -> None:
    print(f"\n{title:28s} {'answers/s':>10s} {'p50 ms':>8s} {'p99 ms':>8s} {'max ms':>8s} {'asked':>7s} declined")


def measure(title: str, kinds: Sequence[str], ask: Callable, of_kind: Callable[[str], list]) -> None:
    """A row a kind and one for all kinds of one or two things."""
    print_head(title)
    alone, declined = [], 0
    for kind in kinds:
        questions = of_kind(kind)
        seconds_each(ask, questions[:5])
        times, refused = seconds_each(ask, questions)
        print_row(kind, times, refused)
        if not VOCABULARY[kind].many:
            alone.append(times)
            declined += refused
    if alone:
        print_row("all of one or two things", np.concatenate(alone), declined)


def recorded(kinds: Sequence[str], count: int) -> None:
    """Answers a second by kind on the KITTI labels."""
    scenes = [dsr_core.load_scene(KITTI, sequence=sequence) for sequence in SEQUENCES]

    def of_kind(kind: str) -> list:
        rng, found = np.random.default_rng(0), []
        while len(found) < count:
            scene = scenes[int(rng.integers(len(scenes)))]
            track = list(scene.tracks.values())[int(rng.integers(len(scene.tracks)))]
            length_s = float(rng.uniform(2.0, 5.0))
            if len(track) < 20:
                continue
            start_s = float(rng.uniform(track.stamps_s[0], max(track.stamps_s[-1] - length_s, track.stamps_s[0])))
            window = (start_s, min(start_s + length_s, scene.end_s))
            found.append((scene, query(kind, scene, window, rng, len(found))))
        return found

    measure("recorded, windows of 2-5 s", kinds, lambda asked: dsr_core.ask(*asked), of_kind)


def remembered(kinds: Sequence[str], count: int, tracks: int, minutes: float) -> None:
    """Latency in a full memory, by kind."""
    before_mb = resident_mb()
    model = WorldModel(WorldConfig(memory_s=minutes * 60 + 60))
    fill(model, tracks, minutes)
    scene, rng = model.scene(), np.random.default_rng(0)
    samples = sum(len(t) for t in scene.tracks.values())
    print(f"\n{len(scene.tracks)} tracks, {samples} samples, {scene.end_s:.0f} s, {resident_mb() - before_mb:.0f} MB")

    def windows(kind: str) -> list:
        found = []
        for i in range(count if not VOCABULARY[kind].many else count // 5):
            length_s = float(rng.uniform(1.0, min(30.0, scene.end_s)))
            start_s = float(rng.uniform(0.0, scene.end_s - length_s))
            found.append(query(kind, scene, (start_s, start_s + length_s), rng, i))
        return found

    def whole(kind: str) -> list:
        return [
            query(kind, scene, None, rng, i) for i in range(max(count // (100 if VOCABULARY[kind].many else 10), 4))
        ]

    measure("memory, windows up to 30 s", kinds, lambda asked: dsr_core.ask(model.scene(), asked), windows)
    measure("whole memory", kinds, lambda asked: dsr_core.ask(model.scene(), asked), whole)


def read(repeats: int) -> None:
    """Time to parse a sentence."""
    print_head("reading a sentence")
    for name, texts in (("every example", EXAMPLES), ("published templates", TEMPLATES)):
        seconds_each(parse, texts)
        print_row(name, seconds_each(parse, [text for _ in range(repeats) for text in texts])[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=tuple(REGISTRY), default=tuple(REGISTRY), metavar="KIND")
    parser.add_argument("--count", type=int, default=1000, help="questions a kind")
    parser.add_argument("--tracks", type=int, default=200, help="in memory; 0 leaves that part out")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    given = parser.parse_args()
    if given.clock == "cpu":
        global clock
        clock = time.thread_time
    read(10)
    if KITTI.exists():
        recorded(given.kinds, given.count)
    if given.tracks:
        remembered(given.kinds, given.count, given.tracks, given.minutes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
