"""ROS 2 bags as a source, read without ROS: mcap and sqlite3, zstd, split, cut off.

What makes the frames, in this order: detections (dsr_ros/DetectionArray or vision_msgs), colour or depth images, a
costmap or occupancy grid (its lethal areas are the things), or the robot's poses alone. Everything is put together by
`FrameAssembler`, as in the nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dsr_core.errors import GeometryError, SourceError
from dsr_core.geometry import tf_tree
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.registration import Registrar
from dsr_core.scene import Scene
from dsr_core.sources import bag_topics, ros_messages
from dsr_core.sources.assemble import BASE_FRAMES, WORLD_FRAMES, AssemblyConfig, FrameAssembler
from dsr_core.sources.bag_file import BagFile, is_bag
from dsr_core.sources.base import Source
from dsr_core.sources.grid import detections_from_grid
from dsr_core.values import Frame

log = logging.getLogger(__name__)

TRUTH_FILE = "truth.scene.npz"
_FOR_EVER_S = 1e9


def recognises(path: Path) -> bool:
    """Whether `path` is a ROS 2 bag."""
    return is_bag(path)


class Bag(Source):
    """A ROS 2 bag.

    Args:
        path: Folder (with metadata.yaml or storage files alone), or one mcap or db3 file.
        detections_topic, rgb_topic, depth_topic, info_topic, depth_info_topic, odometry_topic, grid_topic: In place of
            the topics that are found by type and name; "" does without.
        world_frame: Continuous fixed frame; where no transform mentions it, "map" or the root of the tree is taken,
            and said.
        base_frame: Robot base; None tries base_link and base_footprint.
        camera_frame: Optical frame; None takes the one that the images or detections name.
        tf_tolerance_s: How far outside the data of TF the nearest pose is taken.
        pair_tolerance_s: Largest difference of the stamps of an image and its detections.
        viewer_frames: Names of TF frames that questions may look from, beside robot and camera.

    Raises:
        SourceError: it cannot be read, or holds nothing that can be used.
    """

    def __init__(
        self,
        path: str | Path,
        detections_topic: str | None = None,
        rgb_topic: str | None = None,
        depth_topic: str | None = None,
        info_topic: str | None = None,
        depth_info_topic: str | None = None,
        odometry_topic: str | None = None,
        grid_topic: str | None = None,
        world_frame: str = "odom",
        base_frame: str | None = None,
        camera_frame: str | None = None,
        tf_tolerance_s: float = 0.1,
        pair_tolerance_s: float = 0.02,
        viewer_frames: Sequence[str] = (),
    ):
        self.path = Path(path)
        self.name = self.path.name.split(".")[0]
        self.world_frame, self.base_frame = world_frame, base_frame or BASE_FRAMES[0]
        self.tf_tolerance_s = tf_tolerance_s
        self.config = AssemblyConfig(
            world_frame,
            base_frame or "",
            camera_frame or "",
            pair_tolerance_s,
            viewer_frames=tuple(name.lstrip("/") for name in viewer_frames),
        )
        with BagFile(self.path) as bag:
            self.topics = bag_topics.find_topics(
                bag,
                {
                    "detections": detections_topic, "rgb": rgb_topic, "depth": depth_topic, "info": info_topic,
                    "depth_info": depth_info_topic, "odometry": odometry_topic, "grid": grid_topic,
                },
            )  # fmt: skip
            found = self.topics
            self.topics_text = bag.topics_text()
            key = found.detections or found.rgb or found.depth or found.grid or found.odometry or (*found.tf, "")[0]
            if not key:
                raise SourceError(
                    f"{self.path} holds no detections, images, grids, odometry or TF; topics there: {self.topics_text}"
                )
            self._length = bag.topics[key][1]
        log.info("%s: %s", self.name, found)

    def __len__(self) -> int:
        return self._length

    def truth(self) -> Scene | None:
        """The truth that `convert` has put beside the recording, or None."""
        path = self.path / TRUTH_FILE
        return Scene.load(path) if path.is_file() else None

    def scene(self, world=None, lift=None, progress: bool = False) -> Scene:
        """Tracks built from the recording's detections; the truth beside a bag is never taken for it."""
        return self.tracked_scene(world, lift, progress)

    def frames(self) -> Iterator[Frame]:
        """Frames in time order.

        Raises:
            SourceError: the recording is damaged, or detections in 2D cannot be lifted for want of a topic.
        """
        found = self.topics
        with BagFile(self.path) as bag:
            if found.detections or found.rgb or found.depth or found.grid:
                yield from self._assembled(bag)
            else:
                yield from self._poses(bag)

    def _buffer(self, cache_s: float = 30.0) -> tf_tree.TransformBuffer:
        return tf_tree.TransformBuffer(cache_s, self.tf_tolerance_s)

    def _assembled(self, bag: BagFile) -> Iterator[Frame]:
        """Frames of detections, images or grids, put together while the bag is read once."""
        found = self.topics
        grid = "" if found.detections or found.rgb or found.depth else found.grid
        streams = [
            s for s, t in (("detections", found.detections or grid), ("rgb", found.rgb), ("depth", found.depth)) if t
        ]
        buffer = self._buffer()
        assembler, self._registrar = FrameAssembler(buffer, self.config, streams), Registrar(buffer.lookup)
        self._infos: dict[str, object] = {}
        wanted = {
            found.detections,
            found.rgb,
            found.depth,
            found.info,
            found.depth_info,
            found.odometry,
            grid,
            *found.tf,
        }
        told = 0
        for topic, kind, message in bag.messages([t for t in wanted if t]):
            if topic in found.tf:
                assembler.put_transforms(message, static=topic.endswith("tf_static"))
            elif topic == found.odometry:
                assembler.put_odometry(message)
            elif topic == grid and not found.tf and not found.odometry:
                yield self._robot_centred(message)
                continue
            else:
                self._put(assembler, topic, kind, message)
            frames = assembler.take()
            self.world_frame = assembler.world_frame
            for note in assembler.notes[told:]:
                log.warning("%s: %s", self.name, note)
            told = len(assembler.notes)
            yield from frames
        last = assembler.take(flush=True)
        self.world_frame = assembler.world_frame
        yield from last
        for note in assembler.notes[told:]:
            log.warning("%s: %s", self.name, note)
        self.skipped.update(assembler.counts)

    def _put(self, assembler: FrameAssembler, topic: str, kind: str, message) -> None:
        """One message that is no transform into the assembler."""
        found = self.topics
        stamp, frame_id = ros_messages.stamp_ns(message.header.stamp), message.header.frame_id
        try:
            if topic in (found.info, found.depth_info):
                self._put_camera(assembler, topic, message)
            elif topic == found.detections:
                convert = ros_messages.detections_from_vision_msgs
                if kind == bag_topics.DETECTION_ARRAY:
                    convert = ros_messages.detections_from_array
                detections = convert(message)
                self._check_liftable(detections)
                assembler.put_detections(stamp, frame_id, detections)
            elif topic == found.grid:
                assembler.put_detections(stamp, frame_id, detections_from_grid(message))
            elif topic == found.rgb:
                assembler.put_image("rgb", stamp, frame_id, lambda: ros_messages.rgb_from_image(message))
            else:
                assembler.put_image("depth", stamp, frame_id, lambda: self._depth(assembler, message, topic))
        except (SourceError, GeometryError) as error:
            raise SourceError(f"{self.path}, topic {topic!r}: {error}") from error

    def _put_camera(self, assembler: FrameAssembler, topic: str, message) -> None:
        found, stamp_ns = self.topics, ros_messages.stamp_ns(message.header.stamp)
        known = self._infos.get(topic)
        if known is not None and _same_info(known, message):
            return
        self._infos[topic] = message
        if topic == found.info:
            camera = ros_messages.camera_from_info(message, "image_rect" in (found.rgb or found.depth))
            assembler.put_camera(message.header.frame_id, camera, stamp_ns)
        else:
            assembler.put_depth_camera(ros_messages.camera_from_info(message, "image_rect" in found.depth), stamp_ns)

    def _depth(self, assembler: FrameAssembler, message, topic: str) -> np.ndarray:
        """A depth image as the colour camera sees it."""
        try:
            frame_id, stamp = message.header.frame_id.lstrip("/"), ros_messages.stamp_ns(message.header.stamp)
            depth_m = ros_messages.depth_from_image(message)
            self._registrar.depth_camera = assembler.depth_camera_at(stamp)
            return self._registrar(depth_m, frame_id, stamp, assembler.camera_at(stamp), assembler.camera_frame)
        except (SourceError, GeometryError, tf_tree.TransformUnavailable) as error:
            raise SourceError(f"{self.path}, topic {topic!r}: {error}") from error

    def _check_liftable(self, detections) -> None:
        """Says at the first detection in 2D what the bag lacks to place it."""
        if all(d.position_camera_m is not None for d in detections):
            return
        for what, topic, kinds in (
            ("depth image", self.topics.depth, bag_topics.IMAGES),
            ("camera_info", self.topics.info, (bag_topics.CAMERA_INFO,)),
        ):
            if not topic:
                raise SourceError(
                    f"the detections are boxes in the image, and no {what} ({kinds[0]}) goes with them; topics there:"
                    f" {self.topics_text}. Record it, or name it by the option {what.split('_')[-1].split()[0]}_topic"
                )

    def _robot_centred(self, message) -> Frame:
        """A grid's frame in a bag without TF and odometry: the grid's frame is the world, with the robot at rest."""
        frame_id = message.header.frame_id.lstrip("/")
        if self.world_frame != frame_id:
            log.warning(
                "%s: no TF and no odometry; %r is the world: the robot counts as still, motion is as seen from it",
                self.name,
                frame_id,
            )
            self.world_frame = self.base_frame = frame_id
        T_world_camera = tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))
        T_camera_header = tf.invert(T_world_camera)
        return Frame(
            stamp_ns=ros_messages.stamp_ns(message.header.stamp),
            T_world_camera=T_world_camera,
            T_world_base=np.eye(4),
            detections=tuple(ros_messages.placed(d, T_camera_header) for d in detections_from_grid(message)),
        )

    def _poses(self, bag: BagFile) -> Iterator[Frame]:
        """One frame a pose of the robot, of a bag that has nothing else."""
        buffer, odometry = self._buffer(_FOR_EVER_S), self._buffer(_FOR_EVER_S)
        for topic, _, message in bag.messages([*self.topics.tf, *filter(None, [self.topics.odometry])]):
            try:
                if topic == self.topics.odometry:
                    ros_messages.add_odometry(odometry, message, self.base_frame)
                else:
                    for transform in message.transforms:
                        ros_messages.add_transform(buffer, transform, topic.endswith("tf_static"))
            except GeometryError as error:
                self.skip(str(error))
        for source in (buffer, odometry):
            chain = self._base_chain(source)
            if chain:
                break
        else:
            raise SourceError(
                f"{self.path}: no transform and no odometry tells where {' or '.join(self._bases())} is; frames there:"
                f" {', '.join(buffer.frames()) or 'none'}; name the robot's frame by the option base_frame"
            )
        world, base, stamps = chain
        if world != self.world_frame:
            log.warning("%s: world frame %r is in no transform; %r is used", self.name, self.world_frame, world)
        self.world_frame, self.base_frame, self._length = world, base, len(stamps)
        for stamp in stamps:
            if stamp == 0:
                self.skip("poses with stamp zero")
                continue
            try:
                T_world_base = source.lookup(world, base, stamp)
            except tf_tree.TransformBeyond as error:
                self.skip(f"frames without a pose: {type(error).__name__} {error.parent!r} -> {error.child!r}")
                continue
            yield Frame(
                stamp_ns=stamp, T_world_base=T_world_base, T_world_frames=self._viewer_frames(source, world, stamp)
            )

    def _viewer_frames(self, buffer: tf_tree.TransformBuffer, world: str, stamp_ns: int) -> dict[str, np.ndarray]:
        found = {}
        for name in self.config.viewer_frames:
            try:
                found[name] = buffer.lookup(world, name, stamp_ns)
            except tf_tree.TransformUnavailable:
                self.skip(f"frames without a pose of {name!r}")
        return found

    def _bases(self) -> tuple[str, ...]:
        return (self.config.base_frame,) if self.config.base_frame else BASE_FRAMES

    def _base_chain(self, buffer: tf_tree.TransformBuffer) -> tuple[str, str, list[int]] | None:
        """World frame, base frame and the stamps of the link between them that was recorded most often."""
        links = {child: parent for parent, child, _ in buffer.links()}
        for base in self._bases():
            above = [base]
            while above[-1] in links:
                above.append(links[above[-1]])
            world = next((w for w in (self.world_frame, *WORLD_FRAMES) if w in above[1:]), above[-1])
            stamps = max((buffer.history(child) for child in above[: above.index(world)]), key=len, default=[])
            if stamps:
                return world, base, stamps
        return None


def _same_info(old, message) -> bool:
    """Whether two camera_info say the same of the camera."""
    names = ("width", "height", "binning_x", "binning_y", "roi")
    return all(getattr(old, n) == getattr(message, n) for n in names) and all(
        np.array_equal(getattr(old, n), getattr(message, n)) for n in "kdp"
    )
