"""Static rooms seen by moving cameras: how far things wander, whether any seems to move, how far odometry drifts.

    python benchmarks/static_world.py --rgbd FOLDER --stereo FOLDER

The recordings are a 7-Scenes sequence and a EuRoC one (../shared/data where they are not given). The trajectory error
is also computed by `evo` where that is installed (pip install evo; GPL-3, so it is no dependency of this package).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsr_core.geometry import transforms as tf  # noqa: E402
from dsr_core.geometry.trajectory import absolute_trajectory_error_m  # noqa: E402
from dsr_core.perception.odometry.visual import VisualOdometry, VisualOdometryConfig  # noqa: E402
from dsr_core.sources import open_source  # noqa: E402
from tests.static_scene import drift_of_static_things  # noqa: E402

DATA = ROOT.parent / "shared" / "data"


def static_things(name, source):
    """Prints how far static things wander."""
    started = time.perf_counter()
    found = drift_of_static_things(source)
    judged, moving = found.judge_motion()
    print(
        f"{name}: {len(source)} frames, {found.things} things: median drift {100 * found.median_drift_m:.2f} cm,"
        f" {100 * found.median_relative_drift:.2f} % of range; {len(moving)} of {judged} windows said to move"
        f" ({time.perf_counter() - started:.0f} s)"
    )


def odometry(name, source):
    """Prints the drift of visual odometry against the recorded poses."""
    step = VisualOdometry(VisualOdometryConfig(noise=source.lift_config().depth.noise))
    found, truth, stamps, lost, took = [], [], [], 0, 0.0
    for frame in source.frames():
        frame = replace(frame)  # decodes, which is not what is timed
        started = time.perf_counter()
        result = step(frame)
        took += time.perf_counter() - started
        if result.T_world_camera is None:
            lost += 1
            continue
        found.append(result.T_world_camera)
        truth.append(frame.T_world_camera)
        stamps.append(frame.stamp_ns * 1e-9)
    found, truth = np.array(found), np.array(truth)
    way = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    error = absolute_trajectory_error_m(found, truth)
    together = truth[0] @ tf.invert(found[0]) @ found[-1]
    end_m = float(np.linalg.norm(together[:3, 3] - truth[-1, :3, 3]))
    print(
        f"{name}: visual odometry over {way:.3f} m: ATE {100 * np.sqrt(np.mean(error**2)):.3f} cm RMSE, at the end"
        f" {100 * end_m:.2f} cm off ({100 * end_m / max(way, 1e-9):.1f} % of the way), {lost} frames lost,"
        f" {len(found) / took:.0f} frames/s"
    )
    print(f"{name}: by evo: {by_evo(np.array(stamps), found, truth)}")


def by_evo(stamps_s, found, truth) -> str:
    """The absolute trajectory error as evo gives it, or how to install that."""
    try:
        from evo.core import metrics
        from evo.core.trajectory import PoseTrajectory3D
    except ImportError:
        return "not installed (pip install evo; GPL-3)"
    estimate, reference = (PoseTrajectory3D(timestamps=stamps_s, poses_se3=list(T)) for T in (found, truth))
    estimate.align(reference)
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((reference, estimate))
    return f"ATE {100 * ape.get_statistic(metrics.StatisticsType.rmse):.3f} cm RMSE"


def main():
    """Prints all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rgbd", type=Path, default=DATA / "seven_scenes_redkitchen")
    parser.add_argument("--stereo", type=Path, default=DATA / "euroc_stereo")
    args = parser.parse_args()
    for name, path in (("RGB-D", args.rgbd), ("stereo", args.stereo)):
        if not path.is_dir():
            print(f"{name}: {path} is not there; name a folder with --rgbd or --stereo")
            continue
        source = open_source(path)
        static_things(name, source)
        odometry(name, source)


if __name__ == "__main__":
    main()
