"""Tracks -> KITTI's tracking result format, as its evaluation reads it.

One line a frame and thing: frame id type truncated occluded alpha x1 y1 x2 y2 h w l x y z rotation_y score. Positions
are bottom centres in the rectified frame of camera 0, metres; angles in radians; what is unknown is -1 (angles -10).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr_core.errors import SceneError
from dsr_core.files import whole_file
from dsr_core.geometry import transforms as tf
from dsr_core.scene import Scene, Track
from dsr_core.sources.kitti import FRAME_RATE_HZ

#: A sample belongs to a frame when it is this close to it, seconds.
SAME_FRAME_S = 0.25 / FRAME_RATE_HZ
UNKNOWN_ANGLE, UNKNOWN = -10.0, -1.0


def write_results(path: str | Path, scene: Scene, frames: int | None = None) -> Path:
    """Writes the samples that were really seen, ordered by frame, whole or not at all.

    Args:
        path: File to write, e.g. `results/0007.txt`; the folder is made.
        scene: Tracks with camera poses; second i/10 is frame i.
        frames: Number of frames of the sequence; later samples are left out.

    Raises:
        SceneError: the scene has no camera poses.
    """
    if scene.T_world_camera is None:
        raise SceneError("KITTI's result format needs camera poses, this scene has none; save it as a scene instead")
    numbers = _numbers(scene)
    rows = [row for track in scene.tracks.values() for row in _rows(scene, track, numbers[track.id], frames)]
    rows.sort(key=lambda row: row[:2])
    text = "".join(f"{frame} {number} {rest}\n" for frame, number, rest in rows)
    path = Path(path)
    with whole_file(path) as partial:
        partial.write_text(text)
    return path


def _numbers(scene: Scene) -> dict[str, int]:
    """Track ids as the whole numbers that the format wants; ids that are none come after the largest."""
    numbers = {i: int(i) for i in scene.tracks if i.isdecimal() and i.isascii() and str(int(i)) == i}
    following = max(numbers.values(), default=-1) + 1
    for other in scene.tracks:
        if other not in numbers:
            numbers[other] = following
            following += 1
    return numbers


def _rows(scene: Scene, track: Track, number: int, frames: int | None) -> list[tuple[int, int, str]]:
    frame = np.round(track.stamps_s * FRAME_RATE_HZ).astype(int)
    seen = track.observed & (np.abs(track.stamps_s - frame / FRAME_RATE_HZ) <= SAME_FRAME_S) & (frame >= 0)
    if frames is not None:
        seen &= frame < frames
    if not seen.any():
        return []
    part, frame = track[seen], frame[seen]
    T_camera_world = tf.invert(tf.interpolate_transforms(scene.stamps_s, scene.T_world_camera, part.stamps_s))
    centre = np.einsum("tij,tj->ti", T_camera_world[:, :3, :3], part.positions_world_m) + T_camera_world[:, :3, 3]
    length, width, height = np.where(np.isfinite(track.size_lwh_m), track.size_lwh_m, UNKNOWN)
    bottom = centre + np.array([0.0, max(height, 0.0) / 2, 0.0])
    known = np.isfinite(part.orientations_xyzw).all(axis=1)
    R_camera_object = T_camera_world[:, :3, :3] @ tf.matrices_from_quaternions(
        np.where(known[:, None], part.orientations_xyzw, (0.0, 0.0, 0.0, 1.0))
    )
    rotation_y = np.where(known, np.arctan2(-R_camera_object[:, 2, 0], R_camera_object[:, 0, 0]), UNKNOWN_ANGLE)
    ray = np.arctan2(bottom[:, 0], bottom[:, 2])
    alpha = np.where(known, (rotation_y - ray + np.pi) % (2 * np.pi) - np.pi, UNKNOWN_ANGLE)
    boxes = np.where(np.isfinite(part.boxes_px).all(axis=1, keepdims=True), part.boxes_px, UNKNOWN)
    label = track.label.replace(" ", "_").capitalize()
    columns = np.column_stack(
        [alpha, boxes, np.tile([height, width, length], (len(part), 1)), bottom, rotation_y, part.scores]
    )
    return [
        (int(f), number, f"{label} -1 -1 " + " ".join(f"{value:.6g}" for value in row))
        for f, row in zip(frame, columns, strict=True)
    ]
