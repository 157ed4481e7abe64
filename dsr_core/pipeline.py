"""A frame's journey: observations -> tracks -> memory -> scene. The same road online and offline."""

from __future__ import annotations

from dataclasses import dataclass, field

from dsr_core.errors import TrackingError
from dsr_core.memory import MemoryConfig, SceneMemory
from dsr_core.scene import Scene
from dsr_core.tracking.config import TrackerConfig
from dsr_core.tracking.state import TrackState
from dsr_core.tracking.tracker import Tracker
from dsr_core.values import FrameObservations


@dataclass(frozen=True)
class WorldConfig:
    """Constants of the world model.

    Attributes:
        memory_s: How long samples are remembered, seconds.
        max_tracks: Most tracks remembered.
        max_samples: Most samples of all tracks together.
        ego_sigma_m: One-sigma noise of the robot's poses over some seconds, metres; motion in the world must exceed it.
        tracker: Constants of the tracker.
    """

    memory_s: float = 600.0
    max_tracks: int = 1000
    max_samples: int = 2_000_000
    ego_sigma_m: float = 0.05
    tracker: TrackerConfig = field(default_factory=TrackerConfig)

    def __post_init__(self):
        self.memory()

    def memory(self) -> MemoryConfig:
        """The bounds of the memory, checked."""
        return MemoryConfig(memory_s=self.memory_s, max_tracks=self.max_tracks, max_samples=self.max_samples)


class WorldModel:
    """What a robot knows about the things around it, from the observations it is given frame by frame.

    Args:
        config: Constants.
        world_frame: Name of the continuous frame that observations are given in.
    """

    def __init__(self, config: WorldConfig = WorldConfig(), world_frame: str = "odom"):
        self.config, self.world_frame = config, world_frame
        self._tracker = Tracker(config.tracker)
        self._memory = SceneMemory(config.memory(), world_frame, config.ego_sigma_m)
        self._newest_ns: int | None = None

    def step(self, frame: FrameObservations) -> None:
        """Takes one frame: its observations become samples of tracks, which are remembered with its poses.

        Raises:
            TrackingError: the stamp does not increase (a clock that jumped back; `clear` starts anew).
        """
        stamp_ns = self._check_order(frame.stamp_ns)
        stamp_s = self._memory.seconds(stamp_ns)
        samples = self._tracker.step(stamp_s, frame.observations)
        self._memory.append(
            stamp_ns,
            samples,
            frame.T_world_camera,
            frame.T_world_base,
            frame.K,
            frame.image_size,
            frame.T_world_frames,
        )
        self._newest_ns = stamp_ns

    def correct(self, frame: FrameObservations) -> None:
        """Takes what a slow lane found in an earlier frame: things are known better, or by other names, from now on.

        What was remembered and answered stays as it is: the samples of the next step are the first to differ. Of the
        frame only its stamp and observations are used; its labels need not be those that `step` is given.

        Raises:
            TrackingError: there was no frame yet, or the stamp is newer than the newest frame, older than the first one
                or too old (`TrackerConfig.late_s`); nothing changes.
        """
        if self._newest_ns is None:
            raise TrackingError(f"a late observation at {frame.stamp_ns} ns cannot be used before the first frame")
        self._tracker.correct(self._memory.seconds(int(frame.stamp_ns)), frame.observations)

    def _check_order(self, stamp_ns: int) -> int:
        if self._newest_ns is not None and stamp_ns <= self._newest_ns:
            raise TrackingError(
                f"frame at {stamp_ns} ns does not follow the newest one at {self._newest_ns} ns"
                f" ({(stamp_ns - self._newest_ns) * 1e-9:+.3f} s); leave it out, or clear() where the clock jumped back"
            )
        return int(stamp_ns)

    def scene(self, until: float | None = None) -> Scene:
        """Everything remembered, or what was known at second `until`; views, cached until the next step."""
        return self._memory.scene(until)

    def tracks(self) -> list[TrackState]:
        """The newest state of every live track, oldest first."""
        return self._tracker.states()

    def seconds(self, stamp_ns: int) -> float:
        """A stamp on the scene's clock, exactly as the scene has it."""
        return self._memory.seconds(stamp_ns)

    def clear(self) -> None:
        """Forgets everything: tracks, poses, ids and the origin."""
        self._tracker.clear()
        self._memory.clear()
        self._newest_ns = None

    @property
    def origin_ns(self) -> int | None:
        """Time of second 0 in nanoseconds, None before the first frame."""
        return self._memory.origin_ns

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest frame in nanoseconds, None before the first."""
        return self._newest_ns

    @property
    def newest_s(self) -> float:
        """The newest frame on the scene's clock, 0 before the first."""
        return self._memory.newest_s
