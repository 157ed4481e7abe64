"""Tokens of a reconstruction: a made world whose geometry is known, and what may not matter."""

import importlib

import numpy as np
import pytest

from dsr_core.geometry import transforms as tf
from dsr_core.perception.reconstruction.protocol import Reconstruction
from dsr_core.vlm.sources import make_source
from dsr_core.vlm.sources.reconstruction import FEATURES, cell_features
from dsr_core.vlm.values import Clip, Context, VlmError

GRID = (2, 3, 4)
#: Where the numbers stand, as `cell_features` tells.
KNOWN, FIRST, OWN, DEPTH = 0, slice(1, 4), slice(4, 7), 7
SPREAD, NORMAL, SHARE, CONFIDENCE = slice(8, 11), slice(11, 14), 14, 15
TIMES, CAMERA, AXIS, DOWN = slice(16, 19), slice(19, 22), slice(22, 25), slice(25, 28)
RAY, PLACE = slice(28, 31), slice(31, 33)


def turn_y(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def world(count=4, height=30, width=40, depth_m=4.0, turn=0.1, move_m=0.2):
    """Cameras that go sideways and turn before a wall z = `depth_m` of the first one's frame."""
    K = np.array([[30.0, 0, (width - 1) / 2], [0, 30.0, (height - 1) / 2], [0, 0, 1]])
    v, u = np.mgrid[:height, :width]
    rays = np.stack([(u - K[0, 2]) / 30.0, (v - K[1, 2]) / 30.0, np.ones_like(u, float)], axis=2)
    poses = np.stack([tf.make_transform(turn_y(turn * i), np.array([move_m * i, 0, 0])) for i in range(count)])
    points = np.empty((count, height, width, 3))
    for i, pose in enumerate(poses):
        directions = rays @ pose[:3, :3].T
        points[i] = rays * (depth_m / directions[..., 2])[..., None]
    return Reconstruction(
        points.astype(np.float32), poses, np.full((count, height, width), 0.8, np.float32), np.stack([K] * count), False
    )


def changed(found, **fields):
    names = ("points_camera_m", "T_world_camera", "confidence", "K", "metric")
    return Reconstruction(**{name: getattr(found, name) for name in names} | fields)


def features(found, times_s=(0.0, 1.0, 2.0, 3.0), grid=GRID, **options):
    return cell_features(found, times_s, grid, **options).reshape(*grid, FEATURES)


def test_a_wall_is_where_it_is():
    """Of a wall 4 m before the first camera, with its median depth as the unit."""
    found = world()
    out = features(found)
    unit = np.median(found.points_camera_m[..., 2])
    assert out.dtype == np.float32 and (out[..., KNOWN] == 1).all() and (out[..., SHARE] == 1).all()
    np.testing.assert_allclose(out[..., FIRST][..., 2], 4.0 / unit, rtol=1e-5)
    np.testing.assert_allclose(out[..., DEPTH], np.log(out[..., OWN][..., 2]), atol=1e-6)
    np.testing.assert_allclose(out[..., NORMAL], np.broadcast_to([0, 0, -1], (*GRID, 3)), atol=1e-4)
    np.testing.assert_allclose(out[..., CONFIDENCE], 0.8, atol=1e-6)
    # Cameras 0 and 2 begin the cells; their axes are the columns of their rotations.
    np.testing.assert_allclose(out[1, 0, 0, CAMERA], np.array([0.4, 0, 0]) / unit, atol=1e-6)
    np.testing.assert_allclose(out[1, 0, 0, AXIS], turn_y(0.2)[:, 2], atol=1e-6)
    np.testing.assert_allclose(out[1, 0, 0, DOWN], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(out[0, ..., AXIS], np.broadcast_to([0, 0, 1], (3, 4, 3)), atol=1e-6)


def test_cells_hold_the_pixels_under_their_visual_tokens():
    found = world(turn=0.0, move_m=0.0)
    out = features(found)
    block = found.points_camera_m[0, 10:20, 30:40].reshape(-1, 3)  # row 1, column 3 of 3 x 4 cells of 10 x 10 pixels
    np.testing.assert_allclose(out[0, 1, 3, OWN], block.mean(0) / 4.0, atol=1e-6)
    np.testing.assert_allclose(out[0, 1, 3, SPREAD], block.std(0) / 4.0, atol=1e-5)
    np.testing.assert_allclose(out[0, 1, 3, PLACE], [0.5, 0.875], atol=1e-6)
    ray = np.array([35 - 0.5 - 19.5, 15 - 0.5 - 14.5, 30.0])
    np.testing.assert_allclose(out[0, 1, 3, RAY], ray / np.linalg.norm(ray), atol=1e-6)


def test_a_cell_is_the_mean_of_its_frames():
    """Two frames at depths 2 and 6: depth 4, of the unit of the median."""
    near, far = world(2, turn=0, move_m=0, depth_m=2.0), world(2, turn=0, move_m=0, depth_m=6.0)
    points = np.stack([near.points_camera_m[0], far.points_camera_m[0]])
    out = features(changed(near, points_camera_m=points), (0.0, 1.0), (1, 3, 4))
    np.testing.assert_allclose(out[..., OWN][..., 2], 1.0, rtol=1e-5)
    np.testing.assert_allclose(out[..., SPREAD][..., 2], 0.5, rtol=1e-4)


def test_a_rigid_transform_of_the_world_changes_nothing():
    found = world()
    G = tf.make_transform(turn_y(1.1) @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), np.array([30.0, -4.0, 7.0]))
    moved = changed(found, T_world_camera=G @ found.T_world_camera)
    np.testing.assert_allclose(features(moved), features(found), atol=1e-5)
    turned = changed(found, T_world_camera=found.T_world_camera @ G)  # not the world but the cameras
    assert np.abs(features(turned) - features(found)).max() > 0.1


@pytest.mark.parametrize("factor", [0.01, 3.0, 250.0])
def test_the_unit_changes_nothing(factor):
    found = world()
    poses = found.T_world_camera.copy()
    poses[:, :3, 3] *= factor
    scaled = changed(found, points_camera_m=found.points_camera_m * np.float32(factor), T_world_camera=poses)
    np.testing.assert_allclose(features(scaled), features(found), atol=2e-5)


def test_metres_count_where_they_are_asked_for():
    found = changed(world(turn=0), metric=True)
    out = features(found, scale="metric")
    np.testing.assert_allclose(out[..., FIRST][..., 2], 0.4, rtol=1e-5)  # 4 m over 10 m
    with pytest.raises(VlmError, match="no metres; set scale = median"):
        features(world(), scale="metric")


def test_points_that_are_not_sure_are_left_out():
    found = world(turn=0, move_m=0)
    points, confidence = found.points_camera_m.copy(), found.confidence.copy()
    points[:, :10, :10] = np.nan  # cell (0, 0)
    points[:, :10, 10:15] *= -1.0  # half of cell (0, 1), behind the camera
    confidence[:, 20:, 30:] = 0.05  # cell (2, 3)
    points[:, 20:, 30:] *= 100.0
    out = features(changed(found, points_camera_m=points, confidence=confidence))
    for row, column in ((0, 0), (2, 3)):
        cell = out[:, row, column]
        assert (cell[:, : NORMAL.stop + 1] == 0).all() and (cell[:, PLACE.stop :] == 0).all()
        assert (cell[:, RAY] != 0).any() and (cell[:, PLACE] != 0).all()
    assert (out[:, 0, 1, SHARE] == 0.5).all()
    np.testing.assert_allclose(out[:, 0, 1, OWN][..., 2], 1.0, rtol=1e-5)
    np.testing.assert_allclose(out[:, 2, 3, CONFIDENCE], 0.05, atol=1e-6)
    np.testing.assert_allclose(out[:, 1, 1], features(found)[:, 1, 1], atol=1e-6)


def test_nothing_sure_is_told_as_such():
    found = changed(world(), confidence=np.zeros((4, 30, 40), np.float32))
    out = features(found)
    assert (out[..., : SHARE + 1] == 0).all() and np.isfinite(out).all()


def test_a_slope_turns_its_normal():
    """A plane z = 4 + 0.5 x has the normal (0.5, 0, -1), in whatever frame it is seen."""
    found = world(2, turn=0, move_m=0)
    rays = found.points_camera_m[0] / found.points_camera_m[0][..., 2:]
    points = rays * (4.0 / (1 - 0.5 * rays[..., :1]))
    found = changed(found, points_camera_m=np.stack([points, points]).astype(np.float32))
    expected = np.array([0.5, 0, -1]) / np.linalg.norm([0.5, 0, -1])
    out = features(found, (0.0, 1.0), (1, 3, 4))
    np.testing.assert_allclose(out[..., NORMAL], np.broadcast_to(expected, (1, 3, 4, 3)), atol=2e-3)


def test_times_are_of_the_clip_and_of_the_clock():
    out = features(world(), (10.0, 11.0, 12.0, 13.0))[:, 0, 0, TIMES]
    np.testing.assert_allclose(out[:, 0], [0.5 / 3, 2.5 / 3], atol=1e-6)
    np.testing.assert_allclose(out[:, 1], np.log(4.0), atol=1e-6)
    np.testing.assert_allclose(out[:, 2], [1.05, 1.25], atol=1e-6)
    still = features(changed(world(), K=None), (5.0, 5.0, 5.0, 5.0))[:, 0, 0, TIMES]
    np.testing.assert_allclose(still, [[0, 0, 0.5]] * 2, atol=1e-6)


def test_tokens_of_a_clip_are_those_of_every_question():
    """They are kept by clip, so the window of a question must not matter."""
    shown = clip(3)
    made = make_source("reconstruction")
    made._reconstructor = lambda rgb: world(len(rgb))
    asked = Context(clip=shown.clip, window=(0.2, 0.4))
    np.testing.assert_array_equal(made.tokens(asked).features, made.tokens(shown).features)


def test_an_odd_frame_stands_twice():
    three, found = world(3), world(4)
    poses, points = found.T_world_camera.copy(), found.points_camera_m.copy()
    poses[3], points[3] = poses[2], points[2]
    twice = features(changed(found, T_world_camera=poses, points_camera_m=points), (0.0, 1.0, 2.0, 2.0))
    once = features(three, (0.0, 1.0, 2.0))
    np.testing.assert_allclose(once[0], twice[0], rtol=0.05, atol=0.02)  # but for the median of one frame more
    np.testing.assert_allclose(once[1, ..., NORMAL], twice[1, ..., NORMAL], atol=1e-5)
    np.testing.assert_allclose(once[1, ..., AXIS], twice[1, ..., AXIS], atol=1e-6)


def test_rays_without_intrinsics_come_from_the_points():
    found = world()
    np.testing.assert_allclose(features(changed(found, K=None))[..., RAY], features(found)[..., RAY], atol=1e-3)


@pytest.mark.parametrize("grid", [(2, 30, 40), (2, 60, 80), (2, 7, 11), (2, 1, 1)])
def test_any_grid_fits_any_picture(grid):
    out = features(world(), grid=grid)
    assert (out[..., KNOWN] == 1).all() and np.isfinite(out).all()
    np.testing.assert_allclose(out[..., FIRST][..., 2], out[0, 0, 0, FIRST][2], rtol=1e-4)


def test_frames_that_do_not_fill_the_grid_are_told():
    with pytest.raises(VlmError, match="4 pictures at 4 times do not fill 1 cells"):
        features(world(), grid=(1, 3, 4))
    with pytest.raises(VlmError, match="4 pictures at 3 times"):
        features(world(), (0.0, 1.0, 2.0))


# --- the source


def clip(count=4, height=56, width=84):
    frames = [np.full((height, width, 3), 20 * i, np.uint8) for i in range(count)]
    return Context(clip=Clip(frames, [0.5 * i for i in range(count)]))


def test_settings_that_are_not_known_are_told():
    for settings, told in (
        ({"backend": "colmap"}, "no reconstruction backend 'colmap'; known: depth_anything_3, pi3"),
        ({"scale": "feet"}, "scale = 'feet'"),
        ({"min_confidence": 2}, "min_confidence = 2"),
        ({"beckend": "pi3"}, "beckend"),
    ):
        with pytest.raises(VlmError, match=told):
            make_source("reconstruction", settings)
    made = make_source("reconstruction", {"scale": "metric"})
    assert made.settings()["scale"] == "metric" and made.features == FEATURES and made.aligned and made.cached


def test_a_backend_is_run_over_the_clip(tmp_path):
    pytest.importorskip("torch", reason="reconstruction backends need torch: run tools/setup.sh")
    pytest.importorskip("huggingface_hub", reason="the stand-in of pi3 is saved with huggingface_hub")
    from tests.pi3_stand_in import pi3_checkout, save_weights

    with pi3_checkout(tmp_path / "checkout") as checkout:
        save_weights(checkout, tmp_path / "weights")
        importlib.invalidate_caches()
        settings = {"backend": "pi3", "weights": str(tmp_path / "weights"), "checkout": str(checkout), "device": "cpu"}
        made = make_source("reconstruction", settings)
        tokens = made.tokens(clip(3))
        assert tokens.grid == (2, 2, 3) and tokens.features.shape == (12, FEATURES)
        # The stand-in is sure of the right half alone, and its cameras go sideways by 0.1.
        numbers = tokens.features.reshape(2, 2, 3, FEATURES)
        assert (numbers[:, :, 0, KNOWN] == 0).all() and (numbers[:, :, 2, KNOWN] == 1).all()
        moved = numbers[1, 0, 2, CAMERA]
        assert moved[0] > 0 and moved[1] == moved[2] == 0
        again = made.tokens(clip(3)).features
        np.testing.assert_array_equal(again, tokens.features)
        long = make_source("reconstruction", settings | {"window": 6}).tokens(clip(9))
        assert long.grid == (5, 2, 3)


def test_depth_anything_3_is_run_over_the_clip(tmp_path):
    """Its real network of the smallest size, with random weights."""
    torch = pytest.importorskip("torch", reason="reconstruction backends need torch: run tools/setup.sh")
    pytest.importorskip("depth_anything_3", reason="pip install --no-deps depth-anything-3")
    pytest.importorskip("omegaconf", reason="pip install einops omegaconf addict")
    from depth_anything_3.cfg import create_object, load_config
    from depth_anything_3.registry import MODEL_REGISTRY
    from safetensors.torch import save_model

    torch.manual_seed(0)
    holder = torch.nn.Module()
    holder.model = create_object(load_config(MODEL_REGISTRY["da3-small"])).eval()
    save_model(holder, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_name": "da3-small"}')
    settings = {"weights": str(tmp_path), "device": "cpu", "picture_pixels": 56 * 84, "min_confidence": 0.0}
    made = make_source("reconstruction", settings)
    tokens = made.tokens(clip(3, 112, 168))
    assert tokens.grid == (2, 4, 6) and (tokens.features[:, KNOWN] == 1).all()
    with pytest.raises(VlmError, match="no metres"):
        make_source("reconstruction", settings | {"scale": "metric"}).tokens(clip(1))
