"""A saved scene as a source: its poses and tracks, and the tracks as 3D detections per frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.scene import Scene
from dsr_core.sources.base import Source
from dsr_core.values import Detection, Frame

#: Tracks belong to a frame when their stamp is this close to it, seconds.
_SAME_STAMP_S = 1e-4


def recognises(path: Path) -> bool:
    """Whether `path` is a saved scene."""
    return path.is_file() and path.name.endswith(".scene.npz")


class SavedScene(Source):
    """A `*.scene.npz` written by `Scene.save`.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path):
        self._scene = Scene.load(path)
        self.name = Path(path).name.removesuffix(".scene.npz")
        self.world_frame = self._scene.world_frame

    def __len__(self) -> int:
        return len(self._scene.stamps_s)

    def truth(self) -> Scene:
        return self._scene

    def frames(self) -> Iterator[Frame]:
        yield from frames_of_scene(self._scene)


def frames_of_scene(scene: Scene, keep_ids: bool = True) -> Iterator[Frame]:
    """Frames at the scene's stamps whose 3D detections are the observed samples of its tracks.

    The camera is taken at the base (optical axis forward) where the scene has no camera poses.
    """
    T_base_camera = tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))
    T_world_camera = scene.T_world_camera
    if T_world_camera is None and scene.T_world_base is not None:
        T_world_camera = scene.T_world_base @ T_base_camera
    camera = Camera(scene.K, scene.image_size) if scene.K is not None and scene.image_size else None
    found: list[list[Detection]] = [[] for _ in scene.stamps_s]
    if T_world_camera is not None:
        T_camera_world = tf.invert(T_world_camera)
        for track in scene.tracks.values():
            index = np.clip(np.searchsorted(scene.stamps_s, track.stamps_s - _SAME_STAMP_S), 0, len(found) - 1)
            near = np.abs(scene.stamps_s[index] - track.stamps_s) <= _SAME_STAMP_S
            T = T_camera_world[index]
            positions = tf.transform_points(T, track.positions_world_m)
            covariances = tf.rotate_covariances(T[:, :3, :3], track.covariances)
            rotations = T[:, :3, :3] @ tf.matrices_from_quaternions(track.orientations_xyzw)
            orientations = tf.quaternions_from_matrices(rotations)
            size = track.size_lwh_m if np.isfinite(track.size_lwh_m).all() else None
            for k in np.flatnonzero(near & track.observed):
                found[index[k]].append(
                    Detection(
                        label=track.label,
                        score=float(track.scores[k]),
                        box_px=track.boxes_px[k] if np.isfinite(track.boxes_px[k]).all() else None,
                        position_camera_m=positions[k],
                        covariance_camera=covariances[k],
                        size_lwh_m=size,
                        orientation_camera_xyzw=orientations[k] if np.isfinite(orientations[k]).all() else None,
                        orientation_sigma_rad=float(track.orientation_sigmas_rad[k]),
                        id=track.id if keep_ids else "",
                    )
                )
    for i, stamp_s in enumerate(scene.stamps_s):
        yield Frame(
            stamp_ns=scene.origin_ns + round(float(stamp_s) * 1e9),
            T_world_camera=None if T_world_camera is None else T_world_camera[i],
            T_world_base=None if scene.T_world_base is None else scene.T_world_base[i],
            camera=camera,
            detections=tuple(found[i]),
        )
