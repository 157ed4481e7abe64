"""A camera's two lanes: a fast one that every frame passes, and a slow one whose results come late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dsr_core.perception.backends import Perception, PerceptionConfig, changed, load
from dsr_core.perception.bearing import is_bearing
from dsr_core.perception.lift import LiftConfig
from dsr_core.values import Detection, Frame
from dsr_ros.lane import Lane, Outcome


class CameraLanes:
    """Loads what a camera's parameters ask for; where they ask for nothing there is no lane.

    Args:
        camera: The camera's name.
        fast: What each frame gets before its detections are placed.
        slow: What the newest frame gets when the slow lane is free.
        period_s: Least time between frames of the slow lane.
        reliable: No frame is shed.
        finished: Takes each outcome with its lane, in that lane's thread.
        now_ns: The node's clock.

    Attributes:
        fast: The fast lane, or None.
        slow: The slow lane, or None.

    Raises:
        ModelError: weights are missing; the message says which commands get them.
        DependencyError: a package is missing.
    """

    def __init__(
        self,
        camera: str,
        fast: PerceptionConfig,
        slow: PerceptionConfig,
        period_s: float,
        reliable: bool,
        finished: Callable[[Lane, Outcome], None],
        now_ns: Callable[[], int],
    ):
        self._fast, self._slow = _load(fast), _load(slow)

        def lane(name: str, perception: Perception | None, least_s: float = 0.0) -> Lane | None:
            if perception is None:
                return None
            made = Lane(name, perception, lambda outcome: finished(made, outcome), reliable, least_s, now_ns)
            return made

        self.fast, self.slow = lane(f"{camera} {_named(fast)}", self._fast), None
        if self._slow is not None:
            self.slow = lane(f"{camera} slow {_named(slow)}", self._slow, period_s)

    def __iter__(self):
        return iter([lane for lane in (self.fast, self.slow) if lane is not None])

    @property
    def missing(self) -> list[str]:
        """What the detectors have to do without, in words."""
        return [p.missing for p in (self._fast, self._slow) if p is not None and p.missing]

    def failed(self, lane: Lane, outcome: Outcome) -> bool:
        """Whether an outcome is no word on what was there: nothing found is one, a detector that broke down is none."""
        if outcome.frame is None:
            return True
        perception = self._fast if lane is self.fast else self._slow
        return perception.detects and any(reason.startswith("detections") for reason in outcome.counts)

    def fast_lift(self, base: LiftConfig) -> LiftConfig:
        """How detections of a frame that has passed the fast lane are placed."""
        return base if self._fast is None else self._fast.lift_config(base)

    def slow_lift(self, base: LiftConfig) -> LiftConfig:
        """How detections of a frame that has passed both are placed."""
        return self._slow.lift_config(self.fast_lift(base))

    def for_fast(self, frame: Frame) -> tuple[Frame, int]:
        """What is placed at once of a frame that has passed the fast lane, and how many detections are left out.

        A range that is not known must not be guessed: taken again and again, a guess would be believed. Where the slow
        lane tells how far things are, they wait for it, and are tracked at its rate; the frame goes on for its pose.
        """
        if not frame.detections or frame.depth_m is not None:
            return frame, 0
        if self._slow is not None and self._slow.adds_depth:
            known = () if self._guesses else tuple(d for d in frame.detections if d.position_camera_m is not None)
            return changed(frame, detections=known), 0
        if not self._guesses:
            return frame, 0
        known = tuple(d for d in frame.detections if d.position_camera_m is None or not is_bearing(d))
        return changed(frame, detections=known), len(frame.detections) - len(known)

    @property
    def _guesses(self) -> bool:
        """Whether a detector of ours places things in frames without depth."""
        return self._fast is not None and self._fast.detects

    def for_slow(self, frame: Frame) -> Frame | None:
        """What the slow lane gets of a frame that has passed the fast one.

        None for a frame without a pose: what is late must be placed in the world of its time. Where the slow lane makes
        depth itself, detections lose the place that a detector of ours guessed without any.
        """
        if frame.T_world_camera is None or not self.slow.wants(frame.stamp_ns):
            return None
        fields = {}
        if self._slow.detects:
            fields["detections"] = ()
        elif self._slow.adds_depth and self._guesses and frame.depth_m is None:
            fields["detections"] = tuple(map(_unplaced, frame.detections))
        if self._slow.adds_depth:
            fields["depth_m"] = None
        return changed(frame, **fields) if fields else frame

    def why_nothing(self) -> str:
        """One line: why the fast lane gives nothing, or ""."""
        return "" if self.fast is None else self.fast.why_nothing()

    def status(self) -> dict[str, object]:
        """What /diagnostics shows."""
        return {key: value for lane in self for key, value in lane.status().items()}


def _load(config: PerceptionConfig) -> Perception | None:
    if config.adds_nothing:
        return None
    return load(config)


def _named(config: PerceptionConfig) -> str:
    """The networks of a lane, in a word or two."""
    words = [config.detector] if config.detector != "external" else []
    words += [config.depth] if config.depth != "sensor" else []
    words += [config.orientation] if config.orientation != "none" else []
    words += ["visual odometry"] if config.poses != "given" else []
    return "+".join(words)


def _unplaced(detection: Detection) -> Detection:
    """A detection to be placed by depth, where it tells where in the picture it is."""
    if detection.box_px is None and detection.mask is None:
        return detection
    return replace(detection, position_camera_m=None, covariance_camera=None)
