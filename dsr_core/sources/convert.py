"""`convert`: any recording to a bag with standard topics, and any recording to a saved scene."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from dsr_core.errors import SourceError
from dsr_core.sources.bag_writer import BagWriter
from dsr_core.sources.base import LazyFrame, Source, progress_bar
from dsr_core.values import Frame

log = logging.getLogger(__name__)

#: Recordings that count from zero (KITTI, simulators) are moved to this second in bags: in ROS a stamp of zero means
#: "not set".
BAG_START_NS = 1_000_000_000_000
#: The truth of a recording that has one lies in the bag's folder under this name; players do not look at it.
TRUTH_FILE = "truth.scene.npz"


def convert(
    source: Source,
    to: str,
    out: str | Path,
    storage: str = "mcap",
    image_format: str = "jpeg",
    depth_format: str = "png",
    progress: bool = False,
) -> Path:
    """Writes a recording as a bag or as a scene, whole or not at all.

    Args:
        source: An open recording.
        to: "bag" or "scene".
        out: New folder of the bag, or file name of the scene (it ends in .scene.npz).
        storage, image_format, depth_format: As for `BagWriter`.
        progress: Shows a progress bar.

    Returns:
        Path of what was written.

    Raises:
        SourceError: what is asked for is not known, the goal exists, or the recording cannot be read.
    """
    if to == "scene":
        return source.scene(progress=progress).save(out)
    if to != "bag":
        raise SourceError(f"cannot convert to {to!r}; use bag or scene")
    writer = BagWriter(
        out, storage, image_format, depth_format,
        source=source.detector if isinstance(source.detector, str) else source.name,
        world_frame=source.world_frame, base_frame=source.base_frame, camera_frame=source.camera_frame,
        T_base_camera=getattr(source, "T_base_camera", None),
    )  # fmt: skip
    offset_ns = newest_ns = None
    with writer:
        for frame in progress_bar(source.frames(), len(source), f"writing {writer.out.name}", progress):
            if offset_ns is None:
                offset_ns = BAG_START_NS if frame.stamp_ns < 1_000_000_000 else 0
            if newest_ns is not None and frame.stamp_ns <= newest_ns:
                source.skip("frames that are not newer than the one before")
                continue
            newest_ns = frame.stamp_ns
            writer.write(_moved(frame, offset_ns))
        truth = source.truth()
        if truth is not None:
            replace(truth, origin_ns=truth.origin_ns + (offset_ns or 0)).save(writer.folder / TRUTH_FILE)
    for reason, count in source.skipped.items():
        log.warning("%s: %d left out: %s", source.name, count, reason)
    return writer.out


def _moved(frame: Frame, offset_ns: int) -> Frame:
    """The frame `offset_ns` later; its picture stays undecoded."""
    if not offset_ns:
        return frame
    fields = {
        name: getattr(frame, name) for name in ("T_world_camera", "T_world_base", "depth_m", "camera", "detections")
    }
    return LazyFrame.make(lambda: frame.rgb, stamp_ns=frame.stamp_ns + offset_ns, **fields)
