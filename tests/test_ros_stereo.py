"""A stereo camera's topics: a rendered pair becomes a track at its distance; what is wrong with a pair is told."""

import array
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from diagnostic_msgs.msg import DiagnosticArray
from rendered import Plane, render, texture
from ros_helpers import Graph, Peer, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from test_ros_images import transform
from tf2_msgs.msg import TFMessage

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception.depth.rectified import RectifiedRig
from dsr_core.perception.depth.stereo import StereoDepth
from dsr_core.sources import ros_image
from dsr_ros import convert, qos
from dsr_ros.msg import Detection, DetectionArray
from dsr_ros.stereo_pair import StereoPair, baseline_m

SIZE = (320, 240)
K = np.array([[260.0, 0, 160], [0, 260.0, 120], [0, 0, 1]])
#: The right camera's principal point lies elsewhere, as it may where disparities are not zero at infinity.
K_RIGHT = K - [[0, 0, 6.0], [0, 0, 0], [0, 0, 0]]
BASELINE_M = 0.12
FRAME = "left_optical_frame"
T_BASE_CAMERA = tf.make_transform(tf.R_BODY_OPTICAL, [0.2, 0.0, 1.0])
#: A cube of 0.6 m whose middle is 2.8 m before the camera: its front is what is seen of it.
CUBE_M, MIDDLE_M = 0.6, 2.8
START_NS = 4_000_000_000_000


def scene():
    front_m = MIDDLE_M - CUBE_M / 2
    half = CUBE_M / 2
    return [
        Plane(np.array([0, 0, 6.0]), np.array([9.0, 0, 1.5]), np.array([0, 6.0, 0]), texture(1)),
        Plane(np.array([0, 0, front_m]), np.array([half, 0, 0]), np.array([0, half, 0]), texture(2)),
    ]


@pytest.fixture(scope="module")
def pair():
    """Left and right picture, (H, W, 3)."""
    left = render(Camera(K, SIZE), np.eye(4), scene())
    right = render(Camera(K_RIGHT, SIZE), tf.make_transform(np.eye(3), [BASELINE_M, 0, 0]), scene())
    return left[0], right[0], left[1]


def cube_box():
    half = K[0, 0] * CUBE_M / 2 / (MIDDLE_M - CUBE_M / 2)
    return np.array([K[0, 2] - half, K[1, 2] - half, K[0, 2] + half, K[1, 2] + half])


def info(k=K, baseline=0.0, size=SIZE, projection=True):
    out = CameraInfo(width=size[0], height=size[1], k=np.ravel(k), distortion_model="plumb_bob", d=[0.1, 0, 0, 0, 0])
    if projection:
        out.p = np.ravel(np.hstack([k, [[-k[0, 0] * baseline], [0], [0]]]))
    return out


def test_depth_of_rectified_images_is_metric_whatever_the_principal_points(pair):
    left, right, truth_m = pair
    rig = RectifiedRig(Camera(K, SIZE), Camera(K_RIGHT, SIZE), BASELINE_M)
    estimate = StereoDepth(rig)(left, right)
    known = np.isfinite(estimate.depth_m)
    error = (estimate.depth_m - truth_m)[known] / truth_m[known]
    assert known.mean() > 0.6 and abs(np.median(error)) < 0.01
    assert np.mean(np.abs(error) * truth_m[known] < 3 * estimate.sigma_m[known]) > 0.94


def test_what_is_no_rectified_pair_is_refused():
    camera = Camera(K, SIZE)
    for right, baseline, text in (
        (Camera(K, (640, 480)), 0.1, "must be alike"),
        (camera, -0.1, "swapped"),
        (camera, float("nan"), "swapped"),
        (Camera(K * [[1.1], [1.1], [1]], SIZE), 0.1, "calibrate the two cameras together"),
        (Camera(K, SIZE, [0.1, 0, 0, 0]), 0.1, "rectified images of both"),
    ):
        with pytest.raises(GeometryError, match=text):
            RectifiedRig(camera, right, baseline)
    with pytest.raises(GeometryError, match="right image of 64x48 does not fit"):
        RectifiedRig(camera, camera, 0.1).rectify(np.zeros((240, 320), np.uint8), np.zeros((48, 64), np.uint8))
    assert baseline_m(info(baseline=0.12)) == pytest.approx(0.12)
    for bad, text in (
        (info(), "no baseline"),
        (info(baseline=-0.1), "no baseline"),
        (info(projection=False), "P, which"),
    ):
        with pytest.raises(GeometryError, match=text):
            baseline_m(bad)


def test_images_pair_by_their_stamps_and_wait_within_bounds():
    stereo = StereoPair(0.01)
    message = SimpleNamespace

    def put(side, ms):
        found = stereo.put(side, 10**12 + ms * 1_000_000, message(ms=ms))
        return None if found is None else tuple(m.ms for m in found)

    assert put("left", 0) is None and put("right", 3) == (0, 3)
    assert put("right", 100) is None and put("left", 97) == (97, 100)
    # The right image of 200 is lost; late ones in a row still find theirs.
    assert put("left", 200) is None and put("left", 300) is None
    assert put("right", 300) == (300, 300)
    reason, lost = next(iter(stereo.counts.items()))
    assert "without one of the other" in reason and lost == 1
    for i in range(200):
        assert put("left", 1000 + 33 * i) is None
    assert sum(map(len, stereo._waiting.values())) <= 30
    assert put("right", 1000 + 33 * 190) == (1000 + 33 * 190,) * 2
    # A looped recording: what waits of the end is no partner of the beginning.
    assert put("left", 0) is None and put("right", 0) == (0, 0)
    assert sum(map(len, stereo._waiting.values())) == 0


class StereoRobot:
    """Publishes what a robot with a stereo camera and a detector publishes."""

    def __init__(self, peer):
        self.step = 0
        self.detections = peer.publisher(DetectionArray, "/stereo/detections")
        self.left_info = peer.publisher(CameraInfo, "/stereo/left/camera_info")
        self.right_info = peer.publisher(CameraInfo, "/stereo/right/camera_info")
        self.tf = peer.publisher(TFMessage, "/tf")
        self.static = peer.publisher(TFMessage, "/tf_static", profile=qos.replay(static=True))
        self.static.publish(TFMessage(transforms=[transform("base_link", FRAME, 0, T_BASE_CAMERA)]))
        self.left = peer.publisher(Image, "/stereo/left/image_rect")
        self.right = peer.publisher(CompressedImage, "/stereo/right/image_rect/compressed")

    def send(self, left, right, left_info, right_info, count=1):
        for _ in range(count):
            self.step += 1
            stamp_ns = START_NS + self.step * 100_000_000
            self.tf.publish(TFMessage(transforms=[transform("odom", "base_link", stamp_ns, np.eye(4))]))
            self.left_info.publish(self._stamped(left_info, stamp_ns))
            self.right_info.publish(self._stamped(right_info, stamp_ns + 2_000_000))
            height, width = left.shape[:2]
            picture = Image(height=height, width=width, encoding="mono8", step=width)
            picture.data = array.array("B", left[:, :, 0].tobytes())
            packed = CompressedImage(format="jpeg", data=array.array("B", ros_image.encode_jpeg(right)))
            # The right image is the earlier one to arrive, and its stamp differs a little.
            self.right.publish(self._stamped(packed, stamp_ns + 2_000_000))
            self.left.publish(self._stamped(picture, stamp_ns))
            cube = Detection(label="cube", score=0.95, has_box=True, box=cube_box())
            cube.size.x = cube.size.y = cube.size.z = CUBE_M
            found = DetectionArray(image_width=SIZE[0], image_height=SIZE[1], detections=[cube])
            self.detections.publish(self._stamped(found, stamp_ns))

    def _stamped(self, message, stamp_ns):
        message.header.stamp, message.header.frame_id = convert.to_time(stamp_ns), FRAME
        return message


def test_a_stereo_robot_tracks_at_the_right_distance_after_all_that_may_be_wrong(tmp_path, pair):
    left, right, _ = pair
    given = {
        "camera__detections_topic": "/stereo/detections",
        "camera__color_topic": "/stereo/left/image_rect",
        "camera__info_topic": "/stereo/left/camera_info",
        "camera__right_topic": "/stereo/right/image_rect",
    }
    with Graph(tmp_path, "stereo") as graph, Peer("stereo") as peer:
        graph.nodes(sim_time=False, observer=given, memory={"stale_s": 0.0})
        diagnostics = peer.listen(DiagnosticArray, "/diagnostics", qos.diagnostics())
        tracks = peer.tracks()
        robot = StereoRobot(peer)

        def told(text):
            """Waits until the observer's diagnostics say something, anywhere."""

            def found():
                status = [s for m in diagnostics for s in m.status if s.name == "stereo/observer"][-1:]
                return any(text in s.message or any(text in v.key or text in v.value for v in s.values) for s in status)

            wait_until(found, 10, lambda: f"{text!r} in the diagnostics; {graph.output()[-1500:]}")

        sound, sound_right = info(), info(K_RIGHT, BASELINE_M)
        robot.send(left, right, sound, info(K_RIGHT, projection=False))
        told("needs the projection matrix P")
        robot.send(left, right, info(projection=False), info(K_RIGHT))
        told("has no baseline")
        graph.wait_for_output("/stereo/left/camera_info: stereo needs the projection matrix P")
        robot.send(left, right, sound, info(K_RIGHT, BASELINE_M, (640, 480)))
        told("must be alike")
        robot.send(left, right[:120, :160], sound, sound_right)
        told("a right image of 160x120 does not fit")
        assert graph.alive() and not (tracks and tracks[-1].tracks)

        def tracked():
            robot.send(left, right, sound, sound_right, 3)
            return tracks and tracks[-1].tracks and tracks[-1].tracks[0].samples > 8

        wait_until(tracked, 20, lambda: f"a track; {graph.output()[-1500:]}")
        track = tracks[-1].tracks[0]
        position = track.pose.pose.position
        sigma = np.sqrt(np.array(track.pose.covariance).reshape(6, 6)[[0, 1, 2], [0, 1, 2]])
        error = np.array([position.x - 0.2 - MIDDLE_M, position.y, position.z - 1.0])
        assert track.label == "cube" and (np.abs(error) < 2 * sigma).all(), (error, sigma)
        # Noise of this pair: 0.3 px of disparity at 2.5 m are 6 cm, half of which all pixels share.
        assert abs(error[0]) < 0.1 and 0.02 < sigma[0] < 0.2
        answer = peer.ask("how far is the cube from the camera?")
        assert not answer.declined_code and answer.value == pytest.approx(MIDDLE_M, abs=0.1), answer.json
        told("image_rect")


def test_a_right_image_without_a_left_one_is_refused(tmp_path):
    with Graph(tmp_path, "half") as graph:
        process = graph.start("observer", camera__right_topic="/right/image_rect", camera__color_topic="")
        assert process.wait(20) == 1
        assert (
            "camera.color_topic is empty" in graph.output() and "the left image is the colour image" in graph.output()
        )
