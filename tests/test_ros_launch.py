"""The launch files by our runner, the command line's client, and the seams where real ROS packages take over."""

import json
import os
import signal
import subprocess
import sys
import types

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from ros_helpers import REPO, Peer, wait_until

from dsr_core.geometry import tf_tree
from dsr_core.geometry import transforms as tf
from dsr_core.sources.bag_writer import BagWriter
from dsr_core.values import Detection, Frame
from dsr_ros import convert, launch_runner, msg, vision
from dsr_ros import tf as tf_seam

START_NS = 5_000_000_000_000


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A cart comes closer to a robot that drives; transforms between the frames, 3D boxes, no images."""
    path = tmp_path_factory.mktemp("launch") / "carts"
    T_base_camera = tf.make_transform(tf.R_BODY_OPTICAL, [0.0, 0.0, 1.0])
    with BagWriter(path, T_base_camera=T_base_camera) as writer:
        for i in range(30):
            T_world_base = tf.make_transform(np.eye(3), [0.1 * i, 0.0, 0.0])
            cart = Detection("cart", 0.9, position_camera_m=np.array([0.0, 0.5, 9.0 - 0.2 * i]), size_lwh_m=np.ones(3))
            writer.write(
                Frame(START_NS + i * 100_000_000, T_world_base @ T_base_camera, T_world_base, detections=(cart,))
            )
    return path


def _run(*arguments):
    command = [sys.executable, "-m", "dsr_ros.launch_runner", *map(str, arguments)]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["dsr", "replay"])
def test_every_argument_is_described(name):
    shown = _run(f"launch/{name}.launch.py", "--show-args")
    assert shown.returncode == 0, shown.stderr
    assert "namespace" in shown.stdout and "use_sim_time" in shown.stdout
    runner = launch_runner.Runner({}, show_only=True)
    launch_runner.install_stand_ins()
    try:
        runner.visit(launch_runner.load(REPO / "launch" / f"{name}.launch.py").entities)
    finally:
        for module in [m for m in sys.modules if m == "launch" or m.startswith(("launch.", "launch_ros"))]:
            del sys.modules[module]
    assert runner.declared and all(description for _, description in runner.declared.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["launch/replay.launch.py"], "bag is required"),
        (["launch/replay.launch.py", "bag"], "name:=value"),
        (["launch/nothing.launch.py"], "no launch file"),
        (["launch/dsr.launch.py", "colour:=red", "autostart:=false"], "no launch argument colour"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    done = _run(*arguments)
    assert done.returncode == 2 and message in done.stderr


def test_a_replay_by_launch_file_is_asked_from_the_command_line(bag, tmp_path):
    log = (tmp_path / "launch.log").open("w+")
    command = [
        sys.executable,
        "-m",
        "dsr_ros.launch_runner",
        "launch/replay.launch.py",
        f"bag:={bag}",
        "rate:=0",
        "namespace:=launched",
    ]
    process = subprocess.Popen(command, cwd=REPO, stdout=log, stderr=subprocess.STDOUT)

    def output():
        return (tmp_path / "launch.log").read_text()

    try:
        wait_until(lambda: "player ended with 0" in output(), 40, output)
        dsr = [sys.executable, "-m", "dsr_core.cli", "ask", "--service", "/launched/ask", "--json", "--timeout", "20"]
        asked = subprocess.run(
            [*dsr, "is the cart getting closer to the robot?"],
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert asked.returncode == 0, asked.stderr + output()
        answer = json.loads(asked.stdout)
        assert answer["states"][-1]["label"] == "decreasing" and answer["motion"]["ego"] == "moving"
        declined = subprocess.run(
            [*dsr, "is the unicorn moving?"], cwd=REPO, capture_output=True, text=True, timeout=60, check=False
        )
        assert declined.returncode == 3 and json.loads(declined.stdout)["declined"]["code"] == "NO_SUCH_OBJECT"
        pids = [int(part.split(":")[0]) for part in output().split("pid ")[1:]]
        assert len(pids) == 3
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, output()
        log.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class _FakeTf2:
    """The part of tf2_ros that the seam uses, on our own buffer."""

    class TransformException(Exception):
        pass

    class LookupException(TransformException):
        pass

    class ConnectivityException(TransformException):
        pass

    class ExtrapolationException(TransformException):
        pass

    class Buffer:
        def __init__(self, cache_time):
            self.buffer, self.lookups = tf_tree.TransformBuffer(cache_time.nanoseconds * 1e-9, 0.0), 0

        def set_transform(self, message, authority, static=False):
            from dsr_core.sources.ros_messages import add_transform

            add_transform(self.buffer, message, static)

        def set_transform_static(self, message, authority):
            self.set_transform(message, authority, True)

        def clear(self):
            self.buffer.clear(static=True)

        def lookup_transform(self, target, source, time):
            self.lookups += 1
            try:
                T = self.buffer.lookup(target, source, time.nanoseconds)
            except tf_tree.TransformBeyond as error:
                raise _FakeTf2.ExtrapolationException(str(error)) from None
            except tf_tree.TransformUnavailable as error:
                raise _FakeTf2.LookupException(str(error)) from None
            pose = convert.to_pose(T)
            return types.SimpleNamespace(
                transform=types.SimpleNamespace(translation=pose.position, rotation=pose.orientation)
            )


def test_tf2_takes_over_where_it_is_installed(monkeypatch):
    assert type(tf_seam.make_buffer("auto", 10.0, 0.1)) is tf_tree.TransformBuffer
    monkeypatch.setitem(sys.modules, "tf2_ros", _FakeTf2)
    assert type(tf_seam.make_buffer("own", 10.0, 0.1)) is tf_tree.TransformBuffer
    theirs, ours = tf_seam.make_buffer("auto", 10.0, 0.1), tf_tree.TransformBuffer(10.0, 0.1)
    turn = tf.yaw_to_quaternion_xyzw(0.3)
    for buffer in (theirs, ours):
        buffer.add("base_link", "camera", 0, [1.0, 0.0, 0.0], turn, static=True)
        for i in range(5):
            buffer.add(
                "odom", "base_link", START_NS + i * 10**8, [0.1 * i, 0.0, 0.0], tf.yaw_to_quaternion_xyzw(0.1 * i)
            )
    for offset_ns in (0, 35_000_000, 400_000_000, 450_000_000, -50_000_000):
        at = START_NS + offset_ns
        assert theirs.lookup("odom", "camera", at) == pytest.approx(ours.lookup("odom", "camera", at), abs=1e-9)
    assert theirs._tf2.lookups >= 5
    for at, kind in (
        (START_NS + 10**9, tf_tree.ExtrapolationIntoFuture),
        (START_NS - 10**9, tf_tree.ExtrapolationIntoPast),
    ):
        with pytest.raises(kind):
            theirs.lookup("odom", "camera", at)
    with pytest.raises(tf_tree.UnknownFrame):
        theirs.lookup("odom", "moon", START_NS)
    theirs.clear()
    assert theirs.lookup("base_link", "camera", START_NS)[0, 3] == pytest.approx(1.0)
    with pytest.raises(tf_tree.TransformUnavailable):
        theirs.lookup("odom", "camera", START_NS)


def test_tracks_go_out_as_vision_msgs_where_that_is_installed(monkeypatch):
    def blank(**fields):
        return lambda: types.SimpleNamespace(**{k: v() if callable(v) else v for k, v in fields.items()})

    module = types.ModuleType("vision_msgs.msg")
    module.Detection3DArray = blank(header=None, detections=list)
    module.ObjectHypothesisWithPose = blank(hypothesis=types.SimpleNamespace, pose=None)
    module.Detection3D = blank(header=None, id="", results=list, bbox=types.SimpleNamespace)
    package = types.ModuleType("vision_msgs")
    package.msg = module
    monkeypatch.setitem(sys.modules, "vision_msgs", package)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", module)
    track = msg.Track(id="7", label="cart", score=0.5)
    track.pose.pose.position.x = 3.0
    out = vision.to_detection3d_array(msg.TrackArray(tracks=[track]))
    (detection,) = out.detections
    assert (detection.id, detection.results[0].hypothesis.class_id, detection.bbox.center.position.x) == (
        "7",
        "cart",
        3.0,
    )


def test_without_vision_msgs_nothing_is_published():
    if vision.message_type("Detection3DArray") is not None:
        pytest.skip("vision_msgs is installed")
    with Peer("no_vision") as peer:
        out = vision.TracksOut(peer.node)
        out.publish(msg.TrackArray())
        out.destroy()
        assert not peer.node.count_publishers("/no_vision/tracks_vision")
