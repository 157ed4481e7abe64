"""Depth seen from another camera."""

import numpy as np
import pytest

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.registration import DepthRegistration, Registrar

DEPTH = Camera(np.array([[100.0, 0, 32], [0, 100.0, 24], [0, 0, 1]]), (64, 48))
COLOR = Camera(np.array([[200.0, 0, 64], [0, 200.0, 48], [0, 0, 1]]), (128, 96))
BESIDE = tf.make_transform(np.eye(3), np.array([0.1, 0.0, 0.05]))


def scene(near_m=1.0, far_m=2.0):
    """A wall with a nearer square before it."""
    depth = np.full((48, 64), far_m, np.float32)
    depth[20:28, 28:36] = near_m
    return depth


def test_a_wall_keeps_its_distance_and_fills_the_finer_image():
    got = DepthRegistration(DEPTH, COLOR, BESIDE)(np.full((48, 64), 2.0, np.float32))
    np.testing.assert_allclose(got[np.isfinite(got)], 2.05, rtol=1e-6)
    # The 0.1 m offset shows 200 * 0.1 / 2.05 pixels of the image to the left as unknown.
    assert np.isnan(got[48, :6]).all()
    assert np.isfinite(got[10:80, 20:110]).mean() > 0.98


def test_the_nearest_surface_wins():
    depth = scene()
    got = DepthRegistration(DEPTH, COLOR, BESIDE)(depth)
    middle = np.array([0.0, 0.0, 1.0])  # centre of the square in the depth camera
    u, v = np.rint(COLOR.project(tf.transform_points(BESIDE, middle[None]))[0]).astype(int)
    assert got[v, u] == pytest.approx(1.05)
    assert got[v, u + 30] == pytest.approx(2.05)


def test_unknown_depth_stays_unknown():
    assert np.isnan(DepthRegistration(DEPTH, COLOR, BESIDE)(np.full((48, 64), np.nan, np.float32))).all()


def test_registered_depth_is_passed_on_untouched():
    registrar = Registrar(lambda *_: pytest.fail("no transform is needed"))
    depth = scene()
    assert registrar(depth, "color", 1, DEPTH, "color") is depth
    assert registrar(depth, "color", 1, None, "color") is depth
    registrar.depth_camera = DEPTH
    assert registrar(depth, "color", 1, DEPTH, "color") is depth


def test_what_is_missing_is_told():
    registrar = Registrar(lambda *_: BESIDE)
    with pytest.raises(
        GeometryError, match=r"64x48 in 'depth' is not registered to the colour image of 128x96 in 'color'"
    ):
        registrar(scene(), "depth", 1, COLOR, "color")
    registrar.depth_camera = COLOR
    with pytest.raises(GeometryError, match="does not fit to its camera_info of 128x96"):
        registrar(scene(), "depth", 1, COLOR, "color")
    registrar.depth_camera = DEPTH
    assert registrar(scene(), "depth", 1, COLOR, "color").shape == (96, 128)
