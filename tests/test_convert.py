"""Recordings into bags and scenes and back again."""

import os

import numpy as np
import pytest

from dsr_core.errors import SceneError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.scene import Scene
from dsr_core.sources import open_source
from dsr_core.sources.bag_file import BagFile
from dsr_core.sources.base import Source
from dsr_core.sources.convert import BAG_START_NS, TRUTH_FILE, convert
from dsr_core.values import Detection, Frame
from tests.data import shared
from tests.fakes import fake_scene, fake_track

CAMERA = Camera(
    np.array([[100.0, 0, 32], [0, 90.0, 24], [0, 0, 1]]), (64, 48), np.array([0.1, -0.05, 0.001, 0.002, 0.0])
)


class Made(Source):
    """Frames with every kind of detection, along a curve, with noise in every number."""

    name = "made"

    def __init__(self, count=12, start_ns=5_000_000_000, fail_at=None):
        self.count, self.start_ns, self.fail_at = count, start_ns, fail_at

    def __len__(self):
        return self.count

    def frames(self):
        rng = np.random.default_rng(5)
        for i in range(self.count):
            if i == self.fail_at:
                raise SourceError("the disk is on fire")
            R = tf.matrices_from_quaternions(rng.normal(size=(2, 4)))
            mask = np.zeros((48, 64), bool)
            mask[20:30, 31:40] = True
            depth = rng.integers(900, 1100, (48, 64)).astype(np.float32) * np.float32(0.001)
            depth[:3] = np.nan
            A = rng.normal(size=(3, 3))
            box3d = Detection(
                "person", float(np.float32(0.7)), position_camera_m=rng.normal(size=3), covariance_camera=A @ A.T,
                size_lwh_m=np.array([0.4, 0.5, 1.8]), orientation_camera_xyzw=rng.normal(size=4),
                orientation_sigma_rad=0.3, id="a1",
            )  # fmt: skip
            yield Frame(
                stamp_ns=self.start_ns + i * 66_666_667,
                T_world_camera=tf.make_transform(R[0], rng.normal(size=3)),
                T_world_base=tf.make_transform(R[1], rng.normal(size=3)),
                rgb=rng.integers(0, 255, (48, 64, 3), dtype=np.uint8),
                depth_m=depth,
                camera=CAMERA,
                detections=(box3d, Detection("cup", 0.5, box_px=np.array([28.0, 18, 42, 33]), mask=mask)),
            )


def same(a, b):
    """Two observations or detections agree in every field to 1e-9, the score to its 32 bits."""
    for name, x in vars(a).items():
        y = getattr(b, name)
        if isinstance(x, np.ndarray):
            np.testing.assert_allclose(np.asarray(y, float), np.asarray(x, float), atol=1e-9, err_msg=name)
        elif isinstance(x, float):
            assert x == pytest.approx(y, abs=1e-7), name
        else:
            assert x == y, name


@pytest.mark.parametrize(
    ("storage", "image_format", "depth_format"),
    [("mcap", "raw", "png"), ("sqlite3", "raw", "32FC1"), ("mcap", "jpeg", "16UC1")],
)
def test_frames_come_back_from_a_bag(tmp_path, storage, image_format, depth_format):
    source = Made()
    bag = open_source(convert(source, "bag", tmp_path / "b", storage, image_format, depth_format))
    assert len(bag) == len(source)
    for a, b in zip(source.frames(), bag.frames(), strict=True):
        assert a.stamp_ns == b.stamp_ns
        np.testing.assert_allclose(b.T_world_camera, a.T_world_camera, atol=1e-12)
        np.testing.assert_allclose(b.T_world_base, a.T_world_base, atol=1e-12)
        np.testing.assert_array_equal(b.depth_m, a.depth_m)
        np.testing.assert_array_equal(b.camera.K, a.camera.K)
        np.testing.assert_array_equal(b.camera.D, a.camera.D)
        if image_format == "raw":
            assert np.array_equal(b.rgb, a.rgb)
        for x, y in zip(a.detections, b.detections, strict=True):
            same(x, y)
    for a, b in zip(source.observations(), bag.observations(), strict=True):
        assert len(a.observations) == 2
        for x, y in zip(a.observations, b.observations, strict=True):
            same(x, y)


def test_a_bag_holds_no_clock_and_its_tf_comes_first(tmp_path):
    with BagFile(convert(Made(), "bag", tmp_path / "b")) as bag:
        assert "/clock" not in bag.topics
        assert {"/tf", "/detections", "/camera/color/camera_info"} < set(bag.topics)
        assert next(bag.messages(list(bag.topics)))[0] == "/tf"


def test_a_recording_that_counts_from_zero_is_moved(tmp_path):
    bag = open_source(convert(Made(start_ns=0), "bag", tmp_path / "b"))
    assert next(bag.frames()).stamp_ns == BAG_START_NS
    scene = bag.scene()
    assert scene.stamps_s[0] == 0 and scene.origin_ns == BAG_START_NS


def test_a_bag_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(SourceError, match="on fire"):
        convert(Made(fail_at=5), "bag", tmp_path / "b")
    with pytest.raises(SourceError, match="no frame to write"):
        convert(Made(count=0), "bag", tmp_path / "b")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_converted_is_told(tmp_path):
    with pytest.raises(SourceError, match="use bag or scene"):
        convert(Made(), "video", tmp_path / "b")
    with pytest.raises(SourceError, match="storage 'tape' is not known"):
        convert(Made(), "bag", tmp_path / "b", storage="tape")
    with pytest.raises(SceneError, match=r"end it with .scene.npz"):
        convert(Made(), "scene", tmp_path / "b.npz")
    (tmp_path / "there").mkdir()
    with pytest.raises(SourceError, match="exists already"):
        convert(Made(), "bag", tmp_path / "there")


def test_a_saved_scene_becomes_a_bag_and_its_truth_lies_beside(tmp_path):
    car = fake_track(start=(10.0, 1.0, 0.0), velocity=(-1.0, 0.0, 0.0), sigma_m=0.05, yaw=0.4)
    scene = fake_scene(car, ego_velocity=(1.0, 0.0, 0.0), origin_ns=7_000_000_000)
    path = scene.save(tmp_path / "s.scene.npz")
    source = open_source(path)
    assert source.scene().tracks["1"].label == "car"
    bag = open_source(convert(source, "bag", tmp_path / "b"))
    truth = bag.truth()
    assert truth.origin_ns == scene.origin_ns
    np.testing.assert_array_equal(truth.tracks["1"].positions_world_m, car.positions_world_m)
    seen = [o for f in bag.observations() for o in f.observations]
    np.testing.assert_allclose([o.position_world_m for o in seen], car.positions_world_m, atol=1e-9)
    np.testing.assert_allclose([o.covariance_world for o in seen], car.covariances, atol=1e-9)
    back = Scene.load(convert(bag, "scene", tmp_path / "back.scene.npz"))
    track = next(iter(back.tracks.values()))
    # The bag's own scene is what the tracker makes of it, not the truth beside it.
    assert len(back.tracks) == 1 and not np.array_equal(track.positions_world_m, car.positions_world_m)
    assert np.abs(track.positions_world_m[-1] - car.positions_world_m[-1]).max() < 0.2


def test_kitti_detections_give_the_same_tracks_through_a_bag(tmp_path):
    source = open_source(shared("kitti_tracking"), sequence="0012", detections="pointrcnn")
    bag = open_source(convert(source, "bag", tmp_path / "b"))
    assert (tmp_path / "b" / TRUTH_FILE).is_file()
    a, b = source.scene(), bag.scene()
    assert list(a.tracks) == list(b.tracks) and len(a.tracks) > 0
    np.testing.assert_allclose(a.stamps_s, b.stamps_s, atol=1e-9)
    np.testing.assert_allclose(a.T_world_camera, b.T_world_camera, atol=1e-9)
    for i, track in a.tracks.items():
        other = b.tracks[i]
        assert track.label == other.label and np.array_equal(track.observed, other.observed)
        np.testing.assert_allclose(other.stamps_s, track.stamps_s, atol=1e-9)
        np.testing.assert_allclose(other.positions_world_m, track.positions_world_m, atol=1e-6)
        np.testing.assert_allclose(other.velocities, track.velocities, atol=1e-6)
