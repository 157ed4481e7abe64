"""Where a thing is, whether it is in view, when it was last seen."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core import ask, load_scene
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.picture import inside_picture
from tests.data import shared
from tests.fakes import fake_scene, fake_track

#: A picture of 640 x 360 with 90 degrees of view to the sides.
CAMERA = {"K": np.array([[320.0, 0, 320], [0, 320, 180], [0, 0, 1]]), "image_size": (640, 360)}


def seen_only(track, *spans):
    """The track with samples inside closed spans alone."""
    t = track.stamps_s
    return track[np.any([(t >= a - 1e-9) & (t <= b + 1e-9) for a, b in spans], axis=0)]


def scene_of(track, **fields):
    return fake_scene(track, duration_s=10.0, **CAMERA, **fields)


def a_car(start=(10, 0, 0), **fields):
    return fake_track("1", "car", start, duration_s=10.0, **fields)


def spans(answer):
    assert answer.declined is None, answer.answer
    return [(s.label, round(s.start, 6), round(s.end, 6)) for s in answer.states]


# --- visibility ------------------------------------------------------------------------------------------------------


def test_gaps_in_front_of_the_camera_are_occlusions():
    scene = scene_of(seen_only(a_car(), (0, 2), (4, 5), (5.9, 8)))
    answer = ask(scene, {"kind": "visibility", "subject": "1"})
    assert spans(answer) == [
        ("in_view", 0.0, 2.0),
        ("occluded", 2.0, 4.0),
        ("in_view", 4.0, 8.0),  # 0.9 s without an observation hide nothing
        ("occluded", 8.0, 10.0),
    ]
    assert answer.value == pytest.approx(6.0)
    assert answer.sigma == pytest.approx(0.1 * math.sqrt(3 / 12))  # three comings and goings at 10 Hz
    assert answer.margin == pytest.approx(0.1)
    assert answer.unit == "s" and answer.answer.endswith("; in view for 6.0 s in all.")


def test_what_is_just_not_reported_is_still_in_view():
    scene = scene_of(seen_only(a_car(), (0, 9.6)))
    assert spans(ask(scene, {"kind": "visibility", "subject": "1"})) == [("in_view", 0.0, 10.0)]
    scene = scene_of(seen_only(a_car(), (0, 9.3)))
    assert spans(ask(scene, {"kind": "visibility", "subject": "1"}))[-1] == ("occluded", 9.3, 10.0)


def test_a_glimpse_is_half_a_second():
    scene = scene_of(seen_only(a_car(), (0, 1), (4, 4)))
    assert spans(ask(scene, {"kind": "visibility", "subject": "1"}))[1:] == [
        ("occluded", 1.0, 4.0),
        ("in_view", 4.0, 4.5),
        ("occluded", 4.5, 10.0),
    ]


def test_what_the_camera_turns_away_from_is_out_of_view():
    """It turns left by 0.3 rad/s: the car, seen until 2 s, leaves the picture at 45 degrees, 2.6 s."""
    scene = scene_of(seen_only(a_car(), (0, 2)), ego_yaw=0.3 * np.arange(101) / 10)
    answer = ask(scene, {"kind": "visibility", "subject": "1"})
    assert [label for label, *_ in spans(answer)] == ["in_view", "occluded", "out_of_view"]
    assert answer.states[1].end == pytest.approx(math.pi / 4 / 0.3, abs=0.06)


def test_the_predicted_place_goes_before_the_last_one():
    """A track that is predicted on its way out of the picture is not hidden in it."""
    track = fake_track("1", "car", (10, 0, 0), (0, 5, 0), duration_s=10.0)
    object.__setattr__(track, "observed", track.stamps_s <= 1.0 + 1e-9)
    answer = ask(scene_of(track), {"kind": "visibility", "subject": "1"})
    assert [label for label, *_ in spans(answer)] == ["in_view", "occluded", "out_of_view"]
    assert answer.states[1].end == pytest.approx(2.0, abs=0.06)  # 10 m ahead and 10 m aside
    lost = ask(scene_of(seen_only(track, (0, 1))), {"kind": "visibility", "subject": "1"})
    assert [label for label, *_ in spans(lost)] == ["in_view", "occluded"]


def test_a_noisy_place_at_the_edge_of_the_picture_is_less_sure():
    near = ask(scene_of(seen_only(a_car((10, 9, 0), sigma_m=1.0), (0, 2))), {"kind": "visibility", "subject": "1"})
    far = ask(scene_of(seen_only(a_car((10, 2, 0), sigma_m=1.0), (0, 2))), {"kind": "visibility", "subject": "1"})
    assert spans(near) == spans(far) and near.confidence < far.confidence


@pytest.mark.parametrize("missing", ["K", "image_size", "T_world_camera"])
def test_without_a_camera_what_is_not_seen_is_out_of_view(missing):
    scene = scene_of(seen_only(a_car(), (0, 2)))
    object.__setattr__(scene, missing, None)
    answer = ask(scene, {"kind": "visibility", "subject": "1"})
    assert spans(answer) == [("in_view", 0.0, 2.0), ("out_of_view", 2.0, 10.0)]


def test_windows_and_instants():
    scene = scene_of(seen_only(a_car(), (2, 4), (8, 9.9)))

    def ask_in(*window):
        return ask(scene, {"kind": "visibility", "subject": "1", "window": window})

    assert spans(ask_in(0, 3)) == [("in_view", 2.0, 3.0)]  # nothing is known of it before
    assert spans(ask_in(3, 7)) == [("in_view", 3.0, 4.0), ("occluded", 4.0, 7.0)]
    assert spans(ask_in(5, 7)) == [("occluded", 5.0, 7.0)]
    assert ask_in(5, 7).samples == 0
    assert spans(ask_in(3, 3)) == [("in_view", 3.0, 3.0)] and ask_in(3, 3).value is None
    assert spans(ask_in(6, 6)) == [("occluded", 6.0, 6.0)]
    assert spans(ask_in(9, 20)) == [("in_view", 9.0, 10.0)]
    assert ask_in(0, 1).declined.code == "NOT_OBSERVED"
    assert ask_in(12, 13).declined.code == "BAD_WINDOW"
    assert ask_in(3, 2).declined.code == "BAD_WINDOW"


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 100), min_size=2, max_size=12, unique=True),
    start=st.floats(0, 5),
    length=st.floats(0, 5),
)
def test_states_fill_the_window_and_hold_the_observations(cuts, start, length):
    cuts = sorted(cuts)
    pairs = [(a / 10, b / 10) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    track = seen_only(a_car(), *pairs)
    answer = ask(scene_of(track), {"kind": "visibility", "subject": "1", "window": [start, start + length]})
    if start + length < pairs[0][0]:
        assert answer.declined.code == "NOT_OBSERVED"
        return
    states = answer.states
    assert states[0].start == max(start, pairs[0][0]) and states[-1].end == pytest.approx(start + length)
    assert all(a.end == b.start and a.label != b.label for a, b in itertools.pairwise(states))
    inner = track.stamps_s[(track.stamps_s > start) & (track.stamps_s < start + length)]
    for stamp in inner:
        assert any(s.label == "in_view" and s.start - 1e-9 <= stamp <= s.end + 1e-9 for s in states)
    assert 0.0 < answer.confidence <= 1.0


@pytest.mark.parametrize(
    "question, verdict",
    [
        ("can you see the car?", "No"),
        ("is the car occluded?", "Yes"),
        ("is the car out of view?", "No"),
        ("was the car in view between 0 and 2 s?", "Yes"),
        ("was the car occluded between 1 and 6 s?", "Yes"),
    ],
)
def test_yes_or_no(question, verdict):
    """The present is that of the robot, not that of the last time at which the car was seen."""
    scene = scene_of(seen_only(a_car(), (0, 2), (4, 5)))
    answer = ask(scene, question)
    assert answer.kind == "visibility" and answer.answer.startswith(f"{verdict}: car 1 is ")


def test_who_cannot_be_asked():
    scene = scene_of(a_car(yaw=0.0))
    assert ask(scene, {"kind": "visibility", "subject": "robot"}).declined.code == "BAD_REQUEST"
    assert ask(scene, {"kind": "visibility", "subject": "1", "viewpoint": "1"}).declined.code == "BAD_REQUEST"
    assert ask(scene, {"kind": "last_seen", "subject": "camera"}).declined.code == "BAD_REQUEST"
    assert ask(scene, {"kind": "visibility", "subject": "bus"}).declined.code == "NO_SUCH_OBJECT"


def test_the_edge_of_the_picture_in_metres():
    scene = fake_scene(**CAMERA)
    points = [[10, 0, 0], [10, 9.9, 0], [10, 10.1, 0], [10, 0, 5.5], [10, 0, 5.7], [-1, 0, 0]]
    assert inside_picture(scene, np.array(points), np.zeros(6)) == pytest.approx([5.625, 0.1, -0.1, 0.125, -0.075, -1])


# --- last seen -------------------------------------------------------------------------------------------------------


def test_last_seen_tells_when_and_where():
    scene = scene_of(seen_only(a_car((6, 8, 0)), (0, 2), (4, 5)), ego_velocity=(1, 0, 0))
    answer = ask(scene, {"kind": "last_seen", "subject": "1"})
    assert answer.states == () and answer.value == pytest.approx(5.0) and answer.unit == "s"
    assert answer.details["at_s"] == 5.0 and answer.details["position_world_m"] == pytest.approx([6, 8, 0])
    assert answer.details["position_in_view_m"] == pytest.approx([1, 8, 0])  # from where the robot was then
    assert answer.details["direction"] == "left" and answer.details["distance_m"] == pytest.approx(math.hypot(1, 8))
    assert answer.answer == "Car 1 was last seen at 5.0 s, 5.0 s ago, to the left of the robot, 8.1 m away."
    before = ask(scene, {"kind": "last_seen", "subject": "1", "window": [0.0, 3.0]})
    assert before.details["at_s"] == 2.0 and before.value == pytest.approx(1.0)
    assert "1.0 s before 3.0 s" in before.answer
    between = ask(scene, {"kind": "last_seen", "subject": "1", "window": [2.5, 3.5]})
    assert between.declined.code == "NOT_OBSERVED" and "at 2.0 s and at 4.0 s" in between.declined.message
    assert ask(scene, "when was the car last seen?").value == pytest.approx(5.0)


def test_predictions_are_not_seen():
    track = a_car()
    object.__setattr__(track, "observed", track.stamps_s <= 3.0 + 1e-9)
    assert ask(scene_of(track), {"kind": "last_seen", "subject": "1"}).details["at_s"] == 3.0


def test_last_seen_needs_no_pose():
    scene = scene_of(seen_only(a_car(), (0, 2)))
    for name in ("T_world_camera", "T_world_base"):
        object.__setattr__(scene, name, None)
    answer = ask(scene, {"kind": "last_seen", "subject": "1"})
    assert answer.details["at_s"] == 2.0 and answer.details["position_world_m"] == pytest.approx([10, 0, 0])
    assert "direction" not in answer.details


def test_what_was_not_seen_for_long_is_not_stale():
    scene = scene_of(seen_only(a_car(), (0, 2)))
    for question in ("when was the car last seen?", "is the car in view?"):
        assert ask(scene, question, now_s=10.2, stale_s=1.0).declined is None
        assert ask(scene, question, now_s=20.0, stale_s=1.0).declined.code == "STALE_DATA"


# --- position --------------------------------------------------------------------------------------------------------


def test_position_by_hand():
    scene = fake_scene(
        fake_track("1", "car", (10, 3, 0), (1, 0, 0)), fake_track("2", "box", (5, 3, 0)), ego_yaw=math.pi / 2
    )
    answer = ask(scene, {"kind": "position", "subject": "1", "window": [0, 2]})
    assert [s.label for s in answer.states] == ["right"]  # 3 m ahead of 12.4 m is less than 0.3
    assert answer.details["position_in_view_m"] == pytest.approx([3, -12, 0], abs=1e-9)
    assert answer.details["position_world_m"] == pytest.approx([12, 3, 0])
    assert answer.details["bearing_rad"] == pytest.approx(math.atan2(-12, 3))
    assert answer.value == pytest.approx(math.hypot(12, 3)) and answer.window == (2.0, 2.0)
    assert answer.margin == pytest.approx(abs(3 / math.hypot(12, 3) - 0.3) * math.hypot(12, 3))
    assert answer.answer == "Car 1 is to the right of the robot, 12.4 m away at 2.0 s, bearing -76 degrees."
    other = ask(scene, {"kind": "position", "subject": "1", "object": "2", "window": [1.0, 1.0]})
    assert [s.label for s in other.states] == ["right"] and other.value == pytest.approx(6.0)
    assert other.details["position_world_m"] == pytest.approx([11, 3, 0])


def test_position_from_a_held_view():
    """From where the robot was at 1 s, and from where it is."""
    scene = fake_scene(fake_track("1", "car", (4, 3, 0)), ego_velocity=(2, 0, 0))
    held = {"agent": "robot", "mode": "absolute", "at": 1.0}
    answer = ask(scene, {"kind": "position", "subject": "1", "viewpoint": held, "window": [0, 4]})
    assert answer.details["position_in_view_m"] == pytest.approx([2, 3, 0]) and answer.viewpoint["at"] == 1.0
    assert answer.details["position_world_m"] == pytest.approx([4, 3, 0])
    now = ask(scene, {"kind": "position", "subject": "1", "window": [0, 4]})
    assert now.details["position_in_view_m"] == pytest.approx([-4, 3, 0])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), turn=st.floats(-3, 3), shift=st.tuples(*[st.floats(-100, 100)] * 3))
def test_the_world_frame_does_not_matter(seed, turn, shift):
    rng = np.random.default_rng(seed)
    track = fake_track("1", "car", rng.uniform(-9, 9, 3), rng.normal(0, 2, 3), sigma_m=0.05, rng=rng)
    scene = fake_scene(seen_only(track, (0, 2), (3.5, 4)), **CAMERA, ego_velocity=rng.normal(0, 1, 3))
    T = tf.make_transform(tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(turn)), np.array(shift))
    for kind in ("position", "visibility", "last_seen"):
        a, b = (ask(s, {"kind": kind, "subject": "1"}) for s in (scene, scene.transformed(T)))
        assert (a.declined is None) == (b.declined is None)
        assert [s.label for s in a.states] == [s.label for s in b.states]
        if a.declined is None:
            assert b.value == pytest.approx(a.value, abs=1e-6)
            place, there = (s.details.get("position_world_m") for s in (a, b))
            if place is not None:
                assert there == pytest.approx(tf.transform_points(T, np.array(place)), abs=1e-6)


def test_position_averages_noise():
    errors = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        scene = fake_scene(fake_track("1", "car", (10, 5, 0), (1, 0, 0), sigma_m=0.2, rng=rng))
        answer = ask(scene, {"kind": "position", "subject": "1", "window": [2.5, 2.5]})
        errors.append(np.subtract(answer.details["position_world_m"], [12.5, 5, 0]))
    assert np.std(errors) < 0.6 * 0.2


def test_nothing_has_a_position_from_itself():
    scene = fake_scene(fake_track("1", "car", (0, 0, 0), sigma_m=0.5))
    assert ask(scene, {"kind": "position", "subject": "robot"}).declined.code == "BAD_REQUEST"
    assert ask(scene, {"kind": "position", "subject": "map"}).declined.code == "BAD_REQUEST"
    assert ask(scene, {"kind": "position", "subject": "1"}).declined.code == "TOO_UNCERTAIN"  # it is where the robot is


def test_labels_of_a_real_drive_are_in_view_while_they_are_labelled():
    """KITTI 0007: a thing's own box lies in the picture, so its labelled times are in view, and what left it is not."""
    scene = load_scene(shared("kitti_tracking"), sequence="0007")
    left = hidden = 0
    for track in scene.tracks.values():
        answer = ask(scene, {"kind": "visibility", "subject": track.id})
        in_view = [s for s in answer.states if s.label == "in_view"]
        assert any(s.start - 1e-6 <= track.stamps_s[0] <= s.end for s in in_view)
        assert answer.value <= scene.end_s
        left += answer.states[-1].label == "out_of_view"
        hidden += answer.states[-1].label == "occluded"
    assert left > 20 and left > hidden  # it drives past most things
