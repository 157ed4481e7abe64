"""Angles with sigmas, the decoding of Orient Anything, headings from motion, and their fusion: numpy alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.perception.orientation.circle import (
    CircularFilter,
    fuse,
    kappa_from_sigma,
    moments,
    normal,
    sigma_from_kappa,
    wrap,
)
from dsr_core.perception.orientation.decode import OUTPUTS, decode, decode_published, rotation_camera_object
from dsr_core.perception.orientation.fusion import HeadingConfig, HeadingFusion
from dsr_core.perception.orientation.protocol import OrientationEstimate
from dsr_core.perception.orientation.velocity import DRIFT_SIGMA_RAD, heading_from_velocity

angles = st.floats(-10, 10)
sigmas = st.floats(0.01, 1.5)
#: Optical frame (z forward) of a level camera that looks along the world's x axis.
T_WORLD_CAMERA = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]], float)


@given(st.floats(0.005, 3.0))
def test_sigma_and_concentration_are_inverse(sigma):
    assert float(sigma_from_kappa(kappa_from_sigma(sigma))) == pytest.approx(sigma, rel=0.01)


@given(angles, sigmas)
def test_one_measurement_is_itself(angle, sigma):
    mean, spread = fuse(np.array([angle]), np.array([sigma]))
    assert abs(wrap(mean - angle)) < 1e-6 and spread == pytest.approx(sigma, rel=0.02)


@given(st.lists(st.tuples(angles, sigmas), min_size=1, max_size=6), angles)
def test_fusion_turns_with_its_measurements(measurements, turn):
    theta, sigma = np.array(measurements).T
    mean, spread = fuse(theta, sigma)
    turned, same = fuse(theta + turn, sigma)
    assert same == pytest.approx(spread, rel=1e-3, abs=1e-6)
    if spread < 1.5:
        assert abs(wrap(turned - mean - turn)) < 1e-4


def test_fusion_weighs_by_sigma_across_the_seam_and_owns_up_to_contradiction():
    mean, sigma = fuse(np.deg2rad([179.0, -179.0]), np.deg2rad([5.0, 5.0]))
    assert abs(wrap(mean - np.pi)) < 1e-6 and sigma == pytest.approx(np.deg2rad(5) / np.sqrt(2), rel=0.02)
    mean, sigma = fuse(np.deg2rad([0.0, 30.0]), np.deg2rad([5.0, 20.0]))
    assert 0 < np.rad2deg(mean) < 4
    assert fuse(np.array([0.0, np.pi]), np.array([0.3, 0.3]))[1] > 3
    with pytest.raises(GeometryError, match="positive"):
        fuse(np.array([0.0]), np.array([0.0]))


@given(st.floats(-3.1, 3.1), st.floats(0.05, 1.2))
def test_density_has_the_moments_it_was_made_from(angle, sigma):
    mean, spread = moments(normal(angle, sigma))
    assert abs(wrap(mean - angle)) < 0.01 and float(spread) == pytest.approx(sigma, rel=0.05)


def test_filter_holds_front_and_back_until_something_tells():
    belief = CircularFilter()
    for _ in range(5):
        belief.update(1.0, 0.2, flip=0.5)
    assert belief.estimate()[1] > 2
    belief.update(1.3, 0.8)
    angle, sigma = belief.estimate()
    assert abs(wrap(angle - 1.0)) < 0.15 and sigma < 1.0


def test_filter_recovers_from_outliers_and_forgets_with_time():
    belief = CircularFilter(turn_sigma_rad_s=0.3)
    for _ in range(4):
        belief.update(0.0, 0.1)
    belief.update(2.0, 0.1)
    assert abs(belief.estimate()[0]) < 0.05
    before = belief.estimate()[1]
    belief.predict(4.0)
    assert belief.estimate()[1] == pytest.approx(np.hypot(before, 0.3 * 2), rel=0.05)
    with pytest.raises(GeometryError, match="backward"):
        belief.predict(-0.1)
    with pytest.raises(GeometryError, match="sum to 1"):
        belief.update_density(np.ones(360))


@settings(max_examples=30)
@given(st.floats(-3, 3), st.integers(0, 2**31))
def test_filter_is_honest(truth, seed):
    rng = np.random.default_rng(seed)
    belief = CircularFilter()
    for _ in range(10):
        belief.update(truth + rng.normal(0, 0.3), 0.3)
    angle, sigma = belief.estimate()
    assert abs(wrap(angle - truth)) < 5 * sigma and 0.05 < sigma < 0.25


def logits_of(azimuth_deg, width_deg=8.0, front=4.0):
    def around(n, centre):
        d = np.arange(n) - centre
        d = (d + n / 2) % n - n / 2 if n == 360 else d
        return -0.5 * (d / width_deg) ** 2

    return np.concatenate([around(360, azimuth_deg), around(180, 90), around(180, 90), [front, 0.0]])


@pytest.mark.parametrize("azimuth", [0, 1, 90, 200, 359])
def test_decoding_agrees_with_the_published_one_on_clear_output(azimuth):
    rows = logits_of(azimuth)[None]
    ours, theirs = decode(rows), decode_published(rows)
    assert abs(wrap(ours.azimuth_rad[0] - np.deg2rad(theirs[0][0]))) < 1e-6
    assert ours.azimuth_sigma_rad[0] == pytest.approx(np.deg2rad(8), rel=0.02)
    assert abs(ours.polar_rad[0] - np.deg2rad(theirs[1][0])) < 0.02 and theirs[2][0] == 0
    assert ours.confidence[0] == theirs[3][0] == pytest.approx(1 / (1 + np.exp(-4)))


def test_an_open_front_shows_in_sigma_where_the_published_decoding_is_sure():
    both = np.logaddexp(logits_of(20), logits_of(200) + 1e-3)
    assert decode_published(both[None])[0][0] == 200
    assert decode(both[None]).azimuth_sigma_rad[0] > 2
    with pytest.raises(GeometryError, match=str(OUTPUTS)):
        decode(np.zeros((1, 10)))


@pytest.mark.parametrize(
    ("azimuth", "forward"), [(0, [0, 0, -1]), (90, [-1, 0, 0]), (180, [0, 0, 1]), (270, [1, 0, 0])]
)
def test_axes_of_azimuths_are_those_of_the_definition(azimuth, forward):
    R = rotation_camera_object(np.deg2rad(azimuth))
    np.testing.assert_allclose(R[:, 0], forward, atol=1e-12)
    np.testing.assert_allclose(R[:, 2], [0, -1, 0], atol=1e-12)
    if azimuth == 0:
        np.testing.assert_allclose(R[:, 1], [1, 0, 0], atol=1e-12)


@given(angles, angles, angles)
def test_axes_are_rotations(azimuth, polar, rotation):
    R = rotation_camera_object(azimuth, polar, rotation)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(R) == pytest.approx(1.0)


def test_heading_from_velocity_grows_sharper_with_speed_and_is_silent_when_slow():
    covariance = np.repeat((0.1**2 * np.eye(3))[None], 4, axis=0)
    velocity = np.array([[0.1, 0, 0], [1, 1, 0], [0, -5, 3], [0.0, 0.0, 4.0]])
    heading, sigma = heading_from_velocity(velocity, covariance)
    assert np.isnan(heading[[0, 3]]).all() and np.isnan(sigma[[0, 3]]).all()
    assert heading[1:3] == pytest.approx([np.pi / 4, -np.pi / 2])
    assert sigma[1] == pytest.approx(np.hypot(0.1 / np.sqrt(2), DRIFT_SIGMA_RAD)) and sigma[2] < sigma[1]
    noisy, _ = heading_from_velocity(velocity[1:2], 100 * covariance[:1])
    assert np.isnan(noisy).all()


def view(yaw, sigma=0.3, **options):
    """An estimate of a thing that faces `yaw` in the world, seen by `T_WORLD_CAMERA`."""
    R_world = tf.matrices_from_quaternions(np.array([0, 0, np.sin(yaw / 2), np.cos(yaw / 2)]))
    return OrientationEstimate(tf.quaternions_from_matrices(T_WORLD_CAMERA[:3, :3].T @ R_world), sigma, **options)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_views_from_anywhere_give_one_heading(yaw, turn):
    fusion = HeadingFusion()
    c, s = np.cos(turn), np.sin(turn)
    T = np.array([[c, -s, 0, 3], [s, c, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]]) @ T_WORLD_CAMERA
    for k in range(4):
        fusion.add_view("a", float(k), view(yaw), T)
    angle, sigma = fusion.heading("a", 3.0)
    assert abs(wrap(angle - yaw - turn)) < 0.02 and sigma < 0.3


def test_motion_settles_what_the_network_leaves_open():
    fusion = HeadingFusion()
    open_front = 0.5 * normal(0.0, 0.2) + 0.5 * normal(np.pi, 0.2)
    for k in range(4):
        fusion.add_view("a", float(k), view(0.7, 2.5, density=open_front), T_WORLD_CAMERA)
    assert fusion.heading("a", 3.0) is None
    fusion.add_velocity("a", 3.5, np.nan, np.nan)
    assert fusion.heading("a", 3.5) is None
    fusion.add_velocity("a", 4.0, 0.7 + np.pi - 0.1, 0.25)
    angle, sigma = fusion.heading("a", 4.0)
    assert abs(wrap(angle - 0.7 - np.pi)) < 0.15 and sigma < 0.9


def test_many_images_of_one_view_count_for_about_one():
    often, seldom = HeadingFusion(), HeadingFusion()
    for k in range(11):
        often.add_view("a", 0.1 * k, view(1.0), T_WORLD_CAMERA)
    for stamp in (0.0, 0.5, 1.0):
        seldom.add_view("a", stamp, view(1.0), T_WORLD_CAMERA)
    assert often.heading("a", 1.0)[1] == pytest.approx(seldom.heading("a", 1.0)[1], rel=0.3)


def test_asking_changes_nothing_and_old_things_are_forgotten():
    fusion = HeadingFusion(HeadingConfig(max_age_s=5.0))
    assert fusion.heading("a", 0.0) is None
    fusion.add_view("a", 0.0, view(0.5), T_WORLD_CAMERA)
    first = fusion.heading("a", 0.0)
    later = fusion.heading("a", 1.0)
    assert later[1] > first[1] and fusion.heading("a", 0.0) == first
    fusion.forget(6.0)
    assert fusion.heading("a", 6.0) is None
    with pytest.raises(GeometryError, match="velocity_flip"):
        HeadingConfig(velocity_flip=0.7)
