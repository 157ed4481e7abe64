"""Windows of a reconstruction joined to one world, against a scene whose geometry is known."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.similarity import Similarity, fit_similarity
from dsr_core.geometry.trajectory import absolute_trajectory_error_m, align_poses
from dsr_core.perception.reconstruction.protocol import Reconstruction
from dsr_core.perception.reconstruction.windows import (
    WindowConfig,
    join_reconstructions,
    reconstruct_video,
    window_starts,
)

HEIGHT, WIDTH = 24, 32
CONFIG = WindowConfig(length=8, overlap=3, points=400)


def truth(count=30):
    """Poses of a camera that looks around on a bow, and its point maps of a bumpy bowl around it."""
    i = np.arange(count)
    turn = Rotation.from_rotvec(np.stack([0.02 * np.sin(i / 4), 0.03 * i, 0 * i], axis=1)).as_matrix()
    T = tf.make_transform(turn, np.stack([0.1 * i, 0.05 * np.sin(i / 3), 0.3 * np.sin(i / 7)], axis=1))
    v, u = np.mgrid[:HEIGHT, :WIDTH] / WIDTH - 0.5
    rays = np.stack([u, v, np.ones_like(u)], axis=-1)
    z = 4 + 0.6 * np.sin(5 * u + i[:, None, None] / 3) + 0.4 * np.cos(9 * v)
    return T, rays * z[..., None]


class Recorded:
    """Reconstructs pictures that hold their own number, each window in a world and a unit of its own.

    Thirty per cent of the points are wrong in each window, others than in the next.
    """

    def __init__(self, T, points, noise=0.005, outliers=0.3, own_scale=True, jump_at=None):
        self.T, self.points, self.noise, self.outliers = T, points, noise, outliers
        self.rng, self.own_scale, self.jump_at = np.random.default_rng(0), own_scale, jump_at
        self.given = []

    def __call__(self, rgb):
        numbers = rgb[:, 0, 0, 0].astype(int)
        rng = self.rng
        scale = float(10 ** rng.uniform(-1, 1)) if self.own_scale else 1.0
        own = Similarity(scale, Rotation.random(rng=rng).as_matrix(), rng.normal(size=3))
        self.given.append(own)
        T = own.apply_pose(self.T[numbers])
        points = self.points[numbers] * (1 + self.noise * rng.normal(size=(len(numbers), HEIGHT, WIDTH, 1)))
        wrong = rng.random(points.shape[:3]) < self.outliers
        points[wrong] = points[wrong] * rng.uniform(0.3, 2.0, (int(wrong.sum()), 1))
        points = scale * points
        if self.jump_at is not None:
            late = numbers >= self.jump_at
            points[late] *= 1.5
        confidence = np.full(points.shape[:3], 0.9, np.float32)
        return Reconstruction(points.astype(np.float32), T, confidence, None, not self.own_scale)


def pictures(count):
    return [np.full((HEIGHT, WIDTH, 3), i, np.uint8) for i in range(count)]


def test_windows_cover_everything():
    assert window_starts(5, CONFIG) == [0] and window_starts(8, CONFIG) == [0]
    assert window_starts(9, CONFIG) == [0, 1] and window_starts(18, CONFIG) == [0, 5, 10]
    for count in range(1, 60):
        starts = window_starts(count, CONFIG)
        assert starts[-1] + min(CONFIG.length, count) == count
        assert all(b - a <= CONFIG.length - CONFIG.overlap for a, b in pairwise(starts))


def test_a_video_is_joined_to_one_percent():
    T, points = truth()
    joined = reconstruct_video(Recorded(T, points), pictures(30), config=CONFIG)
    r = joined.reconstruction
    assert not joined.segment.any() and not any(j.jumped for j in joined.joins)
    assert not r.metric and joined.alignments == (None,) and r.points_camera_m.dtype == np.float32
    error = absolute_trajectory_error_m(r.T_world_camera, T, with_scale=True)
    way = np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1).sum()
    assert error.max() < 0.01 * way
    whole = fit_similarity(r.T_world_camera[:, :3, 3], T[:, :3, 3])
    ratio = whole.scale * r.points_camera_m[..., 2] / points[..., 2]
    # One unit from the first picture to the last.
    np.testing.assert_allclose(np.median(ratio, axis=(1, 2)), 1.0, atol=0.02)
    seen = whole.apply(r.points_world_m())
    assert np.median(np.linalg.norm(seen - tf.transform_points(T[:, None, None], points), axis=-1)) < 0.05


def test_odometry_gives_metres_and_gravity():
    T, points = truth()
    T_odom = T.copy()
    T_odom[:, :3, 3] += 0.003 * np.random.default_rng(1).normal(size=(30, 3))
    T_odom[4] = np.nan
    joined = reconstruct_video(Recorded(T, points), pictures(30), T_odom, CONFIG)
    assert joined.reconstruction.metric
    assert np.linalg.norm(joined.reconstruction.T_world_camera[:, :3, 3] - T[:, :3, 3], axis=1).max() < 0.04
    up = joined.reconstruction.T_world_camera[:, :3, 1]
    assert np.degrees(np.arccos(np.clip((up * T[:, :3, 1]).sum(axis=1), -1, 1))).max() < 0.5
    z = np.median(joined.reconstruction.points_camera_m[..., 2] / points[..., 2], axis=(1, 2))
    np.testing.assert_allclose(z, 1.0, atol=0.02)


def test_a_robot_that_stands_gives_no_metres():
    T, points = truth()
    T[:, :3, 3] = 0.0005 * np.random.default_rng(2).normal(size=(30, 3))
    T_odom = T.copy()
    T_odom[:, :3, 3] = 0.0005 * np.random.default_rng(3).normal(size=(30, 3))
    joined = reconstruct_video(Recorded(T, points), pictures(30), T_odom, CONFIG)
    assert not joined.reconstruction.metric and joined.alignments == (None,)


def test_a_cut_begins_a_new_segment_that_odometry_places_again():
    T, points = truth()
    other = points[:, ::-1, ::-1] * [-1, -1, 1] + [0, 0, 2.0]
    backend = Recorded(T, points, outliers=0.0)
    starts = window_starts(30, CONFIG)
    windows = []
    for number, s in enumerate(starts):
        backend.points = points if number < 3 else other
        windows.append(backend(np.stack(pictures(30)[s : s + 8])))
    alone = join_reconstructions(windows, starts, config=CONFIG)
    assert [j.jumped for j in alone.joins] == [False, False, False, True, False, False]
    assert alone.segment[0] == 0 and alone.segment[-1] == 1
    placed = join_reconstructions(windows, starts, T, CONFIG)
    assert placed.reconstruction.metric and all(placed.alignments)
    assert np.linalg.norm(placed.reconstruction.T_world_camera[:, :3, 3] - T[:, :3, 3], axis=1).max() < 0.04


def test_a_scale_that_jumps_in_an_overlap_is_found():
    T, points = truth()
    starts = window_starts(30, CONFIG)
    backend = Recorded(T, points, jump_at=None)
    windows = []
    for number, s in enumerate(starts):
        backend.jump_at = starts[2] + 2 if number == 1 else None  # only window 1's last shared picture
        windows.append(backend(np.stack(pictures(30)[s : s + 8])))
    assert [j.jumped for j in join_reconstructions(windows, starts, config=CONFIG).joins].index(True) == 2


def test_unsure_points_are_not_compared():
    T, points = truth(13)
    windows = [Recorded(T, points, outliers=0.0)(np.stack(pictures(13)[s : s + 8])) for s in (0, 5)]
    for w in windows:
        w.points_camera_m[:, :16] *= np.random.default_rng(5).uniform(0.2, 5.0, (8, 16, WIDTH, 1))
        w.confidence[:, :16] = 0.01
    joined = join_reconstructions(windows, [0, 5], config=CONFIG)
    assert not joined.joins[1].jumped and joined.joins[1].inlier_share > 0.9
    assert absolute_trajectory_error_m(joined.reconstruction.T_world_camera, T, with_scale=True).max() < 0.03


@pytest.mark.parametrize("seed", range(5))
def test_a_straight_way_is_enough_to_align(seed):
    rng = np.random.default_rng(seed)
    own = Similarity(float(10 ** rng.uniform(-1, 1)), Rotation.random(rng=rng).as_matrix(), rng.normal(size=3))
    T = tf.make_transform(np.eye(3), np.arange(20.0)[:, None] * [0.1, 0, 0])
    bent = T.copy()
    bent[7, :3, 3] += 2.0  # one pose is wrong
    found = align_poses(own.apply_pose(T), bent)
    np.testing.assert_allclose(found.similarity.apply(own.apply(np.ones(3))), np.ones(3), atol=0.01)
    assert found.scale_sigma < 0.01 and found.residual_m < 0.01


def test_shapes_and_overlaps_that_do_not_fit_are_said():
    T, points = truth(8)
    window = Recorded(T, points)(np.stack(pictures(8)))
    with pytest.raises(GeometryError, match="share two pictures"):
        join_reconstructions([window, window], [0, 7])
    with pytest.raises(GeometryError, match="odometry"):
        join_reconstructions([window], [0], T[:3])
    with pytest.raises(GeometryError, match="no picture"):
        reconstruct_video(Recorded(T, points), [])
    with pytest.raises(GeometryError, match="overlap"):
        WindowConfig(length=4, overlap=4)
    for bad in ({"confidence": np.ones((8, 2, 2), np.float32)}, {"T_world_camera": T[:3]}, {"K": np.eye(3)}):
        fields = {"points_camera_m": window.points_camera_m, "T_world_camera": T, "confidence": window.confidence}
        with pytest.raises(GeometryError):
            Reconstruction(**{**fields, "K": None, "metric": False, **bad})
