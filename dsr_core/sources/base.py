"""Source: what every reader of recordings offers, and the one loop that turns its frames into a Scene."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dsr_core.errors import SourceError
from dsr_core.scene import Scene
from dsr_core.values import Frame, FrameObservations

if TYPE_CHECKING:
    from dsr_core.perception.lift import LiftConfig
    from dsr_core.pipeline import WorldConfig

log = logging.getLogger(__name__)

#: A stamp older than the newest by more than this is a jump of the clock (a looped bag): the memory is cleared.
#: Smaller steps back are late frames and are skipped.
BACKWARD_JUMP_NS = 1_000_000_000


class Source(ABC):
    """A recording: time-ordered frames, and the truth where the recording has labels.

    Attributes:
        name: Short name for files and messages.
        detector: Detections that were asked for in place of the truth, or None.
        world_frame: Name of the continuous frame that poses are given in.
        camera_frame: Name of the optical frame.
        base_frame: Name of the robot's base frame.
        skipped: Reason -> number of frames left out, filled while frames are read.
    """

    name: str = "recording"
    detector: str | None = None
    world_frame: str = "odom"
    camera_frame: str = "camera_optical_frame"
    base_frame: str = "base_link"

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Frames in time order, read lazily, with what the detectors found."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames, for progress bars (an upper bound where frames can be skipped)."""

    def truth(self) -> Scene | None:
        """The ground-truth tracks and poses where the recording has them, else None."""
        return None

    @property
    def skipped(self) -> Counter[str]:
        return self.__dict__.setdefault("_skipped", Counter())

    def skip(self, reason: str) -> None:
        """Counts a frame that is left out; the first of each reason is logged."""
        if not self.skipped[reason]:
            log.warning("%s: %s", self.name, reason)
        self.skipped[reason] += 1

    def observations(self, lift: LiftConfig | None = None, progress: bool = False) -> Iterator[FrameObservations]:
        """Frames placed in the world, as the observer node places them; unusable frames are counted in `skipped`."""
        from dsr_core.errors import GeometryError
        from dsr_core.perception.lift import observe

        for frame in progress_bar(self.frames(), len(self), f"reading {self.name}", progress):
            if frame.T_world_camera is None and frame.T_world_base is None:
                self.skip("frames without a pose (no TF or odometry at the image's stamp)")
                continue
            if frame.T_world_camera is None and frame.detections:
                self.skip("frames with detections but without a camera pose")
                continue
            try:
                yield observe(frame) if lift is None else observe(frame, lift)
            except GeometryError as error:
                self.skip(str(error))

    def scene(
        self, world: WorldConfig | None = None, lift: LiftConfig | None = None, progress: bool = False
    ) -> Scene:
        """The truth where there is one and no detections were asked for; else tracks built from the frames.

        Args:
            world: Settings of the tracker and the memory; None keeps the whole recording in memory.
            lift: Settings of lifting; None takes the defaults.
            progress: Shows a progress bar.

        Raises:
            SourceError: not one frame could be used; the message says why.
        """
        if self.detector is None:
            truth = self.truth()
            if truth is not None:
                return truth
        return self.tracked_scene(world, lift, progress)

    def tracked_scene(
        self, world: WorldConfig | None = None, lift: LiftConfig | None = None, progress: bool = False
    ) -> Scene:
        """Tracks built from the frames, whether or not there is a truth; arguments and errors as for `scene`."""
        from dsr_core.pipeline import WorldConfig, WorldModel

        model = WorldModel(world or WorldConfig(memory_s=float("inf")), world_frame=self.world_frame)
        newest_ns = None
        for observed in self.observations(lift, progress):
            # The frame name of a bag is known once its first frame has been read.
            model.world_frame = self.world_frame
            if newest_ns is not None and observed.stamp_ns <= newest_ns:
                if newest_ns - observed.stamp_ns <= BACKWARD_JUMP_NS:
                    self.skip("frames that are not newer than the one before")
                    continue
                log.warning(
                    "%s: the clock jumped back by %.3f s; the memory is cleared", self.name, (newest_ns - observed.stamp_ns) * 1e-9
                )
                model.clear()
            newest_ns = observed.stamp_ns
            model.step(observed)
        if newest_ns is None:
            reasons = "; ".join(f"{n} x {reason}" for reason, n in self.skipped.items()) or "it holds no frames"
            raise SourceError(f"{self.name}: no frame could be used: {reasons}")
        for reason, count in self.skipped.items():
            log.warning("%s: %d skipped: %s", self.name, count, reason)
        return model.scene()


def progress_bar(items: Iterable, total: int, label: str, shown: bool) -> Iterable:
    """`items` with a progress bar on the terminal when `shown`."""
    if not shown:
        return items
    from tqdm import tqdm

    return tqdm(items, total=total, desc=label, unit="frame", leave=False)
