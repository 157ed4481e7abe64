"""RGB-D through the observer: encodings, transports, distortion, unregistered depth, several cameras, odometry."""

import array
import itertools

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from ros_helpers import Graph, Peer, document, wait_until, without_age
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

import dsr_core
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.sources import ros_image
from dsr_core.sources.bag_writer import BagWriter
from dsr_core.values import Detection, Frame
from dsr_ros import convert, qos
from dsr_ros.msg import Detection as DetectionMessage
from dsr_ros.msg import DetectionArray
from dsr_ros.observer import ObserverNode

WIDTH, HEIGHT = 160, 120
K = np.array([[120.0, 0, 80], [0, 120.0, 60], [0, 0, 1]])
START_NS = 2_000_000_000_000
#: The camera looks along the robot's x from 1 m above the ground.
T_BASE_CAMERA = tf.make_transform(tf.R_BODY_OPTICAL, [0.2, 0.0, 1.0])


def picture(x_m, z_m=2.0, size_m=0.5):
    """Depth (H, W) metres of a plate at x_m, z_m before a wall at 5 m, and its box."""
    depth = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    u, v, half = K[0, 0] * x_m / z_m + K[0, 2], K[1, 2], K[0, 0] * size_m / 2 / z_m
    box = np.array([u - half, v - half, u + half, v + half])
    x1, y1, x2, y2 = np.clip(np.rint(box), 0, [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(int)
    depth[y1:y2, x1:x2] = z_m
    return depth, box


class Rig:
    """Publishes what a robot with one RGB-D camera publishes, to topics of its own."""

    def __init__(self, peer, **parameters):
        self.peer, self.number = peer, itertools.count()
        prefix = f"/{peer.namespace}_rig"
        self.frame, self.prefix = "camera_optical_frame", prefix
        topics = {
            "detections_topic": "/detections",
            "color_topic": "/color",
            "depth_topic": "/depth",
            "info_topic": "/info",
        }
        given = {f"camera__{k}": prefix + v for k, v in topics.items()} | {"reliability": "reliable"} | parameters
        self.observer = peer.add(ObserverNode, **given)
        self.seen = peer.listen(DetectionArray, "observations")
        self.detections = peer.publisher(DetectionArray, f"{prefix}/detections")
        self.info = peer.publisher(CameraInfo, f"{prefix}/info")
        self.tf = peer.publisher(TFMessage, "/tf")
        self.static = peer.publisher(TFMessage, "/tf_static", profile=qos.replay(static=True))
        self.static.publish(TFMessage(transforms=[transform("base_link", self.frame, 0, T_BASE_CAMERA)]))
        self._images = {}

    def stamp(self):
        return START_NS + next(self.number) * 100_000_000

    def header(self, message, stamp_ns, frame=None):
        message.header.stamp, message.header.frame_id = convert.to_time(stamp_ns), frame or self.frame
        return message

    def image_topic(self, kind, topic):
        if topic not in self._images:
            self._images[topic] = self.peer.publisher(kind, self.prefix + topic)
        return self._images[topic]

    def send(self, depth_message, stamp_ns, box, topic="/depth", info=None, label="plate", pose=None, frame=None):
        """One frame; returns the observations that come out."""
        kind = type(depth_message)
        publisher = self.image_topic(kind, topic)
        before = len(self.seen)
        pose = tf.make_transform(np.eye(3), [0.0, 0.0, 0.0]) if pose is None else pose
        self.tf.publish(TFMessage(transforms=[transform("odom", "base_link", stamp_ns, pose)]))
        self.info.publish(self.header(info or camera_info(), stamp_ns))
        publisher.publish(self.header(depth_message, stamp_ns, frame))
        self.detections.publish(self.header(detections(box, label), stamp_ns))
        wait_until(
            lambda: len(self.seen) > before,
            10,
            lambda: f"observations; the observer counts {dict(self.observer.counts)}",
        )
        return self.seen[-1]


def transform(parent, child, stamp_ns, T):
    out = TransformStamped(child_frame_id=child)
    out.header.frame_id, out.header.stamp = parent, convert.to_time(stamp_ns)
    pose = convert.to_pose(T)
    out.transform.rotation, out.transform.translation = pose.orientation, convert.to_vector(T[:3, 3])
    return out


def camera_info(k=K, d=(), width=WIDTH, height=HEIGHT):
    return CameraInfo(width=width, height=height, k=np.ravel(k), d=list(d), distortion_model="plumb_bob")


def detections(box, label="plate"):
    out = DetectionArray(image_width=WIDTH, image_height=HEIGHT)
    if box is not None:
        out.detections = [DetectionMessage(label=label, score=0.9, has_box=True, box=np.asarray(box, float))]
    return out


def packed_raw(depth, encoding, pad=0, big=False):
    """An Image message with padded rows and either byte order."""
    values = np.rint(depth * 1000) if encoding == "16UC1" else depth
    kind = np.dtype("u2" if encoding == "16UC1" else "f4").newbyteorder(">" if big else "<")
    rows = values.astype(kind).view(np.uint8).reshape(HEIGHT, -1)
    rows = np.hstack([rows, np.full((HEIGHT, pad), 77, np.uint8)])
    message = Image(height=HEIGHT, width=WIDTH, encoding=encoding, is_bigendian=int(big), step=rows.shape[1])
    message.data = array.array("B", rows.tobytes())
    return message


def position(observed):
    assert len(observed.detections) == 1
    p = observed.detections[0].pose.pose.position
    return np.array([p.x, p.y, p.z])


def expected(x_m, z_m=2.0, robot_x=0.0):
    """The plate's centre in the world: on the ray through it, about half its width behind what the camera sees."""
    behind = (z_m + 0.26) / z_m
    return np.array([robot_x + 0.2 + z_m * behind, -x_m * behind, 1.0])


@pytest.fixture
def peer(request):
    with Peer("images_" + request.node.name.split("[")[0][-20:]) as peer:
        yield peer


def test_every_encoding_gives_the_same_place(peer):
    rig = Rig(peer)
    depth, box = picture(0.4)
    places = {}
    for encoding, pad, big in itertools.product(("16UC1", "32FC1"), (0, 6), (False, True)):
        observed = rig.send(packed_raw(depth, encoding, pad, big), rig.stamp(), box)
        places[encoding, pad, big] = position(observed)
        assert observed.header.frame_id == "odom" and observed.has_camera_pose and observed.has_base_pose
        assert list(observed.k) == pytest.approx(K.ravel().tolist()) and (
            observed.image_width,
            observed.image_height,
        ) == (WIDTH, HEIGHT)
    reference = places["16UC1", 0, False]
    assert reference == pytest.approx(expected(0.4), abs=0.05)
    for key, place in places.items():
        assert place == pytest.approx(reference, abs=1e-5), key
    nothing = rig.send(packed_raw(depth, "16UC1"), rig.stamp(), None)
    assert len(nothing.detections) == 0 and nothing.has_camera_pose


def test_the_pose_is_that_of_the_images_stamp(peer):
    """The robot drives at 2 m/s; a later transform is already there when the frame is worked on."""
    rig = Rig(peer)
    depth, box = picture(0.0)
    first = rig.stamp()
    rig.send(packed_raw(depth, "16UC1"), first, box)
    ahead = first + 200_000_000
    rig.tf.publish(
        TFMessage(transforms=[transform("odom", "base_link", ahead, tf.make_transform(np.eye(3), [0.4, 0, 0]))])
    )
    observed = rig.send(
        packed_raw(depth, "16UC1"), first + 100_000_000, box, pose=tf.make_transform(np.eye(3), [0.2, 0, 0])
    )
    assert position(observed)[0] == pytest.approx(expected(0.0, robot_x=0.2)[0], abs=0.05)
    assert observed.base_pose.position.x == pytest.approx(0.2, abs=1e-9)


def test_frames_wait_for_their_transform(peer):
    rig = Rig(peer)
    depth, box = picture(0.0)
    rig.send(packed_raw(depth, "16UC1"), rig.stamp(), box)
    before, stamp = len(rig.seen), rig.stamp()
    rig.image_topic(Image, "/depth").publish(rig.header(packed_raw(depth, "16UC1"), stamp))
    rig.detections.publish(rig.header(detections(box), stamp))
    with pytest.raises(AssertionError):
        wait_until(lambda: len(rig.seen) > before, 0.4)
    rig.tf.publish(
        TFMessage(transforms=[transform("odom", "base_link", stamp, tf.make_transform(np.eye(3), [1.0, 0, 0]))])
    )
    wait_until(lambda: len(rig.seen) > before, 5, "the frame after its transform came")
    assert position(rig.seen[-1])[0] == pytest.approx(expected(0.0, robot_x=1.0)[0], abs=0.05)


def test_compressed_images_give_the_same_place(peer):
    rig = Rig(peer)
    depth, box = picture(-0.3)
    color = peer.publisher(CompressedImage, f"{rig.prefix}/color/compressed")
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stamp = rig.stamp()
    color.publish(rig.header(CompressedImage(format="jpeg", data=array.array("B", ros_image.encode_jpeg(rgb))), stamp))
    packed = ros_image.encode_compressed_depth(ros_image.depth_to_millimetres(depth))
    message = CompressedImage(format="16UC1; compressedDepth png", data=array.array("B", packed))
    observed = rig.send(message, stamp, box, topic="/depth/compressedDepth")
    assert position(observed) == pytest.approx(expected(-0.3), abs=0.05)
    assert rig.observer.cameras[0].meters["rgb"].count == 1


def test_lens_distortion_is_removed(peer):
    """A thing near the image's border: its pixel is moved by the lens, its place must not be."""
    rig = Rig(peer)
    D = np.array([-0.3, 0.1, 0.0, 0.0, 0.0])
    camera = Camera(K, (WIDTH, HEIGHT), D)
    u, v = camera.project(np.array([[1.0, 0.0, 2.0]]))[0]
    box = np.array([u - 8, v - 8, u + 8, v + 8])
    depth = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    x1, y1, x2, y2 = np.rint(box).astype(int)
    depth[y1:y2, x1:x2] = 2.0
    place = position(rig.send(packed_raw(depth, "32FC1"), rig.stamp(), box, info=camera_info(d=D)))
    # the thing's bearing is 1 : 2
    assert place[1] / (place[0] - 0.2) == pytest.approx(-0.5, abs=0.02)
    straight = position(rig.send(packed_raw(depth, "32FC1"), rig.stamp(), box))
    assert abs(straight[1] / (straight[0] - 0.2) + 0.5) > 0.02


def test_unregistered_depth_is_moved_or_refused(peer):
    """The depth camera sits 5 cm to the right of the colour camera."""
    rig = Rig(peer, camera__depth_info_topic=f"/{peer.namespace}_rig/depth_info")
    depth, box = picture(0.4)
    shifted, _ = picture(0.4 - 0.05)
    stamp = rig.stamp()
    # refused: nobody knows the depth camera yet, so nothing is placed
    refused = rig.send(packed_raw(depth, "16UC1"), stamp, box)
    assert len(refused.detections) == 1, "depth in the colour frame needs no calibration of its own"
    mount = tf.make_transform(np.eye(3), [0.05, 0.0, 0.0])
    rig.static.publish(TFMessage(transforms=[transform("camera_optical_frame", "depth_frame", 0, mount)]))
    publisher, stamp = rig.image_topic(Image, "/depth"), rig.stamp()
    rig.tf.publish(TFMessage(transforms=[transform("odom", "base_link", stamp, np.eye(4))]))
    publisher.publish(rig.header(packed_raw(shifted, "16UC1"), stamp, "depth_frame"))
    rig.detections.publish(rig.header(detections(box), stamp))
    wait_until(
        lambda: any("is not registered to the colour image" in reason for reason in rig.observer.counts),
        5,
        "a clear refusal",
    )
    peer.publisher(CameraInfo, f"{rig.prefix}/depth_info").publish(rig.header(camera_info(), stamp, "depth_frame"))
    wait_until(lambda: rig.observer.cameras[0].assembler.depth_camera_at(stamp) is not None, 5)
    moved = rig.send(packed_raw(shifted, "16UC1"), rig.stamp(), box, frame="depth_frame")
    assert position(moved) == pytest.approx(expected(0.4), abs=0.05)


def test_odometry_serves_where_there_is_no_tf(peer):
    rig = Rig(peer, odom_topic=f"/{peer.namespace}_rig/odometry")
    depth, box = picture(0.0)
    odometry = peer.publisher(Odometry, f"{rig.prefix}/odometry")
    images = rig.image_topic(Image, "/depth")
    for i in range(12):
        stamp = rig.stamp()
        message = Odometry(child_frame_id="base_link")
        message.pose.pose.position.x, message.pose.pose.orientation.w = 0.1 * i, 1.0
        odometry.publish(rig.header(message, stamp, "odom"))
        rig.info.publish(rig.header(camera_info(), stamp))
        images.publish(rig.header(packed_raw(depth, "16UC1"), stamp))
        rig.detections.publish(rig.header(detections(box), stamp))
    wait_until(lambda: len(rig.seen) >= 12, 15, lambda: f"12 frames; {len(rig.seen)} and {dict(rig.observer.counts)}")
    assert position(rig.seen[10])[0] == pytest.approx(expected(0.0, robot_x=1.0)[0], abs=0.05)


def test_two_cameras_become_one_set(peer):
    """A second camera looks backwards; its detections are 3D already."""
    prefix = f"/{peer.namespace}_rig"
    back = {f"back__{k}": "" for k in ("color_topic", "depth_topic", "info_topic")}
    rig = Rig(peer, cameras=["camera", "back"], back__detections_topic=f"{prefix}/back", **back)
    turned = tf.make_transform(np.diag([-1.0, -1.0, 1.0]) @ tf.R_BODY_OPTICAL, [-0.2, 0.0, 1.0])
    rig.static.publish(TFMessage(transforms=[transform("base_link", "back_optical_frame", 0, turned)]))
    publisher = peer.publisher(DetectionArray, f"{prefix}/back")
    depth, box = picture(0.0)
    images = rig.image_topic(Image, "/depth")
    for _ in range(3):
        stamp = rig.stamp()
        rig.tf.publish(TFMessage(transforms=[transform("odom", "base_link", stamp, np.eye(4))]))
        rig.info.publish(rig.header(camera_info(), stamp))
        images.publish(rig.header(packed_raw(depth, "16UC1"), stamp))
        rig.detections.publish(rig.header(detections(box), stamp))
        behind = DetectionMessage(label="cart", score=0.9, has_box3d=True)
        behind.pose.pose.position.z = 3.0
        publisher.publish(rig.header(DetectionArray(detections=[behind]), stamp + 5_000_000, "back_optical_frame"))
        rig.tf.publish(TFMessage(transforms=[transform("odom", "base_link", stamp + 5_000_000, np.eye(4))]))
    wait_until(lambda: len(rig.seen) >= 3, 10, lambda: f"3 sets; {len(rig.seen)} and {dict(rig.observer.counts)}")
    assert len(rig.seen) == 3
    for observed in rig.seen:
        places = {d.label: d.pose.pose.position for d in observed.detections}
        assert set(places) == {"plate", "cart"} and observed.has_camera_pose
        assert places["cart"].x == pytest.approx(-3.2, abs=1e-6) and places["plate"].x == pytest.approx(
            expected(0.0)[0], abs=0.05
        )


def _frames(count):
    camera = Camera(K, (WIDTH, HEIGHT))
    for i in range(count):
        T_world_base = tf.make_transform(np.eye(3), [0.02 * i, 0.0, 0.0])
        depth, box = picture(-0.5 + 0.02 * i)
        still, other = picture(0.7, 3.0)
        depth[still == 3.0] = 3.0
        yield Frame(
            stamp_ns=START_NS + i * 100_000_000, T_world_camera=T_world_base @ T_BASE_CAMERA, T_world_base=T_world_base,
            rgb=np.full((HEIGHT, WIDTH, 3), 90, np.uint8), depth_m=depth, camera=camera,
            detections=(Detection("cart", 0.9, box_px=box), Detection("shelf", 0.9, box_px=other)),
        )  # fmt: skip


@pytest.mark.parametrize(("image_format", "depth_format"), [("jpeg", "png"), ("raw", "32FC1")])
def test_an_rgbd_bag_gives_the_offline_answers(tmp_path, image_format, depth_format):
    bag = tmp_path / "rgbd"
    with BagWriter(bag, image_format=image_format, depth_format=depth_format, T_base_camera=T_BASE_CAMERA) as writer:
        for frame in _frames(40):
            writer.write(frame)
    scene = dsr_core.load_scene(bag)
    assert sorted(t.label for t in scene.tracks.values()) == ["cart", "shelf"]
    with Graph(tmp_path, "rgbd") as graph, Peer("rgbd") as peer:
        graph.nodes()
        graph.play(bag)
        for subject, kind in itertools.product(("cart", "shelf"), ("motion", "distance", "direction")):
            query = {
                "kind": kind,
                "subject": subject,
                "object": None if kind == "motion" else "robot",
                "window": [0.5, 3.5],
            }
            online = document(peer.ask(query=query))
            assert online == without_age(dsr_core.ask(scene, query))
            assert online["declined"] is None, online
