"""Recordings with a truth other than KITTI's, and how much every found thing is like every true one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.geometry.upright_boxes import iou_3d
from dsr_core.scene import Scene, Track
from dsr_core.sources.av2 import Argoverse2Log
from dsr_core.sources.simulator import Simulator
from dsr_core.tracking.matching import Comparison
from dsr_core.values import FrameObservations, Observation

NOISE_M, HEADING_RAD, DROPPED, FALSE_A_FRAME = 0.2, 0.1, 0.1, 2
#: Centres so far apart are nothing alike.
APART_M = 2.0
SAME_S = 0.02
#: A track counts as found so long after it was last seen.
COAST_S = 0.2


def argoverse(path: Path, seed: int = 0) -> tuple[Scene, list[FrameObservations], Callable]:
    """A log's labels, and these as a detector might see them: noise, missed things, false alarms, no ids."""
    source, rng = Argoverse2Log(path), np.random.default_rng(seed)
    return source.truth(), [_worse(f, rng) for f in source.observations()], overlaps


def _worse(frame: FrameObservations, rng: np.random.Generator) -> FrameObservations:
    seen = []
    for o in frame.observations:
        turned = tf.yaw_to_quaternion_xyzw(rng.normal(0.0, HEADING_RAD))
        R = tf.matrices_from_quaternions(turned) @ tf.matrices_from_quaternions(o.orientation_world_xyzw)
        if rng.random() >= DROPPED:
            seen.append(
                replace(
                    o,
                    position_world_m=o.position_world_m + rng.normal(0.0, NOISE_M, 3),
                    covariance_world=np.eye(3) * NOISE_M**2,
                    orientation_world_xyzw=tf.quaternions_from_matrices(R),
                    orientation_sigma_rad=HEADING_RAD,
                    size_lwh_m=o.size_lwh_m * np.exp(rng.normal(0.0, 0.05, 3)),
                    score=float(rng.uniform(0.6, 1.0)),
                    id="",
                )
            )
    base = frame.T_world_base[:3, 3]
    for _ in range(rng.poisson(FALSE_A_FRAME)):
        place = base + rng.uniform((-60, -60, 0), (60, 60, 1))
        size, upright = np.array([4.0, 1.8, 1.6]), np.array([0.0, 0.0, 0.0, 1.0])
        score = float(rng.uniform(0.3, 0.8))
        seen.append(Observation("regular_vehicle", place, np.eye(3) * NOISE_M**2, score, size, upright, HEADING_RAD))
    return replace(frame, observations=tuple(seen))


def simulated(seed: int = 0) -> tuple[Scene, list[FrameObservations], Callable]:
    """The simulated warehouse with 3D detections, whose truth says when a thing could be seen."""
    source = Simulator(seed=seed, render=False)
    return source.truth(), list(source.observations()), nearness


def overlaps(true, found, i: list[int], j: list[int]) -> np.ndarray:
    """(G, M) overlap of boxes of tracks at their samples i and j."""
    return iou_3d(_boxes(true, i), _boxes(found, j))


def nearness(true, found, i: list[int], j: list[int]) -> np.ndarray:
    """(G, M) 1 where centres agree, 0 where they are APART_M apart."""
    p, q = (
        np.array([t.positions_world_m[k] for t, k in zip(tracks, rows, strict=True)]).reshape(-1, 3)
        for tracks, rows in ((true, i), (found, j))
    )
    return np.maximum(1.0 - np.linalg.norm(p[:, None] - q, axis=2) / APART_M, 0.0)


def _boxes(tracks, rows) -> np.ndarray:
    boxes = np.zeros((len(rows), 7))
    for n, (track, k) in enumerate(zip(tracks, rows, strict=True)):
        x, y, z, w = track.orientations_xyzw[k]
        yaw = np.arctan2(2 * (x * y + z * w), 1 - 2 * (y * y + z * z))
        boxes[n] = *track.positions_world_m[k], *track.size_lwh_m, yaw
    return boxes


def scene_comparisons(truth: Scene, found: Scene, like: Callable) -> Iterator[Comparison]:
    """Every stamp of the truth; what cannot be seen need not be found, what was not seen for long is left out."""
    true, ours = list(truth.tracks.values()), [_without_long_coasts(t) for t in found.tracks.values()]
    for stamp_s in truth.stamps_s:
        there, i = _at(true, stamp_s)
        those, j = _at(ours, stamp_s)
        tracks = [true[k] for k in there], [ours[k] for k in those]
        yield Comparison(
            true_ids=np.array(there, int),
            found_ids=np.array(those, int),
            similarity=like(*tracks, i, j),
            scores=np.array([t.scores[k] for t, k in zip(tracks[1], j, strict=True)], float),
            optional=np.array([not t.observed[k] for t, k in zip(tracks[0], i, strict=True)], bool),
            excused=np.zeros(len(those), bool),
        )


def _at(tracks, stamp_s: float) -> tuple[list[int], list[int]]:
    """Numbers of the tracks that have a sample at the stamp, and which."""
    out: tuple[list[int], list[int]] = [], []
    for n, track in enumerate(tracks):
        k = int(np.searchsorted(track.stamps_s, stamp_s - SAME_S))
        if k < len(track) and track.stamps_s[k] <= stamp_s + SAME_S:
            out[0].append(n)
            out[1].append(k)
    return out


def _without_long_coasts(track: Track) -> Track:
    last = np.maximum.accumulate(np.where(track.observed, np.arange(len(track)), 0))
    return track[track.stamps_s - track.stamps_s[last] <= COAST_S + 1e-6]
