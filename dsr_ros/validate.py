"""The message gate: what is wrong with a message, before it is used."""

from __future__ import annotations

import math

from dsr_core.errors import DsrError


class MessageError(DsrError):
    """A message cannot be used; the text says which field and what to do about it."""


def stamp_ns(stamp, what: str) -> int:
    """Nanoseconds of a stamp that is set and well-formed.

    Raises:
        MessageError: zero, negative, or nanoseconds of a second or more.
    """
    if stamp.sec == 0 and stamp.nanosec == 0:
        raise MessageError(
            f"{what} has stamp zero: its driver does not set header.stamp, or the simulated clock has not started"
        )
    if stamp.sec < 0 or stamp.nanosec >= 1_000_000_000:
        raise MessageError(
            f"{what} has stamp {stamp.sec} s + {stamp.nanosec} ns, which is no time;"
            " its driver fills header.stamp wrongly"
        )
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def header(message_header, what: str) -> int:
    """Checks stamp and frame name of a header; returns the stamp in nanoseconds.

    Raises:
        MessageError: as for `stamp_ns`, or an empty frame_id.
    """
    stamp = stamp_ns(message_header.stamp, what)
    if not message_header.frame_id.strip("/ "):
        raise MessageError(f"{what} has an empty header.frame_id; set the optical frame's name in its driver")
    return stamp


def detections(message, what: str) -> tuple[int, int]:
    """Checks an array of detections and takes out those that hold no number or no box.

    Returns:
        The stamp in nanoseconds, and how many detections were taken out.

    Raises:
        MessageError: the header cannot be used.
    """
    stamp = header(message.header, what)
    usable = [d for d in message.detections if _detection_is_usable(d)]
    dropped = len(message.detections) - len(usable)
    if dropped:
        message.detections = usable
    return stamp, dropped


def _detection_is_usable(d) -> bool:
    if not d.label or not math.isfinite(d.score):
        return False
    p = d.pose.pose.position
    if d.has_box3d and not (math.isfinite(p.x) and math.isfinite(p.y) and math.isfinite(p.z)):
        return False
    if d.has_box:
        x1, y1, x2, y2 = (float(v) for v in d.box)
        if not (math.isfinite(x1 + y1 + x2 + y2) and x1 < x2 and y1 < y2):
            return False
    return bool(d.has_box3d or d.has_box or d.mask.width)


def camera_info(message, what: str) -> None:
    """Checks a calibration.

    Raises:
        MessageError: size zero, or no focal length (an uncalibrated driver).
    """
    if not message.width or not message.height:
        raise MessageError(f"{what} has size {message.width}x{message.height}; its driver sends no image size")
    if not (message.k[0] > 0 and message.k[4] > 0):
        raise MessageError(
            f"{what} has focal lengths {message.k[0]}, {message.k[4]}: the camera is not calibrated;"
            " give its driver a calibration file"
        )
