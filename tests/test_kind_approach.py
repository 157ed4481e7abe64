"""Closest approach and closest distance: by hand, under noise, and what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dsr_core import ask, load_scene
from dsr_core.geometry import transforms as tf
from tests.data import shared
from tests.fakes import fake_scene, fake_track
from tests.random_scenes import backwards, mirrored, random_scene, thinned


def labels(answer):
    assert answer.declined is None, answer.answer
    return [s.label for s in answer.states]


def approach(start, velocity, ego_velocity=(0, 0, 0), **query):
    scene = fake_scene(fake_track("1", "car", start, velocity), ego_velocity=ego_velocity)
    return ask(scene, {"kind": "closest_approach", "subject": "1", "object": "robot", **query})


# --- closest approach ------------------------------------------------------------------------------------------------


def test_head_on():
    """At 5 s it is 20 m away and comes at 4 m/s: 5 s to contact, at no distance."""
    answer = approach((40, 0, 0), (-4, 0, 0))
    assert labels(answer) == ["approaching"]
    assert answer.value == pytest.approx(0.0, abs=1e-9)
    assert answer.details["time_to_s"] == pytest.approx(5.0)
    assert answer.details["at_s"] == pytest.approx(10.0)
    assert answer.details["closing_mps"] == pytest.approx(4.0)
    assert (answer.states[-1].start, answer.states[-1].end) == (4.0, 5.0)
    assert "in 5.0 s" in answer.answer


def test_passing_at_a_distance_while_both_move():
    """Relative to the robot: from (10, 3) at 5 s with (-2, 0) m/s; nearest after 5 s, at 3 m."""
    answer = approach((20, 3, 0), (-1, 0, 0), ego_velocity=(1, 0, 0))
    assert labels(answer) == ["approaching"]
    assert answer.value == pytest.approx(3.0) and answer.details["time_to_s"] == pytest.approx(5.0)


def test_receding_things_come_no_closer():
    answer = approach((10, 0, 0), (2, 0, 0))
    assert labels(answer) == ["receding"]
    assert answer.value == pytest.approx(20.0) and answer.details["time_to_s"] == 0.0
    assert answer.details["closing_mps"] == pytest.approx(-2.0)


@pytest.mark.parametrize("velocity, ego", [((0, 0, 0), (0, 0, 0)), ((3, 0, 0), (3, 0, 0))])
def test_the_same_velocity_is_no_approach(velocity, ego):
    answer = approach((10, 2, 0), velocity, ego)
    assert labels(answer) == ["same"] and answer.value == pytest.approx(math.hypot(10, 2))
    assert answer.details["time_to_s"] == 0.0


def test_the_last_second_of_the_window_counts():
    """It comes at 2 m/s until 3 s, then goes back as fast."""
    track = fake_track("1", "car", positions=lambda t: np.stack([10 + 2 * np.abs(t - 3), 0 * t, 0 * t], axis=1))
    scene = fake_scene(track)
    assert labels(ask(scene, {"kind": "closest_approach", "subject": "1", "window": [0, 3]})) == ["approaching"]
    assert labels(ask(scene, {"kind": "closest_approach", "subject": "1", "window": [0, 5]})) == ["receding"]
    at = ask(scene, {"kind": "closest_approach", "subject": "1", "window": [1.5, 1.5]})
    assert labels(at) == ["approaching"] and at.details["time_to_s"] == pytest.approx(6.5)
    assert (at.states[-1].end, at.window) == (1.5, (1.5, 1.5))


def test_of_two_things_either_comes_first():
    scene = fake_scene(fake_track("1", "car", (10, 0, 0), (1, 0, 0)), fake_track("2", "bus", (30, 4, 0), (-1, 0, 0)))
    a = ask(scene, {"kind": "closest_approach", "subject": "1", "object": "2"})
    b = ask(scene, {"kind": "closest_approach", "subject": "2", "object": "1"})
    assert a.value == pytest.approx(4.0) == b.value and a.details == b.details
    assert a.details["time_to_s"] == pytest.approx(5.0)


def test_sigmas_of_place_and_time_are_honest():
    """Of 300 noisy approaches, the errors are as large as their sigmas say, or somewhat smaller."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(300):
        t = np.arange(51)[:, None] / 10
        noise = math.sqrt(0.2) * rng.normal(size=(51, 3)) + math.sqrt(0.8) * rng.normal(size=3)
        positions = np.array([30, 3, 0]) + t * (-3, 0, 0) + 0.1 * noise
        track = fake_track("1", "car", positions=lambda _, p=positions: p, sigma_m=0.1)
        answer = ask(fake_scene(track), {"kind": "closest_approach", "subject": "1"})
        time_s, sigma_s = answer.details["time_to_s"], answer.details["sigma_time_s"]
        errors.append([(answer.value - 3.0) / answer.sigma, (time_s - 5.0) / sigma_s])
    spread = np.sqrt(np.mean(np.square(errors), axis=0))
    assert np.all(spread < 1.3) and np.all(spread > 0.2), spread


def test_noise_that_hides_an_approach():
    rng = np.random.default_rng(1)
    called = []
    for _ in range(100):
        track = fake_track("1", "car", (20, 0, 0), sigma_m=0.1, rng=rng)
        called += labels(ask(fake_scene(track), {"kind": "closest_approach", "subject": "1"}))
    assert called.count("same") >= 98
    wild = fake_track("1", "car", (5, 0, 0), sigma_m=3.0, rng=rng)
    answer = ask(fake_scene(wild), {"kind": "closest_approach", "subject": "1"})
    assert answer.declined.code == "TOO_UNCERTAIN" and "m/s" in answer.answer


def test_approach_declines():
    scene = fake_scene(fake_track("1", "car"), fake_track("2", "car", duration_s=1.0))
    for kind in ("closest_approach", "closest_distance"):
        assert ask(scene, {"kind": kind, "subject": "1", "object": "1"}).declined.code == "BAD_REQUEST"
        assert ask(scene, {"kind": kind, "subject": "1", "object": "map"}).declined.code == "BAD_REQUEST"
        late = {"kind": kind, "subject": "1", "object": "2", "window": [3, 5]}
        assert ask(scene, late).declined.code == "NOT_OBSERVED"
    nowhere = fake_scene(fake_track("1", "car"), metric=False)
    assert ask(nowhere, {"kind": "closest_distance", "subject": "1"}).declined.code == "NOT_METRIC"
    answer = ask(nowhere, {"kind": "closest_approach", "subject": "1"})
    assert answer.value is None and "closing_mps" not in answer.details and labels(answer) == ["same"]


# --- closest distance ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 20.0])
def test_passing_is_nearest_between_two_samples(rate_hz):
    """Past the robot at 3 m/s, 2 m aside, abreast at 2.51 s."""
    track = fake_track("1", "car", (-3 * 2.51, 2, 0), (3, 0, 0), rate_hz=rate_hz)
    answer = ask(fake_scene(track, rate_hz=rate_hz), {"kind": "closest_distance", "subject": "1"})
    assert answer.states == () and answer.unit == "m"
    assert answer.value == pytest.approx(2.0, abs=1e-6)
    assert answer.details["at_s"] == pytest.approx(2.51, abs=1e-3)
    assert answer.answer == "Car 1 was closest to the robot, at 2.0 m at 2.5 s."


def test_the_nearest_place_may_be_at_an_end():
    track = fake_track("1", "car", (10, 0, 0), (-1, 0, 0))
    answer = ask(fake_scene(track), {"kind": "closest_distance", "subject": "1", "window": [1, 4]})
    assert answer.value == pytest.approx(6.0) and answer.details["at_s"] == pytest.approx(4.0)
    back = ask(fake_scene(fake_track("1", "car", (10, 0, 0), (1, 0, 0))), {"kind": "closest_distance", "subject": "1"})
    assert back.value == pytest.approx(10.0) and back.details["at_s"] == pytest.approx(0.0)


def test_noise_does_not_make_things_nearer():
    """The least of 51 noisy distances would be 0.2 m too small."""
    rng, values, times = np.random.default_rng(0), [], []
    for _ in range(200):
        track = fake_track("1", "car", (-7.5, 2, 0), (3, 0, 0), sigma_m=0.1, rng=rng)
        answer = ask(fake_scene(track), {"kind": "closest_distance", "subject": "1"})
        values.append(answer.value)
        times.append(answer.details["at_s"])
    assert np.mean(values) == pytest.approx(2.0, abs=0.03)
    assert np.mean(times) == pytest.approx(2.5, abs=0.02) and np.std(times) < 0.1
    still = [
        ask(
            fake_scene(fake_track("1", "car", (10, 0, 0), sigma_m=0.1, rng=rng)),
            {"kind": "closest_distance", "subject": "1"},
        ).value
        for _ in range(50)
    ]
    assert np.mean(still) == pytest.approx(10.0, abs=0.15)


# --- what must not matter --------------------------------------------------------------------------------------------

QUERIES = (
    {"kind": "closest_approach", "subject": "0", "object": "robot"},
    {"kind": "closest_approach", "subject": "2", "object": "3"},
    {"kind": "closest_distance", "subject": "2", "object": "robot"},
    {"kind": "closest_distance", "subject": "camera", "object": "4"},
)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    st.sampled_from([0.01, 1.0, 100.0]),
)
def test_frame_and_scale_change_lengths_only(seed, turn, shift, scale):
    scene = random_scene(seed)
    T = tf.make_transform(Rotation.from_rotvec(turn).as_matrix(), np.array(shift))
    for query in QUERIES:
        a, b = ask(scene, query), ask(scene.transformed(T, scale), query)
        assert [s.label for s in a.states] == [s.label for s in b.states], query
        if a.declined is None:
            assert b.value == pytest.approx(scale * a.value, rel=1e-4, abs=1e-5 * scale)
            assert b.details["at_s"] == pytest.approx(a.details["at_s"], abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_mirror_changes_nothing_and_backwards_the_nearest_time_is_turned_round(seed):
    scene = random_scene(seed)
    for query in QUERIES:
        a, b = ask(scene, query), ask(mirrored(scene), query)
        assert [s.label for s in a.states] == [s.label for s in b.states]
        if a.declined is None:
            assert b.value == pytest.approx(a.value, abs=1e-6)
    for query in QUERIES[2:]:
        a, b = ask(scene, query), ask(backwards(scene), query)
        assert b.value == pytest.approx(a.value, abs=4 * a.sigma + 0.02)


def test_the_rate_changes_no_clear_answer():
    compared = same = 0
    for seed in range(40):
        scene = random_scene(seed)
        for query in QUERIES:
            answers = [ask(thinned(scene, step), query) for step in (1, 2, 4)]
            if any(a.declined or a.details.get("margin_sigmas", 9) < 2 for a in answers):
                continue
            compared += 1
            alike = len({tuple(s.label for s in a.states) for a in answers}) == 1
            if query["kind"] == "closest_distance":
                alike = np.ptp([a.value for a in answers]) < 4 * answers[0].sigma
            same += alike
    assert compared > 60 and same >= 0.98 * compared, (same, compared)


# --- real recordings -------------------------------------------------------------------------------------------------


def test_a_recorded_drive_past_parked_cars():
    """KITTI 0001: what was foreseen a second before a parked car leaves the view is near what came of it."""
    scene = load_scene(shared("kitti_tracking"), sequence="0001")
    errors = []
    for track in scene.tracks.values():
        still = np.ptp(track.positions_world_m, axis=0)[:2].max() < 1.0
        if track.label != "car" or not still or len(track) < 30:
            continue
        end = float(track.stamps_s[-1])
        foreseen = ask(
            scene, {"kind": "closest_approach", "subject": track.id, "object": "robot", "window": [end - 3, end - 1]}
        )
        came = ask(
            scene, {"kind": "closest_approach", "subject": track.id, "object": "robot", "window": [end - 1.5, end]}
        )
        if foreseen.declined or came.declined or labels(foreseen) != ["approaching"]:
            continue
        errors.append(foreseen.details["at_s"] - came.details["at_s"])
    assert len(errors) >= 8 and abs(np.median(errors)) < 0.2, errors
