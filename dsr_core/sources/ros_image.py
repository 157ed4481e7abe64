"""Images as ROS sends them, as arrays: `sensor_msgs/Image`, `CompressedImage` and compressedDepth.

Works on plain arguments, so that bags and live topics share it. Row padding (`step`), byte order and 16-bit depth are
honoured. Depth follows REP-118: 16UC1 in millimetres with 0 = unknown, 32FC1 in metres with NaN = unknown.
"""

from __future__ import annotations

import struct

import numpy as np

from dsr_core.errors import DependencyError, SourceError

#: Encoding -> number type without byte order, channels.
ENCODINGS = {
    "rgb8": ("u1", 3), "bgr8": ("u1", 3), "rgba8": ("u1", 4), "bgra8": ("u1", 4), "mono8": ("u1", 1),
    "8UC1": ("u1", 1), "8UC3": ("u1", 3), "8UC4": ("u1", 4), "mono16": ("u2", 1), "16UC1": ("u2", 1),
    "32FC1": ("f4", 1),
}  # fmt: skip

#: Depth in 16 bits: millimetres; these two values mean "unknown" (0: REP-118; 65535: saturated sensors).
_DEPTH_UNKNOWN_MM = (0, 65535)
_COMPRESSED_DEPTH_HEADER = struct.Struct("<iff")


def decode_image(
    encoding: str, height: int, width: int, step: int, is_bigendian: bool | int, data: bytes | np.ndarray
) -> np.ndarray:
    """A view of the pixels of a `sensor_msgs/Image`.

    Args:
        encoding: One of `ENCODINGS`.
        height, width: Pixels.
        step: Bytes from one row to the next.
        is_bigendian: Byte order of numbers of more than one byte.
        data: Bytes, array('B') or uint8 array.

    Returns:
        (H, W) or (H, W, C), read-only, valid as long as `data` lives; no copy unless rows are padded oddly.

    Raises:
        SourceError: unknown encoding, or fewer bytes than height x step.
    """
    if encoding not in ENCODINGS:
        raise SourceError(f"image encoding {encoding!r} is not known; publish one of {', '.join(ENCODINGS)}")
    kind, channels = ENCODINGS[encoding]
    number = np.dtype(kind).newbyteorder(">" if is_bigendian else "<")
    row = width * channels * number.itemsize
    flat = np.frombuffer(data, np.uint8)
    if height <= 0 or width <= 0 or step < row or flat.size < step * (height - 1) + row:
        raise SourceError(
            f"image of {width}x{height} {encoding} with step {step} needs rows of {row} bytes and"
            f" {step * height} bytes in all, but {flat.size} came; the driver fills the message wrongly"
        )
    shape = (height, width, channels) if channels > 1 else (height, width)
    strides = (step, channels * number.itemsize, number.itemsize)[: len(shape)]
    pixels = np.ndarray(shape, number, buffer=flat, strides=strides)
    pixels.flags.writeable = False
    return pixels


def to_rgb(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """(H, W, 3) uint8 in R, G, B order from decoded pixels.

    Raises:
        SourceError: the encoding is no picture.
    """
    if encoding in ("rgb8", "8UC3"):
        return np.ascontiguousarray(pixels)
    if encoding in ("rgba8", "bgr8", "bgra8", "8UC4"):
        return np.ascontiguousarray(pixels[:, :, :3] if encoding == "rgba8" else pixels[:, :, 2::-1])
    if encoding in ("mono8", "8UC1"):
        return np.repeat(pixels[:, :, None], 3, axis=2)
    if encoding == "mono16":
        return np.repeat((pixels >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    raise SourceError(f"image encoding {encoding!r} is no colour picture; is a depth topic given as the colour topic?")


def depth_to_metres(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """(H, W) float32 metres with NaN where unknown (REP-118).

    Args:
        pixels: Decoded pixels.
        encoding: 16UC1 or mono16 (millimetres) or 32FC1 (metres).

    Raises:
        SourceError: the encoding is no depth.
    """
    if encoding in ("16UC1", "mono16"):
        depth_m = pixels.astype(np.float32) * np.float32(0.001)
        for unknown in _DEPTH_UNKNOWN_MM:
            depth_m[pixels == unknown] = np.nan
        return depth_m
    if encoding == "32FC1":
        depth_m = pixels.astype(np.float32)
        depth_m[~(np.isfinite(depth_m) & (depth_m > 0))] = np.nan
        return depth_m
    raise SourceError(f"depth encoding {encoding!r} is not known; publish 16UC1 in millimetres or 32FC1 in metres")


def decode_compressed(format: str, data: bytes | np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a `sensor_msgs/CompressedImage` (JPEG or PNG).

    Raises:
        SourceError: the bytes are no image.
    """
    cv2 = _cv2()
    flat = np.frombuffer(data, np.uint8)
    bgr = cv2.imdecode(flat, cv2.IMREAD_COLOR) if flat.size else None
    if bgr is None:
        raise SourceError(
            f"compressed image (format {format!r}, {flat.size} bytes) cannot be decoded; JPEG and PNG are"
        )
    return np.ascontiguousarray(bgr[:, :, ::-1])


def decode_compressed_depth(format: str, data: bytes | np.ndarray) -> np.ndarray:
    """(H, W) float32 metres, NaN where unknown, of a compressedDepth image.

    The bytes are a header of 12 bytes (format, and the two numbers of the inverse-depth quantisation) and a PNG of
    16 bits: millimetres for 16UC1; for 32FC1 depth = A / (value - B) with 0 = unknown, as in
    ros-perception/image_transport_plugins.

    Args:
        format: `CompressedImage.format`, e.g. "16UC1; compressedDepth png".
        data: The bytes.

    Raises:
        SourceError: the bytes are no 16-bit PNG with that header.
    """
    cv2 = _cv2()
    flat = np.frombuffer(data, np.uint8)
    head = _COMPRESSED_DEPTH_HEADER.size
    values = cv2.imdecode(flat[head:], cv2.IMREAD_UNCHANGED) if flat.size > head else None
    if values is None or values.dtype != np.uint16 or values.ndim != 2:
        what = "nothing readable" if values is None else f"{values.dtype} of shape {values.shape}"
        raise SourceError(
            f"compressed depth (format {format!r}, {flat.size} bytes) holds {what} after its header of {head} bytes;"
            " a PNG of 16 bits is needed (RVL is not read)"
        )
    encoding = format.split(";")[0].strip()
    if encoding in ("", "16UC1", "mono16"):
        return depth_to_metres(values, "16UC1")
    if encoding != "32FC1":
        raise SourceError(f"compressed depth of encoding {encoding!r} is not known; publish 16UC1 or 32FC1")
    _, a, b = _COMPRESSED_DEPTH_HEADER.unpack_from(flat.tobytes()[:head])
    with np.errstate(divide="ignore"):
        depth_m = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    depth_m[values == 0] = np.nan
    return depth_to_metres(depth_m, "32FC1")


def encode_jpeg(rgb: np.ndarray, quality: int = 90) -> bytes:
    """JPEG of (H, W, 3) uint8 RGB."""
    cv2 = _cv2()
    return cv2.imencode(".jpg", np.ascontiguousarray(rgb[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_compressed_depth(depth_mm: np.ndarray) -> bytes:
    """compressedDepth (12-byte header and PNG) of (H, W) uint16 millimetres; format "16UC1; compressedDepth png"."""
    cv2 = _cv2()
    png = cv2.imencode(".png", np.ascontiguousarray(depth_mm, np.uint16), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return _COMPRESSED_DEPTH_HEADER.pack(0, 0.0, 0.0) + png


def depth_to_millimetres(depth_m: np.ndarray) -> np.ndarray:
    """(H, W) uint16 millimetres, 0 = unknown, of metres; beyond 65.534 m is unknown."""
    mm = np.rint(np.asarray(depth_m, float) * 1000.0)
    return np.where(np.isfinite(mm) & (mm > 0) & (mm < 65535), mm, 0).astype(np.uint16)


def _cv2():
    try:
        import cv2
    except ImportError:
        raise DependencyError(
            "compressed images need OpenCV: pip install opencv-python-headless (or apt install python3-opencv)"
        ) from None
    return cv2
