"""Similarity transforms: exact, with outliers, and chained over windows with a planted jump of the scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.similarity import Similarity, fit_similarity, fit_similarity_robust, join_windows


def a_similarity(seed):
    rng = np.random.default_rng(seed)
    return Similarity(float(10 ** rng.uniform(-2, 2)), Rotation.random(rng=rng).as_matrix(), 10 * rng.normal(size=3))


def point_map(rng, frames, height=24, width=32):
    """A wall with bumps seen by a camera that drifts sideways: (F, N, 3), the geometry of real point maps."""
    v, u = np.mgrid[:height, :width] / width - 0.5
    z = 3.0 + 0.5 * np.sin(7 * u) + 0.3 * np.cos(11 * v)
    shift = np.arange(frames)[:, None] * [0.1, 0.0, 0.02]
    return (
        np.stack([z * u, z * v, z], axis=-1).reshape(1, -1, 3)
        + shift[:, None]
        + 0.002 * rng.normal(size=(frames, height * width, 3))
    )


def spoil(rng, points, share):
    """Replaces `share` of the points (..., N, 3) by random ones in the box around all of them."""
    wrong = rng.random(points.shape[:-1]) < share
    low, high = points.reshape(-1, 3).min(axis=0), points.reshape(-1, 3).max(axis=0)
    out = points.copy()
    out[wrong] = rng.uniform(low - (high - low), high + (high - low), (int(wrong.sum()), 3))
    return out, wrong


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 60))
def test_exact_matches_give_the_truth(seed, n):
    truth, points = a_similarity(seed), np.random.default_rng(seed + 1).normal(size=(n, 3))
    fit = fit_similarity(points, truth.apply(points))
    assert fit.scale == pytest.approx(truth.scale, rel=1e-6)
    np.testing.assert_allclose(fit.rotation, truth.rotation, atol=1e-6)
    np.testing.assert_allclose(fit.translation, truth.translation, atol=1e-5 * max(1, truth.scale))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_chaining_inverting_and_poses(seed):
    a, b = a_similarity(seed), a_similarity(seed + 1)
    points = np.random.default_rng(seed).normal(size=(5, 3))
    np.testing.assert_allclose(b.after(a).apply(points), b.apply(a.apply(points)), rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(a.inverse().apply(a.apply(points)), points, atol=1e-8)
    T = tf.make_transform(Rotation.random(rng=np.random.default_rng(seed)).as_matrix(), points[0])
    moved = tf.check_rigid(a.apply_pose(T))
    # A point seen by the camera goes the same way through the moved pose, its coordinates being scaled.
    np.testing.assert_allclose(
        tf.transform_points(moved, a.scale * points[1]),
        a.apply(tf.transform_points(T, points[1])),
        rtol=1e-7,
        atol=1e-6,
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.3, 0.4]))
def test_outliers_do_not_move_the_fit(seed, share):
    rng, truth = np.random.default_rng(seed), a_similarity(seed)
    points = point_map(rng, 1)[0]
    target, wrong = spoil(rng, truth.apply(points + 0.003 * rng.normal(size=points.shape)), share)
    fit = fit_similarity_robust(points, target)
    assert fit.similarity.scale == pytest.approx(truth.scale, rel=0.01)
    assert Rotation.from_matrix(fit.similarity.rotation @ truth.rotation.T).magnitude() < 0.01
    error = np.linalg.norm(fit.similarity.apply(points) - truth.apply(points), axis=1)
    assert error.max() < 0.01 * truth.scale * 3.0
    assert fit.inliers[~wrong].mean() > 0.97
    assert fit.inliers[wrong].sum() <= 0.05 * wrong.sum()
    assert fit.sigma == pytest.approx(0.003 * truth.scale, rel=0.25)


def test_the_scale_sigma_covers_the_error():
    errors = []
    for seed in range(60):
        rng, truth = np.random.default_rng(seed), a_similarity(seed)
        points = rng.normal(size=(60, 3))
        fit = fit_similarity_robust(points, truth.apply(points + 0.05 * rng.normal(size=points.shape)))
        errors.append(np.log(fit.similarity.scale / truth.scale) / fit.scale_sigma)
    assert 0.6 < np.std(errors) < 1.6


def test_a_rigid_fit_keeps_the_scale():
    rng, truth = np.random.default_rng(3), a_similarity(3)
    rigid = Similarity(1.0, truth.rotation, truth.translation)
    points = point_map(rng, 1)[0]
    target, _ = spoil(rng, rigid.apply(points), 0.3)
    fit = fit_similarity_robust(points, target, with_scale=False).similarity
    assert fit.scale == 1.0
    np.testing.assert_allclose(fit.rotation, rigid.rotation, atol=2e-3)


def windows(seed, count=6, shared=3, share=0.3):
    """Window i's own unit and frame are `truths[i]` away from the first's; neighbours share `shared` frames."""
    rng = np.random.default_rng(seed)
    truths = [Similarity.identity(), *(a_similarity(seed * 100 + i) for i in range(1, count))]
    overlaps = []
    for i in range(1, count):
        world = point_map(rng, shared) + np.array([0.3 * i, 0, 0])
        own = truths[i].inverse().apply(world)
        before, _ = spoil(rng, truths[i - 1].inverse().apply(world), share)
        own[0, :40] = np.nan
        overlaps.append((own, before))
    return truths, overlaps


@pytest.mark.parametrize("seed", range(5))
def test_windows_with_30_percent_outliers_are_joined_to_one_percent(seed):
    truths, overlaps = windows(seed)
    joins = join_windows(overlaps)
    points = point_map(np.random.default_rng(9), 1)[0]
    for truth, join in zip(truths, joins, strict=True):
        assert not join.jumped
        assert join.similarity.scale == pytest.approx(truth.scale, rel=0.01)
        want = points
        got = join.similarity.apply(truth.inverse().apply(points))
        assert np.linalg.norm(got - want, axis=1).max() < 0.01 * np.linalg.norm(want, axis=1).max()
    ratios = [truths[i].scale / truths[i - 1].scale for i in range(1, len(truths))]
    np.testing.assert_allclose([j.scale_ratio for j in joins[1:]], ratios, rtol=0.01)


@pytest.mark.parametrize("factor", [0.8, 1.15, 2.0])
def test_a_planted_jump_of_the_scale_is_found(factor):
    _, overlaps = windows(7)
    own, before = overlaps[2]
    own = own.copy()
    own[-1] *= factor  # the last shared frame is in another unit
    overlaps[2] = (own, before)
    assert [j.jumped for j in join_windows(overlaps)] == [False, False, False, True, False, False]


def test_windows_that_do_not_agree_are_not_trusted():
    _, overlaps = windows(8)
    rng = np.random.default_rng(0)
    overlaps[0] = (rng.normal(size=(2, 500, 3)), rng.normal(size=(2, 500, 3)))
    jumped = [j.jumped for j in join_windows(overlaps)]
    assert jumped[1] and not any(jumped[2:])


def test_what_cannot_be_fitted_is_said():
    line = np.arange(10.0)[:, None] * [1.0, 2.0, 3.0]
    for points, word in (
        (line, "line"),
        (line[:2], "too few"),
        (np.full((9, 3), np.nan), "NaN"),
        (line[:, :2], "shape"),
    ):
        for fit in (fit_similarity, fit_similarity_robust):
            with pytest.raises(GeometryError, match=word):
                fit(points, points)
