"""FrameAssembler: detections, images, camera_info and TF that arrive one by one become Frames in time order.

Every decision depends on the stamps of the data alone and not on when a message came in, so a bag read from disk and
the same bag played into a node give the same frames.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DsrError, GeometryError
from dsr_core.geometry import tf_tree
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.sources import ros_messages
from dsr_core.sources.base import BACKWARD_JUMP_NS, LazyFrame
from dsr_core.sources.by_stamp import ByStamp
from dsr_core.values import Detection, Frame

#: Base and world frames that are tried when the configured one is in no transform.
BASE_FRAMES = ("base_link", "base_footprint")
WORLD_FRAMES = ("odom", "map")
#: Most images kept per stream while they wait for their detections (2 s at 30 Hz).
_MOST_WAITING = 60
_T_BODY_OPTICAL = tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))


@dataclass(frozen=True)
class AssemblyConfig:
    """How messages become frames.

    Attributes:
        world_frame: Continuous fixed frame.
        base_frame: Robot base; "" tries `BASE_FRAMES`.
        camera_frame: Optical frame; "" takes the one that the images (or else the detections) name.
        pair_tolerance_s: Largest difference of the stamps of detections and the image that belongs to them.
        max_wait_s: Data later than a frame by this shows that what the frame still lacks will not come.
        fallback: Where no transform mentions the world frame: take odometry, then "map", then the root of the tree.
        viewer_frames: Other frames whose poses are looked up too; one that is not known costs nothing but itself.
    """

    world_frame: str = "odom"
    base_frame: str = ""
    camera_frame: str = ""
    pair_tolerance_s: float = 0.02
    max_wait_s: float = 0.5
    fallback: bool = True
    viewer_frames: tuple[str, ...] = ()

    def __post_init__(self):
        if not (self.pair_tolerance_s >= 0 and self.max_wait_s >= 0 and self.world_frame):
            raise GeometryError(
                f"pair_tolerance_s={self.pair_tolerance_s}, max_wait_s={self.max_wait_s}, world_frame="
                f"{self.world_frame!r}: times must not be negative and the world frame needs a name"
            )


@dataclass(frozen=True, eq=False)
class _Key:
    """A frame that waits for what belongs to it."""

    stamp_ns: int
    frame_id: str
    detections: tuple[Detection, ...]


class FrameAssembler:
    """Puts the messages of one camera together; `put_*` takes them in, `take` gives the frames that are complete.

    Args:
        buffer: Transforms; several cameras may share one.
        config: How messages become frames.
        streams: What a frame is made of and waited for: any of "detections", "rgb", "depth". Detections make the
            frames; without them each colour (or else depth) image makes one.

    Attributes:
        counts: Reason -> number of messages or frames that were left out.
        notes: What was decided for want of better data, worded for the user.
        world_frame: The world frame in use.
    """

    def __init__(
        self,
        buffer: tf_tree.TransformBuffer,
        config: AssemblyConfig = AssemblyConfig(),
        streams: Collection[str] = ("detections", "rgb", "depth"),
    ):
        self.buffer, self.config = buffer, config
        self.streams = tuple(streams)
        self.key_stream = next(s for s in ("detections", "rgb", "depth") if s in self.streams)
        self.paired = tuple(s for s in self.streams if s != self.key_stream)
        self._cameras: ByStamp[Camera] = ByStamp()
        self._depth_cameras: ByStamp[Camera] = ByStamp()
        self.camera_frame = config.camera_frame
        self.world_frame = config.world_frame
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self._world_settled = False
        self._odometry = tf_tree.TransformBuffer(buffer.cache_ns * 1e-9)
        self._odometry_used = False
        self._keys: list[_Key] = []
        self._done: list[Frame] = []
        self._waiting: dict[str, list[tuple[int, str, Callable[[], np.ndarray]]]] = {s: [] for s in self.paired}
        self._newest: dict[str, int] = {}

    # --- what comes in

    def put_detections(self, stamp_ns: int, frame_id: str, detections: tuple[Detection, ...]) -> None:
        """Takes what was detected in one image; 3D parts are given in `frame_id`."""
        if self._accept("detections", stamp_ns):
            insort(self._keys, _Key(stamp_ns, frame_id.lstrip("/"), tuple(detections)), key=lambda k: k.stamp_ns)

    def put_image(self, stream: str, stamp_ns: int, frame_id: str, decode: Callable[[], np.ndarray]) -> None:
        """Takes an image of stream "rgb" or "depth"; `decode` is called when its frame is complete."""
        if not self._accept(stream, stamp_ns):
            return
        frame_id = frame_id.lstrip("/")
        if not self.camera_frame and (stream == "rgb" or "rgb" not in self.streams):
            self.camera_frame = frame_id
        entry = (stamp_ns, frame_id, decode)
        if stream == self.key_stream:
            self._waiting.setdefault(stream, [])
            insort(self._keys, _Key(stamp_ns, frame_id, ()), key=lambda k: k.stamp_ns)
        waiting = self._waiting[stream]
        insort(waiting, entry, key=lambda e: e[0])
        if len(waiting) > _MOST_WAITING:
            self.counts[f"{stream} images that no detections came for"] += 1
            del waiting[0]

    @property
    def camera(self) -> Camera | None:
        """The newest intrinsics."""
        return self._cameras.newest

    def camera_at(self, stamp_ns: int) -> Camera | None:
        """The intrinsics of an image of that stamp."""
        return self._cameras.at(stamp_ns + round(self.config.pair_tolerance_s * 1e9))

    def put_camera(self, frame_id: str, camera: Camera, stamp_ns: int = 0) -> None:
        """Takes the intrinsics of the image that boxes refer to, from `stamp_ns` (0: from now) on."""
        self._cameras.put(stamp_ns or self._newest_ns(), camera)
        if not self.camera_frame:
            self.camera_frame = frame_id.lstrip("/")

    def put_depth_camera(self, camera: Camera, stamp_ns: int = 0) -> None:
        """Takes the intrinsics of depth images that are not registered, from `stamp_ns` (0: from now) on."""
        self._depth_cameras.put(stamp_ns or self._newest_ns(), camera)

    def depth_camera_at(self, stamp_ns: int) -> Camera | None:
        """The intrinsics of a depth image of that stamp, None where none have come."""
        return self._depth_cameras.at(stamp_ns + round(self.config.pair_tolerance_s * 1e9))

    def put_transforms(self, message, static: bool = False) -> None:
        """Takes a `tf2_msgs/TFMessage`; a transform that is no pose is counted."""
        for t in message.transforms:
            stamp = 0 if static else ros_messages.stamp_ns(t.header.stamp)
            if not static:
                if stamp == 0:
                    self.counts[f"transforms to {t.child_frame_id!r} with stamp zero"] += 1
                    continue
                if self._precedes(stamp, self.buffer.history(t.child_frame_id)):
                    self._jump()
                self._newest["tf"] = max(stamp, self._newest.get("tf", 0))
            try:
                ros_messages.add_transform(self.buffer, t, static)
            except GeometryError as error:
                self.counts[str(error)] += 1

    def put_odometry(self, message) -> None:
        """Takes a `nav_msgs/Odometry`, which is used where no transform joins camera and world."""
        stamp = ros_messages.stamp_ns(message.header.stamp)
        if self._accept("odometry", stamp):
            try:
                base = self.config.base_frame or BASE_FRAMES[0]
                ros_messages.add_odometry(self.buffer if self._odometry_used else self._odometry, message, base)
            except GeometryError as error:
                self.counts[str(error)] += 1

    def reset(self) -> None:
        """Forgets everything that waits and every dynamic transform, as after a jump of the clock."""
        self._keys.clear()
        for waiting in self._waiting.values():
            waiting.clear()
        self._newest.clear()
        self._cameras.restart()
        self._depth_cameras.restart()
        self.buffer.clear()
        self._odometry.clear()

    # --- what goes out

    def take(self, flush: bool = False) -> list[Frame]:
        """The frames that are complete, oldest first.

        Args:
            flush: Nothing more will come (end of the recording, or a node's wait timed out): what waits goes out as
                it is.

        Raises:
            SourceError: a depth image cannot be decoded or registered; its frame is dropped, the next call goes on.
        """
        while self._keys:
            key = self._keys[0]
            final = flush or self._newest_ns() - key.stamp_ns >= self.config.max_wait_s * 1e9
            if not final and not self._complete(key):
                break
            frame_pose = self._pose(key, final)
            if frame_pose is None and not final:
                break
            del self._keys[0]
            # Kept in the object, so that a depth image that cannot be used costs no frame but its own.
            self._done.append(self._frame(key, frame_pose))
        out, self._done = self._done, []
        return out

    def _accept(self, stream: str, stamp_ns: int) -> bool:
        """Whether a message counts; a step back of its stream's clock empties the assembler first."""
        if stamp_ns == 0:
            self.counts[f"{stream} messages with stamp zero (the driver does not set header.stamp)"] += 1
            return False
        if stamp_ns < self._newest.get(stream, 0) - BACKWARD_JUMP_NS:
            self._jump()
        self._newest[stream] = max(stamp_ns, self._newest.get(stream, 0))
        return True

    def _precedes(self, stamp_ns: int, history: list[int]) -> bool:
        """Whether a transform lies before all that is kept of its link: then these are of another time."""
        if not history or stamp_ns > history[0]:
            return False
        return history[-1] - history[0] > BACKWARD_JUMP_NS or stamp_ns < history[-1] - self.buffer.cache_ns

    def _jump(self) -> None:
        try:
            self._done = self.take(flush=True)
        except DsrError as error:
            self.counts[f"frame dropped: {error}"] += 1
        self.notes.append("the clock jumped back; transforms and waiting images were dropped")
        self.reset()

    def _newest_ns(self) -> int:
        return max(self._newest.values(), default=0)

    def _complete(self, key: _Key) -> bool:
        """Whether every image that the frame could have is there, or is known not to come."""
        wanted = self.paired
        if key.detections and all(d.position_camera_m is not None for d in key.detections):
            wanted = tuple(s for s in wanted if s != "depth")
        elif key.detections and self.camera is None and "depth" in self.streams:
            return False
        return all(self._newest.get(s, 0) >= key.stamp_ns for s in wanted)

    def _match(self, stream: str, stamp_ns: int):
        """The image of a stream nearest to a stamp, within the tolerance; older ones are dropped."""
        waiting = self._waiting.get(stream, [])
        at = bisect_left(waiting, stamp_ns, key=lambda e: e[0])
        near = min(waiting[max(at - 1, 0) : at + 1], key=lambda e: abs(e[0] - stamp_ns), default=None)
        keep_from = stamp_ns - round(self.config.pair_tolerance_s * 1e9)
        del waiting[: bisect_left(waiting, keep_from, key=lambda e: e[0])]
        return near if near is not None and abs(near[0] - stamp_ns) <= self.config.pair_tolerance_s * 1e9 else None

    def _pose(self, key: _Key, final: bool) -> dict | None:
        """Poses of a frame at its stamp; None where a transform is missing."""
        camera_frame = self._optical_frame(key)
        seen_from = camera_frame or key.frame_id
        if not self._settle_world(seen_from, final):
            return None
        lookup = self.buffer.lookup
        tolerance = None if final else 0.0
        try:
            T_world_seen = lookup(self.world_frame, seen_from, key.stamp_ns, tolerance)
            T_world_base = self._base_pose(key.stamp_ns, tolerance)
            if camera_frame:
                T_world_camera = T_world_seen
            else:
                # The detections' frame is no camera: take a camera at the base (or there) that looks along x.
                T_world_camera = (T_world_seen if T_world_base is None else T_world_base) @ _T_BODY_OPTICAL
            T_camera_header = None
            if key.frame_id != camera_frame:
                T_world_header = lookup(self.world_frame, key.frame_id, key.stamp_ns, tolerance)
                T_camera_header = tf.invert(T_world_camera) @ T_world_header
            frames = self._viewer_frames(key.stamp_ns, tolerance)
        except tf_tree.TransformUnavailable as error:
            if final:
                # Numbers of seconds differ from frame to frame; the kind and the link are what is counted.
                beyond = isinstance(error, tf_tree.TransformBeyond)
                link = f"{error.parent!r} -> {error.child!r}" if beyond else str(error)
                self.counts[f"frames without a pose: {type(error).__name__}: {link}"] += 1
                if len(self.notes) < 20:
                    self.notes.append(str(error))
            return None
        return {
            "T_world_camera": T_world_camera,
            "T_world_base": T_world_base,
            "T_camera_header": T_camera_header,
            "T_world_frames": frames,
        }

    def _viewer_frames(self, stamp_ns: int, tolerance_s: float | None) -> dict[str, np.ndarray]:
        """T_world_frame (4, 4) of each viewer frame that is known at a stamp.

        Raises:
            ExtrapolationIntoFuture: one is not known yet, and the frame may still wait for it.
        """
        found = {}
        for name in self.config.viewer_frames:
            try:
                found[name] = self.buffer.lookup(self.world_frame, name, stamp_ns, tolerance_s)
            except tf_tree.ExtrapolationIntoFuture:
                # One that has stopped coming is not waited for.
                newest_ns = self.buffer.newest_ns(self.world_frame, name)
                if tolerance_s is not None and stamp_ns - (newest_ns or stamp_ns) < self.config.max_wait_s * 1e9:
                    raise
                self.counts[f"frames without a pose of {name!r}"] += 1
            except tf_tree.TransformUnavailable:
                self.counts[f"frames without a pose of {name!r}"] += 1
        return found

    def _optical_frame(self, key: _Key) -> str:
        """Name of the optical frame; "" where the detections' frame is no camera's and there are no images."""
        if self.camera_frame:
            return self.camera_frame
        return key.frame_id if "optical" in key.frame_id or "cam" in key.frame_id.lower() else ""

    def _base_pose(self, stamp_ns: int, tolerance_s: float | None) -> np.ndarray | None:
        """T_world_base (4, 4), or None where no base frame is joined to the world.

        Raises:
            TransformBeyond: it is joined, but not known at that stamp.
        """
        for base in (self.config.base_frame,) if self.config.base_frame else BASE_FRAMES:
            try:
                return self.buffer.lookup(self.world_frame, base, stamp_ns, tolerance_s)
            except (tf_tree.UnknownFrame, tf_tree.NotConnected):
                continue
        return None

    def _joined(self, world: str, frame: str) -> bool:
        try:
            self.buffer.newest_ns(world, frame)
        except tf_tree.TransformUnavailable:
            return False
        return world != frame

    def _settle_world(self, frame: str, final: bool) -> bool:
        """Makes sure that the world frame is joined to `frame`; falls back, once, when nothing else can come."""
        if self._world_settled or self._joined(self.world_frame, frame):
            self._world_settled = True
            return True
        if not (final and self.config.fallback):
            # Without fallback the lookup's own message tells what is missing.
            return final
        if not self._odometry_used and self._odometry.frames():
            self._odometry_used = True
            known = self.buffer.frames()
            for parent, child, _ in self._odometry.links():
                if not self._joined(parent, child):
                    self._odometry.copy_link(child, self.buffer)
                    self.notes.append(
                        f"no transform {parent!r} -> {child!r} (known: {', '.join(known) or 'none'}); odometry is used"
                    )
        for world in (self.config.world_frame, *WORLD_FRAMES):
            if self._joined(world, frame):
                return self._use_world(world)
        root = self.buffer.root(frame)
        return self._use_world(root) if root != frame else final

    def _use_world(self, world: str) -> bool:
        if world != self.config.world_frame:
            self.notes.append(
                f"world frame {self.config.world_frame!r} is in no transform; {world!r} is used"
                f" (known: {', '.join(self.buffer.frames())})"
            )
        self.world_frame, self._world_settled = world, True
        return True

    def _frame(self, key: _Key, pose: dict | None) -> Frame:
        rgb = self._match("rgb", key.stamp_ns)
        depth = self._match("depth", key.stamp_ns)
        pose = pose or {"T_world_camera": None, "T_world_base": None, "T_camera_header": None, "T_world_frames": {}}
        T_camera_header = pose.pop("T_camera_header")
        flat = any(d.position_camera_m is None for d in key.detections)
        if depth is None and "depth" in self.streams and flat:
            tolerance_s = self.config.pair_tolerance_s
            self.counts[f"frames without a depth image within {tolerance_s:g} s of the detections"] += 1
        return LazyFrame.make(
            None if rgb is None else rgb[2],
            # Where nothing waits for depth it is made when somebody asks for it: stereo matching takes its time.
            None if depth is None or flat else depth[2],
            stamp_ns=key.stamp_ns,
            depth_m=depth[2]() if depth is not None and flat else None,
            camera=self.camera_at(key.stamp_ns),
            detections=tuple(ros_messages.placed(d, T_camera_header) for d in key.detections),
            **pose,
        )
