"""Readers of recordings; `open_source` recognises the kind. A reader's packages are imported when it is used."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from dsr_core.errors import SourceError
from dsr_core.sources.base import Source

#: Reader modules in the order of asking: module, class, what it looks for. Each has `recognises(path) -> bool`.
READERS = (
    ("saved", "SavedScene", "a saved scene (*.scene.npz)"),
    ("bag", "Bag", "a ROS 2 bag (folder with metadata.yaml, or a *.mcap or *.db3 file)"),
    ("kitti", "KittiTracking", "a KITTI tracking root (oxts/ and calib/)"),
    ("av2", "Argoverse2Log", "an Argoverse 2 log (annotations.feather and city_SE3_egovehicle.feather)"),
    ("rgbd", "RgbdFolder", "an RGB-D folder (camera-intrinsics.txt and frame-*.depth.png)"),
    ("stereo", "StereoFolder", "a stereo folder (cam0/ and cam1/ with sensor.yaml and data/)"),
    ("video", "Video", "a video (mp4, avi, mov, mkv, webm) or a folder of numbered images alone"),
)

__all__ = ["READERS", "Source", "open_source"]


def open_source(
    path: str | Path, sequence: str | None = None, detections: str | Path | None = None, **options
) -> Source:
    """Opens a recording with the reader that recognises it.

    Args:
        path: File or folder.
        sequence: Which sequence, for data sets that hold several.
        detections: Name of a detector's output (or a file) to use in place of the truth.
        **options: Options of the reader.

    Raises:
        SourceError: nothing there, no reader recognises it, or the reader does not know an option.
    """
    if str(path).startswith("sim:"):
        from dsr_core.sources.simulator import open_simulator

        return open_simulator(path, detections=detections, **options)
    path = Path(path).expanduser()
    if not path.exists():
        known = "; ".join([*(r[2] for r in READERS), "the simulator (sim:seed=1,duration=20,render=0)"])
        raise SourceError(f"{path} does not exist; give a recording: {known}")
    for module_name, class_name, what in READERS:
        module = importlib.import_module(f"{__name__}.{module_name}")
        if not module.recognises(path):
            continue
        reader = getattr(module, class_name)
        given = {"sequence": sequence, "detections": detections, **options}
        given = {name: value for name, value in given.items() if value is not None}
        known = inspect.signature(reader).parameters
        unknown = [name for name in given if name not in known]
        if unknown:
            raise SourceError(
                f"{path} is {what}, which has no option {', '.join(unknown)};"
                f" it knows: {', '.join(list(known)[1:]) or 'none'}"
            )
        return reader(path, **given)
    inside = f"a {path.suffix or 'plain'} file"
    if path.is_dir():
        inside = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
    raise SourceError(
        f"{path} is no recording that a reader recognises (it holds {inside});"
        f" looked for: {'; '.join(r[2] for r in READERS)}"
    )
