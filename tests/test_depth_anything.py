"""Depth Anything's real code with a network of a thousandth of its size."""

import numpy as np
import pytest

from dsr_core.errors import GeometryError, ModelError
from dsr_core.values import Frame
from tests.tiny_networks import depth_anything as tiny
from tests.tiny_networks import torch, transformers

from dsr_core.perception.depth.depth_anything import DepthAnything  # isort: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("depth")
    tiny().save_pretrained(path)
    return path


def a_frame(height=60, width=84):
    return Frame(5, rgb=np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))


def test_depth_has_the_pictures_size_and_says_what_it_is(folder):
    estimator = DepthAnything(folder, device="cpu", shortest_px=98)
    estimate = estimator(a_frame())
    assert estimate.metric and estimator.metric
    assert estimate.depth_m.shape == (60, 84) and estimate.depth_m.dtype == np.float32
    assert np.nanmin(estimate.depth_m) > 0 and np.nanmax(estimate.depth_m) <= 20
    known = np.isfinite(estimate.depth_m)
    np.testing.assert_allclose(estimate.sigma_m[known], 0.001 + 0.15 * estimate.depth_m[known], rtol=1e-5)
    np.testing.assert_array_equal(estimate.depth_m, estimator(a_frame()).depth_m)
    # A thing's depth is as uncertain as one pixel's: the error is one factor for the whole picture.
    assert estimator.noise.systematic == 1.0


def test_the_preparation_equals_that_of_transformers(folder):
    rgb = a_frame(120, 168).rgb
    processor_class = getattr(transformers, "DPTImageProcessorPil", None) or transformers.DPTImageProcessor
    processor = processor_class(
        size={"height": 98, "width": 98},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        resample=3,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    theirs = processor(images=rgb, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        output = tiny()(pixel_values=theirs)
    processed = processor.post_process_depth_estimation(output, target_sizes=[rgb.shape[:2]])
    depth_m = processed[0]["predicted_depth"].numpy()
    ours = DepthAnything(folder, device="cpu", shortest_px=98)(Frame(0, rgb=rgb)).depth_m
    assert theirs.shape == (1, 3, 98, 140) or theirs.shape == (1, 3, 98, 126), theirs.shape
    np.testing.assert_allclose(ours, depth_m, rtol=0.02)


def test_what_cannot_be_used_is_said(folder, tmp_path):
    with pytest.raises(GeometryError, match="no picture"):
        DepthAnything(folder, device="cpu", shortest_px=98)(Frame(0))
    tiny("relative").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="metric weights"):
        DepthAnything(tmp_path, device="cpu")
    with pytest.raises(ModelError, match=r"hf download .*licence: Apache-2\.0"):
        DepthAnything("depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf", device="cpu")
