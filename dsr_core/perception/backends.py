"""Networks at work on frames: one configuration, one `step` a frame, the same on the robot and over recordings.

`load` makes a `Perception` of a `PerceptionConfig`. Its `step` takes a frame as the sensors gave it and returns it with
depth, pose, detections and orientations filled in where the configuration says so.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from dsr_core.errors import DsrError, GeometryError, ModelError
from dsr_core.geometry import transforms as tf
from dsr_core.perception.config import RECONSTRUCTIONS, PerceptionConfig
from dsr_core.perception.depth.protocol import DepthEstimator
from dsr_core.perception.headings import Headings
from dsr_core.perception.lift import LiftConfig
from dsr_core.perception.odometry.visual import VisualOdometry, VisualOdometryConfig
from dsr_core.perception.orientation.protocol import OrientationEstimator
from dsr_core.perception.reconstruction.protocol import Reconstructor
from dsr_core.values import Detection, Frame

__all__ = ["FrameDetector", "Perception", "PerceptionConfig", "load", "load_reconstructor"]

log = logging.getLogger(__name__)

#: Reasons that are counted one by one; further ones are counted together, so that no message can fill the memory.
_MAX_REASONS = 100


class FrameDetector(Protocol):
    """What finds things in frames that come in order."""

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        """Things in a frame with a picture."""

    def reset(self) -> None:
        """Forgets the frames before (a new recording, a jump of the clock, another image size)."""


class Perception:
    """Fills frames in, in their order of time. Not for several threads at once.

    A part that fails costs its contribution to one frame: the frame goes on without it, and `counts` says why.

    Args:
        config: What is added; nothing but what the other arguments add where None is given.
        detector: Finds things; None leaves a frame's own detections.
        depth: Estimates depth where a frame has none; None does not.
        orientation: Tells which way things face; None leaves the detector's word.

    Attributes:
        config: As given.
        counts: Reason -> number of frames that lack something for it.
        metric: False where the depth that is added is not in metres.
    """

    def __init__(
        self,
        config: PerceptionConfig | None = None,
        detector: FrameDetector | None = None,
        depth: DepthEstimator | None = None,
        orientation: OrientationEstimator | None = None,
    ):
        config = config or PerceptionConfig()
        self.config, self.counts = config, Counter()
        self._detector, self._depth = detector, depth
        self._headings = None if orientation is None else Headings(orientation)
        self._odometry = _CameraPath(self._odometry_config()) if config.poses == "visual" else None
        self.metric = depth is None or depth.metric
        self._newest_ns: int | None = None
        self._size_hw: tuple[int, int] | None = None

    @property
    def detects(self) -> bool:
        """Whether a frame's own detections give way to those of a detector here."""
        return self._detector is not None

    @property
    def adds_depth(self) -> bool:
        """Whether frames without depth are given some."""
        return self._depth is not None

    @property
    def adds_poses(self) -> bool:
        """Whether frames without a camera pose are given one."""
        return self._odometry is not None

    @property
    def missing(self) -> str:
        """What the detector has to do without, in words; "" for nothing."""
        return getattr(self._detector, "missing", "")

    def step(self, frame: Frame) -> Frame:
        """The frame with depth, camera pose and detections filled in.

        What cannot be said for this frame stays absent, and is counted. A frame without a picture passes unchanged.

        Args:
            frame: Newer than the one before.

        Raises:
            GeometryError: it is not newer; `reset` first where the clock jumped back.
        """
        if self._newest_ns is not None and frame.stamp_ns <= self._newest_ns:
            raise GeometryError(
                f"frame at {frame.stamp_ns} ns does not follow the one at {self._newest_ns} ns; leave it out, or call"
                " reset() where the clock jumped back"
            )
        self._newest_ns = frame.stamp_ns
        needs_pose = self._odometry is not None and self._odometry.needs(frame)
        out = self._filled(frame, needs_pose)
        if self._odometry is not None and not needs_pose:
            self._odometry.note(out)
        return out

    def _filled(self, frame: Frame, needs_pose: bool) -> Frame:
        """The frame with what each part adds; its picture is not asked for where none does."""
        parts = [
            (self._add_depth, self._depth is not None and frame.depth_m is None, self._depth),
            (self._add_pose, needs_pose, self._odometry),
            (self._add_detections, self._detector is not None, self._detector),
            (self._add_orientations, self._headings is not None, self._headings),
        ]
        parts = [(add, part) for add, wanted, part in parts if wanted]
        if not parts:
            return frame
        if frame.rgb is None:
            self._count("frames without a picture")
            return frame
        if self._size_hw not in (None, frame.rgb.shape[:2]):
            self._new_size()
        self._size_hw = frame.rgb.shape[:2]
        for add, part in parts:
            frame = self._guarded(add, frame, part)
        return frame

    def reset(self) -> None:
        """Forgets the frames before: a new recording begins, or the clock jumped. `counts` go on."""
        self._newest_ns = self._size_hw = None
        for part in (self._detector, self._depth, self._odometry, self._headings):
            _reset(part)

    def lift_config(self, base: LiftConfig | None = None) -> LiftConfig:
        """`base` (the defaults where None is given), with the noise of the depth that is added here."""
        base = base or LiftConfig()
        if self._depth is None:
            return base
        return replace(base, depth=replace(base.depth, noise=self._depth.noise))

    def _guarded(self, add: Callable[[Frame], Frame], frame: Frame, part: object) -> Frame:
        """`add(frame)`, or the frame as it is where that fails; a part that broke down begins anew."""
        try:
            return add(frame)
        except DsrError as error:
            self._count(f"{add.__name__[5:]}: {getattr(error, 'reason', error)}")
        except Exception as error:  # of a network's many packages, out of memory included: it costs this frame only
            text = " ".join(str(error).split())[:200]
            if self._count(f"{add.__name__[5:]} failed: {type(error).__name__}: {text}"):
                log.warning("perception: %s failed", add.__name__[5:], exc_info=True)
            if part is self._odometry:
                self._odometry.restart()  # in the same world
            else:
                _reset(part)
        if add == self._add_detections:
            # The detections that came with the frame are not what was asked for.
            return changed(frame, detections=())
        return frame

    def _count(self, reason: str) -> bool:
        """Counts a reason, its numbers left out so that like ones count together; True for the first of its kind."""
        reason = re.sub(r"\d[\d.,:e+-]*\d|\d", "N", reason)
        if reason not in self.counts and len(self.counts) >= _MAX_REASONS:
            reason = "other reasons"
        self.counts[reason] += 1
        if self.counts[reason] == 1:
            log.warning("perception: %s", reason)
        return self.counts[reason] == 1

    def _new_size(self) -> None:
        """Networks that follow things and cameras begin anew where the pictures' size changes."""
        self._count("changes of the picture's size")
        for part in (self._detector, self._depth):
            _reset(part)
        if self._odometry is not None:
            self._odometry.restart()

    def _odometry_config(self) -> VisualOdometryConfig:
        return VisualOdometryConfig() if self._depth is None else VisualOdometryConfig(noise=self._depth.noise)

    def _add_depth(self, frame: Frame) -> Frame:
        return changed(frame, depth_m=self._depth(frame).depth_m)

    def _add_pose(self, frame: Frame) -> Frame:
        frame, reason = self._odometry.step(frame)
        if reason:
            self._count(f"pose: {reason}")
        return frame

    def _add_detections(self, frame: Frame) -> Frame:
        return changed(frame, detections=tuple(self._detector.detect(frame)))

    def _add_orientations(self, frame: Frame) -> Frame:
        return changed(frame, detections=self._headings.step(frame)) if frame.detections else frame


class _CameraPath:
    """Visual odometry in one world over all frames, whether or not some of them have a pose.

    Where a frame with a pose comes before the first one without, odometry goes on from there, and later poses that are
    given are taken. Where none does, the world is odometry's own, and poses that come later, in another world, would be
    a jump: they are replaced.
    """

    def __init__(self, config: VisualOdometryConfig):
        self._config = config
        self.reset()

    def reset(self) -> None:
        """Forgets everything; the next frame begins a new world."""
        self._anchor: Frame | None = None
        self._odometry: VisualOdometry | None = None
        self._newest: np.ndarray | None = None
        self._own_world = False

    def restart(self) -> None:
        """Begins anew at the newest pose, in the same world."""
        self._anchor = self._odometry = None

    def needs(self, frame: Frame) -> bool:
        """Whether the pose of a frame is to be found here."""
        return frame.T_world_camera is None or self._own_world

    def note(self, frame: Frame) -> None:
        """Takes up the pose that a frame was given."""
        self._anchor, self._odometry, self._newest = frame, None, frame.T_world_camera

    def step(self, frame: Frame) -> tuple[Frame, str]:
        """A frame that needs it with a camera pose, and "" or what is to be counted of it."""
        given = frame.T_world_camera
        if self._odometry is None:
            self._own_world = self._own_world or self._newest is None
            self._odometry = VisualOdometry(self._config, self._newest)
            anchor, self._anchor = self._anchor, None
            if anchor is not None and _can_follow(anchor):
                self._odometry(anchor)
        found = self._odometry(frame)
        if found.T_world_camera is None:
            # A pose in another world, and a base that is placed there, must not stay.
            lost = frame if given is None else changed(frame, T_world_camera=None, T_world_base=None, T_world_frames={})
            return lost, found.reason
        self._newest = found.T_world_camera
        if given is None:
            return changed(frame, T_world_camera=found.T_world_camera), ""
        T_new_old = found.T_world_camera @ tf.invert(given)
        moved = {
            "T_world_base": None if frame.T_world_base is None else T_new_old @ frame.T_world_base,
            "T_world_frames": {name: T_new_old @ T for name, T in frame.T_world_frames.items()},
        }
        posed = changed(frame, T_world_camera=found.T_world_camera, **moved)
        return posed, "given poses replaced: the world is that of visual odometry, which began before them"


def _can_follow(frame: Frame) -> bool:
    return frame.camera is not None and frame.depth_m is not None and frame.rgb is not None


def changed(frame: Frame, **fields) -> Frame:
    """A frame with other fields; a picture or depth that is made when asked for is not asked for."""
    out = copy(frame)
    for name, value in fields.items():
        object.__setattr__(out, name, value)
    return out


def _reset(part: object) -> None:
    reset = getattr(part, "reset", None)
    if reset is not None:
        reset()


class _Pictures:
    """A detector or segmenter of pictures as one of frames."""

    def __init__(self, look: Callable[[np.ndarray], tuple[Detection, ...]], reset: Callable[[], None] | None = None):
        self._look, self._reset = look, reset

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        return self._look(frame.rgb)

    def reset(self) -> None:
        if self._reset is not None:
            self._reset()


def load(config: PerceptionConfig) -> Perception:
    """Loads every network that the configuration names, which takes seconds to minutes.

    Raises:
        ModelError: weights are not on this machine; the message says which commands get them all, and their licences.
        DependencyError: a package is missing; the message says which.
    """
    loader = _Loader(config)
    parts = loader.detector(), loader.depth(), loader.orientation()
    loader.check()
    return Perception(config, *parts)


def load_reconstructor(config: PerceptionConfig) -> Reconstructor:
    """The network of `config.depth`, "pi3" or "depth_anything_3", for whole recordings.

    Raises:
        ModelError: its weights are not on this machine, or `config.depth` is another.
        DependencyError: a package is missing.
    """
    if config.depth not in RECONSTRUCTIONS:
        raise ModelError(f"depth = {config.depth!r} reconstructs nothing; choose {' or '.join(RECONSTRUCTIONS)}")
    loader = _Loader(config)
    backend = loader.reconstructor()
    loader.check()
    return backend


class _Loader:
    """Loads what a configuration names, and collects what is missing so that it is told at once."""

    def __init__(self, config: PerceptionConfig):
        self._config, self._missing = config, []
        self._device = config.device or None
        self._common = {"device": self._device, "dtype": config.dtype}

    def check(self) -> None:
        """Raises what was missing.

        Raises:
            ModelError: with all messages.
        """
        if self._missing:
            raise ModelError("; ".join(dict.fromkeys(self._missing)))

    def _try(self, make: Callable):
        try:
            return make()
        except ModelError as error:
            self._missing.append(str(error))
            return None

    def _source(self, name: str, default: str) -> str:
        return self._config.weights.get(name, default)

    def detector(self) -> FrameDetector | None:
        """The detector of frames, None for "external"."""
        name = self._config.detector
        if name == "external":
            return None
        if name == "embedded":
            from dsr_core.perception.embedded import EmbeddedDetector

            return self._try(EmbeddedDetector)
        if name == "sam3":
            from dsr_core.perception.segment import sam3_video

            source = self._source("sam3", sam3_video.DEFAULT)
            make = sam3_video.Sam3VideoSegmenter.from_pretrained
            sam3 = self._try(lambda: make(self._config.names, source, **self._common))
            return None if sam3 is None else _Pictures(sam3.step, sam3.reset)
        dino = self._try(self._grounding_dino)
        found = dino if name == "grounding_dino" else self._try(lambda: self._sam2(dino))
        if found is None:
            return None
        return _Pictures(found.detect) if name == "grounding_dino" else _Pictures(found.step, found.reset)

    def _sam2(self, dino):
        """SAM 2 by transformers, or by its authors' package where the weights are a checkpoint of theirs (.pt)."""
        from dsr_core.perception.segment import prompted, sam2_package, sam2_video

        source = self._source("sam2", sam2_video.DEFAULT)
        path = Path(source).expanduser()
        is_checkpoint = path.suffix == ".pt" or (any(path.glob("*.pt")) and not (path / "config.json").is_file())
        segmenter = sam2_package.Sam2PackageSegmenter if is_checkpoint else sam2_video.Sam2VideoSegmenter
        rules = prompted.Sam2Config(interval=self._config.interval)
        return segmenter.from_pretrained(dino, source, rules, **self._common)

    def _grounding_dino(self):
        from dsr_core.perception.detect import grounding_dino

        source = self._source("grounding_dino", grounding_dino.DEFAULT)
        return grounding_dino.GroundingDino.from_pretrained(self._config.names, source, device=self._device)

    def depth(self) -> DepthEstimator | None:
        """What estimates depth, None for "sensor"."""
        if self._config.depth == "sensor":
            return None
        if self._config.depth in RECONSTRUCTIONS:
            from dsr_core.perception.depth.reconstructed import ReconstructedDepth

            backend = self.reconstructor()
            return None if backend is None else ReconstructedDepth(backend)
        from dsr_core.perception.depth import depth_anything

        source = self._source("depth_anything", depth_anything.INDOOR)
        return self._try(lambda: depth_anything.DepthAnything(source, **self._common))

    def reconstructor(self) -> Reconstructor | None:
        """pi3 or Depth Anything 3."""
        if self._config.depth == "pi3":
            from dsr_core.perception.reconstruction import pi3

            source, checkout = self._source("pi3", pi3.HUB_ID), self._config.weights.get("pi3_checkout")
            return self._try(lambda: pi3.Pi3(source, checkout, **self._common))
        from dsr_core.perception.reconstruction import depth_anything_3

        source = self._source("depth_anything_3", depth_anything_3.HUB_ID)
        return self._try(lambda: depth_anything_3.DepthAnything3(source, **self._common))

    def orientation(self) -> OrientationEstimator | None:
        """What tells which way things face, None for "none"."""
        if self._config.orientation == "none":
            return None
        from dsr_core.perception.orientation import orient_anything

        source = self._source("orient_anything", orient_anything.WEIGHTS)
        # A folder that was saved from here holds both.
        is_whole = (Path(source).expanduser() / "config.json").is_file()
        backbone = self._source("orient_anything_backbone", source if is_whole else orient_anything.BACKBONE)
        make = orient_anything.OrientAnything.from_pretrained
        return self._try(lambda: make(source, backbone, device=self._device))
