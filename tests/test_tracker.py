"""The tracker: ids that last, honest covariances, the same answer at every rate and in every world frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.errors import TrackingError
from dsr_core.geometry import transforms as tf
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.tracking.config import TrackerConfig
from dsr_core.values import FrameObservations, Observation

SIGMA = 0.08


def observation(position, label="person", sigma=SIGMA, **fields):
    return Observation(label, np.asarray(position, float), np.eye(3) * sigma**2, **fields)


def run(
    paths,
    duration_s=8.0,
    rate_hz=10.0,
    hidden=None,
    noise=SIGMA,
    seed=0,
    alarms=0,
    miss=0.0,
    T=None,
    config=None,
    labels=None,
    **fields,
):
    """A world that saw things at `path(t) -> (3,)`; `hidden(i, t)` says when thing i is not seen."""
    rng = np.random.default_rng(seed)
    world = WorldModel(WorldConfig(tracker=config or TrackerConfig()))
    for k in range(round(duration_s * rate_hz) + 1):
        t = k / rate_hz
        seen = []
        for i, path in enumerate(paths):
            p = np.asarray(path(t), float) + rng.normal(0, noise, 3)
            lost = rng.random() < miss or (hidden is not None and hidden(i, t))
            if not lost:
                seen.append(observation(p, label=labels[i] if labels else "person", **fields))
        for _ in range(alarms):
            seen.append(observation(rng.uniform((-10, -10, 0), (10, 10, 2)), score=rng.uniform(0.5, 0.8)))
        if T is not None:
            seen = [moved(o, T) for o in seen]
        world.step(FrameObservations(7_000_000_000 + round(t * 1e9), tuple(seen)))
    return world


def moved(o, T):
    return observation(tf.transform_points(T, o.position_world_m), label=o.label, score=o.score)


def straight(start, velocity):
    return lambda t: np.asarray(start, float) + t * np.asarray(velocity, float)


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("velocity", [(0, 0, 0), (1.2, 0, 0), (0, -3.0, 0)])
def test_id_is_kept_while_hidden_for_two_seconds(rate_hz, velocity):
    world = run([straight((0, 5, 0), velocity)], rate_hz=rate_hz, hidden=lambda i, t: 3.0 < t < 5.0)
    tracks = world.scene().tracks
    assert list(tracks) == ["1"]
    track = tracks["1"]
    gap = (track.stamps_s > 3.0 + 1e-6) & (track.stamps_s < 5.0 - 1e-6)
    assert gap.any() and not track.observed[gap].any() and track.observed[~gap].all()
    trace = np.trace(track.covariances, axis1=1, axis2=2)
    assert trace[gap][-1] > trace[gap][0]


def test_track_ends_after_coasting_and_a_later_sight_is_a_new_thing():
    world = run([straight((0, 5, 0), (0, 0, 0))], duration_s=12, hidden=lambda i, t: 3.0 < t < 8.0)
    first, second = world.scene().tracks["1"], world.scene().tracks["2"]
    assert first.stamps_s[first.observed][-1] == 3.0
    assert first.stamps_s[-1] <= 3.0 + TrackerConfig().max_coast_s + 1e-6
    assert second.stamps_s[0] == pytest.approx(8.0)
    assert [s.id for s in world.tracks()] == ["2"]


def test_crossing_things_keep_their_ids():
    """Three things meet within a few sigmas while a tenth of the detections is missing."""
    paths = [straight((-4, 0, 0), (1, 0, 0)), straight((4, 0.3, 0), (-1, 0, 0)), straight((0.3, -4, 0), (0, 1, 0))]
    swapped = 0
    for seed in range(20):
        tracks = run(paths, seed=seed, miss=0.1).scene().tracks
        assert len(tracks) == 3
        for track in tracks.values():
            begins = [np.linalg.norm(track.positions_world_m[0] - p(track.stamps_s[0])) for p in paths]
            swapped += np.linalg.norm(track.positions_world_m[-1] - paths[int(np.argmin(begins))](8.0)) > 0.4
    assert swapped <= 3


@pytest.mark.parametrize("seed", range(3))
def test_false_alarms_seldom_become_tracks(seed):
    world = run([straight((0, 5, 0), (0.5, 0, 0))], duration_s=30, alarms=3, seed=seed)
    tracks = world.scene().tracks
    assert max(int(t.observed.sum()) for t in tracks.values()) > 290
    assert len(tracks) <= 3


def test_one_hit_wonders_and_weak_detections_are_no_tracks():
    world = WorldModel()
    for k in range(30):
        seen = [observation((0, 0, 0), score=0.3)] + ([observation((5, 5, 0))] if k % 10 == 0 else [])
        world.step(FrameObservations(k * 100_000_000, tuple(seen)))
    assert world.scene().tracks == {} and world.tracks() == []


def test_weak_detections_keep_a_track_alive():
    world = WorldModel()
    for k in range(60):
        world.step(FrameObservations(k * 100_000_000, (observation((0.1 * k, 0, 0), score=0.9 if k < 10 else 0.2),)))
    track = world.scene().tracks["1"]
    assert len(track) == 60 and track.observed.all()


@pytest.mark.parametrize("score, frames", [(0.97, 2), (0.8, 3)])
def test_a_sure_detector_makes_tracks_sooner(score, frames):
    for count in (frames - 1, frames):
        world = run([straight((0, 0, 0), (1, 0, 0))], duration_s=(count - 1) / 10, score=score)
        assert len(world.scene().tracks) == (count == frames)


def test_one_miss_or_one_weak_score_makes_it_not_sure():
    for scores in ((0.97, None, 0.97), (0.97, 0.8), (0.8, 0.97)):
        world = WorldModel()
        for k, score in enumerate(scores):
            seen = () if score is None else (observation((0.1 * k, 0, 0), score=score),)
            world.step(FrameObservations(k * 100_000_000, seen))
        assert world.scene().tracks == {}


def test_samples_before_the_confirmation_are_kept():
    world = run([straight((0, 0, 0), (1, 0, 0))], duration_s=1.0)
    track = world.scene().tracks["1"]
    assert track.stamps_s[0] == 0.0 and len(track) == 11 and np.all(np.diff(track.stamps_s) > 0)
    assert world.tracks()[0].first_seen_s == 0.0


def test_a_duplicate_detection_begins_no_second_track():
    world = WorldModel()
    size = np.array([4.0, 1.8, 1.5])
    for k in range(20):
        seen = (
            observation((k, 0, 0), "car", size_lwh_m=size),
            observation((k, 0.3, 0), "car", size_lwh_m=size, score=0.6),
        )
        world.step(FrameObservations(k * 100_000_000, seen))
    assert list(world.scene().tracks) == ["1"]


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 20.0])
def test_velocity_and_position_at_every_rate(rate_hz):
    world = run([straight((0, 0, 0), (1.5, -0.5, 0)), straight((5, 5, 0), (0, 0, 0))], rate_hz=rate_hz)
    mover, parked = world.scene().tracks["1"], world.scene().tracks["2"]
    late = mover.stamps_s > 2.0
    assert np.median(np.linalg.norm(mover.velocities[late] - (1.5, -0.5, 0), axis=1)) < 0.35
    assert np.median(np.linalg.norm(parked.velocities[parked.stamps_s > 2.0], axis=1)) < 0.08
    assert [s.moving for s in world.tracks()] == [True, False]


def test_uneven_stamps():
    rng = np.random.default_rng(3)
    world, t = WorldModel(), 0.0
    for _ in range(150):
        seen = observation(np.array([2 * t, 0, 0]) + rng.normal(0, SIGMA, 3))
        world.step(FrameObservations(round(t * 1e9), (seen,)))
        t += rng.uniform(0.02, 0.3)
    track = world.scene().tracks["1"]
    assert len(world.scene().tracks) == 1
    assert np.median(np.abs(track.velocities[50:, 0] - 2.0)) < 0.3


def turning(t):
    """Stands, walks, turns round, walks back."""
    x = np.interp(t, [0, 3, 7, 7.5, 11, 12], [0, 0, 5, 5, 0.6, 0.6])
    return np.array([x, 3.0, 1.0])


def test_errors_are_as_large_as_the_covariance_says():
    squared = []
    config = TrackerConfig(systematic_fraction=0.0)
    for seed in range(12):
        paths = [straight((0, 0, 0), (1.4, 0.3, 0)), straight((9, 9, 0), (0, 0, 0)), turning]
        tracks = run(paths, duration_s=12, seed=seed, config=config).scene().tracks
        assert len(tracks) == 3
        for track, path in zip(tracks.values(), paths, strict=True):
            error = track.positions_world_m - np.array([path(t) for t in track.stamps_s])
            squared.append(np.einsum("ni,ni->n", error, np.linalg.solve(track.covariances, error[..., None])[..., 0]))
    # 3 on average for a perfect model.
    assert 1.5 < np.mean(np.concatenate(squared)) < 4.5


def test_systematic_errors_are_part_of_the_reported_covariance():
    smooth = run([straight((0, 0, 0), (0, 0, 0))], duration_s=20).scene().tracks["1"].covariances[-1]
    assert smooth[0, 0] > TrackerConfig().systematic_fraction * SIGMA**2


def test_same_input_same_output_to_the_bit():
    paths = [straight((-4, 0, 0), (1, 0, 0)), straight((4, 0.3, 0), (-1, 0, 0))]
    a, b = (run(paths, alarms=3, miss=0.2, seed=9).scene() for _ in range(2))
    assert list(a.tracks) == list(b.tracks)
    for i, track in a.tracks.items():
        for name in ("stamps_s", "positions_world_m", "covariances", "velocities", "observed"):
            assert getattr(track, name).tobytes() == getattr(b.tracks[i], name).tobytes()


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.lists(st.floats(-50, 50), min_size=3, max_size=3))
def test_a_rigid_motion_of_the_world_moves_the_tracks_with_it(rotation, translation):
    T = tf.make_transform(tf.Rotation.from_rotvec(rotation).as_matrix(), np.array(translation))
    paths = [turning, straight((4, 0.3, 0), (-1, 0, 0))]
    here, there = run(paths, duration_s=4, miss=0.1).scene(), run(paths, duration_s=4, miss=0.1, T=T).scene()
    assert list(here.tracks) == list(there.tracks)
    for i, a in here.tracks.items():
        b = there.tracks[i]
        assert np.array_equal(a.observed, b.observed)
        assert np.allclose(tf.transform_points(T, a.positions_world_m), b.positions_world_m, atol=1e-6)
        assert np.allclose(a.velocities @ T[:3, :3].T, b.velocities, atol=1e-5)
        assert np.allclose(tf.rotate_covariances(T[:3, :3], a.covariances), b.covariances, atol=1e-6)


def headings(yaw, velocity, flips=(), duration_s=4.0, sigma=0.1):
    """Final heading of a thing whose detector says `yaw(t)`, turned round at the frames `flips`."""
    rng = np.random.default_rng(0)
    world = WorldModel()
    for k in range(round(duration_s * 10)):
        said = yaw(k / 10) + rng.normal(0, sigma) + (np.pi if k in flips else 0)
        q = tf.yaw_to_quaternion_xyzw(said)
        seen = observation(np.asarray(velocity) * k / 10, "car", orientation_world_xyzw=q, orientation_sigma_rad=sigma)
        world.step(FrameObservations(k * 100_000_000, (seen,)))
    q = world.scene().tracks["1"].orientations_xyzw[-1]
    return 2 * np.arctan2(q[2], q[3]), world.scene().tracks["1"].orientation_sigmas_rad[-1]


def off(a, b):
    return abs((a - b + np.pi) % (2 * np.pi) - np.pi)


def test_heading_is_averaged_across_the_seam():
    yaw, sigma = headings(lambda t: np.pi, (0, 0, 0))
    assert off(yaw, np.pi) < 0.1 and 0 < sigma < 0.1


def test_heading_survives_single_flips():
    yaw, _ = headings(lambda t: 0.5, (0, 0, 0), flips=(5, 6, 11, 20, 21, 39))
    assert off(yaw, 0.5) < 0.15


def test_motion_decides_where_the_detector_cannot():
    yaw, _ = headings(lambda t: 0.0, (3.0, 0, 0), flips=tuple(k for k in range(40) if k % 5 in (0, 1, 3)))
    assert off(yaw, 0.0) < 0.15


def test_a_steady_detector_is_believed_about_driving_backwards():
    yaw, _ = headings(lambda t: 0.0, (-2.0, 0, 0))
    assert off(yaw, 0.0) < 0.15


def test_a_wrong_first_heading_is_put_right():
    yaw, _ = headings(lambda t: 0.0, (0, 0, 0), flips=(0, 1))
    assert off(yaw, 0.0) < 0.15


def test_heading_follows_a_turn():
    yaw, _ = headings(lambda t: 0.5 * t, (0, 0, 0))
    assert off(yaw, 0.5 * 3.9) < 0.3


def test_labels_of_other_groups_do_not_mix_and_a_flickering_label_settles():
    world = WorldModel()
    for k in range(40):
        name = "truck" if k % 4 == 1 else "car"
        seen = (observation((0.1 * k, 0, 0), name), observation((0.1 * k, 0.1, 0), "chair"))
        world.step(FrameObservations(k * 100_000_000, seen))
    assert sorted(t.label for t in world.scene().tracks.values()) == ["car", "chair"]
    assert all(len(t) == 40 for t in world.scene().tracks.values())


def test_a_duplicate_of_another_class_votes_on_the_name():
    """The detector says both of one thing; the class that it is surer of on the whole wins, not the one matched."""
    world = WorldModel()
    for k in range(30):
        cyclist, pedestrian = (0.9, 0.6) if k < 5 else (0.6, 0.95)
        size = np.array([0.8, 0.6, 1.7])
        seen = (
            observation((0.1 * k, 0, 0), "cyclist", score=cyclist, size_lwh_m=size),
            observation((0.1 * k, 0.05, 0), "pedestrian", score=pedestrian, size_lwh_m=size),
        )
        world.step(FrameObservations(k * 100_000_000, seen))
    (track,) = world.scene().tracks.values()
    assert track.label == "pedestrian" and world.scene(0.4).tracks["1"].label == "cyclist"


def test_upstream_ids_keep_neighbours_apart():
    rng = np.random.default_rng(0)
    world = WorldModel()
    for k in range(60):
        # Side by side, closer than the noise, and swapping sides.
        x = 0.15 * np.cos(0.1 * k)
        seen = [
            observation(np.array([x, 0, 0]) + rng.normal(0, SIGMA, 3), id="a"),
            observation(np.array([-x, 0, 0]) + rng.normal(0, SIGMA, 3), id="b"),
        ]
        world.step(FrameObservations(k * 100_000_000, tuple(seen[:: (-1) ** k])))
    tracks = list(world.scene().tracks.values())
    assert len(tracks) == 2
    assert tracks[0].positions_world_m[31, 0] * tracks[0].positions_world_m[0, 0] < 0


def test_size_is_robust_and_score_is_kept():
    rng = np.random.default_rng(0)
    world = WorldModel()
    for k in range(50):
        size = np.array([4.0, 1.8, 1.5]) * rng.normal(1, 0.05) * (3.0 if k == 25 else 1.0)
        world.step(FrameObservations(k * 100_000_000, (observation((0, 0, 0), "car", size_lwh_m=size, score=0.7),)))
    assert np.allclose(world.scene().tracks["1"].size_lwh_m, (4.0, 1.8, 1.5), rtol=0.06)
    assert world.tracks()[0].score == pytest.approx(0.7)


def test_backward_and_equal_stamps_name_both_and_clear_begins_anew():
    world = run([straight((0, 0, 0), (1, 0, 0))], duration_s=2.0)
    before = world.newest_ns
    for stamp in (before, before - 500_000_000):
        with pytest.raises(TrackingError, match=f"{stamp}.*{before}"):
            world.step(FrameObservations(stamp))
    assert world.newest_ns == before and len(world.scene().tracks) == 1
    world.clear()
    assert world.origin_ns is None and world.newest_ns is None and world.scene().tracks == {}
    for k in range(5):
        world.step(
            FrameObservations(k, (observation((0, 0, 0)),))
            if k == 0
            else FrameObservations(k * 100_000_000, (observation((0, 0, 0)),))
        )
    assert list(world.scene().tracks) == ["1"] and world.origin_ns == 0


def test_ids_are_never_used_again():
    world = WorldModel()
    for k in range(300):
        seen = (observation(((k // 60) * 20.0, 0, 0)),) if k % 60 < 10 else ()
        world.step(FrameObservations(k * 100_000_000, seen))
    assert list(world.scene().tracks) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    "change",
    [
        {"max_coast_s": 0},
        {"low_score": 0.9},
        {"confirm_hits": 6},
        {"systematic_fraction": -1},
        {"gate_chi2": float("nan")},
    ],
)
def test_config_is_checked(change):
    with pytest.raises(TrackingError):
        TrackerConfig(**change)


def test_bad_observations_are_left_out():
    world = WorldModel()
    for k in range(10):
        seen = (
            observation((np.nan, 0, 0)),
            Observation("person", np.zeros(3), np.full((3, 3), np.inf)),
            observation((1, 0, 0)),
        )
        world.step(FrameObservations(k * 100_000_000, seen))
    assert len(world.scene().tracks) == 1
