"""Whatever comes in, the nodes stay up, say what is wrong and keep answering."""

import json
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from ros_helpers import Graph, Peer, document, wait_until
from sensor_msgs.msg import CameraInfo, Image
from test_ros_images import HEIGHT, T_BASE_CAMERA, WIDTH, camera_info, packed_raw, picture, transform
from tf2_msgs.msg import TFMessage

from dsr_ros import convert, doctor, qos
from dsr_ros.client import AskClient, AskError, ask_service
from dsr_ros.msg import Detection, DetectionArray

START_NS = 3_000_000_000_000
FRAME = "camera_optical_frame"


class Robot:
    """Publishes what an RGB-D robot publishes on the default topics, whole or broken."""

    def __init__(self, peer, detections="/detections", images=True, observers=1):
        self.peer, self.step = peer, 0
        self.detections = peer.publisher(DetectionArray, detections)
        self.tf = peer.publisher(TFMessage, "/tf", subscribers=observers)
        self.static = peer.publisher(TFMessage, "/tf_static", observers, qos.replay(static=True))
        self.static.publish(TFMessage(transforms=[transform("base_link", FRAME, 0, T_BASE_CAMERA)]))
        if images:
            self.info = peer.publisher(CameraInfo, "/camera/color/camera_info")
            self.depth = peer.publisher(Image, "/camera/depth/image_raw")

    def header(self, message, stamp_ns, frame=FRAME):
        message.header.stamp, message.header.frame_id = convert.to_time(stamp_ns), frame
        return message

    def stamp(self):
        self.step += 1
        return START_NS + self.step * 100_000_000

    def pose(self, stamp_ns):
        self.tf.publish(TFMessage(transforms=[transform("odom", "base_link", stamp_ns, np.eye(4))]))

    def cart(self, z_m=None):
        d = Detection(label="cart", score=0.9, has_box3d=True)
        d.pose.pose.position.z = 60.0 - 0.25 * self.step if z_m is None else z_m
        return d

    def good(self, count=10):
        """Whole frames with a cart that comes closer."""
        for _ in range(count):
            stamp = self.stamp()
            self.pose(stamp)
            self.detections.publish(self.header(DetectionArray(detections=[self.cart()]), stamp))
            time.sleep(0.02)

    def until_tracked(self, tracks, graph):
        """Frames until the first track: which of the first ones arrive depends on discovery."""

        def more():
            self.good(5)
            return tracks and tracks[-1].tracks

        wait_until(more, 20, lambda: f"a track; {graph.output()}")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    with Graph(tmp_path_factory.mktemp("robust"), "robust") as graph:
        # The stamps are of another time than the clock's: answers are asked with windows, or stale_s is off.
        graph.nodes(sim_time=False, memory={"stale_s": 0.0, "max_history_samples": 20})
        yield graph


@pytest.fixture(scope="module")
def peer(graph):
    with Peer("robust") as peer:
        yield peer


@pytest.fixture(scope="module")
def robot(graph, peer):
    robot = Robot(peer)
    tracks = peer.tracks()
    robot.until_tracked(tracks, graph)
    return robot


def closer(peer):
    return peer.ask("is the cart getting closer to the robot?")


def still_answers(graph, peer, robot):
    """After whatever happened: new frames are taken and the service answers about them."""
    tracks = peer.received["tracks"]
    stamp = START_NS + (robot.step + 10) * 100_000_000
    robot.good(10)
    wait_until(
        lambda: convert.from_time(tracks[-1].header.stamp) >= stamp, 15, lambda: f"new tracks; {graph.output()[-1500:]}"
    )
    answer = closer(peer)
    assert not answer.declined_code and answer.states[-1].label == "decreasing", answer.json
    assert graph.alive()


def test_it_answers(graph, peer, robot):
    still_answers(graph, peer, robot)


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"question": ""}, {"BAD_REQUEST", "NOT_UNDERSTOOD"}),
        ({"question": " \n"}, {"BAD_REQUEST", "NOT_UNDERSTOOD"}),
        ({"question": "is the cart " * 900}, {"BAD_REQUEST", "NOT_UNDERSTOOD"}),
        ({"question": "\u202e\x07 ☃ DROP TABLE"}, {"NOT_UNDERSTOOD"}),
        ({"query": "{not json"}, {"BAD_REQUEST"}),
        ({"query": "[1, 2]"}, {"BAD_REQUEST"}),
        ({"query": "[" * 3999}, {"BAD_REQUEST"}),
        ({"query": {"kind": "distance"}}, {"BAD_REQUEST"}),
        ({"query": {"kind": "colour", "subject": "cart"}}, {"BAD_REQUEST"}),
        ({"query": {"kind": "distance", "subject": "cart", "object": "robot", "window": ["a", 2]}}, {"BAD_REQUEST"}),
        ({"query": {"kind": "distance", "subject": "unicorn", "object": "robot"}}, {"NO_SUCH_OBJECT"}),
        ({"question": "is the unicorn getting closer to the robot?"}, {"NO_SUCH_OBJECT"}),
        ({"question": "is the cart moving?", "rules": "guess"}, {"BAD_REQUEST"}),
        ({"question": "is the cart moving?", "backend": "vlm"}, {"BACKEND_UNAVAILABLE"}),
        ({"question": "is the cart moving?", "backend": "oracle"}, {"BAD_REQUEST"}),
        ({"question": "is the cart moving?", "viewpoint": "nobody"}, {"NO_SUCH_OBJECT"}),
        ({"question": "is the cart moving?", "start_ns": START_NS + 10**12, "end_ns": START_NS}, {"BAD_WINDOW"}),
        ({"question": "is the cart moving?", "start_ns": 1, "end_ns": 2}, {"BAD_WINDOW", "NOT_OBSERVED"}),
    ],
)
def test_absurd_questions_are_declined(graph, peer, robot, fields, codes):
    answer = peer.ask(**fields)
    assert answer.declined_code in codes, answer.json
    assert answer.declined_message and json.loads(answer.json)["declined"]["code"] == answer.declined_code
    assert not closer(peer).declined_code


def test_bad_detections_cost_only_themselves(graph, peer, robot):
    def publish(message):
        robot.detections.publish(message)

    stamp = robot.stamp()
    robot.pose(stamp)
    publish(robot.header(DetectionArray(detections=[robot.cart()]), 0))
    publish(robot.header(DetectionArray(detections=[robot.cart()]), stamp, frame=""))
    nan = robot.cart(float("nan"))
    publish(robot.header(DetectionArray(detections=[nan, robot.cart()]), stamp))
    wrong = robot.header(DetectionArray(), stamp)
    wrong.header.stamp.nanosec = 4_000_000_000
    publish(wrong)
    publish(robot.header(DetectionArray(detections=[robot.cart()]), robot.stamp(), frame="no_such_frame"))
    mask = Detection(label="cart", score=0.5, mask=Image(width=9, height=9, encoding="mono8", step=9), mask_x=3)
    publish(robot.header(DetectionArray(detections=[mask], image_width=4, image_height=4), robot.stamp()))
    for text in ("stamp zero", "empty header.frame_id", "without a finite box", "is no time"):
        graph.wait_for_output(text)
    still_answers(graph, peer, robot)


def test_bad_images_are_named_and_survived(graph, peer, robot):
    box = Detection(label="box", score=0.9, has_box=True, box=picture(0.0)[1])

    def frame(depth, info=None):
        stamp = robot.stamp()
        robot.pose(stamp)
        if info is not None:
            robot.info.publish(robot.header(info, stamp))
        robot.depth.publish(robot.header(depth, stamp))
        robot.detections.publish(
            robot.header(DetectionArray(detections=[box], image_width=WIDTH, image_height=HEIGHT), stamp)
        )

    depth = picture(0.0)[0]
    whole = packed_raw(depth, "16UC1")
    frame(whole, CameraInfo(width=WIDTH, height=HEIGHT))
    graph.wait_for_output("not calibrated")
    strange = packed_raw(depth, "16UC1")
    strange.encoding = "yuv_of_mars"
    frame(strange, camera_info())
    graph.wait_for_output("'yuv_of_mars' is not known")
    short = packed_raw(depth, "16UC1")
    short.data = short.data[:100]
    frame(short)
    graph.wait_for_output("the driver fills the message wrongly")
    frame(packed_raw(np.full((HEIGHT, WIDTH), np.nan, np.float32), "32FC1"))
    graph.wait_for_output("detections left out")
    empty = Image(encoding="16UC1")
    frame(empty)
    still_answers(graph, peer, robot)


def test_bad_transforms_are_survived(graph, peer, robot):
    wrong = transform("odom", "base_link", robot.stamp(), np.eye(4))
    wrong.transform.rotation.w = 0.0
    nan = transform("odom", "base_link", robot.stamp(), np.eye(4))
    nan.transform.translation.x = float("nan")
    circle = transform(FRAME, "odom_of_another", robot.stamp(), np.eye(4))
    robot.tf.publish(TFMessage(transforms=[wrong, nan, circle, transform("odom", "base_link", 0, np.eye(4))]))
    still_answers(graph, peer, robot)


def test_histories_are_bounded(graph, peer, robot):
    from dsr_ros.srv import GetTracks

    still_answers(graph, peer, robot)
    robot.good(15)
    still_answers(graph, peer, robot)
    response = peer.call(GetTracks, "get_tracks", GetTracks.Request())
    assert not response.success and "at most 20" in response.message


def test_parameters_are_described_and_checked(graph, peer, robot):
    described = peer.call(
        DescribeParameters, "memory/describe_parameters", DescribeParameters.Request(names=["stale_s", "memory_s"])
    )
    assert all(d.description and d.floating_point_range for d in described.descriptors)
    rules = peer.call(
        DescribeParameters, "memory/describe_parameters", DescribeParameters.Request(names=["rules.sigmas"])
    )
    assert "this many sigma" in rules.descriptors[0].description

    def set_(name, value):
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        return peer.call(SetParameters, "memory/set_parameters", request).results[0]

    number = ParameterType.PARAMETER_DOUBLE
    assert not set_("stale_s", ParameterValue(type=number, double_value=-1.0)).successful
    assert set_("stale_s", ParameterValue(type=number, double_value=5.0)).successful
    try:
        # The stamps lie decades behind the node's clock.
        stale = closer(peer)
        assert stale.declined_code == "STALE_DATA", stale.json
        window = {"start_ns": START_NS + 10**8, "end_ns": START_NS + 10**9}
        assert peer.ask("is the cart getting closer to the robot?", **window).declined_code != "STALE_DATA"
    finally:
        assert set_("stale_s", ParameterValue(type=number, double_value=0.0)).successful
    assert not closer(peer).declined_code


def test_stamps_that_jump_back_clear_the_memory(graph, peer, robot):
    robot.step = 0
    robot.good(12)
    graph.wait_for_output("memory cleared: stamps jumped back")
    robot.step = 12
    still_answers(graph, peer, robot)
    assert document(closer(peer))["evidence"]["window"][1] < 3.0


def test_the_client_gives_up_in_time():
    with AskClient("/nowhere/ask") as client, pytest.raises(AskError, match="/nowhere/ask"):
        client.ask("is it moving?", timeout_s=0.5)
    answer = ask_service("/nowhere/ask", "is it moving?", timeout_s=0.5)
    assert answer["declined"]["code"] == "TIMEOUT" and "/nowhere/ask" in answer["answer"]


def _state(peer, node):
    return peer.call(GetState, f"{node}/get_state", GetState.Request()).current_state.id


def _change(peer, node, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return peer.call(ChangeState, f"{node}/change_state", request).success


def test_a_lifecycle_manager_can_drive_the_nodes(tmp_path):
    with Graph(tmp_path, "managed") as graph, Peer("managed") as peer:
        graph.nodes(
            sim_time=False,
            observer={"autostart": False, "camera__detections_topic": "/managed_detections"},
            memory={"autostart": False, "stale_s": 0.0},
        )
        for node in ("observer", "memory"):
            assert _state(peer, node) == State.PRIMARY_STATE_UNCONFIGURED
            assert not _change(peer, node, Transition.TRANSITION_ACTIVATE)
            assert _change(peer, node, Transition.TRANSITION_CONFIGURE)
            assert _state(peer, node) == State.PRIMARY_STATE_INACTIVE
            assert _change(peer, node, Transition.TRANSITION_ACTIVATE)
            assert _state(peer, node) == State.PRIMARY_STATE_ACTIVE
        tracks = peer.tracks()
        robot = Robot(peer, "/managed_detections", images=False)
        robot.until_tracked(tracks, graph)
        assert not closer(peer).declined_code
        for node in ("observer", "memory"):
            assert _change(peer, node, Transition.TRANSITION_DEACTIVATE)
        assert not peer.node.get_publishers_info_by_topic("/managed/observations") or wait_until(
            lambda: not peer.node.count_publishers("/managed/observations"), 5
        )
        # Deactivated and activated again, the memory is as it was; cleaned up, it is empty.
        assert _change(peer, "memory", Transition.TRANSITION_ACTIVATE)
        assert not closer(peer).declined_code
        assert _change(peer, "memory", Transition.TRANSITION_DEACTIVATE)
        assert _change(peer, "memory", Transition.TRANSITION_CLEANUP)
        assert _change(peer, "memory", Transition.TRANSITION_CONFIGURE)
        assert _change(peer, "memory", Transition.TRANSITION_ACTIVATE)
        assert closer(peer).declined_code == "NOT_OBSERVED"
        for node, transition in (
            ("observer", Transition.TRANSITION_INACTIVE_SHUTDOWN),
            ("memory", Transition.TRANSITION_ACTIVE_SHUTDOWN),
        ):
            assert _change(peer, node, transition)
            assert _state(peer, node) == State.PRIMARY_STATE_FINALIZED
        assert "Traceback" not in graph.output()


def test_a_wrong_parameter_is_refused_with_its_value(tmp_path):
    with Graph(tmp_path, "wrong") as graph:
        process = graph.start("observer", reliability="psychic")
        assert process.wait(20) == 1
        assert "psychic" in graph.output() and "best_effort" in graph.output()


def test_a_wrong_constant_of_the_rules_is_refused_with_its_value(tmp_path):
    with Graph(tmp_path, "strict") as graph:
        process = graph.start("memory", **{"rules.fraction": -0.1})
        assert process.wait(20) == 1
        assert "fraction = -0.1 must be a positive number" in graph.output()


def test_two_robots_in_one_graph_and_the_doctor(tmp_path):
    """Each robot has its own detections; their answers differ. The doctor sees both, and what the third lacks."""
    with Graph(tmp_path) as graph, Peer("red") as red, Peer("blue") as blue:
        for name in ("red", "blue"):
            graph.nodes(
                name,
                sim_time=False,
                observer={"camera__detections_topic": f"/{name}/detections"},
                memory={"stale_s": 0.0},
            )
        graph.start("observer", namespace="green", camera__detections_topic="/green/detections")
        for peer, direction in ((red, -1), (blue, 1)):
            tracks = peer.tracks()
            robot = Robot(peer, "detections", images=False, observers=3)
            robot.cart = lambda robot=robot, direction=direction: _moving_cart(20.0 + direction * 0.1 * robot.step)
            robot.until_tracked(tracks, graph)
            robot.good(15)
            wait_until(
                lambda tracks=tracks: tracks and tracks[-1].tracks and tracks[-1].tracks[0].samples > 12,
                15,
                graph.output,
            )
        assert closer(red).states[-1].label == "decreasing"
        assert closer(blue).states[-1].label == "increasing"
        found = {check["name"]: check for check in doctor.checks(4.0)}
        assert "/red/observer" in found, found
        assert found["/red/observer"]["detail"] and {"/blue/memory", "/green/observer"} <= set(found)
        assert not found["/green/observer"]["ok"] and "/green/detections" in found["/green/observer"]["detail"]
        assert "no node publishes" in found["/green/observer"]["detail"]


def _moving_cart(z_m):
    d = Detection(label="cart", score=0.9, has_box3d=True)
    d.pose.pose.position.z = z_m
    return d
