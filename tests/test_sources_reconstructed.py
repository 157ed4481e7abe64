"""Recordings reconstructed as a whole: a scene whose geometry is known, cut films, and memory that stays bounded."""

import weakref

import numpy as np
import pytest

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.perception.backends import Perception
from dsr_core.perception.reconstruction.intrinsics import intrinsics_of_points, scaled_intrinsics
from dsr_core.perception.reconstruction.windows import WindowConfig, stream_windows, window_starts
from dsr_core.sources.base import LazyFrame, Source
from dsr_core.sources.detected import Detected
from dsr_core.sources.reconstructed import UNMETRIC_MEDIAN_DEPTH, Reconstructed
from dsr_core.values import Detection, Frame
from tests.test_reconstruction import CONFIG, HEIGHT, WIDTH, Recorded, truth


class Film(Source):
    """Pictures that hold their own number, decoded when asked for; counts those that are alive."""

    name = "film"

    def __init__(self, count, poses=None, blank=(), size=(HEIGHT, WIDTH)):
        self.count, self.poses, self.blank, self.size = count, poses, blank, size
        self.alive, self.most_alive = [], 0

    def __len__(self):
        return self.count

    def decode(self, i):
        picture = np.full((*self.size, 3), i, np.uint8)
        self.alive = [ref for ref in self.alive if ref() is not None] + [weakref.ref(picture)]
        self.most_alive = max(self.most_alive, len(self.alive))
        return picture

    def frames(self):
        for i in range(self.count):
            pose = None if self.poses is None else self.poses[i]
            if i in self.blank:
                yield Frame(i * 10**8, T_world_camera=pose)
            else:
                yield LazyFrame.make(lambda i=i: self.decode(i), stamp_ns=i * 10**8, T_world_camera=pose)


def test_windows_of_a_stream_are_those_of_a_list():
    for count in range(1, 40):
        windows = list(stream_windows((np.full((1, 1, 3), i) for i in range(count)), CONFIG))
        assert [start for start, _ in windows] == window_starts(count, CONFIG)
        for start, pictures in windows:
            assert pictures[:, 0, 0, 0].tolist() == list(range(start, min(start + CONFIG.length, count)))


def test_poses_make_it_metric_and_are_kept():
    T, points = truth()
    film = Film(30, T, size=(2 * HEIGHT, 2 * WIDTH))
    source = Reconstructed(film, Recorded(T, points), CONFIG)
    assert source.metric and source.has_poses
    errors, count = [], 0
    for i, frame in enumerate(source.frames()):
        count += 1
        np.testing.assert_array_equal(frame.T_world_camera, T[i])
        assert frame.rgb[0, 0, 0] == i and frame.depth_m.shape == (2 * HEIGHT, 2 * WIDTH)
        errors.append(np.nanmedian(np.abs(frame.depth_m[::2, ::2] / points[i, ..., 2] - 1)))
        K = frame.camera.K
    assert count == 30 and film.most_alive <= CONFIG.length + 3, "a window at a time"
    assert max(errors) < 0.02
    # The rays of the scene are those of a camera whose focal length is the image's width.
    assert K[0, 0] == pytest.approx(2 * WIDTH, rel=0.02) and K[1, 1] == pytest.approx(2 * WIDTH, rel=0.02)
    assert source.lift_config().depth.noise.relative > 0.1


def test_poses_that_are_missing_are_filled_in():
    T, points = truth()
    poses = [pose if i % 3 else None for i, pose in enumerate(T)]
    source = Reconstructed(Film(30, poses, blank=(7,)), Recorded(T, points), CONFIG)
    frames = list(source.frames())
    assert source.skipped == {"frames without a picture to reconstruct": 1}
    assert len(frames) == 29
    assert max(np.linalg.norm(f.T_world_camera[:3, 3] - T[f.stamp_ns // 10**8][:3, 3]) for f in frames) < 0.05


def test_without_poses_the_world_is_level_with_the_first_camera_and_not_metric():
    T, points = truth()
    film = Film(30)
    source = Reconstructed(film, Recorded(T, points), CONFIG)
    frames = list(source.frames())
    assert not source.metric
    np.testing.assert_allclose(frames[0].T_world_camera, tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3)), atol=1e-9)
    depth = np.stack([f.depth_m for f in frames])
    assert np.nanmedian(depth) == pytest.approx(UNMETRIC_MEDIAN_DEPTH, rel=0.1)
    # One factor for all depths and the way.
    factor = np.nanmedian(depth / points[..., 2])
    np.testing.assert_allclose(np.nanmedian(depth / points[..., 2], axis=(1, 2)), factor, rtol=0.02)
    way = np.array([f.T_world_camera[:3, 3] for f in frames])
    length = np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1).sum()
    assert np.linalg.norm(np.diff(way, axis=0), axis=1).sum() == pytest.approx(factor * length, rel=0.05)
    box = np.array([8.0, 6.0, 24.0, 18.0])
    seen = Detected(source, Perception(detector=OneBox(box)))
    scene = seen.scene()
    assert scene.metric is False and len(scene.tracks) == 1 and len(scene.stamps_s) == 30


class OneBox:
    def __init__(self, box):
        self.box = box

    def reset(self):
        pass

    def detect(self, frame):
        return (Detection("mug", 0.9, self.box, id="1"),)


def test_parts_that_do_not_join_are_left_out_and_told(caplog):
    T, points = truth()

    class Cut(Recorded):
        """From the fourth window on another scene, which agrees with nothing before."""

        def __call__(self, rgb):
            if len(self.given) == 3:
                self.points = points * np.random.default_rng(1).uniform(0.3, 3.0, points.shape[:3])[..., None]
            return super().__call__(rgb)

    source = Reconstructed(Film(30), Cut(T, points, outliers=0.0), CONFIG)
    frames = list(source.frames())
    left_out = source.skipped["frames that do not join the rest of the reconstruction (a cut?)"]
    assert 15 <= len(frames) < 30 and left_out == 30 - len(frames)
    assert "falls into" in caplog.text and "are left out" in caplog.text
    assert all(np.isfinite(f.T_world_camera).all() for f in frames)


def test_what_cannot_be_reconstructed_is_told():
    T, points = truth()
    with pytest.raises(SourceError, match="no pictures"):
        list(Reconstructed(Film(3, blank=(0, 1, 2)), Recorded(T, points), CONFIG).frames())

    class Growing(Film):
        def decode(self, i):
            return np.zeros((HEIGHT + i, WIDTH, 3), np.uint8)

    with pytest.raises(SourceError, match="one size is needed"):
        list(Reconstructed(Growing(3), Recorded(T, points), CONFIG).frames())


def test_intrinsics_come_back_from_points():
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:60, :80].astype(float)
    z = rng.uniform(1, 8, u.shape)
    points = np.stack([(u - 41) / 70 * z, (v - 28) / 90 * z, z], axis=-1)
    points[:10] = np.nan
    points[20:25] *= rng.uniform(0.5, 2, (5, 80, 3))  # a part of them is wrong
    K = intrinsics_of_points(points)
    np.testing.assert_allclose(K, [[70, 0, 41], [0, 90, 28], [0, 0, 1]], rtol=0.01, atol=0.2)
    assert intrinsics_of_points(points * [-1, 1, 1]) is None
    assert intrinsics_of_points(np.full((60, 80, 3), np.nan)) is None
    # A pixel's middle stays where it is when the image grows.
    big = scaled_intrinsics(K, (80, 60), (160, 240))
    np.testing.assert_allclose(big[:2, 2] + 0.5, (K[:2, 2] + 0.5) * [2, 4])
    assert big[0, 0] == pytest.approx(2 * K[0, 0]) and big[1, 1] == pytest.approx(4 * K[1, 1])


def test_a_short_film_is_one_window():
    T, points = truth()
    source = Reconstructed(Film(2), Recorded(T, points, outliers=0.0), WindowConfig(length=8, overlap=3))
    assert len(list(source.frames())) == 2
