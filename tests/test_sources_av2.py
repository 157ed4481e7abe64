"""Argoverse 2 logs: a made-up log with known motion, and the real ones."""

import numpy as np
import pytest

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.sources import av2, open_source
from tests.data import shared

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")

START_NS = 315_971_916_960_141_000


def write_log(folder, ego_until_s=2.05, calibration=False):
    """An ego driving east at 10 m/s from far away, a parked car 20 m ahead of its start and a bus in front of it."""
    folder.mkdir()
    ego_s = np.arange(-0.05, ego_until_s, 0.02)
    turn = tf.yaw_to_quaternion_xyzw(np.full(len(ego_s), 0.3))
    ego = {"timestamp_ns": START_NS + np.rint(ego_s * 1e9).astype(np.int64)}
    ego |= dict(zip(("qx", "qy", "qz", "qw"), turn.T, strict=True))
    ego |= {"tx_m": 5000 + 10 * ego_s, "ty_m": np.full(len(ego_s), 2000.0), "tz_m": np.full(len(ego_s), -20.0)}
    feather.write_feather(pa.table(ego), folder / "city_SE3_egovehicle.feather")
    rows = []
    R = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(0.3))
    for i in range(21):
        t = i / 10
        for uuid, kind, world in (("aa", "REGULAR_VEHICLE", (20, 0, 0)), ("bb", "BUS", (30 + 10 * t, 5, 0))):
            p = R.T @ (np.array(world) - [10 * t, 0, 0])
            q = tf.yaw_to_quaternion_xyzw(1.0 - 0.3)
            rows.append((START_NS + i * 10**8, uuid, kind, 4.0, 2.0, 1.5, q[3], q[0], q[1], q[2], *p))
    names = "timestamp_ns track_uuid category length_m width_m height_m qw qx qy qz tx_m ty_m tz_m".split()
    feather.write_feather(
        pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), folder / "annotations.feather"
    )
    if calibration:
        (folder / "calibration").mkdir()
        mount = tf.quaternions_from_matrices(tf.R_BODY_OPTICAL)
        table = {"sensor_name": ["up_lidar", "ring_front_center"]}
        table |= {n: [0.0, v] for n, v in zip(("qx", "qy", "qz"), mount, strict=False)} | {"qw": [1.0, mount[3]]}
        table |= {"tx_m": [1.3, 1.6], "ty_m": [0.0, 0.1], "tz_m": [1.6, 1.4]}
        feather.write_feather(pa.table(table), folder / "calibration" / "egovehicle_SE3_sensor.feather")
    return folder


def test_tracks_are_placed_in_a_world_that_starts_at_the_ego(tmp_path):
    scene = open_source(write_log(tmp_path / "log")).scene()
    assert scene.origin_ns == START_NS and len(scene.stamps_s) == 21
    np.testing.assert_allclose(scene.T_world_base[:, :3, 3], np.outer(np.arange(21), [1, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(scene.tracks["aa"].positions_world_m, np.tile([20, 0, 0], (21, 1)), atol=1e-6)
    np.testing.assert_allclose(scene.tracks["bb"].positions_world_m[-1], [50, 5, 0], atol=1e-6)
    assert scene.tracks["bb"].label == "bus"
    np.testing.assert_allclose(scene.tracks["aa"].orientations_xyzw[7], tf.yaw_to_quaternion_xyzw(1.0), atol=1e-9)
    assert scene.tracks["aa"].size_lwh_m.tolist() == [4.0, 2.0, 1.5]
    np.testing.assert_allclose(
        scene.T_world_camera[3], scene.T_world_base[3] @ tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))
    )


def test_the_calibration_places_the_camera(tmp_path):
    source = open_source(write_log(tmp_path / "log", calibration=True))
    np.testing.assert_allclose(source.T_base_camera[:3, 3], [1.6, 0.1, 1.4])
    np.testing.assert_allclose(source.T_base_camera[:3, :3], tf.R_BODY_OPTICAL, atol=1e-12)


def test_frames_hold_the_boxes_and_lead_back_to_the_tracks(tmp_path):
    source = open_source(write_log(tmp_path / "log"))
    truth = source.truth()
    frames = list(source.observations())
    assert [len(f.observations) for f in frames] == [2] * 21
    for i, frame in enumerate(frames):
        assert frame.stamp_ns == START_NS + i * 10**8
        for o in frame.observations:
            np.testing.assert_allclose(o.position_world_m, truth.tracks[o.id].positions_world_m[i], atol=1e-9)
            np.testing.assert_allclose(o.covariance_world, truth.tracks[o.id].covariances[i], atol=1e-12)
    blind = open_source(tmp_path / "log", detections="annotations")
    assert {o.id for f in blind.observations() for o in f.observations} == {""}
    tracked = blind.scene()
    assert sorted(t.label for t in tracked.tracks.values()) == ["bus", "regular_vehicle"]


def test_a_folder_of_logs_needs_a_sequence(tmp_path):
    write_log(tmp_path / "one")
    write_log(tmp_path / "two")
    with pytest.raises(SourceError, match="there are: one, two"):
        open_source(tmp_path)
    assert open_source(tmp_path, sequence="tw").path.name == "two"


def test_bad_logs_are_told(tmp_path):
    short = write_log(tmp_path / "short", ego_until_s=1.0)
    with pytest.raises(SourceError, match="both files must be of the same log"):
        open_source(short)
    cut = write_log(tmp_path / "cut")
    (cut / "annotations.feather").write_bytes((cut / "annotations.feather").read_bytes()[:200])
    with pytest.raises(SourceError, match="no whole feather file"):
        open_source(cut)
    lacking = write_log(tmp_path / "lacking")
    feather.write_feather(pa.table({"timestamp_ns": [1]}), lacking / "annotations.feather")
    with pytest.raises(SourceError, match="lacks the columns track_uuid"):
        open_source(lacking)
    with pytest.raises(SourceError, match="use 'annotations'"):
        open_source(write_log(tmp_path / "log"), detections="pointrcnn")


@pytest.mark.parametrize("log", ["3b", "ad"])
def test_real_log(log):
    scene = open_source(shared("av2"), sequence=log).scene()
    assert len(scene.tracks) > 100 and 15 < scene.end_s < 16
    wander, noise, told = [], [], []
    for track in scene.tracks.values():
        p = track.positions_world_m
        apart = np.linalg.norm(np.median(p[:10], axis=0) - np.median(p[-10:], axis=0)) if len(p) >= 40 else 9
        if "vehicle" in track.label and apart < 0.4 and np.ptp(p[:, :2], axis=0).max() < 0.6:
            wander.append(1.48 * np.median(np.abs(p - np.median(p, axis=0))[:, :2]))
            noise.append(1.48 * np.median(np.abs(np.diff(p, 2, axis=0))[:, :2]) / np.sqrt(6))
            told.append(np.sqrt(np.median(track.covariances[:, 0, 0])))
    assert len(wander) >= 8
    # The constants of the reader are honest: neither much more nor much less than parked vehicles show.
    assert 0.5 < np.median(told) / np.median(wander) < 2.5
    assert np.median(noise) < 0.002
    assert av2.LABEL_SIGMA_M > np.median(noise)
