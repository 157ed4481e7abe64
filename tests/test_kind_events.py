"""Crossing, overtaking and following: by hand, what is none of them, what must not matter, and real recordings."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dsr_core import ask, load_scene
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.changes_of_side import changes_of_side, nearest_miss
from dsr_core.reasoning.rules import DEFAULT_RULES
from tests.data import shared
from tests.fakes import fake_scene, fake_track
from tests.random_scenes import backwards, mirrored, random_scene

T_S = np.arange(51) / 10
PERSON = (0.6, 0.6, 1.8)


def labels(answer):
    assert answer.declined is None, answer.answer
    return [s.label for s in answer.states]


def crossing(scene, subject="1", **query):
    return ask(scene, {"kind": "crossing", "subject": subject, **query})


def overtaking(scene, subject="1", other="2"):
    return ask(scene, {"kind": "overtaking", "subject": subject, "object": other})


def following(scene, subject="1", other="2", **query):
    return ask(scene, {"kind": "following", "subject": subject, "object": other, **query})


# --- crossing --------------------------------------------------------------------------------------------------------


def test_a_person_crosses_in_front_of_a_robot_that_drives():
    """From 5 m left at 2 m/s: at 2.5 s it is 10 - 1.5 * 2.5 = 6.25 m ahead."""
    scene = fake_scene(fake_track("1", "person", (10, 5, 0), (0, -2, 0), size=PERSON), ego_velocity=(1.5, 0, 0))
    answer = crossing(scene)
    assert labels(answer) == ["left_to_right"]
    assert answer.value == pytest.approx(6.25) and answer.details["at_s"] == pytest.approx(2.5)
    (event,) = answer.details["events"]
    assert event == {"label": "left_to_right", "start": 2.25, "end": 2.75, "at_s": 2.5, "value": 6.25}
    assert answer.answer == "Person 1 crossed in front of the robot from left to right at 2.5 s (6.2 m ahead)."
    for question, verdict in (
        ("did the person cross in front of me?", "Yes: "),
        ("did the person cross from left to right?", "Yes: "),
        ("did the person cross from right to left?", "No: "),
    ):
        assert ask(scene, question).answer.startswith(verdict)


def test_there_and_back_are_two_crossings():
    def positions(t):
        return np.stack([8 + 0 * t, 3 * np.cos(2 * np.pi * t / 5), 0 * t], axis=1)

    answer = crossing(fake_scene(fake_track("1", "person", positions=positions, size=PERSON)))
    assert labels(answer) == ["left_to_right", "right_to_left"]
    assert [e["at_s"] for e in answer.details["events"]] == pytest.approx([1.25, 3.75], abs=0.02)
    assert answer.value == pytest.approx(8.0) and answer.details["at_s"] == pytest.approx(3.75, abs=0.02)


def test_the_robot_crosses_the_view_of_a_car():
    scene = fake_scene(fake_track("1", "car", (5, 8, 0), yaw=-math.pi / 2), ego_velocity=(2, 0, 0))
    answer = crossing(scene, "robot", object="1")
    assert labels(answer) == ["right_to_left"] and answer.value == pytest.approx(8.0)
    assert labels(crossing(scene, "robot", viewpoint={"agent": "1"})) == ["right_to_left"]
    assert labels(crossing(scene, "camera", object="1")) == ["right_to_left"]


def test_what_is_no_crossing():
    turning = 0.5 - 0.2 * T_S
    parked = fake_track("1", "car", (10, 0, 0), yaw=0.0)
    assert labels(crossing(fake_scene(parked, ego_yaw=turning))) == ["none"], "the ego turns past a parked car"
    behind = fake_track("1", "person", (-10, 5, 0), (0, -2, 0), size=PERSON)
    assert labels(crossing(fake_scene(behind))) == ["none"], "behind"
    lead = fake_track("1", "car", (15, 0, 0), (6, 0, 0), yaw=0.0)
    assert labels(crossing(fake_scene(lead, ego_velocity=(6, 0, 0), ego_yaw=turning))) == ["none"], "the car ahead"
    oncoming = fake_track("1", "car", (60, 2, 0), (-8, -0.8, 0), yaw=math.pi)
    assert labels(crossing(fake_scene(oncoming))) == ["none"], "oncoming, nearly along the axis"
    still = fake_track("1", "person", (10, 5, 0), size=PERSON)
    answer = crossing(fake_scene(still))
    assert labels(answer) == ["none"] and answer.details["events"] == []
    assert answer.answer == "Person 1 did not cross in front of the robot from 0.0 s to 5.0 s."


def test_a_view_held_fixed():
    """Once turned to the left, the robot's view at 0 s still looks along x."""
    walker = fake_track("1", "person", (10, 5, 0), (0, -2, 0), size=PERSON)
    scene = fake_scene(walker, ego_yaw=np.where(T_S < 0.05, 0.0, 2.0))
    assert labels(crossing(scene)) == ["none"]
    assert labels(crossing(scene, viewpoint={"mode": "absolute"})) == ["left_to_right"]
    assert labels(crossing(scene, viewpoint={"mode": "absolute", "at": 4.0})) == ["none"]


def test_noise_makes_no_crossings():
    """A car that goes along the axis of the view, 0.3 m of noise to either side."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(100):
        track = fake_track("1", "car", (15, 0, 0), (3, 0, 0), sigma_m=0.3, rng=rng)
        found += labels(crossing(fake_scene(track))) != ["none"]
    assert found == 0
    seen = 0
    for _ in range(100):
        track = fake_track("1", "person", (10, 4, 0), (0, -1.6, 0), sigma_m=0.2, rng=rng, size=PERSON)
        answer = crossing(fake_scene(track))
        seen += labels(answer) == ["left_to_right"] and abs(answer.details["at_s"] - 2.5) < 0.3
    assert seen >= 97


def test_meetings_decline():
    scene = fake_scene(fake_track("1", "box"), fake_track("2", "box", (0, 5, 0)))
    assert crossing(scene, "1", object="2").declined.code == "NO_ORIENTATION"
    assert crossing(scene, "1", object="1").declined.code == "BAD_REQUEST"
    assert crossing(scene, "robot").declined.code == "BAD_REQUEST"
    assert overtaking(scene, "1", "2").declined.code == "NO_ORIENTATION"
    assert overtaking(scene, "1", "map").declined.code == "BAD_REQUEST"
    assert following(scene, "1", "1").declined.code == "BAD_REQUEST"
    for kind in ("crossing", "overtaking", "following"):
        assert ask(scene, {"kind": kind, "subject": "1", "window": [7, 8]}).declined.code == "BAD_WINDOW"
    blind = replace(fake_scene(fake_track("1", "car", yaw=0.0)), T_world_base=None, T_world_camera=None)
    assert crossing(blind).declined.code == "NO_POSE"


def test_changes_of_side_are_held_on_both_sides():
    t = np.arange(0.0, 6.0, 0.1)
    sigma = np.full(len(t), 0.1)
    (change,) = changes_of_side(t, 0.5 * (t - 3.05), sigma, 0.0, DEFAULT_RULES)
    assert change.sign == 1 and change.at_s == pytest.approx(3.05)
    assert (t[change.last], t[change.first]) == pytest.approx((2.4, 3.7))
    blip = np.where((t > 3) & (t < 3.3), -1.0, 1.0)
    assert changes_of_side(t, blip, sigma, 0.0, DEFAULT_RULES) == []
    assert changes_of_side(t, 0.05 * np.sin(t), sigma, 0.0, DEFAULT_RULES) == []
    chance, short, _ = nearest_miss(t, np.full(len(t), 1.0), sigma, 0.0, DEFAULT_RULES)
    assert chance < 0.01 and short == pytest.approx(1.3)


# --- overtaking ------------------------------------------------------------------------------------------------------


def lanes(first, second, label="car"):
    """Two cars along x: (x at the start, speed), the first 3 m to the left."""
    return fake_scene(
        fake_track("1", label, (first[0], 3, 0), (first[1], 0, 0), yaw=0.0),
        fake_track("2", "car", (second[0], 0, 0), (second[1], 0, 0), yaw=0.0),
        duration_s=5.0,
        ego_velocity=(2, 0, 0),
    )


def test_who_overtakes_whom():
    """10 m behind, 4 m/s faster: abreast at 2.5 s, 3 m aside."""
    scene = lanes((0, 6), (10, 2))
    answer = overtaking(scene)
    assert labels(answer) == ["overtook"]
    assert answer.value == pytest.approx(3.0) and answer.details["at_s"] == pytest.approx(2.5)
    assert answer.answer == "Car 1 overtook car 2 at 2.5 s (3.0 m aside)."
    other = overtaking(scene, "2", "1")
    assert labels(other) == ["overtaken"] and other.value == pytest.approx(3.0)
    assert ask(scene, "did car 1 overtake car 2?").answer.startswith("Yes: ")
    assert ask(scene, "did car 2 overtake car 1?").answer.startswith("No: ")
    assert ask(scene, "was car 2 overtaken by car 1?").answer.startswith("Yes: ")


def test_the_robot_passes_and_is_overtaken():
    scene = fake_scene(
        fake_track("1", "car", (5, 3, 0), yaw=0.0),
        fake_track("2", "car", (-10, -3, 0), (6, 0, 0), yaw=0.0),
        ego_velocity=(2, 0, 0),
    )
    passed = overtaking(scene, "robot", "1")
    assert labels(passed) == ["passed"] and passed.details["at_s"] == pytest.approx(2.5)
    assert passed.value == pytest.approx(3.0) and "stood still" in passed.answer
    assert labels(overtaking(scene, "robot", "2")) == ["overtaken"]
    assert labels(overtaking(scene, "2", "robot")) == ["overtook"]
    assert labels(overtaking(scene, "1", "robot")) == ["none"], "what stands is passed, not overtaken"
    assert ask(scene, "did the robot pass car 1?").answer.startswith("Yes: ")


def test_things_without_orientation_overtake_by_their_way():
    scene = fake_scene(
        fake_track("1", "cart", (0, 2, 0), (3, 0, 0)), fake_track("2", "cart", (5, 0, 0), (1, 0, 0)), duration_s=5.0
    )
    assert labels(overtaking(scene)) == ["overtook"] and labels(overtaking(scene, "2", "1")) == ["overtaken"]


def test_what_is_no_overtaking():
    def scene(first, second, **fields):
        return fake_scene(fake_track("1", "car", *first[:2], yaw=first[2]), replace(second, id="2"), **fields)

    ahead = fake_track("2", "car", (10, 0, 0), (2, 0, 0), yaw=0.0)
    oncoming = ((25, 3, 0), (-6, 0, 0), math.pi)
    assert labels(overtaking(scene(oncoming, ahead))) == ["none"], "oncoming"
    far = ((0, 12, 0), (6, 0, 0), 0.0)
    assert labels(overtaking(scene(far, ahead))) == ["none"], "twelve metres aside"
    slow = ((0, 3, 0), (3, 0, 0), 0.0)
    assert labels(overtaking(scene(slow, ahead))) == ["none"], "it has not come past yet"
    parked = ((10, 3, 0), (0, 0, 0), 0.0)
    reversing = fake_track("2", "car", (15, 0, 0), (-2, 0, 0), yaw=0.0)
    assert labels(overtaking(scene(parked, reversing))) == ["none"], "the object goes back past a parked car"
    spinning = fake_track("2", "robot", (0, 0, 0), yaw=lambda t: 0.5 - 0.2 * t)
    creeping = ((0.0, 3.0, 0), (0.1, 0, 0), 0.0)
    assert labels(overtaking(scene(creeping, spinning))) == ["none"], "the object turns on the spot"


def test_a_parked_car_whose_label_jitters_is_passed_once():
    rng = np.random.default_rng(0)
    for _ in range(20):
        parked = fake_track("2", "car", (10, 0, 0), sigma_m=0.1, rng=rng, yaw=lambda t: 0.05 * rng.normal(size=len(t)))
        parked = replace(parked, orientation_sigmas_rad=np.full(51, 0.05))
        scene = fake_scene(fake_track("1", "car", (0, 3, 0), (5, 0, 0), sigma_m=0.1, rng=rng, yaw=0.0), parked)
        assert labels(overtaking(scene)) == ["passed"]
        assert labels(crossing(scene, "2", object="1")) == ["none"]


# --- following -------------------------------------------------------------------------------------------------------


def test_a_car_follows_another():
    """12 m behind at 4 m/s: a headway of 3 s."""
    scene = fake_scene(
        fake_track("1", "car", (0, 0, 0), (4, 0, 0), yaw=0.0), fake_track("2", "car", (12, 0.5, 0), (4, 0, 0), yaw=0.0)
    )
    answer = following(scene)
    assert labels(answer) == ["following"] and answer.details["share"] == 1.0
    assert answer.value == pytest.approx(math.hypot(12, 0.5))
    assert answer.details["headway_s"] == pytest.approx(math.hypot(12, 0.5) / 4)
    assert labels(following(scene, "2", "1")) == ["not_following"]
    assert ask(scene, "is car 1 following car 2?").answer.startswith("Yes: ")
    assert ask(scene, "is car 2 following car 1?").answer.startswith("No: ")
    assert ask(scene, "is car 2 being followed by car 1?").answer.startswith("Yes: ")


def test_following_round_a_bend():
    def on_circle(lag_s):
        def angle(t):
            return 0.4 * (t - lag_s)

        return {
            "positions": lambda t: np.stack([10 * np.sin(angle(t)), 10 * (1 - np.cos(angle(t))), 0 * t], axis=1),
            "yaw": angle,
        }

    scene = fake_scene(fake_track("1", "person", **on_circle(1.5)), fake_track("2", "person", **on_circle(0.0)))
    assert labels(following(scene)) == ["following"] and labels(following(scene, "2", "1")) == ["not_following"]


@pytest.mark.parametrize("who", ["robot", "camera"])
def test_the_robot_follows_and_is_followed(who):
    ahead, behind = ((8, 0, 0), (2, 0, 0)), ((-8, 0, 0), (2, 0, 0))
    scene = fake_scene(fake_track("1", "cart", *ahead), fake_track("2", "cart", *behind), ego_velocity=(2, 0, 0))
    assert labels(following(scene, who, "1")) == ["following"]
    assert labels(following(scene, "2", who)) == ["following"]
    assert labels(following(scene, "1", who)) == ["not_following"]


def test_what_is_no_following():
    def pair(start, velocity, yaw=0.0):
        return fake_scene(
            fake_track("1", "car", (0, 0, 0), (4, 0, 0), yaw=0.0), fake_track("2", "car", start, velocity, yaw=yaw)
        )

    for why, scene in {
        "a parked car": pair((30, 0, 0), (0, 0, 0)),
        "oncoming": pair((50, 0, 0), (-4, 0, 0), math.pi),
        "abreast": pair((2, 3, 0), (4, 0, 0)),
        "far ahead": pair((40, 0, 0), (4, 0, 0)),
        "another street": pair((15, 12, 0), (4, 0, 0)),
        "it comes up to it at four times its speed": pair((18, 0, 0), (1, 0, 0)),
        "it goes another way": pair((10, 0, 0), (0, 4, 0), math.pi / 2),
    }.items():
        assert labels(following(scene)) == ["not_following"], why


def test_following_begins_and_needs_two_seconds():
    def joins(t):
        return np.stack([12 + 4 * t, 15 * np.clip(1 - t / 1.5, 0, 1), 0 * t], axis=1)

    scene = fake_scene(
        fake_track("1", "car", (0, 0, 0), (4, 0, 0), yaw=0.0),
        fake_track("2", "car", positions=joins, yaw=lambda t: np.where(t < 1.5, -1.19, 0.0)),
    )
    answer = following(scene)
    assert labels(answer) == ["not_following", "following"]
    assert answer.states[0].end == pytest.approx(1.5, abs=0.3)
    assert answer.details["share"] == pytest.approx(0.7, abs=0.06)
    assert labels(following(scene, window=[0, 3])) == ["not_following"]
    short = following(scene, window=[3, 4.5])
    assert short.declined.code == "TOO_UNCERTAIN" and "2 s" in short.answer


# --- what must not matter --------------------------------------------------------------------------------------------

QUERIES = (
    {"kind": "crossing", "subject": "2", "object": "robot"},
    {"kind": "crossing", "subject": "robot", "object": "4"},
    {"kind": "overtaking", "subject": "0", "object": "1"},
    {"kind": "overtaking", "subject": "robot", "object": "3"},
    {"kind": "following", "subject": "0", "object": "1"},
    {"kind": "following", "subject": "robot", "object": "2"},
)


def seen(answer):
    return answer.declined.code if answer.declined else [s.label for s in answer.states]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(-3, 3),
    st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    st.sampled_from([0.01, 1.0, 100.0]),
)
def test_frame_and_scale_change_lengths_only(seed, turn, shift, scale):
    scene = random_scene(seed)
    T = tf.make_transform(Rotation.from_rotvec([0, 0, turn]).as_matrix(), np.array(shift))
    for query in QUERIES:
        a, b = ask(scene, query), ask(scene.transformed(T, scale), query)
        assert seen(a) == seen(b), query
        if a.declined is None:
            assert b.value == pytest.approx(scale * a.value, rel=1e-4, abs=1e-5 * scale)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_a_mirror_swaps_the_sides_of_a_crossing(seed):
    scene, swap = random_scene(seed), {"left_to_right": "right_to_left", "right_to_left": "left_to_right"}
    for query in QUERIES:
        a, b = ask(scene, query), ask(mirrored(scene), query)
        if a.declined or b.declined:
            assert (a.declined is None) == (b.declined is None)
            continue
        assert seen(b) == [swap.get(label, label) for label in seen(a)]
        assert b.value == pytest.approx(a.value, abs=1e-6)


def test_backwards_a_crossing_goes_the_other_way():
    compared = 0
    for seed in range(80):
        scene = random_scene(seed)
        a, b = ask(scene, QUERIES[0]), ask(backwards(scene), QUERIES[0])
        if a.declined or b.declined or min(a.details["margin_sigmas"], b.details["margin_sigmas"]) < 2:
            continue
        swap = {"left_to_right": "right_to_left", "right_to_left": "left_to_right"}
        assert seen(b) == [swap.get(label, label) for label in seen(a)][::-1]
        compared += seen(a) != ["none"]
    assert compared >= 10


# --- real recordings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sequence, query, expected, at_s",
    [
        # Seen from above: a car that waits for the ego to pass, and then turns across its way.
        ("0002", {"kind": "crossing", "subject": "2", "object": "robot", "window": [7.5, 12.5]}, "right_to_left", 9.3),
        ("0006", {"kind": "overtaking", "subject": "4", "object": "9", "window": [7.5, 12.5]}, "overtook", None),
        ("0008", {"kind": "overtaking", "subject": "13", "object": "8", "window": [30, 35]}, "overtaken", None),
        ("0000", {"kind": "following", "subject": "robot", "object": "1", "window": [7.5, 12.5]}, "following", None),
        # The lead car on a bend, and oncoming traffic while the ego turns, do not cross.
        ("0003", {"kind": "crossing", "subject": "1", "object": "robot", "window": [3.75, 8.75]}, "none", None),
        ("0004", {"kind": "crossing", "subject": "8", "object": "robot", "window": [0, 5]}, "none", None),
        # Cyclists that the ego comes up to, at seven times their speed.
        ("0001", {"kind": "following", "subject": "robot", "object": "45", "window": [11.25, 16.25]}, "not_", None),
    ],
)
def test_what_a_person_sees_in_recordings(sequence, query, expected, at_s):
    answer = ask(load_scene(shared("kitti_tracking"), sequence=sequence), query)
    assert len(answer.states) == 1 and answer.states[0].label.startswith(expected), answer.answer
    if at_s is not None:
        assert answer.details["at_s"] == pytest.approx(at_s, abs=1.0)


def test_parked_cars_of_recordings_never_cross():
    root, asked = shared("kitti_tracking"), 0
    for sequence in ("0001", "0004", "0009"):
        scene = load_scene(root, sequence=sequence)
        for track in scene.tracks.values():
            if len(track) < 15 or np.ptp(track.positions_world_m, axis=0)[:2].max() > 1.0:
                continue
            answer = crossing(scene, track.id, object="robot")
            asked += answer.declined is None
            assert answer.declined is not None or labels(answer) == ["none"], (sequence, track.id, answer.answer)
    assert asked > 100
