"""One camera's topics: subscriptions that feed its FrameAssembler through the observer's worker."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import SimpleNamespace

from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from dsr_core.geometry.lifting import LiftingConfig
from dsr_core.geometry.registration import Registrar
from dsr_core.geometry.tf_tree import TransformUnavailable
from dsr_core.perception.backends import changed
from dsr_core.perception.lift import LiftConfig
from dsr_core.sources import ros_messages
from dsr_core.sources.assemble import BASE_FRAMES, AssemblyConfig, FrameAssembler
from dsr_core.values import Frame
from dsr_ros import parameters, qos, tf, validate, vision
from dsr_ros.diagnostics import Meter
from dsr_ros.msg import DetectionArray
from dsr_ros.stereo_pair import StereoPair, baseline_m, check_projection

#: Suffix of a topic by transport.
_SUFFIX = {"raw": "", "compressed": "/compressed", "compressedDepth": "/compressedDepth"}
_TOPIC_OF = {"rgb": "color", "depth": "depth", "right": "right"}
#: A stream that was there is missed after this.
_SILENT_S = 2.0


class CameraInput:
    """Subscribes one camera's topics; every message becomes a job `(assembler call)` for the worker.

    Args:
        node: The observer.
        name: The camera's name, prefix of its parameters.
        put: Takes a job and whether it may be dropped under load; calls `done(self)` behind it.

    Attributes:
        lift: How what this camera sees is placed by its depth.
    """

    def __init__(self, node, name: str, put: Callable[[CameraInput, Callable[[], None], bool], None]):
        self.node, self.name = node, name
        self._put = put
        self.topics: SimpleNamespace = parameters.read(node, parameters.CAMERA, f"{name}.")
        self.perception = parameters.read_perception(node, name)
        self.detects = self.perception.detector != "external"
        if self.detects and not self.topics.color_topic:
            raise parameters.ParameterError(
                f"{name}.color_topic is empty, and {name}.detector = {self.perception.detector!r} looks at that image"
            )
        if self.perception.depth != "sensor":
            self.topics.depth_topic = self.topics.right_topic = ""
        s = node.settings
        buffer = tf.make_buffer(s.tf_backend, s.tf_cache_s, s.tf_tolerance_s)
        config = AssemblyConfig(
            world_frame=s.world_frame,
            base_frame=s.base_frame,
            camera_frame=self.topics.camera_frame,
            pair_tolerance_s=s.pair_tolerance_s,
            max_wait_s=s.max_wait_s,
            # Another world would only be found where nothing moves in it: the root of the static transforms.
            fallback=s.odom_fallback and (self.perception.poses == "given" or bool(s.odom_topic)),
            viewer_frames=tuple(f.strip().lstrip("/") for f in s.viewer_frames if f.strip()),
        )
        self.stereo = StereoPair(s.pair_tolerance_s) if self._topic("right") else None
        self.lift = LiftConfig()
        if self.stereo is not None:
            self._check_stereo()
        self._image_streams = tuple(n for n in ("rgb", "depth" if self.stereo is None else "right") if self._topic(n))
        # Where a detector of ours looks at them, the colour images make the frames.
        streams = [] if self.detects else ["detections"]
        streams += ["depth" if stream == "right" else stream for stream in self._image_streams]
        self.assembler = FrameAssembler(buffer, config, streams)
        self._registrar = Registrar(buffer.lookup)
        # Only streams that somebody publishes are waited for.
        self.assembler.paired = ()
        self.meters = {stream: Meter(time.monotonic_ns) for stream in ("detections", "rgb", "depth", "right", "info")}
        self.newest_ns = 0
        self.sync_gap_s = 0.0
        self._flat = False
        self._infos: dict[str, tuple] = {}
        self._images: dict[str, tuple[object, str]] = {}
        self._subscriptions: list = []

    def _topic(self, stream: str) -> str:
        return getattr(self.topics, f"{_TOPIC_OF[stream]}_topic")

    def _check_stereo(self) -> None:
        """Completes the topics of a stereo pair.

        Raises:
            ParameterError: a topic of the left image or of a calibration has no name.
        """
        t = self.topics
        if not t.right_info_topic:
            # As image_transport does: camera_info stands beside the image.
            t.right_info_topic = f"{t.right_topic.rpartition('/')[0]}/camera_info"
        for name in ("color_topic", "info_topic"):
            if not getattr(t, name):
                raise parameters.ParameterError(
                    f"{self.name}.{name} is empty, and {self.name}.right_topic = {t.right_topic!r} needs it: the left"
                    " image is the colour image"
                )

    # --- topics

    def subscribe(self) -> None:
        """Makes the subscriptions; images follow when somebody publishes them."""
        t, reliability = self.topics, self.node.settings.reliability
        if not self.detects:
            self._subscribe_detections()
        if t.info_topic:
            self._subscribe(CameraInfo, t.info_topic, self._on_info, qos.camera_info(reliability))
        if self.stereo is not None:
            self._subscribe(
                CameraInfo, t.right_info_topic, self._on_right_info, qos.camera_info(self.node.settings.reliability)
            )
        elif t.depth_info_topic:
            self._subscribe(CameraInfo, t.depth_info_topic, self._on_depth_info, qos.camera_info(reliability))
        if self.node.settings.odom_topic:
            self._subscribe(Odometry, self.node.settings.odom_topic, self._on_odometry, qos.sensor(reliability))
        self.look_for_images()

    def _subscribe_detections(self) -> None:
        t = self.topics
        kinds = {
            "dsr": DetectionArray,
            "vision_msgs_2d": vision.message_type("Detection2DArray"),
            "vision_msgs_3d": vision.message_type("Detection3DArray"),
        }
        kind = kinds[t.detections_type]
        if kind is None:
            raise parameters.ParameterError(
                f"{self.name}.detections_type = {t.detections_type!r} needs the package vision_msgs, which is not"
                " installed"
            )
        self._subscribe(kind, t.detections_topic, self._on_detections, qos.sensor(self.node.settings.reliability))

    def _subscribe(self, kind, topic: str, callback, profile):
        subscription = self.node.create_subscription(kind, topic, self.node.guarded(callback, topic), profile)
        self._subscriptions.append(subscription)
        return subscription

    def look_for_images(self) -> None:
        """Subscribes an image once it is published, in the transport that is there; raw is preferred."""
        paired = []
        for stream in self._image_streams:
            # Remappings of the image's topic hold for its compressed forms as well.
            base = self.node.resolve_topic_name(self._topic(stream))
            if stream in self._images:
                if self.node.count_publishers(self._images[stream][1]):
                    paired.append(stream)
                continue
            wanted = self.topics.depth_transport if stream == "depth" else self.topics.color_transport
            packed = "compressedDepth" if stream == "depth" else "compressed"
            for transport in ("raw", packed) if wanted == "auto" else (wanted,):
                topic = base + _SUFFIX[transport]
                if self.node.count_publishers(topic):
                    self._images[stream] = (self._subscribe_image(stream, transport, topic), topic)
                    paired.append(stream)
                    break
        if "right" in paired:
            paired = ["rgb", "depth"] if "rgb" in paired else []
        self.assembler.paired = tuple(paired)

    def _subscribe_image(self, stream: str, transport: str, topic: str):
        kind = Image if transport == "raw" else CompressedImage
        profile = qos.sensor(self.node.settings.reliability)
        return self._subscribe(kind, topic, lambda message: self._on_image(stream, topic, message), profile)

    def unsubscribe(self) -> None:
        for subscription in self._subscriptions:
            self.node.destroy_subscription(subscription)
        self._subscriptions, self._images = [], {}

    # --- what comes in (executor's thread)

    def _on_detections(self, message) -> None:
        topic = self.topics.detections_topic
        if self.topics.detections_type == "dsr":
            stamp_ns, dropped = validate.detections(message, topic)
            self.node.count(f"{topic}: detections without a finite box, label or score", dropped)
            read = ros_messages.detections_from_array
            self._flat = any(not d.has_box3d for d in message.detections)
        else:
            stamp_ns = validate.header(message.header, topic)
            self._flat = self.topics.detections_type == "vision_msgs_2d" and bool(message.detections)
            read = ros_messages.detections_from_vision_msgs
        self.meters["detections"].tick(stamp_ns)
        self.newest_ns = max(self.newest_ns, stamp_ns)

        def job() -> None:
            self.assembler.put_detections(stamp_ns, message.header.frame_id, read(message))

        self._put(self, job, True)

    def _on_image(self, stream: str, topic: str, message: Image | CompressedImage) -> None:
        stamp_ns = validate.header(message.header, topic)
        self.meters[stream].tick(stamp_ns)
        if stream == self.assembler.key_stream:
            self.newest_ns = max(self.newest_ns, stamp_ns)
        detections_ns = self.meters["detections"].newest_ns
        if detections_ns is not None:
            self.sync_gap_s = (stamp_ns - detections_ns) * 1e-9
        frame_id = message.header.frame_id
        decode = self._depth if stream == "depth" else ros_messages.rgb_from_image

        def job() -> None:
            if stream != "right":
                self.assembler.put_image(stream, stamp_ns, frame_id, lambda: decode(message))
            if self.stereo is not None:
                self._pair("left" if stream == "rgb" else "right", stamp_ns, message)

        self._put(self, job, True)

    def _depth(self, message: Image | CompressedImage):
        depth_m, header = ros_messages.depth_from_image(message), message.header
        stamp_ns = ros_messages.stamp_ns(header.stamp)
        camera, frame = self.assembler.camera_at(stamp_ns), self.assembler.camera_frame
        self._registrar.depth_camera = self.assembler.depth_camera_at(stamp_ns)
        return self._registrar(depth_m, header.frame_id.lstrip("/"), stamp_ns, camera, frame)

    def _pair(self, side: str, stamp_ns: int, message: Image | CompressedImage) -> None:
        """An image of the stereo pair; two of one moment are a depth image."""
        pair = self.stereo.put(side, stamp_ns, message)
        for reason, number in self.stereo.counts.items():
            self.node.count(f"{self.name}: stereo: {reason}", number)
        self.stereo.counts.clear()
        if pair is not None:
            header = pair[0].header
            left_ns = ros_messages.stamp_ns(header.stamp)
            self.assembler.put_image("depth", left_ns, header.frame_id, lambda: self._stereo_depth(left_ns, *pair))

    def _stereo_depth(self, stamp_ns: int, left, right):
        depth_m = self.stereo.depth(left, right, self.assembler.camera_at(stamp_ns))
        if self.lift.depth.noise != self.stereo.noise:
            self.lift = LiftConfig(depth=LiftingConfig(noise=self.stereo.noise))
        return depth_m

    def _on_info(self, message: CameraInfo) -> None:
        stamp_ns, frame_id = ros_messages.stamp_ns(message.header.stamp), message.header.frame_id
        self._take_info(
            message, self.topics.info_topic, lambda camera: self.assembler.put_camera(frame_id, camera, stamp_ns)
        )

    def _on_depth_info(self, message: CameraInfo) -> None:
        stamp_ns = ros_messages.stamp_ns(message.header.stamp)
        self._take_info(
            message, self.topics.depth_info_topic, lambda camera: self.assembler.put_depth_camera(camera, stamp_ns)
        )

    def _on_right_info(self, message: CameraInfo) -> None:
        self._take_info(message, self.topics.right_info_topic, lambda camera: self.stereo.put_info(message))

    def _take_info(self, message: CameraInfo, topic: str, use: Callable) -> None:
        roi = (message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height)
        size = (message.width, message.height, message.binning_x, message.binning_y, *roi)
        key = (*size, message.header.frame_id, *message.k, *message.d, *message.p)
        if topic == self.topics.info_topic:
            self.meters["info"].tick(ros_messages.stamp_ns(message.header.stamp))
        if self._infos.get(topic) == key:
            return
        validate.camera_info(message, topic)
        if self.stereo is not None:
            check = baseline_m if topic == self.topics.right_info_topic else check_projection
            check(message)
        camera = ros_messages.camera_from_info(message, self.topics.rectified or self.stereo is not None)
        self._infos[topic] = key
        self._put(self, lambda: use(camera), False)

    def _on_odometry(self, message: Odometry) -> None:
        self._put(self, lambda: self.assembler.put_odometry(message), False)

    def put_transforms(self, message, static: bool) -> None:
        """Takes a TFMessage."""
        self._put(self, lambda: self.assembler.put_transforms(message, static), False)

    # --- why nothing comes out

    def why_nothing(self) -> str:
        """One line, or "" when frames come out."""
        t = self.topics
        if self.detects:
            return self._why_nothing_seen()
        if not self.meters["detections"].count:
            if not self.node.count_publishers(self.node.resolve_topic_name(t.detections_topic)):
                return f"{self.name}: no node publishes {t.detections_topic} (is the detector running?)"
            asked = self.node.settings.reliability
            return self._newest_count(f"{t.detections_topic}: ") or (
                f"{self.name}: nothing has come on {t.detections_topic} (does its publisher offer {asked}?)"
            )
        silent_s = self.meters["detections"].silent_s()
        if silent_s > 2.0:
            return f"{self.name}: nothing has come on {t.detections_topic} for {silent_s:.1f} s"
        return self._why_nothing_placed() if self._flat else ""

    @property
    def poses_by_pictures(self) -> bool:
        """Whether frames without a pose get one by what the camera sees."""
        return self.perception.poses != "given"

    def with_base(self, frame: Frame) -> Frame:
        """A frame whose base is where its camera's mounting puts it, where only the camera's pose is known."""
        if frame.T_world_base is not None or frame.T_world_camera is None:
            return frame
        base, mounts = self.assembler.config.base_frame, self.assembler.buffer
        for name in (base,) if base else BASE_FRAMES:
            with contextlib.suppress(TransformUnavailable):
                T_camera_base = mounts.lookup(self.assembler.camera_frame, name, frame.stamp_ns)
                return changed(frame, T_world_base=frame.T_world_camera @ T_camera_base)
        return frame

    def _why_nothing_seen(self) -> str:
        """What a detector of ours lacks, or ""."""
        who = f"{self.name}: {self.perception.detector} detector"
        topic = self._images.get("rgb", (None, self.node.resolve_topic_name(self.topics.color_topic)))[1]
        meter = self.meters["rgb"]
        if not meter.count:
            if "rgb" not in self._images:
                return f"{who}: no colour image on {topic} (is the camera driver running?)"
            asked = self.node.settings.reliability
            return self._newest_count(f"{topic}: ") or (
                f"{who}: no colour image has come on {topic} (does its publisher offer {asked}?)"
            )
        if meter.silent_s() > _SILENT_S:
            return f"{who}: no colour image has come on {topic} for {meter.silent_s():.1f} s"
        return self._why_nothing_placed()

    @property
    def frames_topic(self) -> str:
        """Whose messages make the frames."""
        return self.topics.color_topic if self.detects else self.topics.detections_topic

    def _why_nothing_placed(self) -> str:
        """What boxes and masks lack to be placed, or ""."""
        stereo = self.stereo is not None
        needed = ["rgb", "right"] if stereo else ["depth"] if self._topic("depth") and not self.detects else []
        for stream in needed:
            topic, meter = self._images.get(stream, (None, self._topic(stream)))[1], self.meters[stream]
            if not self.node.count_publishers(self.node.resolve_topic_name(topic)):
                return f"{self.name}: no node publishes {topic}, and boxes are placed by depth"
            if meter.count and meter.silent_s() > _SILENT_S:
                return f"{self.name}: nothing has come on {topic} for {meter.silent_s():.1f} s, and boxes need depth"
        infos = [t for t in (self.topics.info_topic, self.topics.right_info_topic if stereo else "") if t]
        for topic in infos:
            if topic not in self._infos:
                return self._newest_count(f"{topic}: ") or f"{self.name}: no usable camera_info on {topic} yet"
        return ""

    def _newest_count(self, prefix: str) -> str:
        found = [reason for reason in list(self.node.counts) if reason.startswith(prefix)]
        return found[-1] if found else ""

    def status(self) -> dict:
        """Rates and ages, for /diagnostics."""
        now_ns = self.node.now_ns()
        out: dict[str, object] = {}
        for stream, meter in self.meters.items():
            if meter.count:
                out[f"{self.name} {stream} rate (Hz)"] = meter.rate_hz()
                out[f"{self.name} {stream} age (s)"] = meter.age_s(now_ns)
        if self._images:
            out[f"{self.name} sync gap (s)"] = self.sync_gap_s
        for purpose in ("detections", "color", "depth" if self.stereo is None else "right", "info"):
            topic = getattr(self.topics, f"{purpose}_topic")
            if topic and not (self.detects and purpose == "detections"):
                # `dsr doctor` takes what detections are made of for needed.
                purpose = "color, for detections" if self.detects and purpose == "color" else purpose
                out[f"{self.name} topic {purpose}"] = self.node.resolve_topic_name(topic)
        out[f"{self.name} camera_info"] = "known" if self.assembler.camera is not None else "missing"
        return out
