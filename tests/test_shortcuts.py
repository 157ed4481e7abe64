"""The quick ways to the same numbers: one line before all cuts, closed forms, single numbers in place of arrays."""

import itertools
import math

import numpy as np
import pytest
from fakes import fake_track
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.geometry import transforms as tf
from dsr_core.reasoning import noise
from dsr_core.reasoning.agents import interpolate, velocities, velocity_at
from dsr_core.reasoning.pieces import Lines, straight_pieces
from dsr_core.reasoning.quantities import largest_sigma
from dsr_core.reasoning.rules import DEFAULT_RULES as RULES
from dsr_core.reasoning.states import moved

SEEDS = st.integers(0, 10**6)


def left_by(t, x, weight):
    """Weighted squares that the least-squares line leaves."""
    A = np.stack([np.ones_like(t), t], axis=1) * np.sqrt(weight)[:, None]
    y = x * np.sqrt(weight)[:, None]
    return float(((y - A @ np.linalg.lstsq(A, y, rcond=None)[0]) ** 2).sum())


def cost_of(t, x, tolerance, cuts):
    """The price of pieces between cuts as straight_pieces defines it; infinite where one is too short."""
    step = np.minimum(np.diff(t), RULES.noise_time_s)
    weight = np.concatenate([step[:1] / 2, (step[1:] + step[:-1]) / 2, step[-1:] / 2]) / RULES.noise_time_s
    typical = np.sort(tolerance)[len(tolerance) // 2]
    weight = weight * (typical / tolerance) ** 2
    total = 0.0
    for lo, hi in itertools.pairwise(cuts):
        if len(cuts) > 2 and t[hi - 1] - t[lo] < RULES.min_duration_s - 1e-9:
            return math.inf
        total += left_by(t[lo:hi], x[lo:hi], weight[lo:hi]) + RULES.split_cost * typical**2
    return total


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, axes=st.sampled_from([1, 3]), bends=st.integers(0, 3))
def test_pieces_are_the_cheapest_of_all_ways_to_cut(seed, axes, bends):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 11))
    t = np.cumsum(rng.uniform(0.15, 0.5, n))
    slopes = rng.uniform(-4, 4, (bends + 1, axes))
    x = np.cumsum(slopes[np.arange(n) * (bends + 1) // n] * np.diff(t, prepend=t[0])[:, None], axis=0)
    tolerance = rng.uniform(0.05, 0.15, n)
    x = x + rng.normal(0.0, tolerance[:, None], x.shape)
    pieces = straight_pieces(Lines(t, x, tolerance), RULES)
    cuts = [0, *(hi for _, hi in pieces)]
    assert cuts[-1] == n and all(a < b for a, b in itertools.pairwise(cuts))
    inner = itertools.chain.from_iterable(itertools.combinations(range(1, n), k) for k in range(n))
    best = min(cost_of(t, x, tolerance, [0, *some, n]) for some in inner)
    assert cost_of(t, x, tolerance, cuts) == pytest.approx(best, rel=1e-6, abs=1e-9)


def test_many_bends_are_cut_as_before():
    t = np.arange(120) * 0.25
    x = np.abs((t % 6.0) - 3.0)
    pieces = straight_pieces(Lines(t, x, np.full(120, 0.05)), RULES)
    assert [round(float(t[lo]) / 3.0) for lo, _ in pieces] == list(range(10))


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, scale=st.sampled_from([1e-6, 1.0, 1e6]), rank=st.integers(0, 3))
def test_largest_sigma_is_the_root_of_the_largest_eigenvalue(seed, scale, rank):
    rng = np.random.default_rng(seed)
    a = scale * rng.normal(size=(7, 3, 3))
    a[:, :, rank:] = 0.0
    covariances = a @ a.transpose(0, 2, 1)
    covariances[0] = np.eye(3) * scale**2
    covariances[1] = np.diag(rng.uniform(0, 1, 3)) * scale**2
    expected = np.sqrt(np.maximum(np.linalg.eigvalsh(covariances)[:, -1], 0.0))
    assert largest_sigma(covariances) == pytest.approx(expected, rel=1e-7, abs=1e-9 * scale)
    assert largest_sigma(covariances[:2]) == pytest.approx(expected[:2], rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, step=st.sampled_from([0.0, 0.05, 0.3, 1.0]), sigma=st.sampled_from([0.0, 0.1]))
def test_moved_compares_every_two_parts(seed, step, sigma):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    t = np.cumsum(rng.uniform(0.05, 0.3, n))
    p = step * np.sin(t * rng.uniform(0.2, 2.0))[:, None] * [1.0, 0.5, 0.0] + rng.normal(0.0, sigma / 3 + 1e-3, (n, 3))
    parts = min(8, max(n // 3, 2), n)
    starts = [k * n // parts for k in range(parts)]
    pieces = [slice(a, b) for a, b in itertools.pairwise([*starts, n])]
    fewest = min(part.stop - part.start for part in pieces)
    expected = False
    for a, b in itertools.combinations(pieces, 2):
        gap_s = float(t[b].mean() - t[a].mean())
        limit = RULES.sigmas * noise.THREE_AXES * float(noise.change_sigma(np.float32(sigma), gap_s, 2 * fewest))
        expected |= bool(np.linalg.norm(p[a].mean(axis=0) - p[b].mean(axis=0)) > max(limit, 0.05 * 2.0))
    assert moved(t, p, np.full(n, sigma), 2.0) is expected
    assert moved(t, p, float(sigma), 2.0) is expected


@given(
    value=st.floats(-5, 5), threshold=st.floats(0, 3), sigma=st.floats(0, 3), span=st.floats(0, 9), n=st.integers(1, 99)
)
def test_numbers_and_arrays_are_judged_alike(value, threshold, sigma, span, n):
    values, sigmas = np.array([value]), np.array([sigma])
    for chance in (noise.chance_beyond, noise.chance_within):
        assert chance(value, threshold, sigma) == pytest.approx(chance(values, threshold, sigmas)[0], abs=1e-12)
    array = noise.change_sigma(sigmas, np.array([span]), n)
    assert noise.change_sigma(sigma, span, n) == pytest.approx(array[0], rel=1e-12)
    array = noise.smoothed_change_sigma(sigma, np.array([span]), 1.0)
    assert noise.smoothed_change_sigma(sigma, span, 1.0) == pytest.approx(array[0], rel=1e-12)
    assert noise.middle(np.array([value, threshold, sigma])) == sorted([value, threshold, sigma])[1]


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_velocity_at_one_time_is_that_of_many(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    t, x = np.cumsum(rng.uniform(0.02, 0.8, n)), rng.normal(size=(n, 3))
    at_s = rng.uniform(t[0], t[-1], 5)
    many, spans, counts = velocities(t, x, at_s)
    for k, when in enumerate(at_s):
        one, span_s, count = velocity_at(t, x, float(when))
        assert one == pytest.approx(many[k], rel=1e-6, abs=1e-9)
        assert (span_s, count) == (pytest.approx(spans[k]), counts[k])


def test_stamps_are_found_as_runs_or_rows():
    t = np.arange(10) * 0.1
    assert tf.rows_at(t, t[3:7]) == slice(3, 7)
    assert list(tf.rows_at(t, t[[1, 4, 5]])) == [1, 4, 5]
    assert tf.rows_at(t, np.array([0.1, 0.25])) is None
    assert tf.rows_at(t, np.array([0.9, 1.0])) is None
    assert tf.rows_at(t, np.array([])) is None


def test_samples_are_the_same_as_a_run_as_rows_and_between():
    track = fake_track("1", velocity=(3.0, 0.0, 0.0), sigma_m=0.1, rng=np.random.default_rng(0))
    run, rows = np.arange(4, 20), np.array([4, 9, 17])
    for index in (run, rows):
        positions, covariances, nearest = interpolate(track, track.stamps_s[index])
        assert np.array_equal(positions, track.positions_world_m[index])
        assert np.array_equal(covariances, track.covariances[index])
        assert np.array_equal(nearest, index)
    between, _, _ = interpolate(track, track.stamps_s[rows] + 0.05)
    middle = (track.positions_world_m[rows] + track.positions_world_m[rows + 1]) / 2
    assert between == pytest.approx(middle)
