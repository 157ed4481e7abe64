"""Tracks KITTI's PointRCNN detections and compares them with the labels: python benchmarks/tracking_kitti.py [ROOT]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dsr_core.perception.lift import observe
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.sources.kitti import KittiTracking, sequences
from dsr_core.tracking.metrics import TrackingScore, compare

#: The detector has no such classes; where it finds them they are no false alarms.
IGNORED = ("truck", "tram", "misc", "person", "person_sitting")
RADIUS_M = 2.0


def score_sequence(root: Path, sequence: str, config: WorldConfig | None = None) -> TrackingScore:
    """Tracks one sequence and compares its observed samples with the labels."""
    source = KittiTracking(root, sequence, "pointrcnn")
    world = WorldModel(config or WorldConfig())
    for frame in source.frames():
        world.step(observe(frame))
    return compare(source.truth(), world.scene(), RADIUS_M, IGNORED)


def _quantiles(values: np.ndarray) -> str:
    return " ".join(f"{q:7.3f}" for q in (np.quantile(values, (0.5, 0.95)) if len(values) else (np.nan, np.nan)))


def row(name: str, s: TrackingScore) -> str:
    """One line of the table."""
    nees = np.array(s.nees or [np.nan])
    parked = np.array([found for true, found, _ in s.speeds if true < 0.2])
    off = np.array([difference for true, _, difference in s.speeds if true > 2.0])
    return (
        f"{name:5} {s.truths:6} {s.recall:7.3f} {s.precision:7.3f} {s.mota:7.3f} {s.id_switches:5} {s.fragments:5}"
        f" {s.things:6} {np.mean(s.ids_per_thing or [0]):5.2f} {_quantiles(np.array(s.errors_m))}"
        f" {np.mean(np.minimum(nees, 50)):6.2f} {np.median(nees):5.2f} {_quantiles(parked)} {_quantiles(off)}"
    )


HEADER = (
    "seq   truths  recall    prec    MOTA  idsw  frag things ids/t  error m p50,p95  NEES mean,p50"
    "  parked m/s p50,p95  moving dv p50,p95"
)


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared/data/kitti_tracking")
    total = TrackingScore()
    print(HEADER)
    for sequence in sequences(root):
        score = score_sequence(root, sequence)
        print(row(sequence, score), flush=True)
        total.add(score)
    print(row("all", total))
    print("NEES: 3 on average and 2.37 in the median where covariances are honest.")


if __name__ == "__main__":
    main()
