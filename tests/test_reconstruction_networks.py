"""pi3 by a stand-in of its calls, and Depth Anything 3 by its own code with random weights."""

import json
import sys

import numpy as np
import pytest

from dsr_core.errors import DependencyError, GeometryError, ModelError
from dsr_core.geometry import transforms as tf
from dsr_core.perception.backends import PerceptionConfig, load_reconstructor
from dsr_core.perception.reconstruction.pictures import size_of_patches, without_depth_edges
from tests.pi3_stand_in import pi3_checkout, save_weights
from tests.tiny_networks import torch


@pytest.fixture
def checkout(tmp_path):
    with pi3_checkout(tmp_path / "Pi3") as folder:
        yield folder


def pictures(count=3, height=60, width=90):
    return np.random.default_rng(0).integers(0, 255, (count, height, width, 3), np.uint8)


def test_pi3_from_a_checkout(checkout, tmp_path):
    pytest.importorskip("huggingface_hub")
    from dsr_core.perception.reconstruction.pi3 import Pi3

    with pytest.raises(DependencyError, match="git clone"):
        Pi3(tmp_path, device="cpu")
    save_weights(checkout, tmp_path / "weights")
    backend = Pi3(tmp_path / "weights", checkout=checkout, device="cpu", hide_edges=False)
    found = backend(pictures())
    assert found.points_camera_m.shape == (3, 56, 84, 3) and not found.metric and found.K is None
    # Camera to world: the camera moves by 0.1 a picture, and points in the world with it.
    np.testing.assert_allclose(found.T_world_camera[:, 0, 3], [0, 0.1, 0.2], atol=1e-6)
    shift = found.points_world_m()[2] - found.points_camera_m[2]
    np.testing.assert_allclose(shift[..., 0], 0.2, atol=1e-6)
    assert found.confidence[0, 0, -1] == pytest.approx(0.9526, abs=1e-3)
    assert found.confidence[0, 0, 0] == pytest.approx(0.0474, abs=1e-3)
    with pytest.raises(GeometryError, match="uint8"):
        backend(pictures().astype(float))
    with pytest.raises(ModelError, match="hf download yyfz233/Pi3"):
        Pi3(checkout=checkout, device="cpu")


def test_depth_anything_3_with_its_own_code(tmp_path):
    pytest.importorskip("depth_anything_3", reason="pip install --no-deps depth-anything-3")
    pytest.importorskip("omegaconf", reason="pip install einops omegaconf addict")
    from depth_anything_3.cfg import create_object, load_config
    from depth_anything_3.registry import MODEL_REGISTRY
    from safetensors.torch import save_model

    from dsr_core.perception.reconstruction.depth_anything_3 import DepthAnything3

    torch.manual_seed(0)
    network = create_object(load_config(MODEL_REGISTRY["da3-small"])).eval()
    holder = torch.nn.Module()
    holder.model = network
    save_model(holder, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    backend = DepthAnything3(tmp_path, device="cpu", max_pixels=56 * 84)
    found = backend(pictures(2))
    assert found.points_camera_m.shape[0] == 2 and not found.metric
    height, width = found.points_camera_m.shape[1:3]
    tf.check_rigid(found.T_world_camera)
    # A pixel's point lies on the ray of its middle.
    K, p = found.K[1], found.points_camera_m[1, 7, 11]
    assert K[0, 2] == pytest.approx(width / 2 - 0.5) and K[1, 2] == pytest.approx(height / 2 - 0.5)
    np.testing.assert_allclose((K @ p / p[2])[:2], [11, 7], atol=1e-3)
    assert 0 <= found.confidence.min() and found.confidence.max() <= 1
    chosen = load_reconstructor(
        PerceptionConfig(depth="depth_anything_3", weights={"depth_anything_3": tmp_path}, device="cpu")
    )
    assert isinstance(chosen, DepthAnything3) and chosen.device == "cpu"
    (tmp_path / "config.json").write_text(json.dumps({"model_name": "da3-base"}))
    with pytest.raises(ModelError, match="do not fit"):
        DepthAnything3(tmp_path, device="cpu")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="model_name"):
        DepthAnything3(tmp_path, device="cpu")


def test_depth_anything_3_says_how_to_get_it(monkeypatch):
    from dsr_core.perception.reconstruction.depth_anything_3 import DepthAnything3

    monkeypatch.setitem(sys.modules, "depth_anything_3.cfg", None)
    with pytest.raises(DependencyError, match="--no-deps depth-anything-3"):
        DepthAnything3(device="cpu")


@pytest.mark.parametrize(("height", "width"), [(480, 640), (1080, 1920), (100, 3000), (20, 20), (720, 405)])
def test_sizes_are_whole_patches_within_the_limit(height, width):
    h, w = size_of_patches(height, width, 255_000, 14)
    assert h % 14 == w % 14 == 0 and h * w <= 255_000
    if min(height, width) > 200:
        assert h / w == pytest.approx(height / width, rel=0.06)


def test_points_between_two_surfaces_are_left_out():
    z = np.full((1, 10, 20), 2.0, np.float32)
    z[:, :, 10:] = 3.0
    kept = np.isfinite(without_depth_edges(np.stack([z, z, z], axis=-1))[0, :, :, 2])
    assert kept[:, :9].all() and not kept[:, 9:11].any() and kept[:, 11:].all()
