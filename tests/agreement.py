"""Asks the library what the oracle knows of a scene and counts agreement; used by the KITTI and Argoverse tests."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

import dsr_core
from tests import oracle


class Tally:
    """Agreement by kind of question: right, wrong, declined, and the first few that differ."""

    def __init__(self):
        self.right, self.wrong, self.declined = defaultdict(int), defaultdict(int), defaultdict(int)
        self.differences = []

    def add(self, name, expected, answer, agrees, context):
        if answer.declined is not None:
            self.declined[name] += 1
        elif agrees:
            self.right[name] += 1
        else:
            self.wrong[name] += 1
        if (answer.declined is not None or not agrees) and len(self.differences) < 200:
            got = answer.declined.code if answer.declined else [s.label for s in answer.states]
            self.differences.append((name, context, expected, got))

    def rate(self, name):
        n = self.right[name] + self.wrong[name] + self.declined[name]
        return self.right[name] / n if n else 1.0

    def names(self):
        return sorted({*self.right, *self.wrong, *self.declined})

    def table(self) -> str:
        lines = [f"{'question':34s} {'clear':>7s} {'right':>7s} {'wrong':>6s} {'declined':>8s} {'agreement':>9s}"]
        for n in self.names():
            r, w, d = self.right[n], self.wrong[n], self.declined[n]
            lines.append(f"{n:34s} {r + w + d:7d} {r:7d} {w:6d} {d:8d} {100 * self.rate(n):8.2f}%")
        r, w, d = (sum(x.values()) for x in (self.right, self.wrong, self.declined))
        lines.append(f"{'all':34s} {r + w + d:7d} {r:7d} {w:6d} {d:8d} {100 * r / max(r + w + d, 1):8.2f}%")
        return "\n".join(lines)


def one_way(expected):
    opposite = {
        "increasing": "decreasing",
        "decreasing": "increasing",
        "first_faster": "second_faster",
        "second_faster": "first_faster",
    }
    return lambda labels: expected in labels and opposite[expected] not in labels


def ego_positions(scene, stamps_s):
    rows = np.array([int(np.abs(scene.stamps_s - s).argmin()) for s in stamps_s])
    return scene.T_world_base[rows, :3, 3], scene.T_world_base[rows, :3, :3]


def check_scene(scene, tally, rng, length_s=2.0, stride_s=2.0, pairs_per_window=12):
    """Every track against the ego, and random pairs of tracks, in windows over the whole scene."""
    ask = dsr_core.ask
    for start in np.arange(0.0, scene.end_s - length_s, stride_s):
        window = (float(start), float(start + length_s))
        there = [t for t in scene.tracks.values() if len(oracle.rows_between(t.stamps_s, *window)) >= 12]
        for track in there:
            rows = oracle.rows_between(track.stamps_s, *window)
            p, t = track.positions_world_m[rows], track.stamps_s[rows]
            ego, R = ego_positions(scene, t)
            context = (track.id, window)
            state = oracle.moving(p, float(track.size_lwh_m[0]))
            if state:
                a = ask(scene, {"kind": "motion", "subject": track.id, "window": list(window)})
                tally.add(f"{state} in the world", state, a, {s.label for s in a.states} == {state}, context)
            towards = oracle.trend(np.linalg.norm(p - ego, axis=1))
            if towards:
                a = ask(scene, {"kind": "distance", "subject": track.id, "object": "robot", "window": list(window)})
                tally.add(
                    "closing / receding to the ego", towards, a, one_way(towards)({s.label for s in a.states}), context
                )
                ego_moves = oracle.moving(ego, 4.0, 0.1)
                if state == "still" and ego_moves == "moving" and towards == "decreasing":
                    agrees = (
                        "decreasing" in {s.label for s in a.states}
                        and a.motion["object"] == "still"
                        and a.motion["ego"] == "moving"
                    )
                    tally.add("parked, and getting closer", "still+decreasing", a, agrees, context)
            quicker = oracle.faster(p, ego, t)
            if quicker:
                a = ask(
                    scene,
                    {
                        "kind": "speed_comparison",
                        "subject": track.id,
                        "object": "robot",
                        "viewpoint": {"agent": "map"},
                        "window": list(window),
                    },
                )
                tally.add("faster: track or ego", quicker, a, one_way(quicker)({s.label for s in a.states}), context)
            check_sides(
                tally, ask, scene, "direction from the ego", track, "robot", p, ego, oracle.yaw_of_matrix(R), window
            )
        if len(there) < 2:
            continue
        for _ in range(pairs_per_window):
            i, j = rng.choice(len(there), 2, replace=False)
            check_pair(tally, ask, scene, there[i], there[j], window)


def check_pair(tally, ask, scene, first, second, window):
    i, j = oracle.common(first.stamps_s, second.stamps_s, *window)
    if len(i) < 12:
        return
    p, q, t = first.positions_world_m[i], second.positions_world_m[j], first.stamps_s[i]
    context = (first.id, second.id, window)
    towards = oracle.trend(np.linalg.norm(p - q, axis=1))
    if towards:
        a = ask(scene, {"kind": "distance", "subject": first.id, "object": second.id, "window": list(window)})
        tally.add("closing / receding, two tracks", towards, a, one_way(towards)({s.label for s in a.states}), context)
    quicker = oracle.faster(p, q, t)
    if quicker:
        a = ask(
            scene,
            {
                "kind": "speed_comparison",
                "subject": first.id,
                "object": second.id,
                "viewpoint": {"agent": "map"},
                "window": list(window),
            },
        )
        tally.add("faster of two tracks", quicker, a, one_way(quicker)({s.label for s in a.states}), context)
    if np.isfinite(second.orientations_xyzw[j]).all():
        yaw = oracle.yaw_of(second.orientations_xyzw[j])
        check_sides(tally, ask, scene, "direction from another's heading", first, second.id, p, q, yaw, window)


def check_sides(tally, ask, scene, name, subject, viewer, p, q, yaw, window):
    expected = oracle.sides(p, q, yaw)
    if all(side is None for side in expected):
        return
    a = ask(
        scene,
        {
            "kind": "direction",
            "subject": subject.id,
            "object": viewer,
            "viewpoint": {"agent": viewer, "mode": "relative"},
            "window": list(window),
        },
    )
    agrees = True
    for side, names in zip(expected, ({"front", "behind"}, {"left", "right"}), strict=True):
        if side is not None:
            for state in a.states:
                agrees &= (set(state.label.split("|")) & names) == ({side} if side else set())
    tally.add(name, expected, a, agrees, (subject.id, viewer, window))
