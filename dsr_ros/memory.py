"""The memory node: observations -> tracks -> rolling memory, and answers about it.

Publishes `tracks`, `markers` and (where vision_msgs is installed) `tracks_vision`; serves `ask`, `ask_long`,
`get_tracks`, `~/reset` and `~/save_scene`. A step back of the clock or of the stamps clears the memory and says so.
What slow networks say of an earlier frame comes on `late_observations` and corrects what is known from then on.
Where `vlm.model` names a model, it is asked beside the geometry, in a thread of its own (`vlm.py`).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from pathlib import Path

from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

from dsr_core.errors import DsrError, QueryError, TrackingError
from dsr_core.language.config import LanguageModelConfig
from dsr_core.language.embedding import load_embedder
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.reasoning.rules import RobustRules
from dsr_core.sources.base import BACKWARD_JUMP_NS
from dsr_core.values import FrameObservations
from dsr_ros import convert, parameters, qos, validate
from dsr_ros.ask_long import AskLongServer
from dsr_ros.diagnostics import ERROR, OK, WARN, Meter
from dsr_ros.markers import Markers
from dsr_ros.msg import DetectionArray, TrackArray
from dsr_ros.node import DsrNode, run
from dsr_ros.questions import Questions
from dsr_ros.readings import Readings
from dsr_ros.srv import Ask, GetTracks
from dsr_ros.vision import TracksOut
from dsr_ros.vlm import Vlm

#: A reading ends by itself when its time is over; this is for what no timeout reaches (a name server).
_READING_SLACK_S = 1.0
#: Late observations that may wait for the frame they belong to: the two topics' order is not kept.
_MOST_EARLY = 20


class MemoryNode(DsrNode):
    """Remembers what was observed and answers questions about it."""

    table = parameters.MEMORY

    def __init__(self, name: str = "memory", **kwargs):
        super().__init__(name, **kwargs)
        self.model: WorldModel | None = None
        self.vlm: Vlm | None = None
        self._entities: list[tuple] = []
        self._asking = ReentrantCallbackGroup()
        # Waking the executor is all that it does: waiting questions are looked at whenever it wakes.
        self._woken = self.create_guard_condition(lambda: None)
        parameters.declare(self, parameters.RULES, "rules.")
        parameters.declare(self, parameters.VLM, "vlm.")

    # --- lifecycle

    def configure(self) -> None:
        s = self.settings
        self.model = WorldModel(WorldConfig(memory_s=s.memory_s, max_tracks=s.max_tracks), s.world_frame)
        self.rules = RobustRules.from_dict(vars(parameters.read(self, parameters.RULES, "rules.")))
        self.meter = Meter(time.monotonic_ns)
        self.markers = Markers()
        self._last_markers_ns = self._last_tracks_ns = 0
        self.last_clear = self.last_late = ""
        self.late = 0
        self._early: deque[FrameObservations] = deque(maxlen=_MOST_EARLY)
        readings = Readings(self._language_model(), self._wake)
        if s.name_embedding:
            load_embedder()
        self.vlm = Vlm(self, self._wake)
        self.questions = Questions(self, readings, self.vlm)

    def _language_model(self) -> LanguageModelConfig | None:
        s = self.settings
        if not s.language_model_url.strip():
            return None
        return LanguageModelConfig(
            s.language_model_url.strip(), s.language_model_name, timeout_s=s.language_model_timeout_s
        )

    def _wake(self) -> None:
        """In a model's thread: a question is read, or answered."""
        with contextlib.suppress(Exception):  # the node may have ended meanwhile
            self._woken.trigger()

    def cleanup(self) -> None:
        self.model = None
        self._drop_vlm()

    def _drop_vlm(self) -> None:
        vlm, self.vlm = self.vlm, None
        if vlm is not None:
            vlm.close()

    def destroy_node(self) -> None:
        self._drop_vlm()
        super().destroy_node()

    def start(self) -> None:
        tracks = self.create_publisher(TrackArray, "tracks", qos.results())
        from visualization_msgs.msg import MarkerArray

        markers = self.create_publisher(MarkerArray, "markers", qos.results())
        self._tracks_out, self._markers_out = tracks, markers
        self._vision_out = TracksOut(self)
        subscription = self.create_subscription(
            DetectionArray, "observations", self.guarded(self._on_observations, "observations"), qos.observations()
        )
        late = self.create_subscription(
            DetectionArray, "late_observations", self.guarded(self._on_late, "late_observations"), qos.observations()
        )
        services = [
            # A question that a language model reads waits without keeping other callbacks waiting.
            self.create_service(Ask, "ask", self._on_ask, callback_group=self._asking),
            self.create_service(GetTracks, "get_tracks", self._on_get_tracks),
            self.create_service(Trigger, "~/reset", self._on_reset),
            self.create_service(Trigger, "~/save_scene", self._on_save_scene),
        ]
        self._ask_long = AskLongServer(self, self.questions)
        self._entities = [
            (self.destroy_subscription, subscription),
            (self.destroy_subscription, late),
            *((self.destroy_service, s) for s in services),
            (self.destroy_publisher, tracks),
            (self.destroy_publisher, markers),
        ]
        self.vlm.start()
        self.get_logger().info(f"answers questions on {self.resolve_service_name('ask')}")

    def stop(self) -> None:
        if self.vlm is not None:
            self.vlm.stop()
        if self._entities:
            self._ask_long.destroy()
            self._vision_out.destroy()
        for destroy, entity in self._entities:
            destroy(entity)
        self._entities = []

    # --- what comes in

    def _on_observations(self, message: DetectionArray) -> None:
        stamp_ns = validate.header(message.header, "observations")
        self._check_world_frame(message.header.frame_id)
        newest_ns = self.model.newest_ns
        if newest_ns is not None and stamp_ns <= newest_ns:
            if newest_ns - stamp_ns <= BACKWARD_JUMP_NS:
                self.count("observations that are not newer than the ones before")
                return
            self.clear(f"stamps jumped back by {(newest_ns - stamp_ns) * 1e-9:.3f} s")
        self.model.step(convert.observations_from_message(message))
        self.meter.tick(stamp_ns)
        while self._early and self._early[0].stamp_ns <= stamp_ns:
            self._correct(self._early.popleft())
        self._publish(stamp_ns)
        self._ask_long.advance()

    def _on_late(self, message: DetectionArray) -> None:
        stamp_ns = validate.header(message.header, "late_observations")
        newest_ns, frame_id = self.model.newest_ns, message.header.frame_id
        if newest_ns is not None and frame_id != self.model.world_frame:
            self._leave_late(f"they are given in {frame_id!r}, the memory is in {self.model.world_frame!r}")
            return
        frame = convert.observations_from_message(message)
        if newest_ns is None or stamp_ns <= newest_ns:
            self._correct(frame)
        elif stamp_ns - newest_ns <= BACKWARD_JUMP_NS:
            self._early.append(frame)
        else:
            self._leave_late(f"they are {(stamp_ns - newest_ns) * 1e-9:.3f} s newer than the newest frame")

    def _correct(self, frame: FrameObservations) -> None:
        try:
            self.model.correct(frame)
        except TrackingError as error:
            self._leave_late(str(error))
            return
        self.late += 1

    def _leave_late(self, reason: str) -> None:
        """Counts late observations that cannot be used; reasons hold numbers, so the newest one is kept beside."""
        self.last_late = reason
        self.count("late observations that cannot be used (too old, or of another world)")

    def _check_world_frame(self, frame_id: str) -> None:
        """The observer may have settled on another frame than the parameter's (say map, where there is no odom)."""
        if frame_id == self.model.world_frame:
            return
        if self.model.newest_ns is not None:
            self.clear(f"the world frame changed from {self.model.world_frame!r} to {frame_id!r}")
        self.get_logger().warning(
            f"observations are given in {frame_id!r}, not in {self.model.world_frame!r}; {frame_id!r} is used"
        )
        self.model = WorldModel(self.model.config, frame_id)
        self._early.clear()

    def _publish(self, stamp_ns: int) -> None:
        # Without listeners once a second is enough for those who come later and get the last message.
        outputs = (self._tracks_out, self._markers_out)
        listeners = self._vision_out.listened or any(o.get_subscription_count() for o in outputs)
        if listeners or stamp_ns - self._last_tracks_ns >= convert.SECOND_NS:
            self._publish_tracks(stamp_ns)

    def _publish_tracks(self, stamp_ns: int) -> None:
        self._last_tracks_ns = stamp_ns
        tracks, world_frame = self.model.tracks(), self.model.world_frame
        message = convert.tracks_to_message(tracks, stamp_ns, self.model.origin_ns, world_frame)
        self._tracks_out.publish(message)
        self._vision_out.publish(message)
        due = stamp_ns - self._last_markers_ns >= 1e9 / self.settings.marker_rate_hz
        if due and self._markers_out.get_subscription_count():
            self._last_markers_ns = stamp_ns
            lifetime_s = self.settings.marker_lifetime_s
            self._markers_out.publish(self.markers.message(tracks, stamp_ns, world_frame, lifetime_s))

    def clock_jumped_back(self, now_ns: int) -> None:
        # Stamps may have told it before the clock did: then what is remembered is new already.
        if self.model.newest_ns is not None and self.model.newest_ns > now_ns + BACKWARD_JUMP_NS:
            self.clear("the clock jumped back")

    def clear(self, reason: str) -> None:
        """Forgets everything; the next frame becomes second 0."""
        self.get_logger().warning(f"memory cleared: {reason}")
        self.last_clear = reason
        self.counts["memory cleared"] += 1
        self.model.clear()
        self._early.clear()
        self.vlm.clear()
        self._last_markers_ns = self._last_tracks_ns = 0
        self._markers_out.publish(self.markers.clear(self.model.world_frame))

    # --- services

    async def _on_ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        return await self.questions.serve(request, response)

    def _on_get_tracks(self, request: GetTracks.Request, response: GetTracks.Response) -> GetTracks.Response:
        try:
            self._fill_histories(request, response)
            response.success = True
        except DsrError as error:
            response.success, response.message = False, str(error)
        return response

    def _fill_histories(self, request: GetTracks.Request, response: GetTracks.Response) -> None:
        if self.model.origin_ns is None:
            response.message = f"nothing is remembered: {self.why_nothing()}"
            return
        scene = self.model.scene()
        response.origin = convert.to_time(scene.origin_ns)
        start_ns, end_ns = convert.from_time(request.start), convert.from_time(request.end)
        start_s = (start_ns - scene.origin_ns) / 1e9 if start_ns else -float("inf")
        end_s = (end_ns - scene.origin_ns) / 1e9 if end_ns else float("inf")
        if start_s > end_s:
            raise QueryError(f"start {start_s:.3f} s is later than end {end_s:.3f} s")
        asked = [i for i in request.ids if i]
        unknown = [i for i in asked if i not in scene.tracks]
        if unknown:
            raise QueryError(f"no track {', '.join(unknown)}; there are: {', '.join(scene.tracks) or 'none'}")
        ids = asked or list(scene.tracks)
        samples = sum(len(scene.tracks[i].between(start_s, end_s)) for i in ids)
        if samples > self.settings.max_history_samples:
            raise QueryError(
                f"{samples} samples asked, at most {self.settings.max_history_samples} are sent: narrow the window or"
                " name ids (or use ~/save_scene)"
            )
        response.frames = convert.histories_to_messages(scene, start_s, end_s, ids)
        response.message = f"{len(ids)} tracks, {samples} samples"

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.clear("~/reset was called")
        response.success, response.message = True, "the memory is empty; the next frame becomes second 0"
        return response

    def _on_save_scene(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            if self.model.newest_ns is None:
                raise QueryError(f"nothing is remembered: {self.why_nothing()}")
            path = Path(os.path.expanduser(self.settings.scene_path or "~/.ros/dsr/"))
            if not path.name.endswith(".scene.npz"):
                name = self.get_fully_qualified_name().strip("/").replace("/", "-")
                path = path / f"{name}-{self.model.newest_ns // 1_000_000}.scene.npz"
            response.success, response.message = True, str(self.model.scene().save(path))
        except (DsrError, OSError) as error:
            response.success, response.message = False, f"not saved: {error}"
        return response

    # --- state

    def why_nothing(self) -> str:
        """One line: why there is no answer, or "" when there is nothing to complain about."""
        topic = self.resolve_topic_name("observations")
        if not self.meter.count:
            if not self.count_publishers(topic):
                return f"no node publishes {topic}; is the observer running in the same namespace?"
            return f"nothing has come on {topic}; the observer's line in /diagnostics says why"
        silent_s = self.meter.silent_s()
        if silent_s > 2.0:
            return f"nothing has come on {topic} for {silent_s:.1f} s; the observer's line in /diagnostics says why"
        if not self.model.tracks():
            return "frames come in, but nothing has been seen often enough to be a track"
        return ""

    def status(self) -> tuple[bytes, str, dict]:
        why, model = self.why_nothing(), self.model
        values = {
            "why no answer": why or "-",
            "input rate (Hz)": self.meter.rate_hz(),
            "data age (s)": self.meter.age_s(self.now_ns()),
            "frames": self.meter.count,
            "tracks now": len(model.tracks()),
            "tracks remembered": len(model.scene().tracks),
            "memory (s)": model.newest_s if model.newest_ns is not None else 0.0,
            "questions": self.questions.asked,
            "declined": self.questions.declined,
            "last clear": self.last_clear or "-",
        }
        if self.late or self.last_late:
            values |= {"late corrections": self.late, "last late observations left out": self.last_late or "-"}
        values |= self.vlm.status()
        level = OK if not why else WARN if self.meter.count else ERROR
        said = why or f"{len(model.tracks())} tracks"
        if self.vlm.failed:
            return max(level, WARN), f"{said}; {self.vlm.failed}", values
        return level, said, values


def main(args: list[str] | None = None) -> int:
    """Entry point of `ros2 run dsr_ros memory` and `python -m dsr_ros.memory`."""
    # With a model it takes images, too; whether there is one is known later than the middleware must be.
    return run(MemoryNode, args, images=True)


if __name__ == "__main__":
    raise SystemExit(main())
