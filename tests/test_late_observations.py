"""Late observations: what a slow lane says about an old frame counts from now on, and only from now on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core import smoothing
from dsr_core.errors import TrackingError
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.tracking import filter as kalman
from dsr_core.tracking import late
from dsr_core.tracking.config import TrackerConfig
from dsr_core.values import FrameObservations, Observation

SIGMA = 0.08
HONEST = TrackerConfig(systematic_fraction=0.0)


def thing(position, label="person", sigma=SIGMA, cov=None, **fields):
    cov = np.eye(3) * sigma**2 if cov is None else cov
    return Observation(label, np.asarray(position, float), cov, **fields)


def frame(t, *seen):
    return FrameObservations(7_000_000_000 + round(t * 1e9), tuple(seen))


def straight(start, velocity):
    return lambda t: np.asarray(start, float) + t * np.asarray(velocity, float)


def stops(t):
    return np.array([min(t, 5.0) * 1.2, 14.0, 0.0])


def ray_cov(position, along, across):
    ray = np.asarray(position, float) / np.linalg.norm(position)
    return across**2 * np.eye(3) + (along**2 - across**2) * np.outer(ray, ray)


def run(paths, slow=None, duration_s=10.0, rate_hz=10.0, seed=0, along=None, config=HONEST, each=None, bias_m=0.0):
    """A world that sees things each frame, and whose slow lane is `slow(k, t) -> [(t_old, observations)]`.

    `along` is the one-sigma of the range where the fast lane hardly knows it, `bias_m` its lasting error there.
    """
    rng, world = np.random.default_rng(seed), WorldModel(WorldConfig(tracker=config))
    for k in range(round(duration_s * rate_hz) + 1):
        t, seen = k / rate_hz, []
        for path in paths:
            p = np.asarray(path(t), float)
            cov = np.eye(3) * SIGMA**2 if along is None else ray_cov(p, along, SIGMA)
            away = bias_m * p / np.linalg.norm(p)
            seen.append(thing(rng.multivariate_normal(p, cov) + away, "vehicle", cov=cov))
        world.step(frame(t, *seen))
        for old_s, observations in slow(k, t) if slow else ():
            world.correct(frame(old_s, *observations))
        if each:
            each(world, t)
    return world


def exactly(paths, delay_s, every=7, sigma=0.02, seed=0, label="vehicle"):
    """A slow lane that sees all things nearly exactly."""
    rng = np.random.default_rng(seed)

    def slow(k, t):
        if k % every or t < delay_s + 0.5:
            return []
        old_s = round((t - delay_s) * 10) / 10
        return [(old_s, [thing(np.asarray(p(old_s)) + rng.normal(0, sigma, 3), label, sigma) for p in paths])]

    return slow


def errors(world, paths, from_s):
    """Errors and squared errors in sigmas of all samples from a second on; each track is its nearest path's."""
    out, squared = [], []
    for track in world.scene().tracks.values():
        late_ones = track.stamps_s >= from_s
        if not late_ones.any():
            continue
        truths = [np.array([p(t) for t in track.stamps_s[late_ones]]) for p in paths]
        off = min((track.positions_world_m[late_ones] - truth for truth in truths), key=np.linalg.norm)
        out.append(np.linalg.norm(off, axis=1))
        solved = np.linalg.solve(track.covariances[late_ones], off[..., None])[..., 0]
        squared.append(np.einsum("ni,ni->n", off, solved))
    return np.concatenate(out), np.concatenate(squared)


# --- the maths


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 25), st.floats(0.1, 0.4), st.integers(0, 1000), st.booleans())
def test_it_is_the_batch_least_squares_solution(count, step_s, seed, between):
    """One model's filter, corrected by a late position, has the state now that all data give when solved at once."""
    rng = np.random.default_rng(seed)
    walk, R, late_R = np.array([[0.01, 0.5]]), np.diag([0.04, 0.01, 0.09]), np.diag([0.01, 0.02, 0.01])
    at = int(rng.integers(1, count)) - 1
    old_s = step_s * (at + (0.37 if between else 0.0))
    measured, late_m = rng.normal(0, 0.3, (count, 3)), rng.normal(0, 0.3, 3)
    # The late time is one more state of the batch, which nothing else measures.
    stamps = np.unique(np.append(step_s * np.arange(count), old_s if between else 0.0))
    total = len(stamps)
    H, prior = np.eye(3, 6), np.diag([1.0, 1, 1, 4, 4, 4])
    information, right = np.zeros((6 * total, 6 * total)), np.zeros(6 * total)
    information[:6, :6] = np.linalg.inv(prior)
    history, mean, P, k = late.History(12.0), np.zeros(6), prior, 0
    for n, t in enumerate(stamps):
        here = slice(6 * n, 6 * n + 6)
        if n:
            dt = t - stamps[n - 1]
            F = np.eye(6)
            F[:3, 3:] = dt * np.eye(3)
            zero = np.zeros((1, 6)), 1e-14 * np.eye(6)[None]
            Q = smoothing.predict(*zero, walk, np.array([dt]))[1][0]
            both, W = slice(6 * n - 6, 6 * n + 6), np.hstack([-F, np.eye(6)])
            information[both, both] += W.T @ np.linalg.solve(Q, W)
            mean, P = F @ mean, F @ P @ F.T + Q
        is_late = abs(t - old_s) < 1e-12
        if not (between and is_late):
            gain = P @ H.T @ np.linalg.inv(H @ P @ H.T + R)
            mean, P = mean + gain @ (measured[k] - H @ mean), P - gain @ H @ P
            information[here, here] += H.T @ np.linalg.solve(R, H)
            right[here] += H.T @ np.linalg.solve(R, measured[k])
            P = 0.5 * (P + P.T)
            moment = mean[None], smoothing.packed(P[None]), walk, np.full((1, 4), np.nan)
            history.add(late.Moment(t, np.array([5]), *moment))
            k += 1
        if is_late:
            information[here, here] += H.T @ np.linalg.solve(late_R, H)
            right[here] += H.T @ np.linalg.solve(late_R, late_m)
    batch, batch_cov = np.linalg.solve(information, right)[-6:], np.linalg.inv(information)[-6:, -6:]
    past = history.at(old_s, np.array([5]), mean[None], walk[0])
    estimates = kalman.Estimates(mean[None, None], P[None, None], np.ones((1, 1)))
    found, _ = late.update(estimates, mean[None], past, late_m[None], late_R[None])
    assert np.allclose(found.mean[0, 0], batch, atol=2e-3)
    assert np.allclose(found.cov[0, 0], batch_cov, atol=2e-3)


def test_a_history_is_short_and_covers_its_time():
    history = late.History(5.0)
    for k in range(3000):
        moment = np.zeros((1, 6)), np.zeros((1, 21), np.float32), np.zeros((1, 2)), np.zeros((1, 4))
        history.add(late.Moment(0.01 * k, np.array([1]), *moment))
    assert 60 < len(history) < 135
    assert history._moments[0].stamp_s <= 29.99 - 5.0 < history._moments[1].stamp_s


# --- corrections


@pytest.mark.parametrize("seed", range(8))
def test_a_range_that_was_nearly_unknown_becomes_known(seed):
    delay_s = np.random.default_rng(seed).uniform(0.3, 3.0)
    paths = [straight((20, 3, 0), (-0.5, 0.3, 0)), straight((14, -6, 1), (0, 0, 0))]
    alone, helped = (run(paths, slow, along=4.0, seed=seed) for slow in (None, exactly(paths, delay_s, seed=seed)))
    from_s = delay_s + 2.0
    assert sorted(helped.scene().tracks) == ["1", "2"]
    far, near = errors(alone, paths, from_s)[0], errors(helped, paths, from_s)[0]
    assert np.median(near) < 0.5 * np.median(far) and np.median(near) < 0.6


def test_errors_stay_as_large_as_the_covariance_says():
    squared, far, near = [], [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        start, velocity = rng.uniform((18, -3, 0), (22, 3, 1)), rng.uniform(-1, 1, 3) * (1, 1, 0)
        paths = [straight(start, velocity), stops, straight((0, -15, 0), (0, 0, 0))]
        delay_s = rng.uniform(0.3, 3.0)
        for along in (None, 3.0):
            helped = run(paths, exactly(paths, delay_s, seed=seed), seed=seed, along=along)
            assert len(helped.scene().tracks) == 3
            error, nees = errors(helped, paths, delay_s + 1.0)
            far.append(errors(run(paths, seed=seed, along=along), paths, delay_s + 1.0)[0])
            near.append(error)
            squared.append(nees)
    # 3 on average for a perfect model.
    assert 1.0 < np.mean(np.concatenate(squared)) < 4.5
    assert np.mean(np.concatenate(near)) < 0.7 * np.mean(np.concatenate(far))


def test_a_lasting_error_of_the_fast_lane_is_taken_out_of_what_is_reported():
    paths = [straight((15, 0, 0), (0, 0, 0))]
    config = TrackerConfig()
    alone = run(paths, along=3.0, config=config, bias_m=2.0).scene().tracks["1"]
    helped = run(paths, exactly(paths, 1.0), along=3.0, config=config, bias_m=2.0).scene().tracks["1"]
    assert alone.covariances[-1, 0, 0] > 4.0 and abs(alone.positions_world_m[-1, 0] - 15) > 1.0
    assert helped.covariances[-1, 0, 0] < 1.0 and abs(helped.positions_world_m[-1, 0] - 15) < 1.0


def test_a_corrected_track_was_observed():
    """The fast lane has lost it; the slow lane has seen it since."""
    world = WorldModel()
    for k in range(60):
        world.step(frame(k / 10, *[thing((0.1 * k, 0, 0))] * (k < 20)))
        if k in (30, 40, 50):
            world.correct(frame(k / 10 - 0.5, thing((0.1 * (k - 5), 0, 0))))
    track = world.scene().tracks["1"]
    assert np.flatnonzero(track.observed).tolist() == [*range(20), 31, 41, 51]
    assert len(track) == 60 and world.tracks()[0].last_seen_s == pytest.approx(4.5)
    assert np.linalg.norm(track.positions_world_m[-1] - (5.9, 0, 0)) < 0.8


def test_sizes_and_headings_are_taken_up():
    size, q = np.array([4.0, 1.8, 1.5]), np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])
    world = run([straight((5, 0, 0), (0, 0, 0))], duration_s=3.0)
    assert np.isnan(world.tracks()[0].size_lwh_m).all()
    seen = thing((5, 0, 0), "vehicle", size_lwh_m=size, orientation_world_xyzw=q, orientation_sigma_rad=0.1)
    world.correct(frame(1.0, seen))
    state = world.tracks()[0]
    assert np.allclose(state.size_lwh_m, size) and np.allclose(np.abs(state.orientation_world_xyzw @ q), 1.0)
    assert 0.1 < state.orientation_sigma_rad


def test_what_is_seen_at_the_frame_itself_is_a_second_measurement():
    world = run([straight((5, 0, 0), (0, 0, 0))], duration_s=1.0)
    before = world.tracks()[0].covariance
    world.correct(frame(1.0, thing((5, 0, 0), "vehicle", 0.02)))
    assert np.trace(world.tracks()[0].covariance[:3, :3]) < np.trace(before[:3, :3])


@pytest.mark.parametrize("seed", range(8))
def test_a_thing_that_the_fast_lane_saw_only_later_is_the_same_thing(seed):
    rng, world = np.random.default_rng(seed), WorldModel()
    delay_s = rng.uniform(0.3, 3.0)
    born_s = delay_s - 0.2
    for k in range(round((delay_s + 0.4) * 10)):
        t = k / 10
        world.step(frame(t, *[thing(rng.normal((3, 3, 0), SIGMA))] * (t >= born_s)))
    world.correct(frame(0.1, thing((3, 3, 0))))
    for more in range(1, 30):
        world.step(frame((k + more) / 10, thing(rng.normal((3, 3, 0), SIGMA))))
    assert list(world.scene().tracks) == ["1"]


# --- names


def test_the_slow_lane_renames_what_the_fast_lane_goes_on_seeing():
    paths = [straight((0, 5, 0), (1, 0, 0)), straight((0, 9, 0), (1, 0, 0))]
    world = run(paths, exactly(paths[:1], 0.7, every=10, label="forklift"))
    first, second = world.scene().tracks["1"], world.scene().tracks["2"]
    assert len(world.scene().tracks) == 2 and first.observed.all() and len(first) == 101
    assert (first.label, second.label) == ("forklift", "vehicle")
    assert world.scene(1.9).tracks["1"].label == "vehicle" and world.scene(2.5).tracks["1"].label == "forklift"


def test_a_name_that_flickers_settles_on_the_commoner_one():
    world = WorldModel()
    for k in range(120):
        world.step(frame(k / 10, thing((5, 0, 0), "thing")))
        if k % 10 == 9:
            name = "crate" if k in (29, 79) else "pallet"
            world.correct(frame(k / 10 - 0.8, thing((5, 0, 0), name, score=0.7)))
    assert [t.label for t in world.tracks()] == ["pallet"]


# --- births


def slow_only(period_s, delay_s, duration_s, seen, fast=(), fast_from_s=0.0, config=None):
    """A world whose fast lane sees `fast`, and whose slow lane sees `seen(t)` every `period_s`."""
    world, due_s = WorldModel(WorldConfig(tracker=config or TrackerConfig())), delay_s
    for k in range(round(duration_s * 10) + 1):
        t = k / 10
        world.step(frame(t, *(fast if t >= fast_from_s else ())))
        if t + 1e-9 >= due_s:
            world.correct(frame(t - delay_s, *seen(t - delay_s)))
            due_s += period_s
    return world


@pytest.mark.parametrize("period_s, delay_s", [(0.3, 0.3), (1.0, 0.8), (3.0, 3.0)])
def test_what_the_slow_lane_alone_sees_is_tracked_at_its_rate(period_s, delay_s):
    rng = np.random.default_rng(1)
    world = slow_only(period_s, delay_s, 24.0, lambda t: [thing(rng.normal((4, 2, 1), 0.03), "cup", 0.03)])
    tracks = world.scene().tracks
    assert list(tracks) == ["1"] and tracks["1"].label == "cup"
    track = tracks["1"]
    assert track.stamps_s[-1] == pytest.approx(24.0) and np.max(np.diff(track.stamps_s)) < 0.11
    assert np.linalg.norm(track.positions_world_m[-1] - (4, 2, 1)) < 0.15
    assert 24.0 / period_s - 12 < np.count_nonzero(track.observed) <= 24.0 / period_s + 1
    assert world.tracks()[0].first_seen_s == pytest.approx(0.0)


def test_when_the_slow_lane_falls_silent_its_tracks_coast_and_end():
    config = TrackerConfig()
    world, ends = WorldModel(), None
    for k in range(200):
        world.step(frame(k / 10))
        if k % 10 == 8 and k < 60:
            world.correct(frame(k / 10 - 0.8, thing((4, 2, 1), "cup")))
        if ends is None and k > 60 and not world.tracks():
            ends = k / 10
    track = world.scene().tracks["1"]
    trace = np.trace(track.covariances, axis1=1, axis2=2)
    last = np.flatnonzero(track.observed)[-1]
    assert not track.observed[last + 1 :].any() and np.all(np.diff(trace[last + 1 :]) > 0)
    assert 5.0 + config.late_misses < ends < 5.0 + config.late_misses + 2.0


def test_a_false_alarm_of_the_slow_lane_is_no_track():
    rng = np.random.default_rng(0)
    world = slow_only(1.0, 0.5, 30.0, lambda t: [thing(rng.uniform((-9, -9, 0), (9, 9, 2)), "cup")])
    assert world.scene().tracks == {} and len(world._tracker._bank) < 12


@pytest.mark.parametrize("fast_from_s", [0.0, 6.0])
@pytest.mark.parametrize("name", ["person", "forklift"])
def test_nothing_is_born_twice(name, fast_from_s):
    """The fast lane sees the thing from the beginning, or only after the slow lane; names agree or do not."""
    size = np.array([2.0, 1.2, 2.0])
    seen = [thing((4, 2, 1), name, size_lwh_m=size)]
    world = slow_only(
        1.0, 0.8, 15.0, lambda t: seen, (thing((4.02, 2, 1), "person", size_lwh_m=1.1 * size),), fast_from_s
    )
    assert list(world.scene().tracks) == ["1"]
    assert world.scene().tracks["1"].label == name and world.scene().tracks["1"].observed[-50:].all()


def test_the_image_tells_what_the_place_does_not():
    """The fast lane has the range badly wrong, the boxes agree: the late observation begins nothing."""
    box = np.array([100.0, 100, 180, 220])
    fast = (thing((9.0, 0, 0), "vehicle", 0.2, box_px=box),)
    world = slow_only(
        1.0, 0.8, 10.0, lambda t: [thing((5.0, 0, 0), "forklift", box_px=box + 3)] if t > 0.5 else [], fast
    )
    assert list(world.scene().tracks) == ["1"]


def test_boxes_that_agree_correct_a_range_that_is_surer_than_it_should_be():
    """Five sigmas off: without the boxes another thing begins."""
    box = np.array([100.0, 100, 180, 220])
    ids = {}
    for boxes in (True, False):
        fast = (thing((11.5, 0, 0), "vehicle", cov=ray_cov((11, 0, 0), 2.0, 0.1), box_px=box if boxes else None),)
        late_one = thing((9.0, 0, 0), "forklift", 0.05, box_px=box + 3 if boxes else None)
        world = slow_only(1.0, 0.8, 6.0, lambda t, seen=late_one: [seen] if t > 1.5 else [], fast)
        ids[boxes] = len(world.scene().tracks)
        if boxes:
            assert abs(world.tracks()[0].position_world_m[0] - 9.0) < 1.0
    assert ids == {True: 1, False: 2}


def test_a_cup_on_a_table_is_not_the_table():
    cup, table = np.array([0.08, 0.08, 0.1]), np.array([1.2, 0.8, 0.7])
    fast = (thing((3, 0, 0.5), "table", 0.05, size_lwh_m=table),)
    seen = [thing((3, 0.05, 0.6), "cup", 0.02, size_lwh_m=cup), thing((3, 0, 0.5), "table", 0.05, size_lwh_m=table)]
    for fast_from_s in (0.0, 5.0):
        world = slow_only(1.0, 0.8, 12.0, lambda t: seen, fast, fast_from_s)
        assert sorted(t.label for t in world.scene().tracks.values()) == ["cup", "table"]


# --- the past, the bounds, the errors


def everything(scene):
    out = {}
    for i, t in scene.tracks.items():
        rows = np.arange(len(t))
        arrays = t.positions_world_m, t.covariances, t.velocities, t.observed, t.scores, t.smoothed_positions(rows)
        out[i] = (t.label, t.size_lwh_m.tobytes(), *(a.tobytes() for a in arrays))
    return out


def test_views_of_the_past_stay_as_they_were_to_the_bit():
    paths = [straight((20, 3, 0), (-1, 0.3, 0)), stops]
    slow, told = exactly(paths, 0.9, every=5, label="forklift"), {}
    extra = thing((0, -5, 0), "cup", 0.03)

    def both(k, t):
        return [(old_s, [*seen, extra]) for old_s, seen in slow(k, t)]

    def each(world, t):
        told.setdefault(t, everything(world.scene()))
        assert everything(world.scene()) == told[t]

    world = run(paths, both, along=3.0, each=each)
    assert len(world.scene().tracks) == 3
    for t, was in told.items():
        assert everything(world.scene(t)) == was


def test_a_correction_changes_nothing_that_is_remembered_until_the_next_step():
    world = run([straight((20, 3, 0), (0, 0, 0))], along=5.0, duration_s=3.0)
    before, scene = everything(world.scene()), world.scene()
    world.correct(frame(2.0, thing((20, 3, 0), "vehicle", 0.02)))
    assert everything(world.scene()) == before and world.scene() is scene
    assert np.linalg.norm(world.tracks()[0].position_world_m - (20, 3, 0)) < 0.5
    world.step(frame(3.1))
    assert world.scene().tracks["1"].observed[-1]


@pytest.mark.parametrize("old_s, says", [(2.9, "5.100 s older"), (8.1, "newer"), (-0.1, "older than the first")])
def test_too_old_and_too_new_are_refused_with_numbers(old_s, says):
    world = run([straight((5, 0, 0), (0, 0, 0))], duration_s=8.0 if old_s > 0 else 1.0)
    before = [vars(s) for s in world.tracks()]
    with pytest.raises(TrackingError, match=says):
        world.correct(frame(old_s, thing((5, 0, 0), "vehicle", 0.01)))
    for was, state in zip(before, world.tracks(), strict=True):
        for name, value in vars(state).items():
            assert np.array_equal(value, was[name], equal_nan=not isinstance(value, str))


def test_before_the_first_frame_and_after_clear_there_is_nothing_to_correct():
    world = WorldModel()
    with pytest.raises(TrackingError, match="first frame"):
        world.correct(frame(0.0, thing((0, 0, 0))))
    for _ in range(2):
        for k in range(20):
            world.step(frame(k / 10, thing((0, 0, 0))))
        world.correct(frame(1.0, thing((0, 0, 0))))
        world.clear()
    world.step(frame(5.0, thing((0, 0, 0))))
    with pytest.raises(TrackingError, match="older than the first"):
        world.correct(frame(4.5, thing((0, 0, 0))))


def test_bad_observations_are_left_out():
    world = run([straight((5, 0, 0), (0, 0, 0))], duration_s=2.0)
    world.correct(frame(1.0, thing((np.nan, 0, 0)), thing((5, 0, 0), cov=np.full((3, 3), np.inf))))
    world.correct(frame(1.0))
    assert len(world._tracker._bank) == 1 and len(world.tracks()) == 1


def test_what_is_kept_does_not_grow():
    rng, world = np.random.default_rng(0), WorldModel(WorldConfig(tracker=TrackerConfig(max_tracks=30)))
    for k in range(600):
        world.step(frame(k / 20, *(thing(rng.uniform(-30, 30, 3), "vehicle") for _ in range(3))))
        if k > 20 and k % 4 == 0:
            world.correct(frame(k / 20 - 1.0, *(thing(rng.uniform(-30, 30, 3), "cup") for _ in range(4))))
        tracker = world._tracker
        assert len(tracker._bank) <= 30 and len(tracker._history) <= 130
        assert len(tracker._pending) <= 30 and max(map(len, tracker._pending.values()), default=0) <= 25


@pytest.mark.parametrize("change", [{"late_s": 0}, {"late_label_weight": -1}, {"late_misses": float("nan")}])
def test_config_is_checked(change):
    with pytest.raises(TrackingError):
        TrackerConfig(**change)
