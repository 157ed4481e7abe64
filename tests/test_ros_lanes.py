"""Networks on the robot: frames pass lanes of their own, the slow one corrects the memory, and nothing ends a node."""

import itertools
import threading
import time
import weakref
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from ros_helpers import Peer, wait_until
from sensor_msgs.msg import CameraInfo, Image
from test_ros_images import HEIGHT, T_BASE_CAMERA, WIDTH, camera_info, packed_raw, picture, transform
from tf2_msgs.msg import TFMessage

from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception.bearing import on_ray
from dsr_core.values import Detection
from dsr_ros import camera_lanes, convert, image, qos
from dsr_ros.memory import MemoryNode
from dsr_ros.msg import Detection as DetectionMessage
from dsr_ros.msg import DetectionArray
from dsr_ros.observer import ObserverNode

START_NS = 7_000_000_000_000
FRAME = "camera_optical_frame"
STEP_NS = 50_000_000


class Network:
    """Stands in for a loaded perception: says what the test wants it to say."""

    def __init__(self, config, say=None, takes_s=0.0):
        self.config, self.counts, self.missing = config, Counter(), ""
        self.detects, self.adds_depth = config.detector != "external", config.depth != "sensor"
        self.say, self.takes_s = say or (lambda frame: frame), takes_s
        self.go = threading.Event()
        self.go.set()
        self.steps, self.resets = [], 0

    def step(self, frame):
        self.steps.append(frame)
        time.sleep(self.takes_s)
        assert self.go.wait(10)
        return self.say(frame)

    def reset(self):
        self.resets += 1

    def lift_config(self, base):
        return base


@pytest.fixture
def networks(monkeypatch):
    """Makes `load` give what the test puts in: detector's name -> arguments of a Network."""
    wanted, loaded = {}, {}

    def load(config):
        loaded[config.detector] = Network(config, **wanted.get(config.detector, {}))
        return loaded[config.detector]

    monkeypatch.setattr(camera_lanes, "load", load)
    return wanted, loaded


@pytest.fixture
def peer(request):
    with Peer("lanes_" + request.node.name.split("[")[0][-24:]) as peer:
        yield peer


def box_at(x_m, z_m=2.0):
    return picture(x_m, z_m)[1]


def sees(label, box):
    """A detector that finds one thing in every frame."""
    return lambda frame: replace(frame, detections=(Detection(label, 0.9, box_px=box),))


class Rig:
    """Publishes what a robot with an RGB-D camera publishes, to topics of its own."""

    def __init__(self, peer, prefix=None, subscribers=1, detections=False, info=True):
        self.peer, self.number = peer, itertools.count()
        self.prefix = prefix or f"/{peer.namespace}_rig"
        self.color = self.depth = None
        self.info = peer.publisher(CameraInfo, f"{self.prefix}/info") if info else None
        self.detections = peer.publisher(DetectionArray, f"{self.prefix}/detections") if detections else None
        self.tf = peer.publisher(TFMessage, "/tf", subscribers)
        self.static = peer.publisher(TFMessage, "/tf_static", subscribers, qos.replay(static=True))
        self.static.publish(TFMessage(transforms=[transform("base_link", FRAME, 0, T_BASE_CAMERA)]))

    @staticmethod
    def topics(peer, camera="camera", prefix=None):
        prefix = prefix or f"/{peer.namespace}_rig"
        names = {"detections_topic": "detections", "color_topic": "color", "depth_topic": "depth", "info_topic": "info"}
        return {f"{camera}__{k}": f"{prefix}/{v}" for k, v in names.items()}

    def images(self, depth=True):
        self.color = self.peer.publisher(Image, f"{self.prefix}/color")
        if depth:
            self.depth = self.peer.publisher(Image, f"{self.prefix}/depth")
        return self

    def header(self, message, stamp_ns):
        message.header.stamp, message.header.frame_id = convert.to_time(stamp_ns), FRAME
        return message

    def send(self, rgb=None, depth=None, stamp_ns=None, box=None, label="thing", pose=True, info=None):
        """One frame; returns its stamp."""
        stamp_ns = START_NS + next(self.number) * STEP_NS if stamp_ns is None else stamp_ns
        if pose:
            self.tf.publish(TFMessage(transforms=[transform("odom", "base_link", stamp_ns, np.eye(4))]))
        if self.info is not None:
            self.info.publish(self.header(info or camera_info(), stamp_ns))
        if self.depth is not None:
            depth = picture(0.0)[0] if depth is None else depth
            message = packed_raw(depth, "32FC1") if depth.shape == (HEIGHT, WIDTH) else image.fill(
                Image(), depth, "32FC1"
            )  # fmt: skip
            self.depth.publish(self.header(message, stamp_ns))
        if self.detections is not None:
            message = DetectionArray(image_width=WIDTH, image_height=HEIGHT)
            if box is not None:
                message.detections = [DetectionMessage(label=label, score=0.9, has_box=True, box=box)]
            self.detections.publish(self.header(message, stamp_ns))
        if self.color is not None:
            rgb = np.full((HEIGHT, WIDTH, 3), 90, np.uint8) if rgb is None else rgb
            self.color.publish(self.header(image.fill(Image(), rgb, "rgb8"), stamp_ns))
        return stamp_ns


def labels(message):
    return [d.label for d in message.detections]


def stamps(messages):
    return [convert.from_time(m.header.stamp) for m in messages]


# -- one fast lane ---------------------------------------------------------------------------------------------------


def test_a_detector_of_ours_makes_frames_of_the_colour_images(peer, networks):
    wanted, loaded = networks
    wanted["embedded"] = {"say": sees("plate", box_at(0.4))}
    observer = peer.add(ObserverNode, reliability="reliable", camera__detector="embedded", **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer).images()
    assert not peer.node.get_subscriptions_info_by_topic(f"{rig.prefix}/detections")
    sent = [rig.send(depth=picture(0.4)[0]) for _ in range(30)]
    wait_until(lambda: len(seen) == 30, 10, lambda: f"30 frames; {len(seen)}, {dict(observer.counts)}")
    assert stamps(seen) == sent and all(labels(m) == ["plate"] for m in seen)
    p = seen[-1].detections[0].pose.pose.position
    assert (p.x, p.y) == pytest.approx((2.46, -0.45), abs=0.06), "placed by depth, seen from 0.2 m before the robot"
    state = observer.status()[2]
    assert state["camera embedded processed"] == 30 and state["camera embedded shed"] == 0
    assert state["camera embedded rate (Hz)"] > 0 and state["camera embedded last error"] == "-"
    # what `dsr doctor` takes for needed
    assert state["camera topic color, for detections"] == f"{rig.prefix}/color"
    assert "camera topic detections" not in state
    assert not peer.node.get_publishers_info_by_topic(peer.name("late_observations"))
    assert loaded["embedded"].steps[0].rgb.shape == (HEIGHT, WIDTH, 3)


def test_frames_that_the_network_has_no_time_for_are_shed_and_counted(peer, networks):
    wanted, _ = networks
    wanted["embedded"] = {"say": sees("plate", box_at(0.0)), "takes_s": 0.15}
    observer = peer.add(ObserverNode, camera__detector="embedded", queue=100, **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer).images()
    for _ in range(60):
        rig.send()
        time.sleep(0.02)
    lane = observer.lanes["camera"].fast
    wait_until(lambda: seen and not lane.occupied, 10)
    wait_until(lambda: len(seen) == lane.processed, 10)
    assert 3 <= lane.processed <= 30 and lane.shed >= 20 and stamps(seen) == sorted(stamps(seen))
    newest = START_NS + 59 * STEP_NS
    assert newest - stamps(seen)[-1] <= 20 * STEP_NS, "the newest frames are the ones that are looked at"
    assert observer.status()[2]["camera embedded shed"] == lane.shed


def test_an_error_of_a_network_costs_one_frame_and_is_told(peer, networks):
    wanted, loaded = networks

    def say(frame):
        number = (frame.stamp_ns - START_NS) // STEP_NS
        if number == 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        if number == 5:
            # As a real perception does it: nothing found for want of a detector is counted, and no word on the world.
            loaded["embedded"].counts["detections failed: RuntimeError: device lost"] += 1
            return replace(frame, detections=())
        return sees("plate", box_at(0.0))(frame)

    wanted["embedded"] = {"say": say}
    observer = peer.add(ObserverNode, reliability="reliable", camera__detector="embedded", **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer).images()
    sent = [rig.send() for _ in range(8)]
    wait_until(lambda: len(seen) == 6, 10, lambda: f"6 frames; {len(seen)}, {dict(observer.counts)}")
    assert stamps(seen) == [s for i, s in enumerate(sent) if i not in (3, 5)]
    assert observer.counts["camera embedded: frames that failed"] == 1
    assert observer.counts["camera embedded: detections failed: RuntimeError: device lost"] == 1
    assert "CUDA out of memory" in observer.status()[2]["camera embedded last error"]
    assert observer.why_nothing() == ""
    observer.count("a warning")
    observer.count("an error", log="error")


def test_every_frame_fails_is_the_reason_why_nothing_comes(peer, networks):
    wanted, _ = networks

    def fail(frame):
        raise RuntimeError("no kernel image is available")

    wanted["embedded"] = {"say": fail}
    observer = peer.add(ObserverNode, reliability="reliable", camera__detector="embedded", **Rig.topics(peer))
    told = peer.listen(DiagnosticArray, "/diagnostics", qos.diagnostics())
    assert "embedded detector: no colour image on" in observer.why_nothing()
    rig = Rig(peer).images()
    rig.send()
    rig.send()
    wait_until(lambda: "no kernel image" in observer.why_nothing(), 10, observer.why_nothing)
    name = f"{peer.namespace}/observer"
    wait_until(lambda: any("no kernel image" in s.message for m in told for s in m.status if s.name == name), 10)


def test_a_jump_of_the_clock_begins_anew(peer, networks):
    wanted, loaded = networks
    wanted["embedded"] = {"say": sees("plate", box_at(0.0))}
    observer = peer.add(ObserverNode, reliability="reliable", camera__detector="embedded", **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer).images()
    late = START_NS + 100 * 1_000_000_000
    rig.send(stamp_ns=late)
    wait_until(lambda: len(seen) == 1, 10, lambda: f"a frame; {dict(observer.counts)}")
    network = loaded["embedded"]
    network.go.clear()
    for i in range(1, 4):
        rig.send(stamp_ns=late + i * STEP_NS)
    wait_until(lambda: len(network.steps) == 2, 10)
    again = [rig.send() for _ in range(3)]
    # frames go in once their transforms have come; then what was at work and what waited is of another time
    wait_until(lambda: observer.lanes["camera"].fast.generation > 0, 10)
    network.go.set()
    wait_until(lambda: len(seen) == 4, 10, lambda: f"3 more; {stamps(seen)}, {dict(observer.counts)}")
    assert stamps(seen) == [late, *again] and network.resets == 2


def test_the_nodes_clock_may_tell_of_a_jump_first(peer, networks):
    wanted, loaded = networks
    wanted["embedded"] = {"say": sees("plate", box_at(0.0))}
    observer = peer.add(ObserverNode, reliability="reliable", camera__detector="embedded", **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer).images()
    loaded["embedded"].go.clear()
    rig.send(stamp_ns=START_NS + 50 * 1_000_000_000)
    wait_until(lambda: loaded["embedded"].steps, 10)
    lane = observer.lanes["camera"].fast
    observer.clock_jumped_back(START_NS + 60 * 1_000_000_000)
    observer.clock_jumped_back(START_NS)
    wait_until(lambda: lane.generation == 1, 10)
    loaded["embedded"].go.set()
    wait_until(lambda: not lane.occupied, 10)
    first = rig.send()
    wait_until(lambda: seen, 10, lambda: dict(observer.counts))
    assert stamps(seen) == [first] and loaded["embedded"].resets == 2 and lane.generation == 1


def test_a_node_stops_in_time_while_a_network_is_at_work(peer, networks):
    wanted, loaded = networks
    wanted["embedded"] = {"say": sees("plate", box_at(0.0))}
    observer = peer.add(ObserverNode, reliability="reliable", camera__detector="embedded", **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer).images()
    network = loaded["embedded"]
    network.go.clear()
    for _ in range(30):  # more than the lane has room for: the worker waits with them
        rig.send()
    wait_until(lambda: network.steps, 10)
    begun = time.monotonic()
    assert observer.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert time.monotonic() - begun < 15 and not seen
    assert observer.trigger_activate() == TransitionCallbackReturn.SUCCESS
    network.go.set()
    wait_until(lambda: peer.node.count_subscribers(f"{rig.prefix}/color"), 10)
    rig.number = itertools.count(1000)
    wait_until(lambda: rig.send() and time.sleep(0.05) is None and seen, 10, lambda: dict(observer.counts))
    assert stamps(seen)[0] >= START_NS + 1000 * STEP_NS
    loaded.clear()
    gone = weakref.ref(network)
    network = None
    assert observer.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert observer.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert gone() is None, "a network that nobody runs takes no memory"


# -- the slow lane ---------------------------------------------------------------------------------------------------


def test_a_slow_network_does_not_hold_the_fast_one_back(peer, networks):
    wanted, loaded = networks
    wanted["embedded"] = {"say": sees("thing", box_at(0.0))}
    wanted["sam3"] = {"say": sees("forklift", box_at(0.0))}
    settings = {"camera__detector": "embedded", "camera__slow__detector": "sam3", "camera__slow__names": ["forklift"]}
    observer = peer.add(ObserverNode, queue=100, **settings, **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    late = peer.listen(DetectionArray, "late_observations")
    rig = Rig(peer).images()
    loaded["sam3"].go.clear()

    def many():
        rig.send()
        time.sleep(0.02)
        return len(seen) >= 40

    wait_until(many, 30, lambda: f"40 frames; {len(seen)}, {dict(observer.counts)}")
    slow = observer.lanes["camera"].slow
    assert len(loaded["sam3"].steps) == 1 and slow.processed == 0 and slow.shed >= 20, "it is at its first frame still"
    assert "at work on one frame" not in observer.why_nothing()
    loaded["sam3"].go.set()
    wait_until(lambda: len(late) == 2, 10)
    assert all(labels(m) == ["forklift"] for m in late) and set(stamps(late)) <= set(stamps(seen))
    assert stamps(late)[0] <= stamps(seen)[5] and stamps(late)[1] >= stamps(seen)[35], "then the newest one"
    assert all(m.header.frame_id == "odom" and m.has_camera_pose and m.detections[0].has_box for m in late)
    assert all(frame.detections == () and frame.depth_m is not None for frame in loaded["sam3"].steps)
    state = observer.status()[2]
    assert state["camera slow sam3 processed"] == 2 and state["camera slow sam3 shed"] == slow.shed


def test_the_slow_lane_keeps_its_period_and_gets_external_detections(peer, networks):
    """Detections from outside, and depth that only a slow network makes: boxes are placed late."""
    wanted, loaded = networks
    depth = picture(0.4)[0]
    wanted["external"] = {"say": lambda frame: replace(frame, depth_m=depth)}
    settings = {"camera__slow__depth_source": "pi3", "camera__slow__period_s": 0.25}
    topics = Rig.topics(peer) | {"camera__depth_topic": ""}
    observer = peer.add(ObserverNode, reliability="reliable", **settings, **topics)
    seen = peer.listen(DetectionArray, "observations")
    late = peer.listen(DetectionArray, "late_observations")
    rig = Rig(peer, detections=True).images(depth=False)
    wait_until(lambda: "rgb" in observer.cameras[0].assembler.paired, 10)
    for _ in range(21):
        rig.send(box=box_at(0.4), label="cart")
    wait_until(lambda: len(seen) == 21 and len(late) == 5, 10, lambda: f"{len(seen)} {len(late)} {observer.counts}")
    assert observer.lanes["camera"].fast is None and not any(m.detections for m in seen)
    assert np.diff(stamps(late)).tolist() == [5 * STEP_NS] * 4
    p = late[-1].detections[0].pose.pose.position
    assert labels(late[-1]) == ["cart"] and (p.x, p.y) == pytest.approx((2.46, -0.45), abs=0.06)
    assert all(frame.rgb is not None and frame.depth_m is None for frame in loaded["external"].steps)


def test_late_observations_correct_the_memory(peer, networks):
    wanted, _ = networks
    wanted["sam3"] = {"say": sees("forklift", box_at(0.4)), "takes_s": 0.2}
    settings = {"camera__slow__detector": "sam3", "camera__slow__names": ["forklift"]}
    memory = peer.add(MemoryNode, stale_s=0.0)
    observer = peer.add(ObserverNode, queue=100, **settings, **Rig.topics(peer))
    tracks = peer.tracks()
    rig = Rig(peer, detections=True).images()
    depth, box = picture(0.4)
    late = peer.listen(DetectionArray, "late_observations")

    def renamed():
        rig.send(depth=depth, box=box, label="thing")
        time.sleep(0.03)
        return tracks and [t.label for t in tracks[-1].tracks] == ["forklift"]

    wait_until(renamed, 20, lambda: f"a forklift; {memory.status()[2]}, {dict(observer.counts)}")
    ids = {t.id for m in tracks for t in m.tracks}
    assert len(ids) == 1, "it is the same thing, by another name"
    assert memory.late >= 1 and memory.status()[2]["late corrections"] == memory.late
    # what is too old, too new or of another world is counted, and changes nothing
    template = late[-1]
    publisher = peer.publisher(DetectionArray, "late_observations")
    newest = memory.model.newest_ns
    for stamp, frame in ((newest - 3600 * 10**9, "odom"), (newest + 60 * 10**9, "odom"), (newest, "moon")):
        template.header.stamp, template.header.frame_id = convert.to_time(stamp), frame
        before = memory.counts["late observations that cannot be used (too old, or of another world)"]
        publisher.publish(template)
        wait_until(
            lambda before=before: (
                memory.counts["late observations that cannot be used (too old, or of another world)"] > before
            )
        )
    assert "moon" in memory.status()[2]["last late observations left out"]
    assert [t.label for t in memory.model.tracks()] == ["forklift"]


def test_a_late_observation_may_come_before_its_frame(peer):
    memory = peer.add(MemoryNode, stale_s=0.0)
    frames = peer.publisher(DetectionArray, "observations")
    late = peer.publisher(DetectionArray, "late_observations")

    def message(stamp_ns, label):
        out = DetectionArray(detections=[DetectionMessage(label=label, score=0.9, has_box3d=True)])
        out.header.stamp, out.header.frame_id = convert.to_time(stamp_ns), "odom"
        out.detections[0].pose.pose.position.x = 4.0
        out.detections[0].pose.covariance[[0, 7, 14]] = 0.01
        return out

    for i in range(10):
        frames.publish(message(START_NS + i * 10**8, "thing"))
    wait_until(lambda: memory.meter.count == 10)
    late.publish(message(START_NS + 10**9, "forklift"))
    wait_until(lambda: len(memory._early) == 1)
    assert memory.late == 0
    frames.publish(message(START_NS + 10**9, "thing"))
    wait_until(lambda: memory.late == 1)
    assert not memory._early and len(memory.model.tracks()) == 1


# -- several cameras, poses ------------------------------------------------------------------------------------------


def test_cameras_of_different_speed_stay_in_order(peer, networks):
    wanted, _ = networks
    wanted["embedded"] = {"say": sees("plate", box_at(0.0)), "takes_s": 0.08}
    back = f"/{peer.namespace}_back"
    settings = {"cameras": ["camera", "back"], "camera__detector": "embedded"} | Rig.topics(peer, "back", back)
    settings |= {"back__color_topic": "", "back__depth_topic": "", "back__info_topic": ""}
    observer = peer.add(ObserverNode, reliability="reliable", **settings, **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig, other = Rig(peer).images(), Rig(peer, back, detections=True, info=False)
    for _ in range(12):
        stamp = rig.send()
        message = DetectionArray(detections=[DetectionMessage(label="cart", score=0.9, has_box3d=True)])
        message.detections[0].pose.pose.position.z = 3.0
        other.detections.publish(rig.header(message, stamp))
    wait_until(lambda: len(seen) == 12, 15, lambda: f"12 sets; {len(seen)}, {dict(observer.counts)}")
    assert stamps(seen) == [START_NS + i * STEP_NS for i in range(12)]
    assert all(sorted(labels(m)) == ["cart", "plate"] for m in seen)


def test_poses_by_pictures_where_there_is_no_tf(peer):
    """Real visual odometry: a camera moves 0.2 m to the right before a textured room, and nobody publishes TF."""
    from rendered import at, render, room

    size = (320, 240)
    camera = Camera(np.array([[260.0, 0, 160], [0, 260, 120], [0, 0, 1]]), size)
    settings = {"camera__poses": "visual", "max_wait_s": 0.06, "idle_wait_s": 0.1}
    observer = peer.add(ObserverNode, reliability="reliable", **settings, **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig, planes = Rig(peer, detections=True).images(), room()
    wait_until(lambda: len(observer.cameras[0].assembler.paired) == 2, 10)
    for i in range(11):
        rgb, depth = render(camera, at(x=0.02 * i), planes)
        info = camera_info(camera.K, width=size[0], height=size[1])
        rig.send(rgb, depth, box=np.array([170.0, 80, 220, 150]), label="poster", pose=False, info=info)
    wait_until(lambda: len(seen) >= 10, 15, lambda: f"10 frames; {len(seen)}, {dict(observer.counts)}")
    first, last = seen[0].camera_pose, seen[9].camera_pose
    moved = convert.from_pose(first)[:3, :3].T @ (convert.from_pose(last)[:3, 3] - convert.from_pose(first)[:3, 3])
    assert moved == pytest.approx([0.18, 0, 0], abs=0.03)
    assert all(m.has_base_pose for m in seen), "the mounting tells where the base is"
    base = convert.from_pose(seen[0].base_pose)
    assert tf.invert(base) @ convert.from_pose(first) == pytest.approx(T_BASE_CAMERA, abs=1e-9)
    places = np.array([[d.pose.pose.position.x, d.pose.pose.position.y] for m in seen for d in m.detections])
    assert len(places) >= 9 and labels(seen[5]) == ["poster"]


# -- what is not there -------------------------------------------------------------------------------------------------


def test_depth_that_cannot_be_used_costs_its_frames(peer, networks):
    wanted, _ = networks
    wanted["embedded"] = {"say": sees("plate", box_at(0.0))}
    observer = peer.add(ObserverNode, reliability="reliable", camera__detector="embedded", **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer).images()
    wait_until(lambda: len(observer.cameras[0].assembler.paired) == 2, 10)
    sent = [rig.send() for _ in range(2)]
    broken = packed_raw(picture(0.0)[0], "32FC1")
    broken.data = broken.data[:100]
    stamp = START_NS + next(rig.number) * STEP_NS
    rig.tf.publish(TFMessage(transforms=[transform("odom", "base_link", stamp, np.eye(4))]))
    rig.depth.publish(rig.header(broken, stamp))
    rig.color.publish(rig.header(image.fill(Image(), np.zeros((HEIGHT, WIDTH, 3), np.uint8), "rgb8"), stamp))
    sent += [rig.send() for _ in range(3)]
    wait_until(lambda: len(seen) == 5, 10, lambda: f"5 frames; {len(seen)}, {dict(observer.counts)}")
    assert stamps(seen) == sent and all(labels(m) == ["plate"] for m in seen)
    assert any("frame dropped" in reason and "fills the message wrongly" in reason for reason in observer.counts)


def test_a_range_that_is_not_known_is_not_guessed(peer, networks):
    """Without depth a body that is seen whole is placed by its size; of the rest only the bearing is known."""
    wanted, _ = networks

    def say(frame):
        ray = np.array([0.0, 0.0, 1.0])
        whole = Detection("person", 0.9, box_at(0.0), None, 4 * ray, np.diag([0.1, 0.1, 1.44]))
        chair = on_ray(Detection("chair", 0.9, box_at(0.4)), frame.camera)
        return replace(frame, detections=(whole, chair) if frame.stamp_ns < START_NS + 5 * STEP_NS else (chair,))

    wanted["embedded"] = {"say": say}
    topics = Rig.topics(peer) | {"camera__depth_topic": ""}
    observer = peer.add(ObserverNode, reliability="reliable", camera__detector="embedded", **topics)
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer).images(depth=False)
    for _ in range(8):
        rig.send()
    reason = "camera: detections left out: their range is not known (no depth)"
    wait_until(lambda: observer.counts[reason] == 8, 10, lambda: f"8 frames; {len(seen)}, {dict(observer.counts)}")
    wait_until(lambda: len(seen) == 5, 10)
    assert all(labels(m) == ["person"] for m in seen), "and what is not placed is not taken for absent"


def test_what_lanes_need_is_not_started_where_nothing_asks_for_it(peer):
    observer = peer.add(ObserverNode, **Rig.topics(peer))
    assert list(observer.lanes["camera"]) == [] and observer._late_publisher is None
    assert not [t for t in threading.enumerate() if t.name.startswith("lane ")]
