"""TF frames as viewers through the real nodes: a frame that is the camera says what the camera says."""

import json
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from ros_helpers import Graph, Peer, document, wait_until
from test_ros_images import transform
from test_ros_robust import FRAME, Robot
from tf2_msgs.msg import TFMessage

from dsr_core.geometry import transforms as tf
from dsr_core.values import FrameObservations
from dsr_ros import convert


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Graph(tmp_path_factory.mktemp("frames"), "frames") as graph:
        graph.nodes(
            sim_time=False,
            observer={"viewer_frames": ["twin_optical", "tool0", "nowhere"]},
            memory={"stale_s": 0.0},
        )
        with Peer("frames") as peer:
            robot, tracks = Robot(peer, images=False), peer.tracks()
            robot.static.publish(TFMessage(transforms=[transform(FRAME, "twin_optical", 0, np.eye(4))]))
            good = robot.pose

            def pose(stamp_ns):
                """The base does not move; the tool goes 2 cm to the left at each step."""
                good(stamp_ns)
                T = tf.make_transform(np.eye(3), np.array([0.0, 0.02 * robot.step, 0.0]))
                robot.tf.publish(TFMessage(transforms=[transform("base_link", "tool0", stamp_ns, T)]))

            robot.pose = pose
            robot.until_tracked(tracks, graph)
            robot.good(30)
            time.sleep(0.5)
            yield peer, graph


def test_the_twin_of_the_camera_answers_as_the_camera_does(world):
    peer, graph = world
    for kind in ("distance", "direction", "speed"):
        found = []
        for who in ("camera", "frame:twin_optical"):
            answer = peer.ask(query={"kind": kind, "subject": "cart", "viewpoint": who, "window": [2, 8]})
            assert not answer.declined_code, (answer.json, graph.output()[-2000:])
            data = document(answer)
            assert data["viewpoint"].pop("agent") == who
            data.pop("answer")
            found.append(data)
        assert found[0]["states"] == found[1]["states"]
        assert found[0]["value"] == pytest.approx(found[1]["value"], abs=1e-6)


def test_a_frame_that_moves_is_asked_about_by_its_name(world):
    peer, _ = world
    answer = wait_until(lambda: peer.ask("is tool0 moving?"), 5)
    assert json.loads(answer.json)["states"][-1]["label"] == "moving", answer.json
    declined = peer.ask(query={"kind": "motion", "subject": "frame:nowhere"})
    assert declined.declined_code == "NO_POSE"
    assert sorted(declined.candidates) == ["frame:tool0", "frame:twin_optical"]


def test_frames_travel_between_the_nodes():
    T = tf.make_transform(tf.R_BODY_OPTICAL, np.array([1.0, 2.0, 3.0]))
    frame = FrameObservations(7, T_world_base=np.eye(4), T_world_frames={"a/b": T, "c": np.eye(4)})
    back = convert.observations_from_message(convert.observations_to_message(frame, "odom"))
    assert back.observations == () and list(back.T_world_frames) == ["a/b", "c"]
    assert np.allclose(back.T_world_frames["a/b"], T, atol=1e-12)
