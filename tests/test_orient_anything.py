"""Orient Anything: cut-outs with the mask applied, pre-processing, the ray, saving; with a tiny DINOv2."""

import numpy as np
import pytest

from dsr_core.errors import GeometryError, ModelError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception.orientation.circle import moments, normal, wrap
from dsr_core.perception.orientation.decode import OUTPUTS, decode
from dsr_core.perception.orientation.orient_anything import OrientAnything, _around, cut_out, make_network
from dsr_core.values import Detection
from tests import tiny_networks as tiny
from tests.tiny_networks import torch, transformers


def estimator(**options):
    torch.manual_seed(1)
    return OrientAnything(make_network(tiny.dinov2()), min_confidence=0.0, device="cpu", **options)


def scene():
    rgb = np.random.default_rng(0).integers(1, 256, (120, 160, 3), dtype=np.uint8)
    mask = np.zeros((120, 160), bool)
    mask[20:90, 40:70], mask[20:30, 60:70] = True, False
    return rgb, mask


def test_the_mask_is_really_applied():
    rgb, mask = scene()
    square = cut_out(rgb, np.array([40.0, 20, 70, 90]), mask)
    assert square.shape == (83, 83, 3)  # 70 / 0.85
    assert (square > 0).all(axis=2).sum() == mask.sum()
    elsewhere = rgb.copy()
    elsewhere[~mask] = 7
    network = estimator()
    (a,), (b,) = (network.estimate(image, [Detection("person", mask=mask)]) for image in (rgb, elsewhere))
    assert (a.orientation_camera_xyzw == b.orientation_camera_xyzw).all() and a.sigma_rad == b.sigma_rad
    (c,) = network.estimate(elsewhere, [Detection("person", box_px=np.array([40.0, 20, 70, 90]))])
    assert c.sigma_rad != a.sigma_rad


def test_pre_processing_equals_that_of_dinov2():
    processor = transformers.BitImageProcessorPil(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, resample=3, do_resize=True
    )
    processor.image_mean, processor.image_std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for side in (83, 256, 400):
        square = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
        theirs = processor(images=square, return_tensors="pt")["pixel_values"]
        ours = estimator().prepare([square])
        # Pillow rounds the intermediate of its two passes to whole grey values.
        assert ours.shape == theirs.shape and (ours - theirs).abs().max() < 2.01 / 255 / 0.224


def test_estimates_are_the_decoded_output():
    rgb, mask = scene()
    network = estimator(batch=2)
    things = [Detection("a", mask=mask), Detection("b", box_px=np.array([0.0, 0, 50, 60])), Detection("c", mask=~mask)]
    found = network.estimate(rgb, things)
    squares = [cut_out(rgb, np.array(b, float), m) for b, m in (([40, 20, 70, 90], mask), ([0, 0, 50, 60], None))]
    logits = network.run(squares)
    assert logits.shape == (2, OUTPUTS)
    decoded = decode(logits)
    for k in range(2):
        forward = tf.matrices_from_quaternions(found[k].orientation_camera_xyzw)[:, 0]
        assert np.linalg.norm(forward) == pytest.approx(1.0)
        assert found[k].sigma_rad == pytest.approx(decoded.azimuth_sigma_rad[k], rel=1e-4)
        assert found[k].density.sum() == pytest.approx(1.0)
        assert abs(float(moments(found[k].density)[0])) < 1e-6


def test_the_density_runs_counter_clockwise_from_the_heading():
    azimuths = np.roll(normal(0.0, 0.1), 40) * 0.8 + np.roll(normal(0.0, 0.1), 70) * 0.2
    around = _around(azimuths, np.deg2rad(40.0))
    assert around.argmax() == 0 and around[330] > 20 * around[30]


def test_the_ray_is_added_to_what_is_seen_aside():
    rgb, _ = scene()
    K = np.array([[80.0, 0, 80], [0, 80, 60], [0, 0, 1]])
    thing = [Detection("a", box_px=np.array([130.0, 50, 150, 70]))]  # its middle is 36.9 degrees to the right
    (straight,), (aside,) = (estimator().estimate(rgb, thing, c) for c in (None, Camera(K, (160, 120))))
    a, b = (tf.matrices_from_quaternions(e.orientation_camera_xyzw) for e in (straight, aside))
    turn = b @ a.T
    np.testing.assert_allclose(turn @ [0, 0, 1], np.array([60, 0, 80]) / 100, atol=1e-9)
    assert np.rad2deg(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(36.87, abs=0.01)


def test_what_cannot_be_told_is_none():
    rgb, mask = scene()
    outside = Detection("a", box_px=np.array([300.0, 300, 320, 320]))
    assert estimator().estimate(rgb, [outside, Detection("b", mask=mask & False), Detection("c")]) == (None,) * 3
    sure = OrientAnything(make_network(tiny.dinov2()), min_confidence=1.0, device="cpu")
    assert sure.estimate(rgb, [Detection("a", mask=mask)]) == (None,)
    with pytest.raises(GeometryError, match="mask of shape"):
        estimator().estimate(rgb, [Detection("a", mask=mask[1:])])


def test_saved_and_loaded_is_the_same(tmp_path):
    rgb, mask = scene()
    before = estimator()
    before.save(tmp_path)
    after = OrientAnything.from_pretrained(tmp_path, tmp_path, device="cpu", min_confidence=0.0)
    (a,), (b,) = (e.estimate(rgb, [Detection("a", mask=mask)]) for e in (before, after))
    assert a.sigma_rad == b.sigma_rad and abs(wrap(a.confidence - b.confidence)) == 0


def test_missing_or_wrong_weights_name_the_next_step(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"`hf download Viglong/Orient-Anything croplargeEX2/dino_weight.pt`.*CC-BY"):
        OrientAnything.from_pretrained()
    estimator().save(tmp_path)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="does not fit"):
        OrientAnything.from_pretrained(tmp_path / "other.pt", tmp_path)
