"""How fast things are tracked: frames a second on KITTI's cars, and milliseconds with many things at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tracking_kitti as kitti

from dsr_core.geometry import transforms as tf
from dsr_core.pipeline import WorldModel
from dsr_core.sources.kitti import KittiTracking
from dsr_core.values import FrameObservations, Observation


def print_speed(root: Path, names: Sequence[str]) -> None:
    """Frames a second of the tracker alone on KITTI's cars, and milliseconds a frame of the world model."""
    _print_cars(root, names)
    print()
    _print_things()


def _print_cars(root: Path, names: Sequence[str], runs: int = 3) -> None:
    print("KITTI, cars    frames  detections a frame  frames/s")
    total_s = frames = 0.0
    for name in names:
        seen = kitti.observed(KittiTracking(root, name, "pointrcnn"), "car")
        best_s = min(_seconds(lambda seen=seen: kitti.track_all(seen)) for _ in range(runs))
        mean = np.mean([len(observations) for _, observations in seen])
        print(f"{name:14} {len(seen):6} {mean:19.1f} {len(seen) / best_s:9.0f}", flush=True)
        total_s, frames = total_s + best_s, frames + len(seen)
    print(f"{'all':14} {frames:6.0f} {'':19} {frames / total_s:9.0f}")


def _seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def frames(things: int, count: int, rate_hz: float = 10.0) -> list[FrameObservations]:
    """Things at 0 to 2 m/s on a grid, seen with 0.1 m noise, 5 % misses and one false alarm a frame."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(things)))
    start = np.stack(np.meshgrid(np.arange(side), np.arange(side), [0.0]), -1).reshape(-1, 3)[:things] * 5.0
    velocity = np.where(rng.random(things)[:, None] < 0.5, 0.0, rng.uniform(-1.2, 1.2, (things, 3)) * (1, 1, 0))
    q = tf.yaw_to_quaternion_xyzw(rng.uniform(-3, 3, things))
    out = []
    for k in range(count):
        p = start + velocity * k / rate_hz + rng.normal(0, 0.1, start.shape)
        seen = [
            Observation(
                "car", p[i], np.eye(3) * 0.01, 0.9, np.array([4.0, 1.8, 1.5]), q[i], 0.1, np.array([0.0, 0, 50, 50])
            )
            for i in np.flatnonzero(rng.random(things) > 0.05)
        ]
        seen.append(Observation("car", rng.uniform(-50, 50, 3), np.eye(3) * 0.01, 0.6))
        out.append(FrameObservations(int(k * 1e9 / rate_hz), tuple(seen), np.eye(4), np.eye(4), np.eye(3), (640, 480)))
    return out


def _print_things(count: int = 100) -> None:
    print("things   step ms p50     p99   scene() ms after a change, unchanged")
    for things in (10, 50, 200):
        world, step_s, scene_s, again_s = WorldModel(), [], [], []
        for frame in frames(things, count):
            t0 = time.perf_counter()
            world.step(frame)
            t1 = time.perf_counter()
            world.scene()
            t2 = time.perf_counter()
            world.scene()
            t3 = time.perf_counter()
            step_s.append(t1 - t0)
            scene_s.append(t2 - t1)
            again_s.append(t3 - t2)
        p50, p99 = 1e3 * np.quantile(step_s, (0.5, 0.99))
        print(f"{things:6} {p50:13.2f} {p99:7.2f} {1e3 * np.median(scene_s):10.2f} {1e3 * np.median(again_s):10.4f}")
