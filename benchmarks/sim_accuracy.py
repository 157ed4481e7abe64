"""3D position error and question accuracy on the simulated warehouse, against its truth.

python benchmarks/sim_accuracy.py                      render, track, compare (about a minute)
python benchmarks/sim_accuracy.py --fast               3D detections without images (seconds)
python benchmarks/sim_accuracy.py --bag out/demo/recording --seed 0     through a bag made by `dsr demo`
python benchmarks/sim_accuracy.py --scene FILE --seed 0                 what the memory node saved
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import numpy as np

from dsr_core import Query, Scene, ask
from dsr_core.reasoning.agreement import states_agreement
from dsr_core.sources import simulator_script as script
from dsr_core.sources.simulator import Simulator

WINDOW_S, STRIDE_S = 4.0, 3.0
#: An answer is right when its states agree with the truth's for this share of the time.
RIGHT = 0.9
#: A question is clear when the truth holds one state all the time, farther from its threshold than this.
CLEAR_MARGIN = {"m": 0.3, "m/s": 0.25, "rad": 0.15}
MIN_SAMPLES = 20
#: A track is of the thing that it is nearest to on average, within this.
MATCH_M = 1.5


def positions_at(track, stamps_s: np.ndarray) -> np.ndarray:
    """(T, 3) positions at stamps (T,), linear in between."""
    return np.stack([np.interp(stamps_s, track.stamps_s, track.positions_world_m[:, k]) for k in range(3)], axis=1)


def match_tracks(scene: Scene, truth: Scene) -> dict[str, list[str]]:
    """Ids of the tracks of each true thing, the longest first; `truth` must be in the scene's world frame."""
    out = {id: [] for id in truth.tracks}
    for track in sorted(scene.tracks.values(), key=len, reverse=True):
        if len(track) < MIN_SAMPLES:
            continue
        gaps = {
            id: float(np.median(np.linalg.norm(positions_at(true, track.stamps_s) - track.positions_world_m, axis=1)))
            for id, true in truth.tracks.items()
        }
        nearest = min(gaps, key=gaps.get)
        if gaps[nearest] <= MATCH_M:
            out[nearest].append(track.id)
    return out


def position_errors(scene: Scene, truth: Scene, matched: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Distances in metres between the smoothed tracks and the truth at observed samples, by true id."""
    errors = {}
    for id, ids in matched.items():
        parts = [np.zeros(0)]
        for track in (scene.tracks[i] for i in ids):
            rows = np.flatnonzero(track.observed)
            true = positions_at(truth.tracks[id], track.stamps_s[rows])
            parts.append(np.linalg.norm(true - track.smoothed_positions(rows), axis=1))
        errors[id] = np.concatenate(parts)
    return errors


@dataclass
class Score:
    """Agreement of one kind of question."""

    shares: list[float] = field(default_factory=list)
    clear: int = 0
    clear_right: int = 0
    declined: int = 0


def cases(things: dict[str, str]):
    """(kind, subject, object, viewer) of every question, by labels."""
    labels = list(things)
    for label in labels:
        yield "motion", label, None, "robot"
        yield "distance", label, "robot", "robot"
        yield "direction", label, "robot", "robot"
        yield "orientation", label, None, "robot"
        yield "speed", label, None, "map"
        yield "direction_prediction", label, None, "map"
    for a, b in permutations(labels, 2):
        yield "direction", a, b, b
        if a < b:
            yield "distance", a, b, "robot"
            yield "speed_comparison", a, b, "map"


def question_accuracy(scene: Scene, truth_map: Scene, matched: dict[str, list[str]]) -> dict[str, Score]:
    """Asks the same questions of the estimate and of the truth, by kind."""
    scores: dict[str, Score] = defaultdict(Score)
    names = {truth_map.tracks[id].label: (ids[0], id) for id, ids in matched.items() if ids}
    for kind, subject, other, viewer in cases(names):
        for start in np.arange(0.0, truth_map.end_s - WINDOW_S + 1e-9, STRIDE_S):
            asked = [
                Query(
                    kind,
                    names[subject][side],
                    names[other][side] if other in names else other,
                    {"agent": names[viewer][side] if viewer in names else viewer},
                    (float(start), float(start + WINDOW_S)),
                )
                for side in (0, 1)
            ]
            expected = ask(truth_map, asked[1])
            if expected.declined is not None:
                continue
            answer, score = ask(scene, asked[0]), scores[kind]
            agreement = states_agreement(answer, expected) or 0.0
            score.shares.append(agreement)
            score.declined += answer.declined is not None
            margin = CLEAR_MARGIN.get(expected.unit, 0.0)
            if len(expected.states) == 1 and (expected.margin is None or expected.margin > margin):
                score.clear += 1
                score.clear_right += agreement >= RIGHT
    return scores


def evaluate(scene: Scene, source: Simulator) -> dict:
    """Everything about one estimate: errors, accuracy and id stability, as JSON-ready values."""
    matched = match_tracks(scene, source.truth("odom"))
    errors = position_errors(scene, source.truth("odom"), matched)
    scores = question_accuracy(scene, source.truth("map"), matched)
    labels = {a.id: a.label for a in script.ACTORS}
    everything = np.concatenate(list(errors.values()))

    def figures(e: np.ndarray) -> dict:
        if not len(e):
            return {"median_m": None, "p95_m": None, "samples": 0}
        return {"median_m": float(np.median(e)), "p95_m": float(np.quantile(e, 0.95)), "samples": len(e)}

    return {
        "position": {labels[i]: figures(e) for i, e in errors.items()} | {"all": figures(everything)},
        "tracks": {labels[i]: ids for i, ids in matched.items()},
        "unmatched_tracks": len(scene.tracks) - sum(map(len, matched.values())),
        "hidden_thing": labels[script.HIDDEN_ID],
        "hidden_kept_id": len(matched[script.HIDDEN_ID]) == 1,
        "questions": {
            kind: {
                "asked": len(s.shares),
                "time_agreement": float(np.mean(s.shares)),
                "clear": s.clear,
                "clear_right": s.clear_right,
                "declined": s.declined,
            }
            for kind, s in sorted(scores.items())
        },
    }


def tables(result: dict) -> str:
    """The result as text."""
    lines = [f"{'thing':14s} {'median m':>9s} {'p95 m':>7s} {'samples':>8s}  tracks"]
    for label, f in result["position"].items():
        ids = ", ".join(result["tracks"].get(label, []))
        numbers = "        -       -" if f["median_m"] is None else f"{f['median_m']:9.3f} {f['p95_m']:7.3f}"
        lines.append(f"{label:14s} {numbers} {f['samples']:8d}  {ids}")
    kept = "kept its id" if result["hidden_kept_id"] else "did NOT keep its id"
    lines.append(f"The hidden {result['hidden_thing']} {kept}; tracks of nothing: {result['unmatched_tracks']}.\n")
    lines.append(
        f"{'question':22s} {'asked':>6s} {'time':>7s} {'clear':>6s} {'right':>6s} {'accuracy':>9s} {'declined':>9s}"
    )
    total = defaultdict(float)
    for kind, q in result["questions"].items():
        rate = 100 * q["clear_right"] / q["clear"] if q["clear"] else float("nan")
        lines.append(
            f"{kind:22s} {q['asked']:6d} {100 * q['time_agreement']:6.1f}% {q['clear']:6d} {q['clear_right']:6d}"
            f" {rate:8.1f}% {q['declined']:9d}"
        )
        for name in ("asked", "clear", "clear_right", "declined"):
            total[name] += q[name]
        total["time"] += q["time_agreement"] * q["asked"]
    lines.append(
        f"{'all':22s} {total['asked']:6.0f} {100 * total['time'] / max(total['asked'], 1):6.1f}% {total['clear']:6.0f}"
        f" {total['clear_right']:6.0f} {100 * total['clear_right'] / max(total['clear'], 1):8.1f}%"
        f" {total['declined']:9.0f}"
    )
    lines.append(
        "time: share of the judged time in which estimate and truth agree; clear: one true state with a margin."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--duration", type=float, default=script.SCRIPT_S)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--fast", action="store_true", help="3D detections without images")
    parser.add_argument("--bag", type=Path, help="a bag of this simulator with the same seed, duration and rate")
    parser.add_argument("--scene", type=Path, help="a scene that was made from such a bag")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    source = Simulator(args.duration, args.rate, args.seed, render=not args.fast)
    started = time.monotonic()
    if args.scene is not None:
        scene = Scene.load(args.scene)
    elif args.bag is not None:
        from dsr_core.sources import open_source

        scene = open_source(args.bag).tracked_scene()
    else:
        scene = source.tracked_scene()
    made = time.monotonic() - started
    result = evaluate(scene, source)
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"{len(source)} frames in {made:.1f} s, questions in {time.monotonic() - started - made:.1f} s\n")
        print(tables(result))


if __name__ == "__main__":
    main()
