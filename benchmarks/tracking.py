"""How well things are tracked: HOTA, CLEAR over recall, identity switches, errors, speed, and what answers make of it.

One thread works.

    python benchmarks/tracking.py                     all tables
    python benchmarks/tracking.py kitti speed         some of kitti, errors, others, answers, speed, late

kitti: PointRCNN's boxes on five sequences of the validation split that AB3DMOT is judged on, by its rules (IROS 2020);
"online" is what the tracker says at each frame about that frame, "memory" what the scene says afterwards. Constants
were chosen on other sequences, but that names are voted on within a group with all thirteen in view. errors: positions,
consistency and speeds by sequence. others: Argoverse logs whose labels were made worse, and the simulated warehouse.
answers: how often the same question has the same answer of the detector's tracks and of the labels. speed: frames a
second. late: tracks of things whose range is hardly known, with a slow lane that knows it and is late.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tracking_kitti as kitti
from tracking_answers import print_answers
from tracking_late import print_late
from tracking_others import argoverse, scene_comparisons, simulated
from tracking_speed import print_speed

from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.scene import Scene
from dsr_core.sources.kitti import KittiTracking, sequences
from dsr_core.tracking.clear_over_recall import OverRecall, over_recall
from dsr_core.tracking.config import TrackerConfig
from dsr_core.tracking.hota import Hota, hota
from dsr_core.tracking.matching import Comparison
from dsr_core.tracking.metrics import TrackingScore, compare

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
VALIDATION = ("0001", "0006", "0008", "0010", "0012")
OVERLAPS = (0.25, 0.5, 0.7)
#: The detector has no such classes; where it finds them they are no false alarms.
IGNORED = ("truck", "tram", "misc", "person", "person_sitting")
RADIUS_M = 2.0
HEADER = (
    "recording      truths  recall    prec    MOTA  idsw  frag things ids/t  error m p50,p95   RMSE  NEES mean,p50"
    "  parked m/s p50,p95  moving dv p50,p95"
)


def judge(recordings: Sequence[Sequence[Comparison]], least: float) -> tuple[OverRecall, Hota]:
    """CLEAR over recall, and HOTA with the tracks that are left at the best MOTA."""
    clear = over_recall(recordings, least)
    parts = [hota(f.required(least) for f in certain) for certain in (above(r, clear.threshold) for r in recordings)]
    return clear, sum(parts[1:], parts[0])


def above(frames: Sequence[Comparison], threshold: float) -> list[Comparison]:
    """The frames without the tracks whose mean score is lower."""
    ids, scores = (np.concatenate([getattr(f, n) for f in frames]) for n in ("found_ids", "scores"))
    names, which = np.unique(ids, return_inverse=True)
    kept = names[np.bincount(which, scores) / np.bincount(which) >= threshold - 1e-9] if len(names) else names
    return [f.taken(np.isin(f.found_ids, kept)) for f in frames]


def print_kitti(root: Path, names: Sequence[str] = VALIDATION, config: TrackerConfig | None = None) -> None:
    """A row for each class, way and overlap."""
    sources = [KittiTracking(root, name, "pointrcnn") for name in names]
    head = f"{'class':11s}{'':8s}{'IoU':>5s}{'sAMOTA':>8s}{'AMOTA':>8s}{'AMOTP':>8s}{'MOTA':>8s}{'idsw':>5s}"
    print(f"{head}{'missed':>7s}{'false':>6s}{'true':>6s}{'HOTA':>7s}{'DetA':>7s}{'AssA':>7s}")
    for way, found_by in (("online", kitti.found_online), ("memory", kitti.found_remembered)):
        found = [found_by(source, config or TrackerConfig()) for source in sources]
        for label in kitti.LABELS:
            recordings = [list(kitti.comparisons(s, f, label)) for s, f in zip(sources, found, strict=True)]
            for least in OVERLAPS:
                clear, whole = judge(recordings, least)
                best = clear.best
                print(
                    f"{label:11s}{way:8s}{least:5.2f}{100 * clear.samota:8.2f}{100 * clear.amota:8.2f}"
                    f"{100 * clear.amotp:8.2f}{100 * best.mota:8.2f}{best.switches:5d}{best.misses:7d}"
                    f"{best.false_alarms:6d}{best.true:6d}{100 * whole.hota:7.2f}{100 * whole.detection:7.2f}"
                    f"{100 * whole.associated:7.2f}",
                    flush=True,
                )


def score_sequence(root: Path, sequence: str, config: WorldConfig | None = None) -> TrackingScore:
    """Tracks one KITTI sequence and compares its observed samples with the labels."""
    source = KittiTracking(root, sequence, "pointrcnn")
    found = source.tracked_scene(config)
    return compare(source.truth(), found, RADIUS_M, IGNORED)


def _quantiles(values: np.ndarray) -> str:
    return " ".join(f"{q:7.3f}" for q in (np.quantile(values, (0.5, 0.95)) if len(values) else (np.nan, np.nan)))


def row(name: str, s: TrackingScore) -> str:
    """One line of the table of errors."""
    nees = np.array(s.nees or [np.nan])
    parked = np.array([found for true, found, _ in s.speeds if true < 0.2])
    off = np.array([difference for true, _, difference in s.speeds if true > 2.0])
    rmse = np.sqrt(np.mean(np.square(s.errors_m or [np.nan])))
    return (
        f"{name:14} {s.truths:6} {s.recall:7.3f} {s.precision:7.3f} {s.mota:7.3f} {s.id_switches:5} {s.fragments:5}"
        f" {s.things:6} {np.mean(s.ids_per_thing or [0]):5.2f} {_quantiles(np.array(s.errors_m))} {rmse:6.3f}"
        f" {np.mean(np.minimum(nees, 50)):6.2f} {np.median(nees):5.2f} {_quantiles(parked)} {_quantiles(off)}"
    )


def print_errors(root: Path) -> None:
    """A row for each KITTI sequence, by distance of centres."""
    total = TrackingScore()
    print(HEADER)
    for sequence in sequences(root):
        score = score_sequence(root, sequence)
        print(row(sequence, score), flush=True)
        total.add(score)
    print(row("all", total))
    print("NEES: 3 on average and 2.37 in the median where covariances are honest.")


def print_others(data: Path) -> None:
    """A row for each recording: the tracks of worsened labels and of the simulated detector."""
    print(f"{HEADER}   HOTA   DetA   AssA  sAMOTA  frames/s")
    logs = [(f"av2 {p.name[:8]}", argoverse(p)) for p in sorted((data / "av2").iterdir()) if p.is_dir()]
    for name, (truth, frames, like) in [*logs, ("warehouse", simulated())]:
        world = WorldModel(WorldConfig(memory_s=1e6))
        started = time.perf_counter()
        for frame in frames:
            world.step(frame)
        rate = len(frames) / (time.perf_counter() - started)
        found = world.scene()
        needed = list(scene_comparisons(truth, found, like))
        clear, whole = judge([needed], 0.25)
        print(
            f"{row(name, compare(seen_only(truth), found, RADIUS_M))} {100 * whole.hota:6.2f}"
            f" {100 * whole.detection:6.2f} {100 * whole.associated:6.2f} {100 * clear.samota:7.2f} {rate:9.0f}",
            flush=True,
        )


def seen_only(truth: Scene) -> Scene:
    """The truth without the samples of what could not be seen."""
    tracks = {i: t[t.observed] for i, t in truth.tracks.items() if t.observed.any()}
    return replace(truth, tracks=tracks)


def main() -> None:
    parts = {
        "kitti": lambda: print_kitti(DATA / "kitti_tracking"),
        "errors": lambda: print_errors(DATA / "kitti_tracking"),
        "others": lambda: print_others(DATA),
        "answers": lambda: print_answers(DATA / "kitti_tracking", VALIDATION),
        "speed": lambda: print_speed(DATA / "kitti_tracking", VALIDATION),
        "late": print_late,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="tables; all without")
    chosen = parser.parse_args().parts or list(parts)
    if unknown := set(chosen) - set(parts):
        parser.error(f"no such table: {', '.join(sorted(unknown))}; there are: {', '.join(parts)}")
    for name in chosen:
        print(f"\n{name}")
        parts[name]()


if __name__ == "__main__":
    main()
