"""The faults of test_faults.py through real nodes: ages and declines of answers, diagnostics' why, and the recovery."""

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from diagnostic_msgs.msg import DiagnosticArray
from ros_helpers import Graph, Peer, wait_until
from sensor_msgs.msg import CameraInfo, Image
from test_faults import CAMERA, FINE, OPTICAL, PLATE_M, T_BASE_CAMERA, robot_x, view
from test_ros_images import transform
from tf2_msgs.msg import TFMessage

from dsr_core.geometry import transforms as tf
from dsr_ros import convert, qos
from dsr_ros.msg import Detection, DetectionArray

STALE_S = 1.5
PERIOD_S = 0.1
#: Relative to the robot, which drives: the cart goes to and fro, the shelf's distance does not change.
THINGS = {
    "cart": lambda s: np.array([robot_x(s) + 4.0 + 0.5 * np.sin(0.5 * s), 0.4, 1.0]),
    "shelf": lambda s: np.array([robot_x(s) + 5.0, -1.2, 1.0]),
}
DISTANCE = "how far is the cart from the robot?"


class LiveRobot:
    """Publishes at 10 Hz, with stamps of now, in a thread of its own, until it is told what to leave out."""

    def __init__(self, peer):
        self.things, self.camera, self.begun_ns = dict(THINGS), CAMERA, time.time_ns()
        self.silent, self.told, self.swapped = frozenset(), CAMERA, False
        self.tf = peer.publisher(TFMessage, "/tf")
        self.static = peer.publisher(TFMessage, "/tf_static", profile=qos.replay(static=True))
        self.static.publish(TFMessage(transforms=[transform("base_link", OPTICAL, 0, T_BASE_CAMERA)]))
        self.info = peer.publisher(CameraInfo, "/faults_robot/camera_info")
        self.detections = peer.publisher(DetectionArray, "/faults_robot/detections")
        self.depth = peer.publisher(Image, "/faults_robot/depth")
        self._held = []
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def seconds(self, stamp_ns):
        return (stamp_ns - self.begun_ns) * 1e-9

    def stop(self):
        self._running = False
        self._thread.join(5.0)

    def _run(self):
        while self._running:
            begun = time.monotonic()
            frame = self._frame(time.time_ns())
            # Of two frames the later one goes first.
            self._held.append(frame)
            if not self.swapped or len(self._held) == 2:
                for send in reversed(self._held):
                    send()
                self._held = []
            time.sleep(max(PERIOD_S - (time.monotonic() - begun), 0.01))

    def _frame(self, stamp_ns):
        s, camera, told = self.seconds(stamp_ns), self.camera, self.told
        depth_m, boxes = view(self.things, s, camera)
        width, height = camera.image_size
        pose = tf.make_transform(np.eye(3), [robot_x(s), 0, 0])
        k = np.ravel(told.K)
        messages = {
            "tf": (self.tf, TFMessage(transforms=[transform("odom", "base_link", stamp_ns, pose)])),
            "info": (self.info, CameraInfo(width=told.image_size[0], height=told.image_size[1], k=k)),
            "depth": (self.depth, Image(height=height, width=width, encoding="32FC1", step=4 * width)),
            "detections": (self.detections, DetectionArray(image_width=width, image_height=height)),
        }
        messages["depth"][1].data.frombytes(depth_m.tobytes())
        for label, box in boxes.items():
            seen = Detection(label=label, score=0.95, has_box=True, box=box)
            messages["detections"][1].detections.append(seen)
        for name in ("info", "depth", "detections"):
            header = messages[name][1].header
            header.stamp, header.frame_id = convert.to_time(stamp_ns), OPTICAL

        def send():
            for name, (publisher, message) in messages.items():
                if name not in self.silent:
                    publisher.publish(message)

        return send


class World:
    """The nodes, the robot, and what they say."""

    def __init__(self, graph, peer):
        self.graph, self.peer = graph, peer
        self.diagnostics = peer.listen(DiagnosticArray, "/diagnostics", qos.diagnostics())
        self.observations = peer.listen(DetectionArray, "observations")
        self.tracks = peer.tracks()
        self.robot = LiveRobot(peer)

    def why(self, node="observer"):
        """The newest line of a node."""
        return next((s.message for m in reversed(self.diagnostics) for s in m.status if s.name == f"faults/{node}"), "")

    def wait_for_why(self, *texts):
        wait_until(
            lambda: all(text in self.why() for text in texts),
            8,
            lambda: f"{texts} in the observer's line, which is {self.why()!r}; {self.graph.output()[-1500:]}",
        )

    def ask(self, question=DISTANCE, **fields):
        return self.peer.ask(question, **fields)

    def age_s(self, answer):
        return convert.from_time(answer.data_age) * 1e-9

    def id(self, label="cart"):
        """The id of the one live track of that name."""
        (track,) = (t for t in self.tracks[-1].tracks if t.label == label)
        return track.id

    def wait_until_well(self):
        """Things are seen, answers are new and right, and nobody complains."""

        count = len(self.observations)
        wait_until(lambda: len(self.observations) >= count + 8, 10, lambda: f"observations to flow; {self.why()}")

        def answers():
            answer = self.ask()
            return answer if not answer.declined_code and self.age_s(answer) < 0.6 else None

        answer = wait_until(answers, 10, lambda: f"an answer about now; {self.ask().json} {self.why()}")
        wait_until(
            lambda: {t.label for t in self.tracks[-1].tracks if t.observed} == set(self.robot.things),
            10,
            lambda: f"tracks of {set(self.robot.things)}; {self.tracks[-1]}",
        )
        at_s = self.robot.seconds(convert.from_time(answer.end))
        truth_m = self.robot.things["cart"](at_s)[0] - robot_x(at_s) + PLATE_M / 2
        assert abs(answer.value - truth_m) < 0.5, (answer.value, truth_m)
        wait_until(lambda: self.why().endswith(" Hz"), 5, lambda: f"a content observer; it says {self.why()!r}")

    @contextmanager
    def fault(self, **change):
        """Changes the robot, and puts it back."""
        before = {name: getattr(self.robot, name) for name in change}
        for name, value in change.items():
            setattr(self.robot, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self.robot, name, value)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    given = {f"camera__{name}_topic": f"/faults_robot/{name}" for name in ("detections", "depth")}
    given |= {"camera__info_topic": "/faults_robot/camera_info", "camera__color_topic": ""}
    with Graph(tmp_path_factory.mktemp("faults"), "faults") as graph, Peer("faults") as peer:
        graph.nodes(sim_time=False, reliability="best_effort", observer=given, memory={"stale_s": STALE_S})
        world = World(graph, peer)
        try:
            wait_until(lambda: world.tracks and world.tracks[-1].tracks, 20, graph.output)
            world.wait_until_well()
            yield world
        finally:
            world.robot.stop()


def test_a_short_silence_of_depth_keeps_the_ids(world):
    ids = {label: world.id(label) for label in THINGS}
    count = len(world.observations)
    with world.fault(silent={"depth"}):
        time.sleep(0.7)
        first = world.ask()
        time.sleep(0.3)
        second = world.ask()
        assert not first.declined_code and not second.declined_code
        assert world.age_s(second) > world.age_s(first) + 0.2 > 0.5
    world.wait_until_well()
    stamps_ns = [convert.from_time(o.header.stamp) for o in world.observations[count - 1 :]]
    gap_s = np.diff(stamps_ns).max() * 1e-9
    assert gap_s > 0.7, "frames without depth went out"
    # A busy machine may have made it longer than a track coasts.
    kept = {label: world.id(label) for label in THINGS} == ids
    assert kept or gap_s > 2.5, gap_s


@pytest.mark.parametrize(
    ("silent", "texts"),
    [
        ({"depth"}, ("nothing has come on /faults_robot/depth", "boxes need depth")),
        ({"tf"}, ("none comes out", "without a pose")),
        ({"detections"}, ("nothing has come on /faults_robot/detections",)),
    ],
)
def test_what_stops_is_named_declined_and_comes_back(world, silent, texts):
    ids = {t.id for t in world.tracks[-1].tracks}
    with world.fault(silent=silent):
        stopped_ns = time.time_ns()
        stale = wait_until(lambda: (a := world.ask()).declined_code and a, 6, "a decline")
        assert stale.declined_code == "STALE_DATA" and "last seen" in stale.declined_message, stale.json
        many = world.ask("how many carts are there?")
        assert many.declined_code, many.json
        world.wait_for_why(*texts)
        # The past is still told, with its age; nothing has been seen since.
        past = world.ask(start_ns=stopped_ns - 1_500_000_000, end_ns=stopped_ns - 300_000_000)
        assert not past.declined_code and world.age_s(past) > STALE_S, past.json
        assert convert.from_time(world.tracks[-1].header.stamp) < stopped_ns + 700_000_000
        assert {t.id for t in world.tracks[-1].tracks} <= ids
        if silent == {"depth"}:
            world.peer.node.destroy_publisher(world.robot.depth)
            world.wait_for_why("no node publishes /faults_robot/depth")
            world.robot.depth = world.peer.publisher(Image, "/faults_robot/depth")
    world.wait_until_well()
    assert world.graph.alive()


def test_a_new_resolution_is_used_from_its_frame_on(world):
    ids = {label: world.id(label) for label in THINGS}
    with world.fault(camera=FINE, told=FINE):
        count = len(world.observations)
        wait_until(
            lambda: [o.image_width for o in world.observations[count:]].count(FINE.image_size[0]) >= 8,
            10,
            lambda: f"observations of the new size; {world.why()}",
        )
        for observed in world.observations[count:]:
            camera = FINE if observed.image_width == FINE.image_size[0] else CAMERA
            s = world.robot.seconds(convert.from_time(observed.header.stamp))
            assert list(observed.k) == camera.K.ravel().tolist()
            for d in observed.detections:
                truth = np.add(THINGS[d.label](s), [PLATE_M / 2, 0, 0])
                place = d.pose.pose.position
                assert np.abs(np.array([place.x, place.y, place.z]) - truth).max() < 0.3, (d.label, camera)
                np.testing.assert_allclose(d.box, view(THINGS, s, camera)[1][d.label], atol=0.01)
        world.wait_until_well()
        assert {label: world.id(label) for label in THINGS} == ids
    world.wait_until_well()
    assert {label: world.id(label) for label in THINGS} == ids


def test_images_of_a_new_size_without_their_calibration_are_not_placed(world):
    with world.fault(camera=FINE):
        time.sleep(0.8)
        count = len(world.observations)
        world.wait_for_why("none comes out", "is not registered to the colour image")
        assert len(world.observations) <= count
        assert world.ask().declined_code == "STALE_DATA"
    world.wait_until_well()


def test_frames_that_swap_corrupt_nothing(world):
    ids = {label: world.id(label) for label in THINGS}
    count = len(world.observations)
    with world.fault(swapped=True):
        world.wait_until_well()
    world.wait_until_well()
    assert {label: world.id(label) for label in THINGS} == ids
    assert "memory cleared" not in world.graph.output()
    for observed in world.observations[count:]:
        s = world.robot.seconds(convert.from_time(observed.header.stamp))
        for d in observed.detections:
            place, truth = d.pose.pose.position, np.add(THINGS[d.label](s), [PLATE_M / 2, 0, 0])
            assert np.abs(np.array([place.x, place.y, place.z]) - truth).max() < 0.3


def test_a_class_never_seen_is_tracked_and_asked_by_its_name(world):
    assert world.ask("is the zorblatt moving?").declined_code == "NO_SUCH_OBJECT"
    things = THINGS | {"zorblatt": lambda s: np.array([robot_x(s) + 3.0, 0.9 * np.sin(1.2 * s), 1.8])}
    with world.fault(things=things):
        world.wait_until_well()
        answer = world.ask("how far is the zorblatt from the robot?")
        assert not answer.declined_code and list(answer.track_ids) == [world.id("zorblatt")], answer.json
    answer = wait_until(
        lambda: (a := world.ask("how far is the zorblatt from the robot?")).declined_code and a, 6, "a decline"
    )
    assert answer.declined_code == "STALE_DATA" and "zorblatt" in answer.declined_message
    world.wait_until_well()
