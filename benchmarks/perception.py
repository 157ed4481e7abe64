"""How fast things are placed by depth on one core, whether memory stays flat, and how fast stereo and odometry are.

    python benchmarks/perception.py [--quick]

The pictures are 640x480 with 20 things, each of 1 to 8 % of the picture, ragged and with holes, before a wall and a
floor; depth has noise and invalid pixels. The backends that need no weights run on rendered pictures of a room. Times
are a core's own (process time), so that what else the machine does counts little.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsr_core.geometry import transforms as tf  # noqa: E402
from dsr_core.geometry.camera import Camera  # noqa: E402
from dsr_core.perception.depth.stereo import StereoDepth, StereoRig  # noqa: E402
from dsr_core.perception.lift import observe_with_report  # noqa: E402
from dsr_core.perception.odometry.visual import VisualOdometry  # noqa: E402
from dsr_core.pipeline import WorldConfig, WorldModel  # noqa: E402
from dsr_core.values import Detection, Frame  # noqa: E402
from tests.rendered import at, render, room  # noqa: E402

WIDTH, HEIGHT, THINGS, RATE_HZ = 640, 480, 20, 30
CAMERA = Camera(np.array([[525.0, 0.0, 319.5], [0.0, 525.0, 239.5], [0.0, 0.0, 1.0]]), (WIDTH, HEIGHT))
T_WORLD_CAMERA = tf.make_transform(tf.R_BODY_OPTICAL, [0.0, 0.0, 1.0])
AIM_HZ = 60


@dataclass(frozen=True, eq=False)
class Picture:
    """Depth (H, W) in metres, masks (20, H, W) bool and their boxes (20, 4)."""

    depth_m: np.ndarray
    masks: np.ndarray
    boxes_px: np.ndarray

    def detections(self, by: str, there: Iterable[int] = range(THINGS)) -> tuple[Detection, ...]:
        """Those of the things `there`, by "masks" or by "boxes"."""
        if by == "masks":
            return tuple(Detection("thing", 0.9, box_px=self.boxes_px[i], mask=self.masks[i]) for i in there)
        return tuple(Detection("thing", 0.9, box_px=self.boxes_px[i]) for i in there)


def pictures(count: int) -> list[Picture]:
    """Pictures of one scene whose things sway by some pixels."""
    rng = np.random.default_rng(0)
    share = rng.uniform(0.015, 0.08, THINGS)
    columns, rows = np.meshgrid((np.arange(5) + 0.5) * WIDTH / 5, (np.arange(4) + 0.5) * HEIGHT / 4)
    grid = np.stack([columns.ravel(), rows.ravel()], axis=1)
    middles = rng.permutation(grid + rng.uniform(-25.0, 25.0, grid.shape))
    ranges_m = np.sort(rng.uniform(1.0, 4.5, THINGS))[::-1]
    waves = rng.normal(0.0, 0.12, (THINGS, 2, 5))
    phases = rng.uniform(0.0, 2 * np.pi, THINGS)
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    floor_m = np.where(v > 260, 525.0 * 1.0 / np.maximum(v - 239.5, 1.0), np.inf)
    background_m = np.minimum(6.0, floor_m)
    out = []
    for k in range(count):
        depth_m, owner = background_m.copy(), np.full((HEIGHT, WIDTH), -1)
        for i in range(THINGS):  # the farthest first
            x, y = middles[i] + 6.0 * np.sin(2 * np.pi * k / count + phases[i] + np.array([0.0, 1.0]))
            angle = np.arctan2(v - y, u - x)
            orders = np.arange(2, 7)
            ragged = sum(
                a * np.cos(n * angle) + b * np.sin(n * angle) for a, b, n in zip(*waves[i], orders, strict=True)
            )
            radius = np.sqrt(share[i] * WIDTH * HEIGHT / np.pi) * np.maximum(1.0 + ragged, 0.3)
            off = np.hypot(u - x, v - y) / radius
            inside = (off < 1.0) & (np.hypot(u - x - 0.3 * radius, v - y) > 0.12 * radius)  # a hole
            depth_m[inside] = ranges_m[i] + 0.25 * off[inside] ** 2
            owner[inside] = i
        depth_m += (0.003 + 0.002 * depth_m**2) * rng.standard_normal(depth_m.shape)
        depth_m[rng.random(depth_m.shape) < 0.03] = np.nan
        depth_m[:, :20] = np.nan  # a depth camera sees less than the colour camera on one side
        masks = np.stack([owner == i for i in range(THINGS)])
        masks &= rng.random(masks.shape, np.float32) > 0.01  # pixels that the segmenter left out
        out.append(Picture(depth_m.astype(np.float32), masks, np.stack([_box(m) for m in masks])))
    return out


def _box(mask: np.ndarray) -> np.ndarray:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def frame(index: int, picture: Picture, detections: tuple[Detection, ...]) -> Frame:
    """Frame `index` of a recording at 30 Hz."""
    stamp_ns = 10**12 + index * 10**9 // RATE_HZ
    return Frame(stamp_ns, T_WORLD_CAMERA, np.eye(4), None, picture.depth_m, CAMERA, detections)


def rate_row(name: str, work: Callable[[int], object], count: int, warm_up: int = 10) -> None:
    """Prints the median and the 95 % quantile of a core's time that `work(index)` takes, and the frames a second."""
    took_s = []
    for index in range(count + warm_up):
        started = time.process_time()
        work(index)
        took_s.append(time.process_time() - started)
    p50, p95 = 1e3 * np.quantile(took_s[warm_up:], (0.5, 0.95))
    print(f"{name:44} {p50:8.2f} {p95:8.2f} {1e3 / p50:10.0f} {1e3 / p95:10.0f}", flush=True)


def print_lifting(seen: list[Picture], count: int) -> None:
    """Placing 20 things by masks and by boxes, alone and with the world model's step."""
    for by in ("masks", "boxes"):
        frames = [(picture, picture.detections(by)) for picture in seen]
        placed = [len(observe_with_report(frame(0, *f))[0].observations) for f in frames]
        share = np.array([p.masks.mean(axis=(1, 2)) for p in seen])
        print(f"  {by}: {np.mean(placed):.1f} placed; {share.min():.1%} to {share.max():.1%} of the picture each")
        rate_row(f"observe, 20 {by}", lambda i, f=frames: observe_with_report(frame(i, *f[i % len(f)])), count)
        world = WorldModel()

        def step(i, f=frames, w=world):
            w.step(observe_with_report(frame(i, *f[i % len(f)]))[0])

        rate_row(f"observe + WorldModel.step, 20 {by}", step, count)


def print_memory(seen: list[Picture], count: int, every: int, memory_s: float = 15.0) -> None:
    """Resident memory while things come and go, and its slope over the second half."""
    import psutil

    process, world, sizes = psutil.Process(), WorldModel(WorldConfig(memory_s=memory_s)), []
    print(f"\nmemory over {count} frames with 20 masks, of which things come and go; {memory_s:.0f} s are remembered")
    print("  frame    MiB   tracks   samples  ids so far")
    ids: set[str] = set()
    for i in range(count):
        there = [j for j in range(THINGS) if (i // 100 + j) % 4]  # away for 3.3 s at a time
        picture = seen[i % len(seen)]
        world.step(observe_with_report(frame(i, picture, picture.detections("masks", there)))[0])
        if i % RATE_HZ == 0:
            ids |= world.scene().tracks.keys()
        if (i + 1) % every == 0:
            tracks = world.scene().tracks.values()
            sizes.append((i + 1, process.memory_info().rss / 2**20))
            samples = sum(len(t.stamps_s) for t in tracks)
            print(f"{i + 1:7} {sizes[-1][1]:6.1f} {len(tracks):8} {samples:9} {len(ids):11}", flush=True)
    late = np.array(sizes[len(sizes) // 2 :])
    slope = np.polyfit(late[:, 0], late[:, 1], 1)[0] if len(late) > 1 else np.nan
    print(f"slope over the second half: {1000 * slope:+.2f} MiB for 1,000 frames")


def print_backends(count: int) -> None:
    """SGBM stereo and visual odometry at 640x480 on one core."""
    import cv2

    cv2.setNumThreads(1)
    planes, shots = room(), 12
    T_right_left = tf.make_transform(np.eye(3), [-0.12, 0.0, 0.0])
    pairs, frames = [], []
    for k in range(shots):
        T = at(x=0.02 * k, z=0.01 * k, turn=(0.0, 0.004 * k, 0.0))
        left, depth_m = render(CAMERA, T, planes)
        right, _ = render(CAMERA, T @ tf.invert(T_right_left), planes)
        pairs.append((left, right))
        frames.append((left, depth_m))
    stereo, odometry = StereoDepth(StereoRig(CAMERA, CAMERA, T_right_left)), VisualOdometry()
    rate_row("SGBM stereo, 640x480", lambda i: stereo(*pairs[i % shots]), count, 2)
    there_and_back = [*range(shots), *range(shots - 2, 0, -1)]

    def follow(i):
        rgb, depth_m = frames[there_and_back[i % len(there_and_back)]]
        if odometry(Frame(10**12 + i * 10**9 // RATE_HZ, None, None, rgb, depth_m, CAMERA)).T_world_camera is None:
            raise SystemExit(f"visual odometry lost the camera in frame {i}")

    rate_row("visual odometry, 640x480", follow, 3 * count, 5)


def main() -> None:
    """Prints all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of some seconds; its figures mean little")
    quick = parser.parse_args().quick
    seen = pictures(3 if quick else 12)
    print(f"one core, aim {AIM_HZ} frames/s with 20 masks")
    print(f"{'':44} {'ms p50':>8} {'ms p95':>8} {'f/s p50':>10} {'f/s p95':>10}")
    print_lifting(seen, 20 if quick else 600)
    print_backends(4 if quick else 60)
    print_memory(seen, 300 if quick else 10_000, 100 if quick else 1_000)


if __name__ == "__main__":
    main()
