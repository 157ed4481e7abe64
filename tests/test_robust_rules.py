"""Robust rules: no scale, no rate, no frame of reference, and a sense of noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import dsr_core
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.noise import change_sigma
from dsr_core.reasoning.states import comparison_states, direction_states, motion_states, trend_states
from dsr_core.scene import Scene
from tests.fakes import fake_scene, fake_track

RATES = (20.0, 10.0, 5.0)


def labels(judged):
    return [s.label for s in judged.states]


def distance_between_two_movers(rng, stamps_s):
    """A smooth distance: two things that change their velocity up to three times."""
    fine = np.arange(0.0, stamps_s[-1] + 0.05, 0.05)

    def path():
        changes = np.sort(rng.uniform(1, fine[-1] - 1, rng.integers(1, 4)))
        velocity = rng.normal(0, 3, (len(changes) + 1, 2))[np.searchsorted(changes, fine)]
        return rng.uniform(-15, 15, 2) + np.cumsum(velocity, axis=0) * 0.05

    return np.interp(stamps_s, fine, np.linalg.norm(path() - path(), axis=1))


def a_scene(seed, rate_hz=10.0, sigma_m=0.0):
    """Two cars and a person in smooth motion round a driving robot; the same motion at any rate."""
    rng = np.random.default_rng(seed)
    noise = np.random.default_rng(seed + 1)
    tracks = []
    for i, label in enumerate(("car", "car", "person")):
        start, v, bend = (
            rng.uniform(-15, 15, 3) * (1, 1, 0.1),
            rng.normal(0, 2.5, 3) * (1, 1, 0),
            rng.uniform(-0.5, 0.5),
        )
        heading = rng.uniform(-3, 3)

        def positions(t, start=start, v=v, bend=bend):
            return start + np.stack([v[0] * t + bend * t**2 / 2, v[1] * t - bend * t**2 / 3, 0 * t], axis=1)

        tracks.append(
            fake_track(
                str(i),
                label,
                positions=positions,
                yaw=lambda t, h=heading: h + 0.1 * t,
                rate_hz=rate_hz,
                sigma_m=sigma_m,
                rng=noise,
            )
        )
    return fake_scene(
        *tracks, rate_hz=rate_hz, ego_velocity=rng.normal(0, 1.5, 3) * (1, 1, 0), ego_yaw=rng.uniform(-3, 3)
    )


QUERIES = [
    {"kind": "distance", "subject": "0", "object": "1"},
    {"kind": "distance", "subject": "2", "object": "robot"},
    {"kind": "direction", "subject": "0", "object": "1", "viewpoint": {"agent": "2", "mode": "relative"}},
    {
        "kind": "direction",
        "subject": "0",
        "object": "camera",
        "viewpoint": {"agent": "camera", "mode": "absolute", "at": 1.0},
    },
    {"kind": "orientation", "subject": "2", "viewpoint": {"agent": "robot", "mode": "relative"}},
    {"kind": "speed", "subject": "1", "viewpoint": {"agent": "robot", "mode": "absolute"}},
    {"kind": "speed", "subject": "1", "viewpoint": {"agent": "0", "mode": "relative"}},
    {"kind": "speed_comparison", "subject": "0", "object": "1", "viewpoint": {"agent": "robot", "mode": "absolute"}},
    {"kind": "direction_prediction", "subject": "0", "viewpoint": {"agent": "robot", "mode": "relative"}},
    {"kind": "motion", "subject": "0"},
]


def all_answers(scene):
    return [dsr_core.ask(scene, dict(q)) for q in QUERIES]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    turn=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    shift=st.lists(st.floats(-50, 50), min_size=3, max_size=3),
)
def test_answers_do_not_depend_on_the_world_frame(seed, turn, shift):
    scene = a_scene(seed, sigma_m=0.05)
    T = tf.make_transform(Rotation.from_rotvec(turn).as_matrix(), np.array(shift))
    for q, a, b in zip(QUERIES, all_answers(scene), all_answers(scene.transformed(T)), strict=True):
        if q["kind"] == "motion":
            continue  # below
        assert [s.label for s in a.states] == [s.label for s in b.states], q
        assert a.value == pytest.approx(b.value, abs=1e-6) if a.value is not None else b.value is None
    a, b = (dsr_core.ask(s, QUERIES[-1]) for s in (scene, scene.transformed(T)))
    assert [s.label for s in a.states] == [s.label for s in b.states]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.01, 0.3, 3.0, 100.0]))
def test_answers_do_not_depend_on_the_scale(seed, scale):
    scene = a_scene(seed, sigma_m=0.05)
    for q, a, b in zip(QUERIES, all_answers(scene), all_answers(scene.transformed(scale=scale)), strict=True):
        assert [s.label for s in a.states] == [s.label for s in b.states], q
        assert [s.start for s in a.states] == pytest.approx([s.start for s in b.states], abs=1e-6)
        if a.value is not None and a.unit != "rad":
            assert b.value == pytest.approx(scale * a.value, rel=1e-6, abs=1e-9 * scale)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_answers_do_not_depend_on_the_direction_that_poses_are_given_in(seed):
    scene = a_scene(seed)
    other = Scene.from_world_to_camera(
        T_camera_world=tf.invert(scene.T_world_camera),
        stamps_s=scene.stamps_s,
        tracks=scene.tracks,
        T_world_base=scene.T_world_base,
    )
    for a, b in zip(all_answers(scene), all_answers(other), strict=True):
        assert [s.label for s in a.states] == [s.label for s in b.states]


def test_the_rate_changes_neither_labels_nor_interval_ends():
    """5, 10 and 20 Hz, exact and noisy series; compared where every margin exceeds two sigma (or 2 %)."""
    rng = np.random.default_rng(1)
    compared = same_labels = same_ends = 0
    for sigma in (0.0, 0.05):
        for _ in range(200):
            t = np.arange(0.0, 8.0 + 1e-9, 0.05)
            d = distance_between_two_movers(rng, t) + sigma * rng.normal(size=len(t))
            judged = [trend_states(t[::k], d[::k], sigma) for k in (1, 2, 4)]
            if min(j.margin for j in judged) < max(2 * float(change_sigma(sigma, 1.0, 10)), 0.02 * np.median(d)):
                continue
            compared += 1
            same = all(labels(j) == labels(judged[0]) for j in judged)
            same_labels += same
            if same:
                ends = np.array([[s.end for s in j.states] for j in judged])
                same_ends += bool(np.ptp(ends, axis=0).max() <= 0.2 + 1e-9)
    print(f"\n{compared} series compared: labels equal in {same_labels}, ends within 0.2 s in {same_ends}")
    assert compared > 200
    assert same_labels >= 0.95 * compared
    assert same_ends >= 0.93 * compared


@pytest.mark.parametrize("index", range(len(QUERIES)))
def test_the_rate_does_not_change_a_clear_answer(index):
    """Whole queries on the same motion at 5, 10 and 20 Hz."""
    agree = compared = 0
    for seed in range(40):
        answers = [dsr_core.ask(a_scene(seed, rate), dict(QUERIES[index])) for rate in RATES]
        codes = {a.declined.code if a.declined else None for a in answers}
        if codes != {None}:
            # What is too close to call may be so at one rate alone; every other reason holds at all of them.
            assert len(codes - {"TOO_UNCERTAIN"}) <= 1 and len(codes) <= 2
            continue
        scale = max(abs(answers[0].value), 0.2)
        if min(a.margin for a in answers) < 0.02 * scale:
            continue
        compared += 1
        agree += len({tuple(s.label for s in a.states) for a in answers}) == 1
    assert compared >= 10
    assert agree >= 0.9 * compared


def test_noise_alone_is_no_change():
    rng = np.random.default_rng(3)
    t = np.arange(0, 5.01, 0.1)
    for sigma in (0.05, 0.2):
        false_alarms = sum(
            labels(trend_states(t, 8 + sigma * rng.normal(size=len(t)), sigma)) != ["constant"] for _ in range(200)
        )
        assert false_alarms <= 4
        still = np.zeros((len(t), 3))
        moves = sum(
            labels(motion_states(t, still + sigma * rng.normal(size=still.shape), sigma, 4.0)) != ["still"]
            for _ in range(200)
        )
        assert moves <= 4


def test_a_steady_approach_is_one_state():
    """The published rules call this five states; see tests/test_dsr_rules.py."""
    t = np.arange(0, 10.01, 0.1)
    for speed in (0.3, 1.0, 1.9):
        judged = trend_states(t, 20 - speed * t, 0.05)
        assert labels(judged) == ["decreasing"]
        assert (judged.states[0].start, judged.states[0].end) == (0.0, 10.0)


def test_a_short_turn_close_by_is_not_constant():
    t = np.arange(0, 10.01, 0.05)
    judged = trend_states(t, np.hypot(3.0, 10 * (t - 5)))
    assert labels(judged) == ["decreasing", "increasing"]
    assert judged.states[0].end == pytest.approx(5.0, abs=0.05)


def test_stop_and_go_is_timed():
    t = np.arange(0, 12.01, 0.1)
    x = np.interp(t, [0, 4, 8, 12], [0, 0, 6, 6])
    p = np.stack([x, 0 * x, 0 * x], axis=1) + np.random.default_rng(0).normal(0, 0.05, (len(t), 3))
    judged = motion_states(t, p, 0.05, 4.0)
    assert labels(judged) == ["still", "moving", "still"]
    assert [s.end for s in judged.states[:2]] == pytest.approx([4.0, 8.0], abs=0.2)


def test_samples_that_were_only_predicted_hide_no_motion():
    """A thing that drives while it is hidden for two seconds: sigma grows to metres there and counts for little."""
    t = np.arange(0, 30.01, 0.1)
    x = np.interp(t, [0, 19.6, 25, 30], [0, 0, 4.5, 4.5])
    sigma = np.where((t > 22) & (t < 24), 2.0, 0.1)
    judged = motion_states(t, np.stack([x, 0 * x, 0 * x], axis=1), sigma, 1.2)
    assert labels(judged) == ["still", "moving", "still"]
    assert [s.end for s in judged.states[:2]] == pytest.approx([19.6, 25.0], abs=0.3)
    exact = np.where(t == t[3], 0.0, 0.1)
    assert labels(motion_states(t, np.stack([x, 0 * x, 0 * x], axis=1), exact, 1.2)) == ["still", "moving", "still"]


def test_faster_of_two_swaps_once():
    t = np.arange(0, 6.01, 0.1)
    judged = comparison_states(t, 1 + 0 * t, np.where(t < 3, 0.2, 3.0), 0.05)
    assert labels(judged) == ["first_faster", "second_faster"]
    assert judged.states[0].end == pytest.approx(3.0, abs=0.11)


def test_direction_keeps_its_side_near_the_threshold():
    t = np.arange(0, 4.01, 0.1)
    side = 0.3 + 0.02 * np.sin(12 * t)
    judged = direction_states(t, np.stack([np.sqrt(1 - side**2), side, 0 * t], axis=1))
    assert len(judged.states) == 1


def test_too_noisy_is_said():
    t = np.arange(0, 3.01, 0.1)
    assert not trend_states(t, 2 + 0 * t, 2.0).certain
    scene = fake_scene(fake_track(sigma_m=5.0, rng=np.random.default_rng(0)))
    answer = dsr_core.ask(scene, {"kind": "distance", "subject": "1", "object": "robot"})
    assert answer.declined.code == "TOO_UNCERTAIN"


def test_a_thing_at_rest_in_noise_is_not_too_close_to_call():
    """Noise that hides 5 % of a small thing's length leaves "still" more likely than not, all the time and in parts."""
    rng = np.random.default_rng(0)
    t = np.linspace(0.0, 30.0, 301)
    way = np.clip(t - 15.0, 0.0, 5.0)
    places = np.stack([10.0 + way, 0 * t, 0 * t], axis=1) + rng.normal(0, 0.1, (301, 3))
    judged = motion_states(t, places, np.full(301, 0.1), 0.6)
    assert [s.label for s in judged.states] == ["still", "moving", "still"]
    assert min(judged.chances) > 0.5
