"""Source: what every reader of recordings offers, and the one loop that turns its frames into a Scene."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dsr_core.errors import GeometryError, SourceError
from dsr_core.scene import Scene
from dsr_core.values import Frame, FrameObservations

if TYPE_CHECKING:
    from dsr_core.perception.lift import LiftConfig
    from dsr_core.pipeline import WorldConfig

log = logging.getLogger(__name__)

#: A stamp older than the newest by more than this is a jump of the clock (a looped bag): the memory is cleared.
#: Smaller steps back are late frames and are skipped.
BACKWARD_JUMP_NS = 1_000_000_000


class LazyFrame(Frame):
    """A Frame whose picture and depth are made when first asked for (tracking 3D boxes asks for neither)."""

    @classmethod
    def make(
        cls,
        decode_rgb: Callable[[], np.ndarray | None] | None,
        make_depth: Callable[[], np.ndarray] | None = None,
        **fields,
    ) -> LazyFrame:
        """A frame of `fields` whose `rgb` is what `decode_rgb()` gives, and `depth_m` what `make_depth()` gives."""
        frame = cls(**fields)
        for name, make in (("rgb", decode_rgb), ("depth_m", make_depth)):
            if make is not None:
                # __init__ stored None in the instance, which would hide the cached property.
                del frame.__dict__[name]
                object.__setattr__(frame, f"_make_{name}", make)
        return frame

    @cached_property
    def rgb(self) -> np.ndarray | None:
        """(H, W, 3) uint8."""
        return self._make_rgb()

    @cached_property
    def depth_m(self) -> np.ndarray | None:
        """(H, W) float32 metres, NaN where unknown."""
        return self._make_depth_m()


class Source(ABC):
    """A recording: time-ordered frames, and the truth where the recording has labels.

    Attributes:
        name: Short name for files and messages.
        detector: Detections that were asked for in place of the truth, or None.
        world_frame: Name of the continuous frame that poses are given in.
        camera_frame: Name of the optical frame.
        base_frame: Name of the robot's base frame.
        metric: False where depth and poses are in an unknown unit; known once frames have been read.
        skipped: Reason -> number of frames left out, filled while frames are read.
        dropped: Reason -> number of detections that could not be placed in the world.
    """

    name: str = "recording"
    detector: str | None = None
    world_frame: str = "odom"
    camera_frame: str = "camera_optical_frame"
    base_frame: str = "base_link"
    metric: bool = True

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Frames in time order, read lazily, with what the detectors found."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames, for progress bars (an upper bound where frames can be skipped)."""

    def lift_config(self) -> LiftConfig:
        """How detections are placed where nobody says otherwise; readers that know their depth's noise tell it here."""
        from dsr_core.perception.lift import LiftConfig

        return LiftConfig()

    def truth(self) -> Scene | None:
        """The ground-truth tracks and poses where the recording has them, else None."""
        return None

    @property
    def skipped(self) -> Counter[str]:
        return self.__dict__.setdefault("_skipped", Counter())

    @property
    def dropped(self) -> Counter[str]:
        return self.__dict__.setdefault("_dropped", Counter())

    def skip(self, reason: str) -> None:
        """Counts a frame that is left out; the first of each reason is logged."""
        if not self.skipped[reason]:
            log.warning("%s: %s", self.name, reason)
        self.skipped[reason] += 1

    def observations(self, lift: LiftConfig | None = None, progress: bool = False) -> Iterator[FrameObservations]:
        """Frames placed in the world, as the observer node places them; unusable frames are counted in `skipped`."""
        from dsr_core.perception.lift import observe_with_report

        lift = lift or self.lift_config()
        for frame in progress_bar(self.frames(), len(self), f"reading {self.name}", progress):
            if frame.T_world_camera is None:
                if frame.T_world_base is None:
                    self.skip("frames without a pose (no TF or odometry at their stamp)")
                elif frame.detections:
                    self.skip("frames with detections but without a camera pose")
                else:
                    yield FrameObservations(
                        frame.stamp_ns, T_world_base=frame.T_world_base, T_world_frames=frame.T_world_frames
                    )
                continue
            try:
                observed, dropped = observe_with_report(frame, lift)
            except GeometryError as error:
                self.skip(str(error))
                continue
            self.dropped.update(dropped)
            yield observed

    def scene(self, world: WorldConfig | None = None, lift: LiftConfig | None = None, progress: bool = False) -> Scene:
        """The truth where there is one and no detections were asked for; else tracks built from the frames.

        Args:
            world: Settings of the tracker and the memory; None keeps the whole recording in memory.
            lift: Settings of lifting; None takes those of `lift_config`.
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

        model = newest_ns = None
        for observed in self.observations(lift, progress):
            if model is None:
                # Here and not before: a bag's world frame is known once its first frame has been read.
                model = WorldModel(world or WorldConfig(memory_s=float("inf")), world_frame=self.world_frame)
            if newest_ns is not None and observed.stamp_ns <= newest_ns:
                if newest_ns - observed.stamp_ns <= BACKWARD_JUMP_NS:
                    self.skip("frames that are not newer than the one before")
                    continue
                back_s = (newest_ns - observed.stamp_ns) * 1e-9
                log.warning("%s: the clock jumped back by %.3f s; the memory is cleared", self.name, back_s)
                model.clear()
            newest_ns = observed.stamp_ns
            model.step(observed)
        if model is None:
            reasons = "; ".join(f"{n} x {reason}" for reason, n in self.skipped.items()) or "it holds no frames"
            raise SourceError(f"{self.name}: no frame could be used: {reasons}")
        for reason, count in (*self.skipped.items(), *((f"detections: {r}", n) for r, n in self.dropped.items())):
            log.warning("%s: %d left out: %s", self.name, count, reason)
        return model.scene() if self.metric else replace(model.scene(), metric=False)


def progress_bar(items: Iterable, total: int, label: str, shown: bool) -> Iterable:
    """`items` with a progress bar on the terminal when `shown`."""
    if not shown:
        return items
    from tqdm import tqdm

    return tqdm(items, total=total, desc=label, unit="frame", leave=False)
