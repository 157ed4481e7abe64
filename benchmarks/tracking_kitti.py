"""KITTI's PointRCNN detections tracked, and compared with the labels by the rules of its tracking benchmark.

Vans are optional for cars and sitting people for pedestrians, as is what is cut off or mostly hidden; found things that
match nothing are excused in DontCare regions and where their box is at most 25 pixels high.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.geometry.upright_boxes import iou_3d
from dsr_core.perception.lift import observe
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.sources.kitti import CLASSES, KittiTracking, object_rotations
from dsr_core.tracking.config import TrackerConfig
from dsr_core.tracking.matching import Comparison
from dsr_core.tracking.tracker import Tracker
from dsr_core.values import Observation

OPTIONAL = {"car": ("van",), "pedestrian": ("person_sitting",), "cyclist": ()}
LABELS = tuple(c.lower() for c in CLASSES)
MOST_HIDDEN, LEAST_HEIGHT_PX, MOST_DONTCARE = 2, 25.0, 0.5
#: A thing that is not seen is given out for so long.
COAST_S = 0.1
DOUBT = 3
#: Optical frame to one with z up: forward, left, up.
_R_UP = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


@dataclass(frozen=True, eq=False)
class Found:
    """What a tracker gave out: one row a thing and frame.

    Attributes:
        frame: (R,) int.
        id: (R,) int.
        label: (R,) class names.
        box: (R, 7) upright in the camera's frame turned z up.
        box_px: (R, 4).
        score: (R,) certainty of the track at that frame (`_certainty`).
    """

    frame: np.ndarray
    id: np.ndarray
    label: np.ndarray
    box: np.ndarray
    box_px: np.ndarray
    score: np.ndarray


def upright(positions_m: np.ndarray, rotations: np.ndarray, sizes_lwh_m: np.ndarray) -> np.ndarray:
    """Boxes (N, 7) of things at (N, 3) turned by (N, 3, 3) with (N, 3), all in the camera's optical frame."""
    ahead = rotations[..., 0] @ _R_UP.T
    return np.column_stack([positions_m @ _R_UP.T, sizes_lwh_m, np.arctan2(ahead[:, 1], ahead[:, 0])])


def found_online(source: KittiTracking, config: TrackerConfig, coast_s: float = COAST_S) -> Found:
    """What the tracker says at each frame about that frame."""
    rows: dict[str, list] = {name: [] for name in Found.__dataclass_fields__}
    tracker, newest = Tracker(config), {}
    for k, frame in enumerate(source.frames()):
        seen = observe(frame)
        stamp_s = seen.stamp_ns * 1e-9
        s = tracker.step(stamp_s, seen.observations)
        now = s.take(np.flatnonzero(np.abs(s.stamps_s - stamp_s) < 1e-6))
        T_camera_world = tf.invert(frame.T_world_camera)
        if not len(now):
            continue
        boxes = upright(
            tf.transform_points(T_camera_world, now.positions_world_m),
            T_camera_world[:3, :3] @ tf.matrices_from_quaternions(now.orientations_xyzw),
            now.sizes_lwh_m,
        )
        for i, id in enumerate(now.ids):
            if now.observed[i]:
                newest[id] = (stamp_s, now.boxes_px[i], now.scores[i])
            last_s, box_px, score = newest[id]
            if stamp_s - last_s <= coast_s + 1e-6:
                values = (k, int(id), now.labels[i], boxes[i], box_px, score)
                for name, value in zip(rows, values, strict=True):
                    rows[name].append(value)
    return _found(rows)


def found_remembered(source: KittiTracking, config: TrackerConfig, coast_s: float = COAST_S) -> Found:
    """What the memory says afterwards, smoothed and with what was seen before a track was confirmed."""
    world = WorldModel(WorldConfig(tracker=config))
    for frame in source.frames():
        world.step(observe(frame))
    rows: dict[str, list] = {name: [] for name in Found.__dataclass_fields__}
    T_camera_world = tf.invert(source.T_world_camera)
    for track in world.scene().tracks.values():
        every = np.arange(len(track))
        last = np.maximum.accumulate(np.where(track.observed, every, 0))
        kept = np.flatnonzero(track.stamps_s - track.stamps_s[last] <= coast_s + 1e-6)
        frames = np.round(track.stamps_s[kept] * 10).astype(int)
        T = T_camera_world[frames]
        boxes = upright(
            tf.transform_points(T, track.smoothed_positions(kept)),
            T[:, :3, :3] @ tf.matrices_from_quaternions(track.orientations_xyzw[kept]),
            np.broadcast_to(track.size_lwh_m, (len(kept), 3)),
        )
        values = (
            frames,
            np.full(len(kept), int(track.id)),
            np.full(len(kept), track.label),
            boxes,
            track.boxes_px[last[kept]],
            track.scores[last[kept]],
        )
        for name, value in zip(rows, values, strict=True):
            rows[name].extend(value)
    return _found(rows)


def _found(rows: dict[str, list]) -> Found:
    shapes = {"box": (-1, 7), "box_px": (-1, 4)}
    arrays = {name: np.array(v).reshape(shapes.get(name, (-1,))) for name, v in rows.items()}
    return Found(**arrays | {"score": _certainty(arrays["frame"], arrays["id"], arrays["score"])})


def _certainty(frame: np.ndarray, id: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(R,) mean log-odds of a track's scores (R,) until each frame, drawn towards 0 as by DOUBT scores of a half."""
    probability = np.clip(score, 1e-7, 1 - 1e-7)
    log_odds, out = np.log(probability / (1 - probability)), np.zeros(len(score))
    for one in np.unique(id):
        rows = np.flatnonzero(id == one)
        rows = rows[np.argsort(frame[rows], kind="stable")]
        out[rows] = np.cumsum(log_odds[rows]) / (np.arange(len(rows)) + 1 + DOUBT)
    return out


def _labels(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def comparisons(source: KittiTracking, found: Found, label: str) -> Iterator[Comparison]:
    """Every frame of a sequence with the true and found things of one class."""
    rows = _labels(source.labels_path)
    numbers = np.array([[float(v) for v in row[3:17]] for row in rows])
    frame, id = (np.array([int(row[k]) for row in rows]) for k in (0, 1))
    name = np.array([row[2].lower() for row in rows])
    others = OPTIONAL[label]
    box3d = numbers[:, 7:14]
    centre = box3d[:, 3:6] - np.stack([np.zeros(len(rows)), box3d[:, 0] / 2, np.zeros(len(rows))], -1)
    boxes = upright(centre, object_rotations(box3d[:, 6]), box3d[:, [2, 1, 0]])
    optional = (numbers[:, 0].astype(int) > 0) | (numbers[:, 1] > MOST_HIDDEN) | np.isin(name, others)
    for k in range(len(source)):
        true = np.flatnonzero((frame == k) & ((name == label) | np.isin(name, others)))
        ours = np.flatnonzero((found.frame == k) & (found.label == label))
        regions = numbers[(frame == k) & (name == "dontcare"), 3:7]
        height = found.box_px[ours, 3] - found.box_px[ours, 1]
        excused = (height <= LEAST_HEIGHT_PX) | (_share_within(found.box_px[ours], regions) > MOST_DONTCARE)
        yield Comparison(
            id[true], found.id[ours], iou_3d(boxes[true], found.box[ours]), found.score[ours], optional[true], excused
        )


def _share_within(boxes_px: np.ndarray, regions_px: np.ndarray) -> np.ndarray:
    """(M,) largest share of the area of each box (M, 4) that lies in one of the regions (D, 4)."""
    low = np.maximum(boxes_px[:, None, :2], regions_px[:, :2])
    high = np.minimum(boxes_px[:, None, 2:], regions_px[:, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=2)
    area = np.prod(boxes_px[:, 2:] - boxes_px[:, :2], axis=1)
    return np.max(common / np.maximum(area, 1e-9)[:, None], axis=1, initial=0.0)


def observed(source: KittiTracking, label: str) -> list[tuple[float, tuple[Observation, ...]]]:
    """(second, what is seen of one class) of every frame."""
    frames = (observe(frame) for frame in source.frames())
    return [(f.stamp_ns * 1e-9, tuple(o for o in f.observations if o.label == label)) for f in frames]


def track_all(seen: list[tuple[float, tuple[Observation, ...]]]) -> None:
    """Takes every frame."""
    tracker = Tracker(TrackerConfig())
    for stamp_s, observations in seen:
        tracker.step(stamp_s, observations)
