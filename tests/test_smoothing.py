"""Smoothed tracks: no lag, honest covariances, and never a correction from later than was asked for."""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from data import shared
from fakes import fake_track
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core import smoothing
from dsr_core.errors import TrackingError
from dsr_core.geometry import transforms as tf
from dsr_core.perception.lift import observe
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.reasoning.agents import interpolate, velocities
from dsr_core.scene import Scene
from dsr_core.sources.kitti import KittiTracking
from dsr_core.sources.simulator import Simulator
from dsr_core.tracking import filter as kalman
from dsr_core.tracking.config import TrackerConfig
from dsr_core.values import FrameObservations, Observation

SIGMA, EYE = 0.08, np.eye(4)


def fed(paths, stamps_s, noise=SIGMA, seed=0, miss=0.0, T=EYE, lag_s=1.0, systematic=0.0):
    """A world that saw things at `path(t) -> (3,)` at the given seconds."""
    rng = np.random.default_rng(seed)
    tracker = TrackerConfig(smoothing_lag_s=lag_s, systematic_fraction=systematic)
    world = WorldModel(WorldConfig(tracker=tracker))
    for t in stamps_s:
        world.step(frame(paths, t, rng, noise, miss, T))
    return world


def frame(paths, t, rng, noise=SIGMA, miss=0.0, T=EYE):
    places = [np.asarray(path(t), float) + rng.normal(0, noise, 3) for path in paths]
    seen = [
        Observation("person", tf.transform_points(T, p), np.eye(3) * max(noise, 0.02) ** 2)
        for p in places
        if rng.random() >= miss
    ]
    return FrameObservations(5_000_000_000 + round(t * 1e9), tuple(seen))


def every(rate_hz, duration_s):
    return np.arange(round(duration_s * rate_hz) + 1) / rate_hz


def smoothed(track):
    rows = np.arange(len(track))
    return track.smoothed_positions(rows), track.smoothed_covariances(rows)


def straight(start, velocity):
    return lambda t: np.asarray(start, float) + t * np.asarray(velocity, float)


def corner(t):
    """Walks east, turns sharply to the north."""
    return np.array([min(t, 4.0), max(t - 4.0, 0.0), 0.0]) * 1.4


def truth_of(track, path):
    return np.array([path(t) for t in track.stamps_s])


def nees(error, cov):
    return np.einsum("ni,ni->n", error, np.linalg.solve(cov, error[..., None])[..., 0])


# --- the maths


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.floats(0.02, 0.5), st.integers(0, 1000))
def test_it_is_the_batch_least_squares_solution(count, step_s, seed):
    """Smoothing one model's filter gives the mean and covariance of all states given all data, solved at once."""
    rng = np.random.default_rng(seed)
    walk, R = np.array([[0.01, 0.5]]), np.diag([0.04, 0.01, 0.09])
    stamps = step_s * np.arange(count)
    measured = rng.normal(0, 0.3, (count, 3)) + stamps[:, None]
    mean, cov = np.zeros((count, 6)), np.zeros((count, 6, 6))
    H = np.eye(3, 6)
    before, P = np.zeros((1, 6)), np.diag([1.0, 1, 1, 4, 4, 4])[None]
    F, Q = np.eye(6), smoothing.predict(np.zeros((1, 6)), np.zeros((1, 6, 6)) + 1e-12 * np.eye(6), walk, stamps[1:2])[1]
    F[:3, 3:] = step_s * np.eye(3)
    information, right = np.zeros((6 * count, 6 * count)), np.zeros(6 * count)
    information[:6, :6] = np.linalg.inv(P[0])
    for k in range(count):
        here = slice(6 * k, 6 * k + 6)
        if k:
            before, P, _ = smoothing.predict(mean[k - 1 : k], cov[k - 1 : k], walk, stamps[1:2])
            both, W = slice(6 * k - 6, 6 * k + 6), np.hstack([-F, np.eye(6)])
            information[both, both] += W.T @ np.linalg.solve(Q[0], W)
        gain = P[0] @ H.T @ np.linalg.inv(H @ P[0] @ H.T + R)
        mean[k], cov[k] = before[0] + gain @ (measured[k] - H @ before[0]), P[0] - gain @ H @ P[0]
        information[here, here] += H.T @ np.linalg.solve(R, H)
        right[here] += H.T @ np.linalg.solve(R, measured[k])
    batch, batch_cov = np.linalg.solve(information, right).reshape(count, 6), np.linalg.inv(information)
    found = smoothing.Smoothing(
        100.0, stamps, mean[:, :3], mean[:, 3:], cov[:, :3, :3], smoothing.packed(cov), np.repeat(walk, count, axis=0),
        np.full((count, 3), np.nan), np.full((count, 6), np.nan, np.float32),
    )  # fmt: skip
    rows = np.arange(count)
    assert np.allclose(found.positions(rows), batch[:, :3], atol=1e-4)
    blocks = np.array([batch_cov[6 * k : 6 * k + 3, 6 * k : 6 * k + 3] for k in rows])
    assert np.allclose(found.covariances_of(rows), blocks, atol=1e-4)


@given(st.integers(0, 10_000), st.sampled_from([3, 6]))
def test_triangles_are_unpacked_as_they_were(seed, n):
    a = np.random.default_rng(seed).normal(size=(4, n, n))
    a = a @ np.swapaxes(a, -1, -2)
    assert np.allclose(smoothing.unpacked(smoothing.packed(a)), a, rtol=1e-6, atol=1e-6)
    assert smoothing.packed(a).shape == (4, n * (n + 1) // 2)


def test_walks_are_those_of_the_models():
    """By sampling what the filter's models do in one step."""
    rng, models, dt_s, n = np.random.default_rng(0), TrackerConfig().motion_models(), 0.2, 200_000
    mean = np.zeros((1, 3, 6))
    mean[0, :, 3:] = [(0, 0, 0), (1.0, 0.5, 0), (1.2, 0.4, 0)]
    cov = np.broadcast_to(np.diag([0.01] * 3 + [0.09] * 3), (1, 3, 6, 6)).copy()
    weight, p = np.array([0.2, 0.5, 0.3]), models.transition(dt_s)
    i = rng.choice(3, n, p=weight)
    j = (rng.random(n)[:, None] > np.cumsum(p[i], axis=1)).sum(axis=1)
    velocity = mean[0, i, 3:] + rng.normal(0, 0.3, (n, 3))
    after = velocity + rng.normal(0, 1, (n, 3)) * np.sqrt(models.densities[j] * dt_s)[:, None]
    after += ((i == 0) & (j > 0))[:, None] * rng.normal(0, models.start_speed_mps, (n, 3))
    after[j == 0] = rng.normal(0, models.standing_speed_mps, (int((j == 0).sum()), 3))
    found = kalman.walks(kalman.Estimates(mean, cov, weight[None]), dt_s, models)[0]
    for model in range(3):
        sampled = np.mean((after - velocity)[j == model] ** 2) / dt_s
        assert found[model, 1] == pytest.approx(sampled, rel=0.05)
    lost = np.mean(velocity[j == 0] ** 2) * dt_s
    assert found[0, 0] == pytest.approx(models.densities[0] + lost, rel=0.05) and not found[1:, 0].any()


# --- tracks


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.sampled_from([5.0, 10.0, 20.0]))
def test_a_noiseless_steady_track_is_returned_as_it_is(velocity, rate_hz):
    path = straight((1, 2, 3), velocity)
    track = fed([path], every(rate_hz, 6.0), noise=0.0).scene().tracks["1"]
    position, cov = smoothed(track)
    off, filtered = (np.abs(p - truth_of(track, path)) for p in (position, track.positions_world_m))
    assert off[smoothing.is_final(track.stamps_s, 6.0, 1.0)].max() < 2 * 0.02  # of two sigma
    assert off.max() <= filtered.max() + 1e-3
    assert (np.linalg.eigvalsh(cov) > 0).all()


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_a_rigid_motion_of_the_world_and_its_scale_go_through(rotation, translation, scale):
    T = tf.make_transform(tf.Rotation.from_rotvec(rotation).as_matrix(), np.array(translation))
    paths, stamps = [corner, straight((9, 9, 0), (0, 0, 0))], every(10.0, 6.0)
    scene = fed(paths, stamps, miss=0.1).scene()
    turned = fed(paths, stamps, miss=0.1, T=T).scene() if scale == 1.0 else scene.transformed(T, scale)
    later = scene.transformed(T, scale)
    for i, a in scene.tracks.items():
        position, cov = smoothed(a)
        for b in (turned.tracks[i], later.tracks[i], later.until(4.0).tracks[i]):
            n = len(b)
            expected = (position, cov) if n == len(a) else smoothed(scene.until(4.0).tracks[i])
            assert np.allclose(scale * tf.transform_points(T, expected[0]), smoothed(b)[0], atol=1e-4 * scale)
            assert np.allclose(
                scale**2 * tf.rotate_covariances(T[:3, :3], expected[1]), smoothed(b)[1], atol=1e-5 * scale**2
            )


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 20.0])
def test_the_lag_at_a_turn_is_gone(rate_hz):
    """The filter goes on for a while where a walker has turned; the smoothed track does not."""
    past, slope_off = {"filter": [], "smooth": []}, {"filter": [], "smooth": []}
    for seed in range(6):
        track = fed([corner], every(rate_hz, 8.0), seed=seed).scene().tracks["1"]
        true = truth_of(track, corner)
        turn = (track.stamps_s > 3.5) & (track.stamps_s < 5.5)
        for name, p in (("filter", track.positions_world_m), ("smooth", smoothed(track)[0])):
            past[name].append(np.linalg.norm(p - true, axis=1)[turn])
            off = velocities(track.stamps_s, p, track.stamps_s)[0] - velocities(track.stamps_s, true, track.stamps_s)[0]
            slope_off[name].append(np.linalg.norm(off, axis=1)[turn])
    for errors in (past, slope_off):
        before, after = (np.sqrt(np.mean(np.concatenate(errors[n]) ** 2)) for n in ("filter", "smooth"))
        assert after < 0.75 * before


def test_errors_are_as_large_as_the_covariance_says():
    squared, smaller = [], []
    for seed in range(10):
        paths = [straight((0, 9, 0), (1.4, 0.3, 0)), straight((9, 20, 0), (0, 0, 0)), corner]
        for track, path in zip(fed(paths, every(10.0, 8.0), seed=seed).scene().tracks.values(), paths, strict=True):
            position, cov = smoothed(track)
            squared.append(nees(position - truth_of(track, path), cov))
            smaller.append(np.trace(cov, axis1=1, axis2=2) <= np.trace(track.covariances, axis1=1, axis2=2) * 1.001)
    # 3 on average for a perfect model.
    assert 1.5 < np.mean(np.concatenate(squared)) < 4.5
    assert np.mean(np.concatenate(smaller)) > 0.95


def test_what_no_filter_removes_stays_in_the_covariance():
    track = fed([straight((0, 0, 0), (0, 0, 0))], every(10.0, 20.0), systematic=0.5).scene().tracks["1"]
    assert smoothed(track)[1][:, 0, 0].min() > 0.5 * SIGMA**2


def test_a_thing_that_was_hidden_is_put_where_it_was():
    """Predictions are corrected by where the thing is seen again."""
    path = straight((0, 5, 0), (1.0, 0, 0))
    rng, world = np.random.default_rng(1), WorldModel()
    for t in every(10.0, 9.0):
        hidden = 4.0 < t < 4.9
        world.step(FrameObservations(5_000_000_000 + round(t * 1e9)) if hidden else frame([path], t, rng))
    track = world.scene().tracks["1"]
    gap = ~track.observed
    error = np.linalg.norm(smoothed(track)[0] - truth_of(track, path), axis=1)[gap]
    assert gap.sum() == 8 and error.max() < 0.15
    assert np.trace(smoothed(track)[1][gap].mean(axis=0)) < np.trace(track.covariances[gap].mean(axis=0))


# --- nothing later than was asked for


def uneven(seed, count=70):
    steps = np.random.default_rng(seed).choice([0.05, 0.1, 0.3, 1.3], count, p=[0.2, 0.6, 0.18, 0.02])
    return np.round(np.cumsum(np.concatenate([[0.0], steps])), 3)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4), st.sampled_from([0.3, 1.0]))
def test_a_view_until_t_is_what_was_known_at_t_bit_for_bit(seed, shares, lag_s):
    paths, stamps = [corner, straight((4, 0.3, 0), (-1, 0, 0)), straight((0, 20, 0), (0, 0.2, 0))], uneven(seed)
    whole, cuts = fed(paths, stamps, seed=seed, miss=0.25, lag_s=lag_s), [s * stamps[-1] for s in shares]
    for cut in cuts:
        then = fed(paths, stamps[stamps <= cut], seed=seed, miss=0.25, lag_s=lag_s).scene()
        for view in (whole.scene(cut), whole.scene().until(cut), whole.scene(cut).until(cut)):
            assert list(view.tracks) == list(then.tracks)
            for i, track in then.tracks.items():
                for mine, other in zip(smoothed(track), smoothed(view.tracks[i]), strict=True):
                    assert mine.tobytes() == other.tobytes()
                at = np.linspace(track.stamps_s[0], track.stamps_s[-1], 37)
                assert interpolate(track, at)[0].tobytes() == interpolate(view.tracks[i], at)[0].tobytes()


def test_views_taken_while_it_runs_stay_as_they_were():
    rng, world, taken = np.random.default_rng(4), WorldModel(), []
    for t in every(10.0, 12.0):
        world.step(frame([corner, straight((9, 9, 0), (0.5, 0, 0))], t, rng, miss=0.1))
        scene = world.scene()
        lazy = {i: copy.copy(track) for i, track in scene.tracks.items()}
        taken.append((world.newest_s, lazy, {i: smoothed(track) for i, track in scene.tracks.items()}))
    for newest_s, lazy, known in taken:
        again = world.scene(newest_s).tracks
        assert list(again) == list(known)
        for i, (position, cov) in known.items():
            for found in (smoothed(again[i]), smoothed(lazy[i])):
                assert position.tobytes() == found[0].tobytes() and cov.tobytes() == found[1].tobytes()


def test_a_sample_is_final_after_the_lag_and_not_before():
    rng, world, said = np.random.default_rng(2), WorldModel(), []
    for t in every(10.0, 5.0):
        world.step(frame([corner], t, rng))
        track = world.scene().tracks.get("1")
        said.append(None if track is None or len(track) < 21 else track.smoothed_positions(np.array([20]))[0])
    known = [p for p in said if p is not None]
    changed = [bool(np.any(a != b)) for a, b in pairwise(known)]
    assert all(changed[:9]) and not any(changed[10:])


def test_final_samples_are_those_that_smoothing_backwards_gives():
    """They are made forwards, frame by frame; here each is made again from the frames up to its lag."""
    track = fed([corner], uneven(5), miss=0.2, seed=5).scene().tracks["1"]
    position, cov = smoothed(track)
    newest = track.stamps_s[np.minimum(np.searchsorted(track.stamps_s, track.stamps_s + 1.0 - 1e-6), len(track) - 1)]
    for k in np.flatnonzero(smoothing.is_final(track.stamps_s, track.stamps_s[-1], 1.0)):
        again = replace(track.smoothing.until(newest[k]), lag_s=100.0)
        assert np.allclose(again.positions(np.array([k])), position[k], atol=1e-9)
        assert np.allclose(again.covariances_of(np.array([k])), cov[k], rtol=1e-6, atol=1e-9)


def test_parts_of_a_track_keep_what_is_known_of_the_whole():
    track = fed([corner], every(10.0, 6.0)).scene().tracks["1"]
    position, cov = smoothed(track)
    odd = np.arange(len(track)) % 2 == 1
    for part, rows in (
        (track[10:30], np.arange(10, 30)),
        (track[odd], np.flatnonzero(odd)),
        (track[odd][3:], np.flatnonzero(odd)[3:]),
        (track[10:][odd[10:]], np.flatnonzero(odd & (np.arange(len(track)) >= 10))),
        (track[::2], np.arange(0, len(track), 2)),
        (track.between(5.0, 9.0), np.flatnonzero(track.stamps_s >= 5.0)),
    ):
        assert np.array_equal(smoothed(part)[0], position[rows]) and np.array_equal(smoothed(part)[1], cov[rows])
    early = track.between(1.0, 9.0).until(3.0)
    assert np.array_equal(smoothed(early)[0], smoothed(track.until(3.0))[0][10:])
    assert not np.array_equal(smoothed(early)[0], position[10:31])


def test_a_saved_scene_smooths_as_before_and_an_older_file_is_read(tmp_path):
    scene = fed([corner, straight((9, 9, 0), (0, 0, 0))], every(10.0, 6.0)).scene()
    for name, kept in (("whole", scene), ("until", scene.until(3.3))):
        again = Scene.load(kept.save(tmp_path / f"{name}.scene.npz"))
        for i, track in kept.tracks.items():
            for mine, other in zip(smoothed(track), smoothed(again.tracks[i]), strict=True):
                assert mine.tobytes() == other.tobytes()
            early, other = smoothed(track.until(2.0)), smoothed(again.tracks[i].until(2.0))
            assert early[0].tobytes() == other[0].tobytes() and early[1].tobytes() == other[1].tobytes()
    with np.load(tmp_path / "until.scene.npz") as file:
        final = file["track0/smoothing/final_positions_m"]
        assert np.isfinite(final[:20]).all() and np.isnan(final[-9:]).all()
        arrays = {n: file[n] for n in file.files if "/smoothing/" not in n}
    np.savez(tmp_path / "old.scene.npz", **arrays)
    old = Scene.load(tmp_path / "old.scene.npz").tracks["1"]
    assert old.smoothing is None and np.array_equal(smoothed(old)[0], old.positions_world_m)


def test_forgetting_old_samples_changes_no_later_one():
    stamps, rng = every(10.0, 12.0), [np.random.default_rng(3), np.random.default_rng(3)]
    short, long = WorldModel(WorldConfig(memory_s=3.0)), WorldModel()
    for t in stamps:
        short.step(frame([corner], t, rng[0]))
        long.step(frame([corner], t, rng[1]))
    a, b = short.scene().tracks["1"], long.scene().tracks["1"]
    assert len(a) == 31
    assert np.array_equal(smoothed(a)[0], smoothed(b)[0][-31:])


def test_labels_are_taken_as_they_are():
    track = fake_track("7")
    assert track.smoothing is None
    assert np.array_equal(interpolate(track, track.stamps_s)[0], track.positions_world_m)


def test_the_lag_is_checked():
    with pytest.raises(TrackingError, match="smoothing_lag_s"):
        TrackerConfig(smoothing_lag_s=0.0)


# --- whole recordings


def matched(scene, truth, radius_m):
    """(track, true positions at its stamps, rows with a label) of every track that stays near one true thing."""
    for track in scene.tracks.values():
        for true in truth.tracks.values():
            rows = np.flatnonzero(np.isin(np.round(track.stamps_s, 3), np.round(true.stamps_s, 3)) & track.observed)
            if len(rows) < 15:
                continue
            place = true.positions_world_m[np.searchsorted(true.stamps_s, track.stamps_s[rows] - 1e-3)]
            if np.median(np.linalg.norm(track.positions_world_m[rows] - place, axis=1)) < radius_m:
                yield track, place, rows


def errors(scene, truth, radius_m):
    """Errors of the filter and of the smoother, metres, and the smoother's normalised squared errors."""
    filtered, later, squared = [], [], []
    for track, place, rows in matched(scene, truth, radius_m):
        off = track.smoothed_positions(rows) - place
        filtered.append(np.linalg.norm(track.positions_world_m[rows] - place, axis=1))
        later.append(np.linalg.norm(off, axis=1))
        squared.append(nees(off, track.smoothed_covariances(rows)))
    return np.concatenate(filtered), np.concatenate(later), np.concatenate(squared)


def test_the_simulator_is_followed_closer_than_by_the_filter():
    source = Simulator(render=False, detections="simulator")
    filtered, later, squared = errors(source.scene(), source.truth(), 0.5)
    assert len(later) > 1000
    assert np.median(later) < 0.85 * np.median(filtered)
    assert np.quantile(later, 0.95) < 0.75 * np.quantile(filtered, 0.95)
    assert 0.2 < np.mean(squared) < 4.0


def test_real_detections_are_placed_better_and_covariances_are_honest():
    source = KittiTracking(shared("kitti_tracking"), "0010", "pointrcnn")
    world = WorldModel()
    for seen in source.frames():
        world.step(observe(seen))
    filtered, later, squared = errors(world.scene(), source.truth(), 1.0)
    assert len(later) > 500
    assert np.median(later) < 0.9 * np.median(filtered)
    assert 0.2 < np.median(squared) < 4.0 and np.mean(np.minimum(squared, 50)) < 6.0
