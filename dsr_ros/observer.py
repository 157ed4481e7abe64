"""The observer node: detections, depth, camera_info and TF -> observations placed in the world.

Callbacks only hand messages to a worker thread, where each camera's FrameAssembler puts frames together at their
stamps (waiting for TF and depth, never taking "latest"); `dsr_core.perception.lift` places their detections; the
result goes out on `observations`, also when nothing was seen.

Where a camera's parameters ask for networks, frames pass its fast lane between the two, and come back to the worker as
jobs; what its slow lane says goes out on `late_observations`. Networks never run in the worker's thread.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace

from tf2_msgs.msg import TFMessage

from dsr_core.errors import DsrError
from dsr_core.perception.lift import LiftConfig, observe_with_report
from dsr_core.sources.base import BACKWARD_JUMP_NS
from dsr_core.values import Frame, FrameObservations
from dsr_ros import convert, parameters, qos
from dsr_ros.camera_input import CameraInput
from dsr_ros.camera_lanes import CameraLanes
from dsr_ros.diagnostics import ERROR, OK, WARN, Meter
from dsr_ros.in_order import InOrder
from dsr_ros.lane import Lane, Outcome
from dsr_ros.msg import DetectionArray
from dsr_ros.node import DsrNode, run
from dsr_ros.sync import CameraSets
from dsr_ros.worker import Worker

#: In reliable mode the first observations wait this long for the memory node to subscribe.
_SUBSCRIBER_WAIT_S = 10.0
#: What other cameras see waits at most so long for a slower fast lane.
_LONGEST_HOLD_S = 2.0
#: Lanes get so long to end their last frame when the node is deactivated; then they end by themselves.
_LANES_END_S = 2.0


class ObserverNode(DsrNode):
    """Places what detectors see in the world."""

    table = parameters.OBSERVER

    def __init__(self, name: str = "observer", **kwargs):
        super().__init__(name, **kwargs)
        self.cameras: list[CameraInput] = []
        self.lanes: dict[str, CameraLanes] = {}
        self._subscriptions_tf: list = []
        self._worker: Worker | None = None
        self._publisher = self._late_publisher = None
        self._timer = None

    # --- lifecycle

    def configure(self) -> None:
        s = self.settings
        if len(set(s.cameras)) != len(s.cameras):
            raise parameters.ParameterError(f"cameras = {s.cameras!r} names a camera twice")
        for name in s.cameras:
            parameters.declare(self, parameters.CAMERA, f"{name}.")
            parameters.declare(self, parameters.PERCEPTION, f"{name}.")
            parameters.declare(self, parameters.SLOW_PERCEPTION, f"{name}.slow.")
        self.cameras = [CameraInput(self, name, self._put) for name in s.cameras]
        self.sets = CameraSets(s.cameras, s.camera_slop_s)
        self.lanes = {camera.name: self._make_lanes(camera) for camera in self.cameras}
        self.meter = Meter(time.monotonic_ns)
        self._waited_for_memory = False

    def _make_lanes(self, camera: CameraInput) -> CameraLanes:
        slow, period_s = parameters.read_slow_perception(self, camera.name)
        if not camera.perception.adds_nothing or not slow.adds_nothing:
            self.get_logger().info(f"{camera.name}: loading networks")
        lanes = CameraLanes(
            camera.name,
            camera.perception,
            slow,
            period_s,
            self.settings.reliability == "reliable",
            lambda lane, outcome: self._put_outcome(camera, lane, outcome),
            self.now_ns,
        )
        for missing in lanes.missing:
            self.get_logger().warning(f"{camera.name}: {missing}")
        return lanes

    def cleanup(self) -> None:
        self.cameras, self.lanes = [], {}
        # Networks take gigabytes, and lanes and cameras refer to each other.
        gc.collect()

    def start(self) -> None:
        s = self.settings
        self._publisher = self.create_publisher(DetectionArray, "observations", qos.observations())
        if any(lanes.slow is not None for lanes in self.lanes.values()):
            self._late_publisher = self.create_publisher(DetectionArray, "late_observations", qos.observations())
        reliable = s.reliability == "reliable"
        self._worker = Worker(
            0 if reliable else s.queue,
            self.guarded(self._on_idle, "idle"),
            s.idle_wait_s * (5.0 if reliable else 1.0),
            lambda: self.count("messages dropped because the worker is busy"),
        )
        for topic, static, profile in (("/tf", False, qos.transforms()), ("/tf_static", True, qos.static_transforms())):
            callback = self.guarded(lambda message, static=static: self._on_tf(message, static), topic)
            self._subscriptions_tf.append(self.create_subscription(TFMessage, topic, callback, profile))
        self.order = InOrder(float("inf") if reliable else _LONGEST_HOLD_S)
        self._entered_ns: dict[str, int] = {}
        for lane in self._all_lanes():
            lane.start()
        for camera in self.cameras:
            camera.subscribe()
        self._timer = self.steady_timer(0.1, self._look_for_images, "images")
        topics = ", ".join(c.frames_topic for c in self.cameras)
        self.get_logger().info(f"places detections of {topics} in {s.world_frame!r}")

    def stop(self) -> None:
        if self._worker is None:
            return
        for camera in self.cameras:
            camera.unsubscribe()
        for subscription in self._subscriptions_tf:
            self.destroy_subscription(subscription)
        self._subscriptions_tf = []
        self.destroy_timer(self._timer)
        self._stop_lanes()
        self._worker.stop()
        self._worker = None
        self.destroy_publisher(self._publisher)
        if self._late_publisher is not None:
            self.destroy_publisher(self._late_publisher)
            self._late_publisher = None

    def _all_lanes(self) -> list[Lane]:
        return [lane for lanes in self.lanes.values() for lane in lanes]

    def _stop_lanes(self) -> None:
        """Ends all lanes together, in a bounded time."""
        for lane in self._all_lanes():
            lane.stop()
        end = time.monotonic() + _LANES_END_S
        for lane in self._all_lanes():
            if not lane.join(end - time.monotonic()):
                self.get_logger().warning(f"{lane.name}: still at work on a frame; it ends after that")

    def _look_for_images(self) -> None:
        for camera in self.cameras:
            camera.look_for_images()

    # --- executor's thread

    def _on_tf(self, message: TFMessage, static: bool) -> None:
        for camera in self.cameras:
            camera.put_transforms(message, static)

    def _put(self, camera: CameraInput, job: Callable[[], None], droppable: bool) -> None:
        self._worker.put(self.guarded(lambda: self._work(camera, job), camera.name), droppable)

    def clock_jumped_back(self, now_ns: int) -> None:
        if self._worker is not None:
            self._worker.put(self.guarded(lambda: self._forget_after(now_ns + BACKWARD_JUMP_NS), "clock"))

    # --- worker's thread

    def _forget_after(self, limit_ns: int) -> None:
        """Drops what belongs to the time before a jump; stamps may have told it before the clock did."""
        for camera in self.cameras:
            if camera.newest_ns > limit_ns:
                camera.newest_ns = 0
                camera.assembler.reset()
                self._reset_lanes(camera)
                self.sets.clear()

    def _reset_lanes(self, camera: CameraInput) -> None:
        for lane in self.lanes[camera.name]:
            lane.reset()
        self.order.forget(camera.name)
        self._entered_ns.pop(camera.name, None)

    def _work(self, camera: CameraInput, job: Callable[[], None]) -> None:
        job()
        self._take(camera)

    def _on_idle(self) -> None:
        for camera in self.cameras:
            self._take(camera, flush=True)
        if any(lanes.fast is not None and lanes.fast.occupied for lanes in self.lanes.values()):
            return
        for observed in self.sets.flush():
            self._emit(observed, self.cameras[0])

    def _take(self, camera: CameraInput, flush: bool = False) -> None:
        assembler = camera.assembler
        before = dict(assembler.counts)
        while True:
            try:
                frames = assembler.take(flush)
                break
            except DsrError as error:
                self.count(f"{camera.name}: frame dropped: {error}")
        for reason, number in assembler.counts.items():
            if not (camera.poses_by_pictures and reason.startswith("frames without a pose:")):
                self.count(f"{camera.name}: {reason}", number - before.get(reason, 0))
        for note in assembler.notes:
            self.get_logger().warning(f"{camera.name}: {note}")
        assembler.notes.clear()
        for frame in frames:
            try:
                self._enter(camera, frame)
            except DsrError as error:  # its depth image cannot be used; the others go on
                self.count(f"{camera.name}: frame dropped: {error}")

    def _enter(self, camera: CameraInput, frame: Frame) -> None:
        """A whole frame: into the fast lane where there is one."""
        if frame.stamp_ns < self._entered_ns.get(camera.name, 0) - BACKWARD_JUMP_NS:
            self._reset_lanes(camera)
        self._entered_ns[camera.name] = frame.stamp_ns
        lane = self.lanes[camera.name].fast
        if lane is None:
            self._leave(camera, frame)
            return
        if frame.camera is None and camera.detects:
            self.count(f"{camera.name}: frames without a calibration (no camera_info on {camera.topics.info_topic})")
            return
        # Made here: what it reads (transforms, calibrations) belongs to this thread.
        frame.depth_m  # noqa: B018
        self.order.begin(camera.name, frame.stamp_ns)
        gave_way = lane.put(frame)
        if gave_way is frame and lane.running:
            self.count(f"{camera.name}: frames that are not newer than the ones before")
        if gave_way is not None:
            self.order.end(camera.name, gave_way.stamp_ns)
            self._release()

    def _put_outcome(self, camera: CameraInput, lane: Lane, outcome: Outcome) -> None:
        """In a lane's thread: its outcome becomes a job of the worker."""
        worker = self._worker
        if worker is not None:
            worker.put(self.guarded(lambda: self._on_outcome(camera, lane, outcome), lane.name))

    def _on_outcome(self, camera: CameraInput, lane: Lane, outcome: Outcome) -> None:
        if not lane.is_current(outcome):
            return
        for reason, number in outcome.counts.items():
            self.count(f"{lane.name}: {reason}", number)
        if outcome.error:
            # Messages differ from frame to frame; the newest one stands in the lane's state.
            self.count(f"{lane.name}: frames that failed", log="error")
            self.get_logger().error(f"{lane.name}: {outcome.error}", throttle_duration_sec=5.0)
        lanes = self.lanes[camera.name]
        failed = lanes.failed(lane, outcome)
        if lane is lanes.slow:
            if not failed:
                self._publish_late(camera, outcome.frame)
            return
        self.order.end(camera.name, outcome.given.stamp_ns)
        if failed:
            self._release()
        else:
            self._leave(camera, outcome.frame)

    def _leave(self, camera: CameraInput, frame: Frame) -> None:
        """A frame that has all that the fast lane adds: placed, and offered to the slow lane."""
        lanes = self.lanes[camera.name]
        if camera.poses_by_pictures:
            frame = camera.with_base(frame)
        at_once, left_out = lanes.for_fast(frame)
        self.count(f"{camera.name}: detections left out: their range is not known (no depth)", left_out)
        # Without any of what was seen, it would say that nothing was there.
        useless = left_out and not at_once.detections
        observed = None if useless else self._observe(camera, at_once, lanes.fast_lift(camera.lift))
        if observed is not None:
            self.order.put(camera.name, observed.stamp_ns, observed)
        self._release()
        if lanes.slow is None:
            return
        for_slow = lanes.for_slow(frame)
        if for_slow is not None:
            for_slow.depth_m  # noqa: B018  (made here, as in `_enter`)
            lanes.slow.put(for_slow)

    def _release(self) -> None:
        """Sends what need not wait for older frames."""
        for name, observed in self.order.take():
            for joined in self.sets.add(name, observed):
                self._emit(joined, self._camera(name))

    def _camera(self, name: str) -> CameraInput:
        return next(camera for camera in self.cameras if camera.name == name)

    def _publish_late(self, camera: CameraInput, frame: Frame) -> None:
        observed = self._observe(camera, frame, self.lanes[camera.name].slow_lift(camera.lift))
        if observed is None:
            return
        if camera is not self.cameras[0]:
            # Boxes of other cameras are pixels of other images.
            observed = replace(observed, observations=tuple(replace(o, box_px=None) for o in observed.observations))
        source = f"{camera.name} slow"
        self._late_publisher.publish(convert.observations_to_message(observed, camera.assembler.world_frame, source))

    def _observe(self, camera: CameraInput, frame: Frame, lift: LiftConfig) -> FrameObservations | None:
        """A frame's detections in the world; None (counted) for a frame without a pose."""
        if frame.T_world_camera is None:
            if frame.T_world_base is None or frame.detections:
                self.count(f"{camera.name}: frames without a pose (no TF or odometry at their stamp)")
                return None
            return FrameObservations(
                frame.stamp_ns, T_world_base=frame.T_world_base, T_world_frames=frame.T_world_frames
            )
        try:
            observed, left_out = observe_with_report(frame, lift)
        except DsrError as error:
            self.count(f"{camera.name}: frame dropped: {error}")
            return None
        for reason, number in left_out.items():
            self.count(f"{camera.name}: detections left out: {reason}", number)
        return observed

    def _emit(self, observed: FrameObservations, camera: CameraInput) -> None:
        self._wait_for_memory()
        world_frame = camera.assembler.world_frame
        self.meter.tick(observed.stamp_ns)
        self._publisher.publish(convert.observations_to_message(observed, world_frame, "+".join(self.settings.cameras)))

    def _wait_for_memory(self) -> None:
        """In a replay nothing may be lost, so the first frame waits until somebody listens."""
        if self._waited_for_memory or self.settings.reliability != "reliable":
            return
        self._waited_for_memory = True
        end = time.monotonic() + _SUBSCRIBER_WAIT_S
        while not self._publisher.get_subscription_count() and time.monotonic() < end:
            time.sleep(0.02)

    # --- state

    def why_nothing(self) -> str:
        """One line: why nothing comes out, or "" when observations flow."""
        for camera in self.cameras:
            why = camera.why_nothing() or self.lanes[camera.name].why_nothing()
            if why:
                return why
        silent_s = self.meter.silent_s()
        if silent_s is None or silent_s > 2.0:
            newest = next(reversed(list(self.counts)), None)
            return f"frames come in but none comes out: {newest or 'they wait for TF or images'}"
        return ""

    def status(self) -> tuple[bytes, str, dict]:
        why = self.why_nothing()
        values: dict[str, object] = {
            "why no answer": why or "-",
            "output rate (Hz)": self.meter.rate_hz(),
            "frames": self.meter.count,
        }
        for camera in self.cameras:
            values |= camera.status() | self.lanes[camera.name].status()
        if self._worker is not None:
            values["jobs waiting"] = len(self._worker)
        misses = sum(n for reason, n in list(self.counts.items()) if "without a pose:" in reason)
        values["TF misses"] = misses
        values["dropped frames"] = self.counts.get("messages dropped because the worker is busy", 0)
        level = OK if not why else WARN if self.meter.count else ERROR
        return level, why or f"{self.meter.rate_hz():.1f} Hz", values


def main(args: list[str] | None = None) -> int:
    """Entry point of `ros2 run dsr_ros observer` and `python -m dsr_ros.observer`."""
    return run(ObserverNode, args, images=True)


if __name__ == "__main__":
    raise SystemExit(main())
