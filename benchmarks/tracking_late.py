"""What a slow lane is worth: errors of tracks whose range the fast lane hardly knows, by how late the slow lane is."""

from __future__ import annotations

import time

import numpy as np

from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.scene import Scene
from dsr_core.tracking.config import TrackerConfig
from dsr_core.values import FrameObservations, Observation

DELAYS_S = (0.3, 1.0, 2.0, 3.0)
RATE_HZ, DURATION_S, PERIOD_S, SEEDS, THINGS = 10.0, 12.0, 1.0, 6, 6
#: One-sigma of the fast lane along the ray and across it, and of the slow lane.
ALONG_M, ACROSS_M, SLOW_M = 3.0, 0.08, 0.05
#: Samples before the slow lane has spoken twice are left out.
FROM_S = 5.0


def _places(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and velocities (THINGS, 3) all round, half of them standing."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(THINGS) / THINGS + rng.uniform(-0.2, 0.2, THINGS)
    start = np.stack([np.cos(angle), np.sin(angle), np.zeros(THINGS)], 1) * rng.uniform(14, 22, (THINGS, 1))
    velocity = rng.uniform(-0.6, 0.6, (THINGS, 3)) * (1, 1, 0) * (np.arange(THINGS) % 2)[:, None]
    return start, velocity


def _ray_cov(place: np.ndarray) -> np.ndarray:
    ray = place / np.linalg.norm(place)
    return ACROSS_M**2 * np.eye(3) + (ALONG_M**2 - ACROSS_M**2) * np.outer(ray, ray)


def _run(seed: int, delay_s: float | None) -> tuple[Scene, list[float]]:
    """The scene at the end, and the seconds that each correction took; None is without a slow lane."""
    rng, (start, velocity) = np.random.default_rng(seed), _places(seed)
    world = WorldModel(WorldConfig(tracker=TrackerConfig(systematic_fraction=0.0)))
    took_s, every = [], round(PERIOD_S * RATE_HZ)
    for k in range(round(DURATION_S * RATE_HZ) + 1):
        t = k / RATE_HZ
        places = start + velocity * t
        seen = [_thing("thing", rng.multivariate_normal(p, _ray_cov(p)), _ray_cov(p), p) for p in places]
        world.step(_frame(t, seen))
        if delay_s is not None and k % every == 0 and t >= delay_s:
            old_s = round((t - delay_s) * RATE_HZ) / RATE_HZ
            then, cov = start + velocity * old_s, np.eye(3) * SLOW_M**2
            noise = np.random.default_rng([seed, k]).normal(0.0, SLOW_M, start.shape)
            late = _frame(old_s, [_thing("crate", p + n, cov, p) for p, n in zip(then, noise, strict=True)])
            began = time.perf_counter()
            world.correct(late)
            took_s.append(time.perf_counter() - began)
    return world.scene(), took_s


def _thing(label: str, place: np.ndarray, cov: np.ndarray, true: np.ndarray) -> Observation:
    """What is seen at `place` of a thing that is at `true`; its box in the image is that of a panorama."""
    distance, middle = np.linalg.norm(true[:2]), 1000.0 * np.arctan2(true[1], true[0])
    half = 500.0 / distance
    return Observation(label, place, cov, box_px=np.array([middle - half, 500 - half, middle + half, 500 + half]))


def _frame(t: float, seen: list[Observation]) -> FrameObservations:
    return FrameObservations(round(t * 1e9), tuple(seen))


def _errors(scene: Scene, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances from the nearest thing, and squared distances in sigmas, of the samples from FROM_S on."""
    start, velocity = _places(seed)
    errors, squared = [], []
    for track in scene.tracks.values():
        part = track.stamps_s >= FROM_S
        truth = start[:, None] + velocity[:, None] * track.stamps_s[part, None]
        off = min(track.positions_world_m[part] - truth, key=np.linalg.norm)
        errors.append(np.linalg.norm(off, axis=1))
        solved = np.linalg.solve(track.covariances[part], off[..., None])[..., 0]
        squared.append(np.einsum("ni,ni->n", off, solved))
    return np.concatenate(errors), np.concatenate(squared)


def print_late() -> None:
    """A row without a slow lane, and one for each delay."""
    print(
        f"{THINGS} things, {SEEDS} runs; fast lane {ALONG_M} m along the ray, slow lane {SLOW_M} m every {PERIOD_S} s"
    )
    print("delay s   error m p50    p95   NEES mean   tracks   renamed   correct() ms p50")
    for delay_s in (None, *DELAYS_S):
        errors, squared, tracks, renamed, took_s = [], [], 0, 0, []
        for seed in range(SEEDS):
            scene, took = _run(seed, delay_s)
            error, nees = _errors(scene, seed)
            errors.append(error)
            squared.append(nees)
            took_s += took
            tracks += len(scene.tracks)
            renamed += sum(t.label == "crate" for t in scene.tracks.values())
        p50, p95 = np.quantile(np.concatenate(errors), (0.5, 0.95))
        took_ms = 1e3 * np.median(took_s) if took_s else np.nan
        name = "none" if delay_s is None else f"{delay_s:.1f}"
        print(
            f"{name:>7s} {p50:13.2f} {p95:6.2f} {np.concatenate(squared).mean():11.2f} {tracks:8d} {renamed:9d}"
            f" {took_ms:18.2f}"
        )
    print(f"NEES: 3 on average where covariances are honest; {THINGS * SEEDS} things in all.")
