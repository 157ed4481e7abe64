"""How long an answer takes with 200 tracks x 10 minutes at 10 Hz in memory: in the library, and through the service.

    python benchmarks/ask_latency.py                     about two minutes, most of it filling the memory
    python benchmarks/ask_latency.py --minutes 1         a quick look

"live" asks while frames keep coming in at 10 Hz, which the memory node tracks in between.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import dsr_core
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.values import FrameObservations, Observation

RATE_HZ = 10
START_NS = 1_000 * 10**9
SERVICE = "/ask_latency/ask"


class World:
    """Things on slow circles, a robot that stands; observations with 10 cm of noise."""

    def __init__(self, things: int):
        rng = np.random.default_rng(0)
        self.rng = rng
        side = int(np.ceil(np.sqrt(things)))
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)[:things] * 10.0
        self.centres = np.concatenate([grid - 5.0 * side, np.zeros((things, 1))], axis=1)
        self.radius, self.turn = rng.uniform(0.5, 3.0, things), rng.uniform(-0.5, 0.5, things)
        self.covariance, self.pose = np.eye(3) * 0.01, np.eye(4)

    def frame(self, index: int) -> FrameObservations:
        angle = self.turn * index / RATE_HZ
        offset = self.radius[:, None] * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], -1)
        positions = self.centres + offset + self.rng.normal(0.0, 0.1, self.centres.shape)
        seen = tuple(
            Observation("cart", p, self.covariance, 0.9, size_lwh_m=np.ones(3), id=str(i))
            for i, p in enumerate(positions)
        )
        return FrameObservations(START_NS + index * 10**9 // RATE_HZ, seen, self.pose, self.pose)


def fill(model: WorldModel, things: int, minutes: float) -> World:
    """Steps the model through the whole time."""
    world, count = World(things), round(minutes * 60 * RATE_HZ)
    for i in range(count):
        model.step(world.frame(i))
        if i % 600 == 0:
            print(f"\rfilling: {i}/{count} frames", end="", file=sys.stderr, flush=True)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return world


def queries(scene_end_s: float, ids: list[str], count: int, window_s: float | None) -> list[dict]:
    """Typed queries of every kind about random tracks."""
    rng = np.random.default_rng(1)
    out = []
    for i in range(count):
        kind = ("distance", "direction", "speed", "speed_comparison", "direction_prediction", "motion")[i % 6]
        first, second = rng.choice(ids, 2, replace=False)
        other = (
            second
            if kind == "speed_comparison"
            else None
            if kind in ("speed", "direction_prediction", "motion")
            else "robot"
        )
        query = {"kind": kind, "subject": str(first), "object": None if other is None else str(other)}
        if window_s is not None:
            start = float(rng.uniform(0.0, max(scene_end_s - window_s, 0.0)))
            query["window"] = [start, start + window_s]
        out.append(query)
    return out


def quantiles_ms(ask, questions: list) -> tuple[float, float, float, int]:
    """Median, 99 % quantile and longest time of `ask(question)` in milliseconds, and how many were declined."""
    times, declined = [], 0
    for question in questions:
        begun = time.perf_counter()
        declined += ask(question)
        times.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(times)), float(np.quantile(times, 0.99)), max(times), declined


def resident_mb(pid: int | str = "self") -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def serve(things: int, minutes: float) -> int:
    """A memory node whose memory is filled before it answers."""
    from dsr_ros.memory import MemoryNode
    from dsr_ros.node import run

    class Filled(MemoryNode):
        def configure(self) -> None:
            super().configure()
            fill(self.model, things, minutes)

    return run(
        Filled,
        ["--ros-args", "-r", "__ns:=/ask_latency", "-p", "stale_s:=0.0", "-p", f"memory_s:={minutes * 60 + 240}"],
    )


def row(name: str, figures: tuple[float, float, float, int], count: int) -> None:
    median, slow, longest, declined = figures
    print(f"{name:34s} {median:8.2f} {slow:8.2f} {longest:8.2f} {count:7d} {declined:9d}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--count", type=int, default=1000, help="questions a row")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        return serve(given.tracks, given.minutes)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))

    command = [sys.executable, __file__, "--serve", "--tracks", str(given.tracks), "--minutes", str(given.minutes)]
    node = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        before_mb = resident_mb()
        model = WorldModel(WorldConfig(memory_s=given.minutes * 60 + 60))
        fill(model, given.tracks, given.minutes)
        scene = model.scene()
        samples = sum(len(t) for t in scene.tracks.values())
        print(
            f"{len(scene.tracks)} tracks, {samples} samples, {scene.end_s:.0f} s;"
            f" memory {resident_mb() - before_mb:.0f} MB\n"
        )
        print(f"{'milliseconds':34s} {'p50':>8s} {'p99':>8s} {'max':>8s} {'asked':>7s} {'declined':>9s}")
        ids = list(scene.tracks)
        kinds = {
            "window of 10 s": queries(scene.end_s, ids, given.count, 10.0),
            "window of 60 s": queries(scene.end_s, ids, given.count, 60.0),
            "no window (all that is known)": queries(scene.end_s, ids, given.count // 4, None),
            "text, the last seconds": [f"is cart {i} getting closer to the robot?" for i in (ids * 5)[: given.count]],
        }
        for name, asked in kinds.items():
            row(
                f"library: {name}",
                quantiles_ms(lambda q: dsr_core.ask(model.scene(), q).declined is not None, asked),
                len(asked),
            )
        service_rows(kinds, node, given)
    finally:
        node.terminate()
        node.wait(20)
    return 0


def service_rows(kinds: dict[str, list], node: subprocess.Popen, given: argparse.Namespace) -> None:
    """The same questions through the service, quiet and while frames come in."""
    from dsr_ros.client import AskClient

    with AskClient(SERVICE) as client:

        def ask(question: str | dict) -> bool:
            fields = {"query": question} if isinstance(question, dict) else {"question": question}
            return not client.ask(timeout_s=30.0, **fields).success

        client.ask("is cart 1 moving?", timeout_s=900.0)
        for name, asked in kinds.items():
            row(f"service: {name}", quantiles_ms(ask, asked), len(asked))
        first = round(given.minutes * 60 * RATE_HZ)
        for things in (20, given.tracks):
            with publishing(things, first):
                asked = kinds["window of 10 s"]
                row(f"live, {things} things in sight", quantiles_ms(ask, asked), len(asked))
            first += 600
        print(f"\nmemory node: {resident_mb(node.pid):.0f} MB resident, {given.tracks} tracks")


class publishing:
    """Publishes frames at 10 Hz from a process of its own, so that it does not slow the asking."""

    def __init__(self, things: int, first: int):
        self.things, self.first = things, first

    def __enter__(self) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import ask_latency;"
            f" ask_latency.publish({self.first}, {self.things})"
        )
        self._process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        time.sleep(4.0)

    def __exit__(self, *error) -> None:
        self._process.terminate()
        self._process.wait(10)


def publish(first: int, things: int) -> None:
    """Publishes observations from frame `first` on, until it is ended."""
    import rclpy

    from dsr_ros import convert, qos
    from dsr_ros.msg import DetectionArray

    rclpy.init()
    node = rclpy.create_node("ask_latency_source")
    publisher = node.create_publisher(DetectionArray, "/ask_latency/observations", qos.observations())
    world, index, due = World(things), first, time.monotonic()
    while rclpy.ok():
        publisher.publish(convert.observations_to_message(world.frame(index), "odom"))
        index, due = index + 1, due + 1 / RATE_HZ
        time.sleep(max(due - time.monotonic(), 0.0))


if __name__ == "__main__":
    raise SystemExit(main())
