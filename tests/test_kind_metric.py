"""Kinds that compare a window's end with its start: by hand, against published formulas, and what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dsr_core import ask, load_scene
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.agents import Agent, Motion
from dsr_core.reasoning.boxes import distance_to_box
from dsr_core.reasoning.ends import change_between, read_at
from dsr_core.reasoning.kinds.metric import METRIC_KINDS
from dsr_core.reasoning.rules import DEFAULT_RULES
from dsr_core.reasoning.way import way_length
from dsr_core.scene import Scene
from tests.data import shared
from tests.fakes import fake_scene, fake_track

UNKNOWN = (np.nan, np.nan, np.nan)


def labels(answer):
    assert answer.declined is None, answer.answer
    return [s.label for s in answer.states]


def camera_scene(T_world_camera, rate_hz=10.0, **fields):
    return Scene(stamps_s=np.arange(len(T_world_camera)) / rate_hz, T_world_camera=np.asarray(T_world_camera), **fields)


def camera_path(positions, rotations):
    """Optical poses of a camera whose body (x forward, y left, z up) has these positions (T, 3) and rotations."""
    return tf.make_transform(np.asarray(rotations) @ tf.R_BODY_OPTICAL, np.asarray(positions, float))


def yaw(angles):
    return tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(np.asarray(angles)))


CAMERA = {"subject": "camera", "viewpoint": "camera"}


# --- by hand ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def street():
    """The robot drives at 1 m/s along x; a car passes it at 2 m/s, a person without size stands to the right."""
    return fake_scene(
        fake_track("1", "car", (10, 2, 0), (2, 0, 0), yaw=0.0),
        fake_track("2", "person", (5, -5, 0), size=UNKNOWN),
        ego_velocity=(1, 0, 0),
    )


WINDOW = [1.0, 4.0]


@pytest.mark.parametrize(
    "kind, subject, label, value",
    [
        ("displacement", "1", "moved", 6.0),
        ("displacement", "2", "stayed", 0.0),
        ("displacement", "robot", "moved", 3.0),
        ("path_length", "1", "moving", 6.0),
        ("path_length", "2", "still", 0.0),
        ("moving_direction", "1", "front", 0.0),
        ("moving_direction", "2", "still", None),
        # the robot at (1, 0), the car at 4 s spans x 16 .. 20 and y 1.1 .. 2.9
        ("nearest_distance", "1", None, math.hypot(15.0, 1.1)),
        ("nearest_distance", "2", None, math.hypot(4.0, 5.0)),
        # at 1 s the car begins 9 m ahead (10 .. 14, robot at 1), at 4 s 12 m (16 .. 20, robot at 4)
        ("distance_change", "1", "increasing", math.hypot(12.0, 1.1) - math.hypot(9.0, 1.1)),
        ("distance_change", "2", "decreasing", math.hypot(1.0, 5.0) - math.hypot(4.0, 5.0)),
        ("lateral_change", "1", "constant", 0.0),
        ("depth_change", "1", "farther", 3.0),
        ("depth_change", "2", "closer", -3.0),
    ],
)
def test_numbers_by_hand(street, kind, subject, label, value):
    answer = ask(street, {"kind": kind, "subject": subject, "window": WINDOW})
    assert labels(answer) == ([] if label is None else [label])
    assert answer.value == (None if value is None else pytest.approx(value, abs=1e-9))
    assert answer.window == (1.0, 4.0)
    assert 0.9 < answer.confidence <= 1.0


def test_margins_by_hand(street):
    def margin(kind, subject):
        return ask(street, {"kind": kind, "subject": subject, "window": WINDOW}).margin

    assert margin("displacement", "1") == pytest.approx(6.0 - 0.05 * 4.0)
    assert margin("depth_change", "1") == pytest.approx(3.0 - 0.05 * (math.hypot(11, 2) + math.hypot(14, 2)) / 2)
    assert margin("distance_change", "2") == pytest.approx(41**0.5 - 26**0.5 - 0.05 * 41**0.5)
    assert margin("moving_direction", "1") == pytest.approx(0.3)


def test_a_viewer_that_turns_shifts_things_to_the_side():
    """The robot turns left by 90 degrees: what stood in front is to its right, at the same distance."""
    scene = fake_scene(fake_track("1", "car", (10, 0, 0)), ego_yaw=np.linspace(0, math.pi / 2, 51))
    lateral = ask(scene, {"kind": "lateral_change", "subject": "1"})
    assert labels(lateral) == ["right"] and lateral.value == pytest.approx(-10.0, abs=1e-9)
    assert lateral.answer.endswith("as seen from the robot; both stand still, but the robot turns.")
    depth = ask(scene, {"kind": "depth_change", "subject": "1"})
    assert labels(depth) == ["closer"] and depth.value == pytest.approx(-10.0, abs=1e-9)
    held = {"agent": "robot", "mode": "absolute"}
    for kind in ("lateral_change", "depth_change"):
        answer = ask(scene, {"kind": kind, "subject": "1", "viewpoint": held})
        assert labels(answer) == ["constant"] and answer.viewpoint["at"] == 0.0
    assert labels(ask(scene, {"kind": "distance_change", "subject": "1"})) == ["constant"]


def test_the_way_on_a_circle_is_its_arc():
    def circle(t):
        return np.stack([10 * np.cos(0.4 * t), 10 * np.sin(0.4 * t), 0 * t], axis=1)

    scene = fake_scene(fake_track("1", positions=circle))
    way = ask(scene, {"kind": "path_length", "subject": "1"})
    assert way.value == pytest.approx(20.0, rel=2e-3)
    straight = ask(scene, {"kind": "displacement", "subject": "1"})
    assert straight.value == pytest.approx(20 * math.sin(1.0), rel=1e-6)


def test_the_way_counts_while_it_moves():
    def stop_and_go(t):
        return np.stack([np.minimum(2 * t, 4.0) + np.maximum(2 * (t - 6.0), 0.0), 0 * t, 0 * t], axis=1)

    scene = fake_scene(fake_track("1", positions=stop_and_go, duration_s=8.0), duration_s=8.0)
    way = ask(scene, {"kind": "path_length", "subject": "1"})
    assert labels(way) == ["moving", "still", "moving"]
    assert way.value == pytest.approx(8.0, abs=0.02)
    assert way.answer == "Car 1 went 8.0 m from 0.0 s to 8.0 s (moving 0.0 s to 1.9 s, 6.0 s to 8.0 s)."


def test_components_and_the_dominant_side():
    scene = fake_scene(fake_track("1", "drone", (5, 0, 1), (0.5, 1.0, 0.4), duration_s=5.0), ego_yaw=math.pi / 2)
    answer = ask(scene, {"kind": "moving_direction", "subject": "1", "window": [0, 5]})
    # the robot looks along y: forward 5, to its right 2.5, up 2
    assert labels(answer) == ["front|right|above"]
    assert answer.details["dominant"] == "front"
    assert answer.details["components"] == pytest.approx({"front": 5.0, "left": -2.5, "up": 2.0})
    assert answer.value == pytest.approx(math.atan2(-2.5, 5.0))


def test_the_object_can_be_any_thing(street):
    answer = ask(street, {"kind": "nearest_distance", "subject": "1", "object": "2", "window": WINDOW})
    assert answer.value == pytest.approx(math.hypot(16 - 5, 1.1 + 5))
    instant = ask(street, {"kind": "nearest_distance", "subject": "1", "window": [2.0, 2.0]})
    assert instant.value == pytest.approx(math.hypot(12 - 2, 1.1))


# --- boxes -----------------------------------------------------------------------------------------------------------


def box_distance(point, size, angle=None, centre=(0.0, 0.0, 0.0)):
    track = fake_track("1", "box", centre, size=size, yaw=angle, duration_s=0.0)
    R = None if angle is None else yaw([angle])
    moved = Motion(np.zeros(1), np.array([centre], float), np.zeros((1, 3, 3)), R, np.zeros(1))
    return distance_to_box(Agent("1", track), moved, np.array([point], float))


@pytest.mark.parametrize(
    "point, size, angle, expected",
    [
        ((5, 0, 0), (4, 2, 2), 0.0, 3.0),
        ((5, 0, 0), (4, 2, 2), math.pi / 2, 4.0),
        ((5, 4, 1.5), (4, 2, 2), 0.0, math.sqrt(9 + 9 + 0.25)),
        ((1, 0.5, 0), (4, 2, 2), 0.0, 0.0),  # inside
        ((5, 0, 0), (4, 2, 2), None, 3.5),  # a cylinder of radius 1.5
        ((3, 4, 3), (4, 2, 2), None, math.hypot(3.5, 2.0)),
        ((5, 0, 0), UNKNOWN, None, 5.0),
        ((5, 0, 0), UNKNOWN, 0.3, 5.0),
    ],
)
def test_distances_to_boxes(point, size, angle, expected):
    assert box_distance(point, size, angle).values_m[0] == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(
    point=st.tuples(*[st.floats(-8, 8)] * 3),
    size=st.tuples(*[st.floats(0.1, 6)] * 3),
    angle=st.floats(-3, 3),
)
def test_the_distance_to_a_box_is_that_to_its_nearest_point(point, size, angle):
    """Against the nearest of many points of the box; the direction and the lever against finite differences."""
    n = box_distance(point, size, angle)
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 41)] * 3, indexing="ij"), -1).reshape(-1, 3) * size
    near = np.linalg.norm(grid @ yaw(angle).T - point, axis=1).min()
    assert n.values_m[0] <= near + 1e-9 and near - n.values_m[0] < 0.1 * max(size)
    if n.values_m[0] > 1e-3:
        step = 1e-6
        along = [box_distance(np.add(point, step * e), size, angle).values_m[0] for e in np.eye(3)]
        assert (np.array(along) - n.values_m[0]) / step == pytest.approx(n.toward[0], abs=1e-3)
        turned = (box_distance(point, size, angle + step).values_m[0] - n.values_m[0]) / step
        assert turned == pytest.approx(n.lever_m[0], abs=1e-3)


# --- the camera's own motion (MLLM-4D) --------------------------------------------------------------------------------


def test_a_camera_that_only_turns_stays():
    scene = camera_scene(camera_path(np.tile([3.0, -2.0, 1.0], (31, 1)), yaw(np.linspace(0, 2.5, 31))))
    answer = ask(scene, {"kind": "displacement", **CAMERA})
    assert labels(answer) == ["stayed"] and answer.value == pytest.approx(0.0, abs=1e-12)
    assert labels(ask(scene, {"kind": "moving_direction", **CAMERA})) == ["still"]


@settings(max_examples=20, deadline=None)
@given(start=st.floats(-3, 3), turn=st.sampled_from([-math.pi / 2, math.pi / 2, 2.8]))
def test_a_step_forward_with_a_turn_is_forward(start, turn):
    """The direction is told from where the camera looked at the start, whatever it turned to."""
    t = np.linspace(0, 1, 31)
    forward = np.array([math.cos(start), math.sin(start), 0.0])
    scene = camera_scene(camera_path(2.0 * t[:, None] * forward, yaw(start + turn * t)))
    answer = ask(scene, {"kind": "moving_direction", **CAMERA})
    assert labels(answer) == ["front"]
    assert answer.details["dominant"] == "front"
    assert answer.value == pytest.approx(0.0, abs=1e-9)
    assert answer.details["components"] == pytest.approx({"front": 2.0, "left": 0.0, "up": 0.0}, abs=1e-9)


def a_camera(seed, length=31):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 3, length)[:, None]
    way = rng.normal(0, 1, 3) * t + 0.1 * rng.normal(0, 1, 3) * t**2
    R = Rotation.from_rotvec(rng.normal(0, 1, 3) + rng.normal(0, 0.5, 3) * t).as_matrix()
    return camera_path(rng.normal(0, 10, 3) + way, R)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_printed_direction_is_wrong_for_world_to_camera_poses_and_ours_is_not(seed):
    """MLLM-4D prints R_i^T (t_j - t_i): right for camera-to-world poses, not for the ones of its own centre formula."""
    T = a_camera(seed)
    centre, R = T[:, :3, 3], T[:, :3, :3]
    truth = R[0].T @ (centre[-1] - centre[0])  # optical: x right, y down, z forward
    T_camera_world = tf.invert(T)
    given_both_ways = (
        camera_scene(T),
        Scene.from_world_to_camera(T_camera_world=T_camera_world, stamps_s=np.arange(len(T)) / 10),
    )
    for scene in given_both_ways:
        ours = ask(scene, {"kind": "moving_direction", **CAMERA}).details["components"]
        assert [ours["front"], -ours["left"], -ours["up"]] == pytest.approx([truth[2], truth[0], truth[1]], abs=1e-9)
        travel = ask(scene, {"kind": "displacement", **CAMERA})
        assert travel.value == pytest.approx(np.linalg.norm(centre[-1] - centre[0]))

    def printed(T):
        return T[0, :3, :3].T @ (T[-1, :3, 3] - T[0, :3, 3])

    assert printed(T) == pytest.approx(truth)
    assert not np.allclose(printed(T_camera_world), truth, atol=1e-3)
    unturned = tf.make_transform(np.broadcast_to(np.eye(3), R.shape), centre)
    step = centre[-1] - centre[0]
    assert printed(tf.invert(unturned)) == pytest.approx(-step)  # without rotation the sign is flipped


# --- what must not matter --------------------------------------------------------------------------------------------


def a_scene(seed, sigma_m=0.0, rate_hz=10.0):
    rng = np.random.default_rng(seed)
    noise = np.random.default_rng(seed + 1)
    tracks = []
    for i, heading in enumerate((rng.uniform(-3, 3), None)):
        start, v = rng.uniform(-15, 15, 3) * (1, 1, 0.1), rng.normal(0, 2, 3) * (1, 1, 0)
        tracks.append(
            fake_track(
                str(i), "car", start, v, yaw=heading, sigma_m=sigma_m, rng=noise, rate_hz=rate_hz, size=(4, 1.8, 1.5)
            )
        )
    return fake_scene(
        *tracks, ego_velocity=rng.normal(0, 1, 3) * (1, 1, 0), ego_yaw=rng.uniform(-3, 3), rate_hz=rate_hz
    )


def answers(scene):
    return {
        (kind, who): ask(scene, {"kind": kind, "subject": who, "window": [0.5, 4.5]})
        for kind in METRIC_KINDS
        for who in ("0", "1")
    }


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), turn=st.floats(-3, 3), shift=st.tuples(*[st.floats(-100, 100)] * 3))
def test_the_world_frame_does_not_matter(seed, turn, shift):
    scene = a_scene(seed, sigma_m=0.05)
    moved = scene.transformed(tf.make_transform(yaw(turn), np.array(shift)))
    for (key, a), b in zip(answers(scene).items(), answers(moved).values(), strict=True):
        assert labels(a) == labels(b), key
        assert a.value == (None if b.value is None else pytest.approx(b.value, abs=1e-6)), key


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.01, 100.0]))
def test_lengths_scale(seed, scale):
    scene = a_scene(seed, sigma_m=0.05)
    for (key, a), b in zip(answers(scene).items(), answers(scene.transformed(scale=scale)).values(), strict=True):
        assert labels(a) == labels(b), key
        factor = scale if a.unit == "m" else 1.0
        if a.value is not None:
            assert b.value == pytest.approx(factor * a.value, rel=1e-6, abs=1e-9 * scale), key
            assert b.sigma == pytest.approx(factor * a.sigma, rel=1e-6), key


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_rate_does_not_matter(seed):
    for (key, a), b in zip(answers(a_scene(seed)).items(), answers(a_scene(seed, rate_hz=20.0)).values(), strict=True):
        assert labels(a) == labels(b), key
        assert a.value == (None if b.value is None else pytest.approx(b.value, abs=1e-6)), key


def backwards(scene):
    """The same scene with time turned round."""
    end = float(scene.stamps_s[-1])
    tracks = {
        i: fake_track(i, t.label, positions=lambda _, t=t: t.positions_world_m[::-1], size=t.size_lwh_m)
        for i, t in scene.tracks.items()
    }
    assert all(t.stamps_s[-1] == end for t in scene.tracks.values())
    return Scene(stamps_s=scene.stamps_s, tracks=tracks, T_world_base=scene.T_world_base[::-1])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_time_turned_round_turns_changes_round(seed):
    scene = a_scene(seed)
    turned = {
        "increasing": "decreasing", "decreasing": "increasing", "left": "right", "right": "left",
        "farther": "closer", "closer": "farther", "constant": "constant", "moved": "moved", "stayed": "stayed",
    }  # fmt: skip
    for kind in ("displacement", "distance_change", "lateral_change", "depth_change"):
        query = {"kind": kind, "subject": "1", "window": [0.5, 4.5]}
        a, b = ask(scene, query), ask(backwards(scene), query)
        assert [turned[label] for label in labels(a)] == labels(b)
        assert b.value == pytest.approx(a.value if kind == "displacement" else -a.value, abs=1e-9)


# --- noise -----------------------------------------------------------------------------------------------------------


def test_a_still_thing_in_noise_stays_and_a_moving_one_has_its_length():
    calls, errors = 0, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scene = fake_scene(
            fake_track("1", start=(20, 3, 0), sigma_m=0.1, rng=rng),
            fake_track("2", start=(20, -3, 0), velocity=(0.8, 0.6, 0), sigma_m=0.1, rng=rng),
        )
        calls += [s.label for s in ask(scene, {"kind": "displacement", "subject": "1"}).states] == ["moved"]
        assert labels(ask(scene, {"kind": "displacement", "subject": "2"})) == ["moved"]
        for kind in ("displacement", "path_length"):
            answer = ask(scene, {"kind": kind, "subject": "2"})
            errors.append((answer.value - 5.0) / answer.sigma)
    assert calls == 0
    errors = np.array(errors).reshape(-1, 2)
    assert (np.abs(errors) < 3).mean() > 0.95
    assert np.abs(errors.mean(axis=0)).max() < 0.7  # neither is longer or shorter by and large


def test_a_line_at_the_end_averages_noise_and_leaves_exact_values_alone():
    t = np.arange(0, 5.01, 0.1)
    exact = np.stack([3 * t, 0.5 * t**2, np.sin(t)], axis=1)
    change = change_between(t, exact, np.zeros(len(t)), 0.0, 5.0, DEFAULT_RULES)
    assert change.vector == pytest.approx(exact[-1] - exact[0]) and change.sigma == 0.0
    single, fitted = [], []
    for seed in range(200):
        noisy = 3 * t[:, None] + 0.1 * np.random.default_rng(seed).normal(size=(len(t), 3))
        single.append(noisy[-1] - 15.0)
        fitted.append(read_at(t, noisy, np.full(len(t), 0.1), 5.0, 0.1, DEFAULT_RULES).value - 15.0)
    assert np.std(fitted) < 0.85 * np.std(single)
    inner = [
        read_at(
            t, 0.1 * np.random.default_rng(s).normal(size=(len(t), 1)), np.full(len(t), 0.1), 2.5, 0.1, DEFAULT_RULES
        )
        for s in range(200)
    ]
    assert np.std([r.value for r in inner]) == pytest.approx(0.1 / math.sqrt(5), rel=0.2)


def test_the_length_of_a_noisy_way_is_not_that_of_its_zigzag():
    t = np.arange(0, 10.01, 0.05)
    p = np.stack([1.5 * t, 0 * t, 0 * t], axis=1) + 0.1 * np.random.default_rng(0).normal(size=(len(t), 3))
    assert np.linalg.norm(np.diff(p, axis=0), axis=1).sum() > 35
    assert way_length(t, p, 0.1, [(0.0, 10.0)], DEFAULT_RULES) == pytest.approx(15.0, abs=0.3)


def test_the_wrong_heading_of_a_held_view_hides_a_small_shift():
    """A viewer whose heading is known to 0.05 rad cannot tell a way straight ahead from one to the side."""
    viewer = fake_track("2", "person", (0, 0, 0), yaw=0.0)
    object.__setattr__(viewer, "orientation_sigmas_rad", np.full(len(viewer), 0.05))
    scene = fake_scene(fake_track("1", "car", (10, 0, 0), (4, 0.3, 0)), viewer)
    held = {"agent": "2", "mode": "absolute", "at": 1.0}
    answer = ask(scene, {"kind": "lateral_change", "subject": "1", "viewpoint": held})
    assert labels(answer) == ["constant"] and answer.value == pytest.approx(1.5)
    assert answer.sigma == pytest.approx(0.05 * 20.0)
    assert labels(ask(scene, {"kind": "depth_change", "subject": "1", "viewpoint": held})) == ["farther"]


# --- what cannot be answered -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [k for k in METRIC_KINDS if k != "nearest_distance"])
def test_a_change_needs_a_window_with_a_length(street, kind):
    answer = ask(street, {"kind": kind, "subject": "1", "window": [2.0, 2.0]})
    assert answer.declined.code == "BAD_WINDOW" and "2.0 s" in answer.declined.message


@pytest.mark.parametrize("kind", METRIC_KINDS)
@pytest.mark.parametrize(
    "changes, code",
    [
        ({"window": [8.0, 9.0]}, "BAD_WINDOW"),
        ({"subject": "bus"}, "NO_SUCH_OBJECT"),
        ({"subject": "map"}, "BAD_REQUEST"),
    ],
)
def test_bad_questions(street, kind, changes, code):
    assert ask(street, {"kind": kind, "subject": "1", "window": WINDOW, **changes}).declined.code == code


@pytest.mark.parametrize(
    "query, code",
    [
        ({"kind": "distance_change", "subject": "1", "object": "1"}, "BAD_REQUEST"),
        ({"kind": "nearest_distance", "subject": "1", "object": "map"}, "BAD_REQUEST"),
        ({"kind": "lateral_change", "subject": "robot"}, "BAD_REQUEST"),
        ({"kind": "depth_change", "subject": "1", "viewpoint": "map"}, "BAD_REQUEST"),
        ({"kind": "depth_change", "subject": "1", "viewpoint": "2"}, "NO_ORIENTATION"),
        ({"kind": "moving_direction", "subject": "1", "viewpoint": "2"}, "NO_ORIENTATION"),
        (
            {"kind": "moving_direction", "subject": "1", "viewpoint": {"agent": "1", "mode": "absolute", "at": 99.0}},
            "NOT_OBSERVED",
        ),
    ],
)
def test_declines(street, query, code):
    assert ask(street, query).declined.code == code


def test_lengths_need_a_scale_and_changes_do_not():
    scene = fake_scene(fake_track("1", "car", (10, 2, 0), (2, 0, 0), yaw=0.0), metric=False)
    for kind in ("displacement", "path_length", "nearest_distance"):
        assert ask(scene, {"kind": kind, "subject": "1"}).declined.code == "NOT_METRIC"
    for kind in ("distance_change", "lateral_change", "depth_change"):
        answer = ask(scene, {"kind": kind, "subject": "1"})
        assert labels(answer) and answer.value is None and "from_m" not in answer.details
    answer = ask(scene, {"kind": "moving_direction", "subject": "1"})
    assert answer.value == pytest.approx(0.0, abs=1e-9) and "components" not in answer.details


def test_noise_that_hides_everything_is_declined():
    scene = fake_scene(fake_track("1", "person", (3, 0, 0), sigma_m=8.0, size=(0.5, 0.5, 1.8)))
    for kind in ("displacement", "path_length", "distance_change", "lateral_change", "depth_change"):
        assert ask(scene, {"kind": kind, "subject": "1"}).declined.code == "TOO_UNCERTAIN", kind


# --- words and real data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, subject, asked, sentence",
    [
        ("displacement", "1", None, "Car 1 moved 6.0 m from 1.0 s to 4.0 s."),
        ("displacement", "2", "moved", "No: person 2 stayed where it was from 1.0 s to 4.0 s (0.00 m)."),
        ("path_length", "2", "still", "Yes: person 2 stood still from 1.0 s to 4.0 s."),
        (
            "moving_direction",
            "1",
            "front",
            "Yes: car 1 moved forward from 1.0 s to 4.0 s: 6.0 m forward, seen from the robot; bearing 0 degrees.",
        ),
        (
            "nearest_distance",
            "2",
            None,
            "At 4.0 s the nearest point of person 2 was 6.4 m from where the robot was at 1.0 s.",
        ),
        (
            "distance_change",
            "2",
            "decreasing",
            "Yes: person 2 got 1.3 m closer to the robot from 1.0 s to 4.0 s, from 6.4 m to 5.1 m;"
            " person 2 stands still, the robot approaches it.",
        ),
        (
            "depth_change",
            "1",
            None,
            "Car 1 went 3.0 m farther in depth from 1.0 s to 4.0 s, as seen from the robot; both move.",
        ),
        (
            "lateral_change",
            "1",
            "left",
            "No: car 1 kept its place between left and right from 1.0 s to 4.0 s, as seen from the robot; both move.",
        ),
    ],
)  # fmt: skip
def test_sentences(street, kind, subject, asked, sentence):
    assert ask(street, {"kind": kind, "subject": subject, "window": WINDOW, "asked": asked}).answer == sentence


def test_the_camera_of_a_real_drive_moves_forward():
    """KITTI 0009: the camera's travel is the oxts displacement; its main direction is forward while it drives."""
    scene = load_scene(shared("kitti_tracking"), sequence="0009")
    camera = scene.T_world_camera
    checked = 0
    for start in range(0, len(camera) - 20, 20):
        window = [float(scene.stamps_s[start]), float(scene.stamps_s[start + 20])]
        travelled = float(np.linalg.norm(camera[start + 20, :3, 3] - camera[start, :3, 3]))
        answer = ask(scene, {"kind": "displacement", "subject": "camera", "window": window})
        assert answer.value == pytest.approx(travelled, abs=max(3 * answer.sigma, 1e-6))
        if travelled > 5.0:
            direction = ask(scene, {"kind": "moving_direction", **CAMERA, "window": window})
            assert direction.details["dominant"] == "front"
            checked += 1
    assert checked > 10
