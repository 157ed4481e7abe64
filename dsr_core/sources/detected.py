"""A recording whose frames are filled in by a perception: detections, depth, poses, orientations."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Protocol

import numpy as np

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception.backends import FrameDetector, Perception, changed
from dsr_core.perception.bearing import on_ray
from dsr_core.scene import Scene
from dsr_core.sources.base import BACKWARD_JUMP_NS, Source
from dsr_core.sources.wrapped import Wrapped
from dsr_core.values import Frame, FrameObservations

log = logging.getLogger(__name__)

#: Horizontal field of view of a camera that nobody has calibrated: phones have 60 to 75 degrees, webcams 55 to 80.
DEFAULT_FOV_DEG = 65.0
#: Frames that are looked at for detections or images of the recording's own.
_LOOK_AT = 50
#: World positions of a camera whose own movement is not known: nothing can be said about movement in the world.
_UNKNOWN_EGO_SIGMA_M = 1e3
#: Largest one-sigma along the ray that the tracker is given, as a part of the range.
_MAX_RANGE_SIGMA = 0.3


def lacks_detections(source: Source) -> bool:
    """Whether a recording has images, but neither a truth nor detections in its first frames."""
    if source.detector is not None or source.truth() is not None:
        return False
    topics = getattr(source, "topics", None)
    if topics is not None and (topics.detections or topics.grid):
        return False
    frames = list(islice(source.frames(), _LOOK_AT))
    return not any(frame.detections for frame in frames) and any(frame.rgb is not None for frame in frames)


class Watcher(Protocol):
    """What is shown every frame that comes out, as `view.detections.DetectionSheet`."""

    def take(self, frame: Frame) -> None: ...

    def reset(self) -> None: ...


class Detected(Wrapped):
    """A recording seen through a perception: with its detections, depth, poses and orientations.

    Where neither the recording nor the perception knows a pose, a detector's camera is taken to stand level at the
    origin and to look along x: then nothing is known about movement in the world, and scenes say so. A scene is metric
    where frames have depth in metres; without any depth, what has no range gets a bearing.

    Args:
        source: The recording.
        perception: Fills frames in; or a detector alone, whose `detect(frame)` gives detections.
        fov_deg: Horizontal field of view where the recording has no intrinsics.
        watch: Is shown every frame that comes out.

    Raises:
        SourceError: the field of view is not between 1 and 179 degrees.
    """

    def __init__(
        self,
        source: Source,
        perception: Perception | FrameDetector,
        fov_deg: float = DEFAULT_FOV_DEG,
        watch: Watcher | None = None,
    ):
        if not 1 <= fov_deg <= 179:
            raise SourceError(f"field of view {fov_deg} degrees must be between 1 and 179")
        super().__init__(source)
        self.fov_deg = float(fov_deg)
        if not isinstance(perception, Perception):
            perception = Perception(detector=perception)
        self.perception, self._watch = perception, watch
        self._excess: dict[tuple, float] = {}
        self._frames_placed_without_depth = 0

    @cached_property
    def has_poses(self) -> bool:
        """Whether it is known where the camera is, in any of the first frames."""
        return self.perception.adds_poses or self._has_recorded_poses()

    def _has_recorded_poses(self) -> bool:
        return any(f.T_world_camera is not None or f.T_world_base is not None for f in self._first_frames())

    @cached_property
    def has_depth(self) -> bool:
        """Whether there is depth: the perception gives it, or the first frame that has an image has some."""
        if self.perception.adds_depth:
            return True
        return any(f.depth_m is not None for f in islice((f for f in self._first_frames() if f.rgb is not None), 1))

    def _first_frames(self) -> Iterator[Frame]:
        return islice(self.source.frames(), _LOOK_AT)

    @property
    def metric(self) -> bool:
        return self.source.metric and self.perception.metric

    def lift_config(self):
        return self.perception.lift_config(self.source.lift_config())

    def frames(self) -> Iterator[Frame]:
        """The recording's frames, filled in; where detections are looked for, those without an image are left out."""
        self._frames_placed_without_depth = 0
        for part in (self.perception, self._watch):
            if part is not None:
                part.reset()
        newest_ns = None
        for frame in self.source.frames():
            if newest_ns is not None and frame.stamp_ns <= newest_ns:
                if newest_ns - frame.stamp_ns <= BACKWARD_JUMP_NS:
                    self.skip("frames that are not newer than the one before")
                    continue
                self.perception.reset()
            newest_ns = frame.stamp_ns
            if self.perception.detects and frame.rgb is None:
                self.skip("frames without an image for the detector")
                continue
            frame = self._placed(self.perception.step(self._prepared(frame)))
            if self._watch is not None:
                self._watch.take(frame)
            yield frame

    def _prepared(self, frame: Frame) -> Frame:
        """A frame with what is assumed where the recording does not say."""
        assumed = {}
        if frame.camera is None and frame.rgb is not None:
            assumed["camera"] = guessed_camera(frame.rgb.shape[1::-1], self.fov_deg)
        if self.perception.detects and not self.has_poses:
            assumed["T_world_camera"] = tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))
        return changed(frame, **assumed) if assumed else frame

    def _placed(self, frame: Frame) -> Frame:
        """A frame whose things without a range have a bearing, where there is no depth at all."""
        if not (self.perception.detects and frame.detections) or frame.depth_m is not None:
            return frame
        if self.perception.adds_depth:
            # Some frames of many: bearings would make a scene in metres one that is not.
            self.skip("frames whose depth is not known, with detections")
            return changed(frame, detections=())
        self._frames_placed_without_depth += 1
        placed = (
            d if d.position_camera_m is not None or d.box_px is None else on_ray(d, frame.camera)
            for d in frame.detections
        )
        return changed(frame, detections=tuple(placed))

    def observations(self, lift=None, progress: bool = False) -> Iterator[FrameObservations]:
        """Frames placed in the world, with ranges never less sure than the tracker can use (see `_cap`)."""
        if not self.perception.detects:
            yield from super().observations(lift, progress)
            return
        self._excess = {}
        for observed in super().observations(lift, progress):
            yield self._cap(observed)

    def _cap(self, observed: FrameObservations) -> FrameObservations:
        """The observations with their one-sigma along the ray cut to `_MAX_RANGE_SIGMA` of the range.

        Rays all pass the camera: a linear filter that took a range for quite unknown would find that a thing whose
        bearing changes stands in the camera. What is cut off is kept and given back to the tracks.
        """
        out = []
        for observation in observed.observations:
            offset = observation.position_world_m - observed.T_world_camera[:3, 3]
            ray = offset / max(np.linalg.norm(offset), 1e-9)
            excess = ray @ observation.covariance_world @ ray - _MAX_RANGE_SIGMA**2 * (offset @ offset)
            if excess > 0 and observation.box_px is not None:
                self._excess[observed.stamp_ns, tuple(observation.box_px.tolist())] = float(excess)
                cut = observation.covariance_world - excess * np.outer(ray, ray)
                observation = replace(observation, covariance_world=cut)
            out.append(observation)
        return replace(observed, observations=tuple(out))

    def _give_back(self, scene: Scene) -> Scene:
        """The scene with what `_cap` cut off added to the covariances of the samples that it was cut from."""
        tracks = {}
        for name, track in scene.tracks.items():
            frames = np.clip(np.searchsorted(scene.stamps_s, track.stamps_s - 1e-6), 0, len(scene.stamps_s) - 1)
            excess, last = np.zeros(len(track.stamps_s)), 0.0
            for k, stamp_s in enumerate(scene.stamps_s[frames]):
                if track.observed[k]:
                    key = (scene.origin_ns + round(float(stamp_s) * 1e9), tuple(track.boxes_px[k].tolist()))
                    last = self._excess.get(key, 0.0)
                excess[k] = last
            if not excess.any():
                tracks[name] = track
                continue
            rays = track.positions_world_m - scene.T_world_camera[frames, :3, 3]
            rays = rays / np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-9)
            covariances = track.covariances + excess[:, None, None] * rays[:, :, None] * rays[:, None]
            tracks[name] = replace(track, covariances=covariances, smoothing=None, smoothing_rows=None)
        return replace(scene, tracks=tracks)

    def tracked_scene(self, world=None, lift=None, progress: bool = False) -> Scene:
        """Tracks built from what is found; not metric where frames lack depth.

        Args:
            world: Settings of the tracker and the memory; None takes those for what the recording has.
            lift: Settings of lifting.
            progress: Shows a progress bar.

        Raises:
            SourceError: not one frame could be used; the message says why.
        """
        if self.perception.adds_poses and not self.has_depth and not self._has_recorded_poses():
            raise SourceError(
                f"{self.name} has neither poses nor depth, which visual odometry needs: estimate depth, too"
                " (depth_anything), or leave the poses as given"
            )
        detects, posed, has_depth = self.perception.detects, self.has_poses, self.has_depth
        if detects and world is None:
            world = embedded_world(has_depth, posed)
        scene = super().tracked_scene(world, lift, progress)
        for reason, count in self.perception.counts.items():
            log.warning("%s: %d x %s", self.name, count, reason)
        if not detects:
            return scene
        has_depth = has_depth and not self._frames_placed_without_depth
        if not posed:
            log.warning(
                "%s: no poses: the camera is taken to stand still; movement in the world is not known", self.name
            )
        if not has_depth:
            log.warning("%s: no depth: the scene is not metric; most things have a bearing but no range", self.name)
        scene = self._give_back(scene) if self._excess else scene
        scene = scene if posed else _sized(scene)
        return scene if has_depth else replace(scene, metric=False)


def _sized(scene: Scene) -> Scene:
    """The scene with a size for each track that has none: that of its box at its range, in the scene's units.

    Whether a thing moves in the world is judged against its size; of one without, rest would be claimed whatever the
    noise, and here the camera's own movement is all noise.
    """
    tracks = {}
    for name, track in scene.tracks.items():
        boxes = track.boxes_px[track.observed]
        if np.isfinite(track.size_lwh_m).all() or not np.isfinite(boxes).all() or not len(boxes):
            tracks[name] = track
            continue
        ranges = np.linalg.norm(track.positions_world_m[track.observed], axis=1)
        sides = (boxes[:, 2:] - boxes[:, :2]) / np.diag(scene.K)[:2] * ranges[:, None]
        width, height = np.maximum(np.median(sides, axis=0), 1e-3)
        tracks[name] = replace(track, size_lwh_m=np.array([width, width, height]), sizes_lwh_m=None)
    return replace(scene, tracks=tracks)


def guessed_camera(image_size: tuple[int, int], fov_deg: float = DEFAULT_FOV_DEG) -> Camera:
    """A camera without distortion whose horizontal field of view is `fov_deg`, for an image of (width, height)."""
    width, height = image_size
    focal = 0.5 * width / math.tan(math.radians(fov_deg) / 2)
    return Camera(np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]), (width, height))


def embedded_world(metric: bool = True, posed: bool = True):
    """Settings of the world model for the embedded detector.

    Args:
        metric: There is depth. Without, errors of range are the same in every frame, and do not average out.
        posed: The camera's poses are known. Without, nothing can be said about movement in the world.
    """
    from dsr_core.pipeline import WorldConfig
    from dsr_core.tracking.config import TrackerConfig

    common = {"high_score": 0.4, "low_score": 0.3}
    tracker = TrackerConfig(**common) if metric else TrackerConfig(**common, systematic_fraction=0.98)
    extra = {} if posed else {"ego_sigma_m": _UNKNOWN_EGO_SIGMA_M}
    return WorldConfig(memory_s=float("inf"), tracker=tracker, **extra)
