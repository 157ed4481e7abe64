"""What breaks on a robot and then heals, in a recording: depth, TF, calibration, detector, order of frames, names.

While it lasts, nothing is invented: no sample counts as observed, covariances grow, and questions about now tell how
old the data is or are declined. Afterwards ids, places and answers are as they would have been.
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from dsr_core.api import ask
from dsr_core.errors import DsrError, GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.tf_tree import TransformBuffer
from dsr_core.perception.lift import observe, observe_with_report
from dsr_core.pipeline import WorldModel
from dsr_core.sources.assemble import AssemblyConfig, FrameAssembler
from dsr_core.sources.base import BACKWARD_JUMP_NS
from dsr_core.values import Detection, Frame

START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
STALE_S = 1.0
CAMERA = Camera(np.array([[120.0, 0, 80], [0, 120.0, 60], [0, 0, 1]]), (160, 120))
#: The same view in twice the resolution.
FINE = Camera(np.array([[240.0, 0, 160], [0, 240.0, 120], [0, 0, 1]]), (320, 240))
OPTICAL = "camera_optical_frame"
T_BASE_CAMERA = tf.make_transform(tf.R_BODY_OPTICAL, [0.2, 0.0, 1.0])
PLATE_M = 0.5


def robot_x(s):
    return 0.2 * s


#: Places in the world: the cart comes towards the robot, the shelf stands.
THINGS = {"cart": lambda s: np.array([14.0 - 0.8 * s, 0.6, 1.0]), "shelf": lambda s: np.array([9.0, -1.5, 1.0])}


def stamp(i):
    return START_NS + i * STEP_NS


def transform(parent, child, stamp_ns, T):
    """A message of /tf; `T` (4, 4) parent from child."""
    x, y, z, w = tf.quaternions_from_matrices(T[:3, :3])
    time = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=parent, stamp=time),
        child_frame_id=child,
        transform=SimpleNamespace(
            translation=SimpleNamespace(x=T[0, 3], y=T[1, 3], z=T[2, 3]), rotation=SimpleNamespace(x=x, y=y, z=z, w=w)
        ),
    )


def view(things, s, camera=CAMERA):
    """Depth (H, W) metres of plates at second s before a wall at 20 m, and the plates' boxes by name."""
    width, height = camera.image_size
    depth_m, boxes = np.full((height, width), 20.0, np.float32), {}
    for label, place in things.items():
        x, y, z = place(s) - [robot_x(s) + 0.2, 0.0, 1.0]
        (u, v), half = camera.project([[-y, -z, x]])[0], camera.K[0, 0] * PLATE_M / 2 / x
        boxes[label] = np.array([u - half, v - half, u + half, v + half])
        x1, y1, x2, y2 = np.clip(np.rint(boxes[label]), 0, [width, height, width, height]).astype(int)
        depth_m[y1:y2, x1:x2] = x
    return depth_m, boxes


class Robot:
    """A robot that drives along x, its camera, its detector and all that follows: assembler, lifting, world model."""

    def __init__(self, things=None):
        self.things = dict(THINGS if things is None else things)
        self.assembler = FrameAssembler(TransformBuffer(), AssemblyConfig(), ("detections", "depth"))
        self.model = WorldModel()
        self.left_out = []
        mount = transform("base_link", OPTICAL, 0, T_BASE_CAMERA)
        self.assembler.put_transforms(SimpleNamespace(transforms=[mount]), static=True)
        self.assembler.put_camera(OPTICAL, CAMERA, stamp(0))

    def view(self, i, camera=CAMERA):
        """`view` at step i."""
        return view(self.things, 0.1 * i, camera)

    def step(self, i, tf=True, depth=True, detections=True, camera=CAMERA, at_ns=None):
        """Sends what belongs to step i and works on what is complete."""
        at_ns = stamp(i) if at_ns is None else at_ns
        depth_m, boxes = self.view(i, camera)
        if tf:
            self.send_tf(i, at_ns)
        if depth:
            self.assembler.put_image("depth", at_ns, OPTICAL, lambda: depth_m)
        if detections:
            self.send_detections(at_ns, boxes)
        self.work()

    def send_tf(self, i, at_ns=None):
        pose = np.eye(4)
        pose[0, 3] = robot_x(0.1 * i)
        message = transform("odom", "base_link", stamp(i) if at_ns is None else at_ns, pose)
        self.assembler.put_transforms(SimpleNamespace(transforms=[message]))

    def send_detections(self, at_ns, boxes):
        found = tuple(Detection(label, 0.95, box_px=box) for label, box in boxes.items())
        self.assembler.put_detections(at_ns, OPTICAL, found)

    def work(self, flush=False):
        """What the observer and the memory do with frames."""
        for frame in self.assembler.take(flush):
            try:
                observed = observe(frame)
            except DsrError as error:
                self.left_out.append(str(error))
                continue
            newest_ns = self.model.newest_ns
            if newest_ns is not None and observed.stamp_ns <= newest_ns:
                if newest_ns - observed.stamp_ns <= BACKWARD_JUMP_NS:
                    self.left_out.append("not newer")
                    continue
                self.model.clear()
            self.model.step(observed)

    def run(self, first, end, **faults):
        for i in range(first, end):
            self.step(i, **faults)

    def now_s(self, i):
        return (stamp(i) - self.model.origin_ns) / 1e9

    def ask(self, question, i, stale_s=STALE_S):
        return ask(self.model.scene(), question, now_s=self.now_s(i), stale_s=stale_s)

    def track(self, label):
        (track,) = (t for t in self.model.scene().tracks.values() if t.label == label)
        return track


def reference(steps=90):
    robot = Robot()
    robot.run(0, steps)
    return robot


DISTANCE = "how far is the cart from the robot?"
CLOSER = "is the cart getting closer to the robot?"


def check_same_place(position_world_m, expected):
    """A place (3,) is that of the newest sample of the track `expected`, within a one-sigma of that."""
    sigma = np.sqrt(np.diag(expected.covariances[-1]))
    assert (np.abs(position_world_m - expected.positions_world_m[-1]) < sigma).all()


def check_as_if_nothing_had_happened(robot, whole, i, since_s):
    """The same tracks, places and answers as without the fault."""
    assert {t.label for t in robot.model.tracks()} == {"cart", "shelf"}
    for label in THINGS:
        track, expected = robot.track(label), whole.track(label)
        assert track.id == expected.id
        check_same_place(track.positions_world_m[-1], expected)
        recent = track.stamps_s > since_s + 0.05
        assert track.observed[recent].all()
    for question in (DISTANCE, CLOSER, "is the shelf moving?"):
        now, then = robot.ask(question, i), whole.ask(question, i)
        assert now.declined is None, now.answer
        assert [s.label for s in now.states] == [s.label for s in then.states]
        assert now.data_age_s == pytest.approx(then.data_age_s, abs=1e-6)
        if then.value is not None:
            assert now.value == pytest.approx(then.value, abs=0.15)


BLIND = {
    "depth stops": {"depth": False},
    "tf stops": {"tf": False},
    "the detector is silent": {"detections": False},
    "all is silent": {"depth": False, "tf": False, "detections": False},
}


@pytest.mark.parametrize("fault", BLIND)
@pytest.mark.parametrize("length", [20, 45])
def test_what_stops_lets_the_data_grow_old_and_comes_back(fault, length):
    robot, begin, end = Robot(), 40, 40 + length
    robot.run(0, begin)
    before = {label: robot.track(label) for label in THINGS}
    held = {label: (t.id, len(t), t.positions_world_m.copy(), t.observed.sum()) for label, t in before.items()}
    ages, codes = [], []
    for i in range(begin, end):
        robot.step(i, **BLIND[fault])
        assert set(robot.model.scene().tracks) == {t.id for t in before.values()}, "a track was invented"
        for label, (_, n, positions, seen) in held.items():
            track = robot.track(label)
            # TF's tolerance of 0.1 s may still carry a frame or two.
            assert track.observed.sum() <= seen + 1
            np.testing.assert_array_equal(track.positions_world_m[:n], positions)
            coasting = track.stamps_s > 0.1 * begin + 0.15
            assert not track.observed[coasting].any()
            assert (np.diff(np.trace(track.covariances[coasting], axis1=1, axis2=2)) > 0).all()
        answer = robot.ask(DISTANCE, i)
        codes.append(answer.declined.code if answer.declined else "")
        # Old data is told, never renewed.
        ages.append(robot.ask(DISTANCE, i, stale_s=None).data_age_s)
        many = robot.ask("how many things are there?", i)
        assert many.declined is not None or many.value == 2, many.answer
    # A frame whose transform is missing goes out half a second later, where TF's tolerance still covers it.
    assert np.all(np.diff(ages) > -1e-6) and np.all(np.diff(ages[8:]) > 0.09) and ages[-1] > 0.1 * length - 0.35
    assert codes[0] == "" and codes[-1] == "STALE_DATA" and codes.index("STALE_DATA") <= 13
    robot.run(end, end + 25)
    whole = reference(end + 25)
    if length == 20:
        check_as_if_nothing_had_happened(robot, whole, end + 24, 0.1 * end)
    else:
        # Longer than a track coasts: what is there now are new tracks, and the old ones end where they were seen last.
        live = {t.label: t for t in robot.model.tracks()}
        assert set(live) == {"cart", "shelf"}
        for label, state in live.items():
            assert state.id not in {held[name][0] for name in held}
            check_same_place(state.position_world_m, whole.track(label))
            old = robot.model.scene().tracks[held[label][0]]
            assert old.stamps_s[old.observed][-1] < 0.1 * begin + 0.15
        assert robot.ask(CLOSER, end + 24).declined is None


def test_a_detector_that_sees_nothing_lets_tracks_coast_and_end():
    robot = Robot()
    robot.run(0, 40)
    things, robot.things = robot.things, {}
    ids, traces = {t.id for t in robot.model.tracks()}, []
    for i in range(40, 75):
        robot.step(i)
        live = robot.model.tracks()
        assert not any(t.observed for t in live) and {t.id for t in live} <= ids
        traces.append([float(np.trace(t.covariance[:3, :3])) for t in live])
    assert all(b > a for a, b in itertools.pairwise(traces) for a, b in zip(a, b, strict=False))
    assert not robot.model.tracks()
    assert robot.ask(DISTANCE, 74).declined.code in ("STALE_DATA", "NOT_OBSERVED")
    robot.things = things
    robot.run(75, 95)
    assert {t.label for t in robot.model.tracks()} == {"cart", "shelf"}
    assert robot.ask(CLOSER, 94).declined is None


def test_a_frame_without_depth_is_no_frame_in_which_nothing_was_seen():
    box = Detection("cart", box_px=np.array([70.0, 50, 90, 70]))
    blind = Frame(1, T_world_camera=np.eye(4), camera=CAMERA, detections=(box,))
    with pytest.raises(GeometryError, match="no depth image"):
        observe(blind)
    with pytest.raises(GeometryError, match="no camera_info"):
        observe(Frame(1, T_world_camera=np.eye(4), depth_m=np.ones((120, 160), np.float32), detections=(box,)))
    placed = Detection("cart", position_camera_m=np.array([0.0, 0, 5.0]))
    some, left_out = observe_with_report(Frame(1, T_world_camera=np.eye(4), camera=CAMERA, detections=(box, placed)))
    assert len(some.observations) == 1 and left_out == {"no_depth": 1}


def test_a_new_calibration_holds_from_its_frame_on():
    """The camera switches to twice the resolution; frames of before still wait for TF when its camera_info comes."""
    robot, whole = Robot(), reference(80)
    robot.run(0, 37)
    held = robot.track("cart")
    boxes = held.boxes_px.copy()
    for i in range(37, 40):
        robot.step(i, tf=False)
    robot.assembler.put_camera(OPTICAL, FINE, stamp(40))
    for i in range(37, 40):
        robot.send_tf(i)
    robot.run(40, 80, camera=FINE)
    assert not robot.left_out
    check_as_if_nothing_had_happened(robot, whole, 79, 0.0)
    scene, track = robot.model.scene(), robot.track("cart")
    assert scene.image_size == FINE.image_size == track.image_size
    np.testing.assert_array_equal(scene.K, FINE.K)
    np.testing.assert_allclose(track.boxes_px[-1], robot.view(79, FINE)[1]["cart"])
    # Boxes of before the switch are told in the size that the scene speaks of.
    np.testing.assert_allclose(track.boxes_px[20], 2 * robot.view(20, CAMERA)[1]["cart"])
    np.testing.assert_array_equal(held.boxes_px, boxes)
    for size, scale in ((CAMERA.image_size, 1.0), (FINE.image_size, 2.0)):
        box = (scale * robot.view(20, CAMERA)[1]["cart"]).tolist()
        who = {"box": box, "image_size": list(size), "at": 2.0}
        query = {"kind": "distance", "subject": who, "object": "robot", "window": [1.0, 3.0]}
        answer = ask(scene, query)
        assert answer.declined is None and answer.tracks == (track.id,), answer.answer


def test_the_newest_calibration_outlives_a_jump_of_the_clock():
    """Drivers say the same again: whoever waits for news hears of no calibration after the jump."""
    robot = Robot()
    robot.run(0, 20)
    robot.assembler.put_camera(OPTICAL, FINE, stamp(20))
    robot.run(20, 40, camera=FINE)
    for i in range(40, 70):
        robot.step(i, camera=FINE, at_ns=stamp(i) - 500 * 10**9)
    assert robot.model.origin_ns < stamp(0) and robot.model.scene().image_size == FINE.image_size
    # The thing stands in the way that its pixels say.
    assert abs(robot.track("shelf").positions_world_m[-1][1] - THINGS["shelf"](0)[1]) < 0.1


def test_depth_of_another_size_than_its_calibration_is_not_used():
    """The new images come, their camera_info does not: nothing is placed by the old one."""
    from dsr_core.geometry.registration import Registrar

    robot = Robot()
    registrar = Registrar(robot.assembler.buffer.lookup)
    robot.run(0, 40)
    newest_ns = robot.model.newest_ns
    for i in range(40, 50):
        depth_m, boxes = robot.view(i, FINE)
        camera = robot.assembler.camera_at(stamp(i))
        robot.send_tf(i)
        robot.assembler.put_image(
            "depth", stamp(i), OPTICAL, lambda d=depth_m, i=i, c=camera: registrar(d, OPTICAL, stamp(i), c, OPTICAL)
        )
        robot.send_detections(stamp(i), boxes)
        with pytest.raises(DsrError, match="not registered"):
            robot.work()
    assert robot.model.newest_ns == newest_ns
    robot.assembler.put_camera(OPTICAL, FINE, stamp(50))
    robot.run(50, 75, camera=FINE)
    check_as_if_nothing_had_happened(robot, reference(75), 74, 5.0)


def test_frames_that_swap_within_a_second_are_sorted_or_left_out():
    robot, whole = Robot(), reference(80)
    order = np.arange(80)
    rng = np.random.default_rng(3)
    for begin in range(20, 60, 8):
        order[begin : begin + 8] = rng.permutation(order[begin : begin + 8])
    for i in order.tolist():
        robot.step(i)
    track = robot.track("cart")
    assert (np.diff(track.stamps_s) > 0).all() and set(robot.left_out) <= {"not newer"}
    expected = whole.track("cart")
    at = np.searchsorted(expected.stamps_s, track.stamps_s)
    np.testing.assert_allclose(expected.stamps_s[at], track.stamps_s, atol=1e-9)
    sigma = np.sqrt(np.trace(expected.covariances[at], axis1=1, axis2=2))
    assert (np.linalg.norm(track.positions_world_m - expected.positions_world_m[at], axis=1) < 2 * sigma).all()
    check_as_if_nothing_had_happened(robot, whole, 79, 6.0)
    assert robot.model.origin_ns == stamp(0)


def test_transforms_that_swap_are_sorted():
    robot, whole = Robot(), reference(60)
    for i in range(0, 60, 2):
        robot.send_tf(i + 1)
        robot.step(i)
        robot.step(i + 1, tf=False)
    assert not robot.left_out
    track, expected = robot.track("cart"), whole.track("cart")
    np.testing.assert_allclose(track.positions_world_m, expected.positions_world_m, atol=1e-9)


def test_a_clock_that_jumps_back_begins_anew():
    robot = Robot()
    robot.run(0, 50)
    for i in range(40):
        robot.step(i, at_ns=stamp(i) - 500 * 10**9)
    assert "jumped back" in robot.assembler.notes[-1]
    assert robot.model.origin_ns == stamp(0) - 500 * 10**9 and robot.model.newest_s == pytest.approx(3.9)
    for label, place in THINGS.items():
        track = robot.track(label)
        assert track.observed.all() and abs(track.positions_world_m[-1][1] - place(3.9)[1]) < 0.1


@pytest.mark.parametrize("stream", ["tf", "depth", "detections"])
def test_one_stamp_far_in_the_future_is_survived(stream):
    robot = Robot()
    robot.run(0, 40)
    wrong_ns = stamp(40) + 10**9 * 10**6
    if stream == "tf":
        robot.send_tf(40, wrong_ns)
    elif stream == "depth":
        robot.assembler.put_image("depth", wrong_ns, OPTICAL, lambda: robot.view(40)[0])
    else:
        robot.send_detections(wrong_ns, robot.view(40)[1])
    robot.work()
    robot.run(40, 75)
    assert robot.model.newest_ns == stamp(74)
    assert {t.label for t in robot.model.tracks()} == {"cart", "shelf"}
    assert all(t.observed for t in robot.model.tracks())
    assert robot.ask(CLOSER, 74).declined is None and robot.ask(CLOSER, 74).data_age_s < 0.01


@pytest.mark.parametrize("name", ["zorblatt", "Glove Box 7", "Gabelstapler_groß", "person"])
def test_a_class_never_seen_is_tracked_and_asked_by_its_name(name):
    robot = Robot()
    robot.run(0, 40)
    if name != "person":
        assert robot.ask(f"is the {name} moving?", 39).declined.code == "NO_SUCH_OBJECT"
    robot.things[name] = lambda s: np.array([7.0, 1.5 - 0.6 * (s - 4.0), 1.0])
    robot.run(40, 75)
    assert {t.label for t in robot.model.tracks()} == {"cart", "shelf", name}
    answer = robot.ask(f"is the {name} moving?", 74)
    assert answer.declined is None and answer.tracks == (robot.track(name).id,), answer.answer
    assert answer.states[-1].label == "moving", answer.states
    far = robot.ask({"kind": "distance", "subject": name, "object": "robot"}, 74)
    assert far.declined is None and far.tracks == (robot.track(name).id,)
