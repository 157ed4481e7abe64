"""A recording of pictures whose depth and poses come of reconstructing all of it, window by window.

The pictures are read once to reconstruct and again when frames are asked for. Only a window of pictures is held at a
time, and depth waits on the disk, so that a recording may be of any length.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception.backends import changed
from dsr_core.perception.depth.reconstructed import picture_depth, reconstruction_noise, resized
from dsr_core.perception.lift import LiftConfig
from dsr_core.perception.reconstruction.intrinsics import intrinsics_of_points, scaled_intrinsics
from dsr_core.perception.reconstruction.protocol import Reconstruction, Reconstructor
from dsr_core.perception.reconstruction.windows import (
    JoinedReconstruction,
    WindowConfig,
    join_reconstructions,
    stream_windows,
)
from dsr_core.sources.base import Source, progress_bar
from dsr_core.sources.wrapped import Wrapped
from dsr_core.values import Frame

log = logging.getLogger(__name__)

#: One-sigma of depth as a part of it. Judgement, not measured here.
RELATIVE_SIGMA = 0.1
#: Pixels that a network is less sure of have no depth.
MIN_CONFIDENCE = 0.1
#: Scenes of unknown scale are made so large that half of what is seen is nearer: the tracker knows how fast things go.
UNMETRIC_MEDIAN_DEPTH = 5.0


@dataclass(frozen=True, eq=False)
class _Whole:
    """A reconstructed recording of N pictures.

    Attributes:
        T_world_camera: (N, 4, 4), NaN for pictures that are left out.
        scale: (N,) by which depth in the spool is multiplied.
        place: (N, 2) int: window and picture in it.
        camera: For frames without intrinsics, or None.
        metric: Whether the world is in metres.
        own_world: Whether the world is none in which the recording gives poses.
    """

    T_world_camera: np.ndarray
    scale: np.ndarray
    place: np.ndarray
    camera: Camera | None
    metric: bool
    own_world: bool


class Reconstructed(Wrapped):
    """A recording with the depth and the poses of its reconstruction.

    Where the recording has poses that tell the scale, the scene is metric and in their world. Where it has none, its
    world is level with the first camera, and metric only where the network says so. Parts that do not join (a cut in
    the film) and that no pose places are left out, but for the longest one; a message says so.

    Args:
        source: The recording.
        backend: Reconstructs a window of pictures.
        config: Constants of windows and their joining.
        progress: Shows a progress bar while it reconstructs.
    """

    has_poses = has_depth = True

    def __init__(
        self, source: Source, backend: Reconstructor, config: WindowConfig | None = None, progress: bool = False
    ):
        super().__init__(source)
        self._backend = backend
        self._config, self._progress = config or WindowConfig(), progress
        self._spool = TemporaryDirectory(prefix="dsr_depth_")

    @property
    def metric(self) -> bool:
        """Whether depth and poses are in metres; reconstructs the recording when first asked."""
        return self._whole.metric

    def lift_config(self) -> LiftConfig:
        base = self.source.lift_config()
        noise = reconstruction_noise(RELATIVE_SIGMA, self._config.max_scale_sigma)
        return replace(base, depth=replace(base.depth, noise=noise))

    def frames(self) -> Iterator[Frame]:
        """Frames with depth, pose and intrinsics; those without a picture or outside the world are left out.

        Raises:
            SourceError: no frame has a picture, or their sizes differ.
        """
        whole = self._whole
        windows: dict[int, np.ndarray] = {}
        number = -1
        for frame in self.source.frames():
            if frame.rgb is None:
                self.skip("frames without a picture to reconstruct")
                continue
            number += 1
            if not np.isfinite(whole.T_world_camera[number]).all():
                self.skip("frames that do not join the rest of the reconstruction (a cut?)")
                continue
            window, own = whole.place[number]
            if window not in windows:
                windows = {window: np.load(self._depth_file(window), mmap_mode="r")}
            depth = np.float32(whole.scale[number]) * windows[window][own]
            fields = {"depth_m": resized(depth, frame.rgb.shape[:2])}
            if frame.camera is None:
                fields["camera"] = whole.camera
            if whole.own_world:
                fields |= {"T_world_base": None, "T_world_frames": {}}
            if whole.own_world or frame.T_world_camera is None:
                fields["T_world_camera"] = whole.T_world_camera[number]
            yield changed(frame, **fields)

    @cached_property
    def _whole(self) -> _Whole:
        poses: list[np.ndarray] = []
        windows, starts, intrinsics, depths = [], [], [], []
        for start, pictures in stream_windows(self._pictures(poses), self._config):
            found = self._backend(pictures)
            depth = np.stack([picture_depth(found, i, MIN_CONFIDENCE) for i in range(len(found))])
            np.save(self._depth_file(len(windows)), depth)
            known = depth[np.isfinite(depth)]
            depths.append(float(np.median(known)) if known.size else np.nan)
            intrinsics += _intrinsics(found, pictures.shape[2:0:-1])
            windows.append(_thinned(found, self._config.points))
            starts.append(start)
        if not poses:
            raise SourceError(f"{self.name} has no pictures to reconstruct")
        given = np.stack(poses)
        if not np.isfinite(given).all(axis=(1, 2)).any():
            given = None
        joined = join_reconstructions(windows, starts, given, self._config)
        camera = Camera(np.median(intrinsics, axis=0), pictures.shape[2:0:-1]) if intrinsics else None
        place = np.stack([joined.window, np.arange(len(poses)) - np.array(starts)[joined.window]], axis=1)
        is_metric, has_given = all(w.metric for w in windows), given is not None
        T_world_camera, scale, metric, own_world = self._world(joined, np.array(depths), is_metric, has_given)
        return _Whole(T_world_camera, scale, place, camera, metric, own_world)

    def _pictures(self, poses: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Pictures in order of time; the pose of each (4, 4) is appended to `poses`, NaN where it has none."""
        size = None
        for frame in progress_bar(self.source.frames(), len(self), f"reconstructing {self.name}", self._progress):
            if frame.rgb is None:
                continue
            size = size or frame.rgb.shape
            if frame.rgb.shape != size:
                raise SourceError(f"{self.name}: pictures of {size} and {frame.rgb.shape}; one size is needed")
            poses.append(np.full((4, 4), np.nan) if frame.T_world_camera is None else frame.T_world_camera)
            yield frame.rgb

    def _world(self, joined: JoinedReconstruction, depths: np.ndarray, is_metric: bool, has_given: bool):
        """Chooses the world, and what is left out of it.

        Args:
            joined: The windows in one frame a segment.
            depths: (W,) median depth of each window, in its own unit.
            is_metric: Whether the network says that its unit is the metre.
            has_given: Whether the recording has poses.

        Returns:
            T_world_camera (N, 4, 4), NaN for pictures that are left out; scale (N,); whether the world is metric, and
            whether it is one of its own.
        """
        T_world_camera, scale = joined.reconstruction.T_world_camera.copy(), joined.scale.copy()
        aligned = [number for number, alignment in enumerate(joined.alignments) if alignment is not None]
        own_world = not aligned
        metric = is_metric or not own_world
        kept = np.isin(joined.segment, aligned or [np.bincount(joined.segment).argmax()])
        if own_world:
            first = T_world_camera[np.flatnonzero(kept)[0]]
            T_world_camera = tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3)) @ tf.invert(first) @ T_world_camera
        if not metric:
            seen = (depths[joined.window] * scale)[kept]
            factor = UNMETRIC_MEDIAN_DEPTH / float(np.nanmedian(seen)) if np.isfinite(seen).any() else 1.0
            scale *= factor
            T_world_camera[:, :3, 3] *= factor
            why = "the poses do not tell its scale" if has_given else "there are no poses, which would tell its scale"
            log.warning("%s: the reconstruction is not metric: %s", self.name, why)
        if not kept.all():
            log.warning(
                "%s: the reconstruction falls into %d parts; %d of %d pictures do not join the rest and are left out",
                *(self.name, len(joined.alignments), int((~kept).sum()), len(kept)),
            )
        T_world_camera[~kept] = np.nan
        return T_world_camera, scale, metric, own_world

    def _depth_file(self, window: int) -> Path:
        return Path(self._spool.name) / f"{window}.npy"


def _thinned(found: Reconstruction, points: int) -> Reconstruction:
    """A window with about so many points a picture, which is what joining looks at."""
    step = max(int(np.sqrt(found.confidence[0].size / points)), 1)
    return Reconstruction(
        found.points_camera_m[:, ::step, ::step].copy(),
        found.T_world_camera,
        found.confidence[:, ::step, ::step].copy(),
        None,
        found.metric,
    )


def _intrinsics(found: Reconstruction, image_size: tuple[int, int]) -> list[np.ndarray]:
    """K (3, 3) of each picture of a window, for images of (width, height)."""
    own = (intrinsics_of_points(p) for p in found.points_camera_m) if found.K is None else found.K
    size = found.confidence.shape[2:0:-1]
    return [scaled_intrinsics(K, size, image_size) for K in own if K is not None]
