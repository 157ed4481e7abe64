"""ROS images as arrays: row padding, byte order, 16-bit depth, compressed forms."""

import array
import struct

import cv2
import numpy as np
import pytest

from dsr_core.errors import SourceError
from dsr_core.sources import ros_image as ri

rng = np.random.default_rng(1)
RGB = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
MM = rng.integers(1, 60000, (4, 5)).astype(np.uint16)


def padded(pixels, pad):
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    return np.hstack([rows, np.full((len(rows), pad), 0xAA, np.uint8)]).tobytes()


@pytest.mark.parametrize("pad", [0, 1, 3, 16])
@pytest.mark.parametrize("wrap", [bytes, lambda b: array.array("B", b), lambda b: np.frombuffer(b, np.uint8)])
def test_step_is_honoured(pad, wrap):
    assert np.array_equal(ri.decode_image("rgb8", 4, 5, 15 + pad, 0, wrap(padded(RGB, pad))), RGB)
    assert np.array_equal(ri.decode_image("16UC1", 4, 5, 10 + pad, 0, wrap(padded(MM, pad))), MM)


def test_byte_order_is_honoured():
    assert np.array_equal(ri.decode_image("16UC1", 4, 5, 10, 1, padded(MM.astype(">u2"), 0)), MM)
    metres = MM.astype(np.float32) / 1000
    got = ri.decode_image("32FC1", 4, 5, 20, True, padded(metres.astype(">f4"), 0))
    assert np.array_equal(ri.depth_to_metres(got, "32FC1"), metres)


def test_the_last_row_may_lack_its_padding():
    data = padded(MM, 6)[:-6]
    assert np.array_equal(ri.decode_image("16UC1", 4, 5, 16, 0, data), MM)


def test_unpadded_pixels_are_not_copied():
    data = np.frombuffer(RGB.tobytes(), np.uint8)
    assert np.shares_memory(ri.decode_image("rgb8", 4, 5, 15, 0, data), data)


@pytest.mark.parametrize(
    ("encoding", "order"), [("rgb8", [0, 1, 2]), ("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 3]), ("bgra8", [2, 1, 0, 3])]
)
def test_colours_come_out_in_rgb_order(encoding, order):
    rgba = np.dstack([RGB, np.full((4, 5), 255, np.uint8)])
    sent = np.ascontiguousarray(rgba[:, :, order])
    got = ri.decode_image(encoding, 4, 5, sent.strides[0], 0, sent.tobytes())
    assert np.array_equal(ri.to_rgb(got, encoding), RGB)


def test_grey_pictures_become_rgb():
    assert np.array_equal(ri.to_rgb(RGB[:, :, 0], "mono8"), np.repeat(RGB[:, :, :1], 3, 2))
    assert np.array_equal(ri.to_rgb(MM, "mono16")[:, :, 0], (MM // 256).astype(np.uint8))


def test_depth_units_and_unknown_values():
    mm = np.array([[0, 1, 1234, 65535]], np.uint16)
    np.testing.assert_allclose(ri.depth_to_metres(mm, "16UC1"), [[np.nan, 0.001, 1.234, np.nan]], rtol=1e-6)
    m = np.array([[np.nan, np.inf, -np.inf, 0.0, -1.0, 2.5]], np.float32)
    np.testing.assert_array_equal(ri.depth_to_metres(m, "32FC1"), np.array([[np.nan] * 5 + [2.5]], np.float32))


def test_millimetres_round_trip():
    assert np.array_equal(ri.depth_to_millimetres(ri.depth_to_metres(MM, "16UC1")), MM)
    assert ri.depth_to_millimetres(np.array([[np.nan, 70.0, -1.0]])).tolist() == [[0, 0, 0]]


def test_compressed_depth_of_both_encodings():
    mm = MM.copy()
    mm[0, 0] = 0
    got = ri.decode_compressed_depth("16UC1; compressedDepth png", ri.encode_compressed_depth(mm))
    assert np.isnan(got[0, 0])
    assert np.array_equal(ri.depth_to_millimetres(got), mm)
    # The quantisation of image_transport_plugins: depth_max 10 m, quantisation 100.
    a, b = 100 * 101.0, 1 - 100 * 101.0 / 10.0
    depth = np.array([[0.5, 1.0, 5.0, np.nan]], np.float32)
    values = np.where(np.isfinite(depth), a / depth + b, 0).astype(np.uint16)
    data = struct.pack("<iff", 1, a, b) + cv2.imencode(".png", values)[1].tobytes()
    np.testing.assert_allclose(ri.decode_compressed_depth("32FC1; compressedDepth", data), depth, rtol=5e-3)


def test_jpeg_and_png():
    picture = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    np.testing.assert_allclose(ri.decode_compressed("jpeg", ri.encode_jpeg(picture)).astype(int), picture, atol=6)
    png = cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()
    assert np.array_equal(ri.decode_compressed("png", png), picture)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ri.decode_image("yuv422", 4, 5, 10, 0, b""), "'yuv422' is not known; publish one of rgb8"),
        (lambda: ri.decode_image("rgb8", 4, 5, 15, 0, b"12"), "needs rows of 15 bytes and 60 bytes in all, but 2 came"),
        (lambda: ri.decode_image("rgb8", 4, 5, 5, 0, bytes(60)), "step 5 needs rows of 15 bytes"),
        (lambda: ri.decode_image("rgb8", 0, 5, 15, 0, b""), "5x0"),
        (lambda: ri.to_rgb(MM, "16UC1"), "is a depth topic given as the colour topic"),
        (lambda: ri.depth_to_metres(RGB, "rgb8"), "'rgb8' is not known; publish 16UC1 in millimetres or 32FC1"),
        (lambda: ri.decode_compressed("jpeg", b"not a jpeg"), "10 bytes\\) cannot be decoded"),
        (lambda: ri.decode_compressed("jpeg", b""), "0 bytes"),
        (lambda: ri.decode_compressed_depth("16UC1", b"short"), "holds nothing readable"),
        (
            lambda: ri.decode_compressed_depth("16UC1", bytes(12) + cv2.imencode(".png", RGB)[1].tobytes()),
            "uint8 of shape",
        ),
        (lambda: ri.decode_compressed_depth("8UC1", ri.encode_compressed_depth(MM)), "encoding '8UC1' is not known"),
    ],
)
def test_bad_images_are_told(call, message):
    with pytest.raises(SourceError, match=message):
        call()
