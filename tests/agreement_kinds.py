"""Asks the library what the oracles know of every newer kind of question, over a whole scene; counts agreement."""

from __future__ import annotations

import numpy as np

import dsr_core
from dsr_core.reasoning.kinds import REGISTRY
from tests import oracle_events, oracle_many, oracle_metric, oracle_presence
from tests.oracle_bodies import bodies, together

ONE = {
    "displacement": oracle_metric.displacement,
    "path_length": oracle_metric.path_length,
    "turning": oracle_events.turning,
}
PAIR = {
    "nearest_distance": oracle_metric.nearest_distance,
    "distance_change": oracle_metric.distance_change,
    "facing": oracle_events.facing,
    "closest_approach": oracle_events.closest_approach,
    "closest_distance": oracle_events.closest_distance,
    "following": oracle_events.following,
    "overtaking": oracle_events.overtaking,
}
SEEN = {
    "moving_direction": oracle_metric.moving_direction,
    "lateral_change": oracle_metric.lateral_change,
    "depth_change": oracle_metric.depth_change,
    "position": oracle_presence.position,
    "crossing": oracle_events.crossing,
}
#: Classes that other classes belong to in English (a box truck is a truck and a large vehicle), and no class.
WIDER = ("truck", "large_vehicle", "vehicle", "person", "dontcare")


class KindTally:
    """Clear cases, agreements and differences by kind."""

    def __init__(self):
        self.asked, self.right, self.differences = {}, {}, []

    def ask(self, scene, name, query, clear):
        if clear is None or query["kind"] not in REGISTRY:
            return
        answer = dsr_core.ask(scene, query)
        faults = clear.faults(answer)
        self.asked[name] = self.asked.get(name, 0) + 1
        self.right[name] = self.right.get(name, 0) + (not faults)
        if faults:
            self.differences.append((name, query, clear.expected, faults))

    def total(self, kind) -> int:
        return sum(n for name, n in self.asked.items() if name.split(":")[0] == kind)

    def rate(self, kind) -> float:
        right = sum(n for name, n in self.right.items() if name.split(":")[0] == kind)
        return right / max(self.total(kind), 1)

    def kinds(self):
        return list(dict.fromkeys(name.split(":")[0] for name in sorted(self.asked)))

    def table(self) -> str:
        lines = [f"{'kind: what was expected':40s} {'clear':>7s} {'differ':>7s} {'agreement':>9s}"]
        for name in sorted(self.asked):
            n, right = self.asked[name], self.right[name]
            lines.append(f"{name:40s} {n:7d} {n - right:7d} {100 * right / n:8.2f}%")
        n, right = sum(self.asked.values()), sum(self.right.values())
        lines.append(f"{'all':40s} {n:7d} {n - right:7d} {100 * right / max(n, 1):8.2f}%")
        return "\n".join(lines)


#: Two names of one class.
SAME = {"pedestrian": ("pedestrian", "person")}
NEAR_M = 50.0


def name_of(kind, clear):
    """ "kind: label" for the table."""
    if clear is None:
        return kind
    label = clear.only or clear.has
    return f"{kind}: {label}" if label and kind not in oracle_many.RANKINGS else kind


def check_kinds(scene, tally, rng, length_s, stride_s, things_per_window=5, pairs_per_window=6, name=""):
    """Every kind in windows over the whole scene: ego and tracks as subject, object and viewer."""
    stamps, known = scene.stamps_s, bodies(scene)
    tracks = [known[i] for i in scene.tracks if np.isfinite(scene.tracks[i].orientations_xyzw).all()]
    for first in np.arange(0.0, stamps[-1] - length_s, stride_s):
        a, b = (int(np.abs(stamps - s).argmin()) for s in (first, first + length_s))
        start, end = float(stamps[a]), float(stamps[b])
        there = [t for t in tracks if len(t.rows(start, end)) >= 12 and together(start, end, t)]
        some = [there[i] for i in rng.permutation(len(there))[:things_per_window]]
        check_alone(scene, tally, known, some, start, end)
        pairs = [(t, known[who]) for t in some for who in ("robot", "camera")[: 1 + int(rng.random() < 0.3)]]
        pairs += [(known["robot"], t) for t in some[:2]] + [(known["camera"], t) for t in some[:1]]
        every = [(p, q) for p in there for q in there if p is not q]
        chosen = rng.permutation(len(every))
        pairs += [every[i] for i in chosen[:pairs_per_window]]
        for subject, other in pairs:
            check_pair(scene, tally, subject, other, start, end)
            check_view(scene, tally, rng, subject, other, start, end)
        # Rare events are looked for among all pairs; only what happens is asked.
        for i in chosen[pairs_per_window:]:
            check_rare(scene, tally, *every[i], start, end)
        for thing in there:
            check_rare(scene, tally, known["robot"], thing, start, end)
            check_rare(scene, tally, thing, known["robot"], start, end)
        check_many(scene, tally, rng, known, tracks, start, end)
    check_presence(scene, tally, rng, tracks)


def check_alone(scene, tally, known, things, start, end):
    for subject in (*things, known["robot"], known["camera"]):
        cut = together(start, end, subject)
        for kind, oracle in ONE.items():
            clear = cut and oracle(scene, cut[0])
            tally.ask(
                scene, name_of(kind, clear), {"kind": kind, "subject": subject.name, "window": [start, end]}, clear
            )
        clear = oracle_metric.moving_direction(scene, cut[0], cut[0]) if cut else None
        query = {
            "kind": "moving_direction",
            "subject": subject.name,
            "viewpoint": {"agent": subject.name},
            "window": [start, end],
        }
        tally.ask(scene, "moving_direction: own view", query, clear)


def check_pair(scene, tally, subject, other, start, end):
    cut = together(start, end, subject, other)
    if not cut:
        return
    for kind, oracle in PAIR.items():
        clear = oracle(scene, *cut)
        query = {"kind": kind, "subject": subject.name, "object": other.name, "window": [start, end]}
        tally.ask(scene, name_of(kind, clear), query, clear)


def check_view(scene, tally, rng, subject, viewer, start, end):
    cut = together(start, end, subject, viewer)
    if not cut:
        return
    for kind, oracle in SEEN.items():
        query = {
            "kind": kind,
            "subject": subject.name,
            "viewpoint": {"agent": viewer.name, "mode": "relative"},
            "window": [start, end],
        }
        clear = oracle(scene, *cut)
        tally.ask(scene, name_of(kind, clear), query, clear)
        if kind in ("moving_direction", "lateral_change", "depth_change"):
            row = int(rng.integers(len(cut[0].t)))
            clear = oracle(scene, *cut, row=row)
            fixed = {"agent": viewer.name, "mode": "absolute", "at": float(cut[1].t[row])}
            tally.ask(scene, name_of(kind, clear), {**query, "viewpoint": fixed}, clear)


def check_rare(scene, tally, subject, other, start, end):
    middle = (start + end) / 2
    p, q = (thing.p[int(np.abs(thing.t - middle).argmin())] for thing in (subject, other))
    if np.abs(p - q).max() > NEAR_M:
        return
    cut = together(start, end, subject, other)
    if not cut:
        return
    clear = oracle_events.overtaking(scene, *cut)
    if clear is not None and clear.only != "none":
        query = {"kind": "overtaking", "subject": subject.name, "object": other.name, "window": [start, end]}
        tally.ask(scene, name_of("overtaking", clear), query, clear)
    clear = oracle_events.crossing(scene, *cut)
    if clear is not None and clear.only != "none":
        query = {"kind": "crossing", "subject": subject.name, "viewpoint": other.name, "window": [start, end]}
        tally.ask(scene, name_of("crossing", clear), query, clear)


def check_many(scene, tally, rng, known, tracks, start, end):
    seen = [t for t in tracks if len(t.rows(start, end))]
    classes = sorted({t.label for t in seen})
    sets = [("anything", seen)] if len(seen) == len([t for t in scene.tracks.values() if _seen(t, start, end)]) else []
    sets += [
        ({"label": c, "select": "all"}, [t for t in seen if t.label in SAME.get(c, (c,))])
        for c in classes
        if c not in WIDER
    ]
    window = [start, end]
    for subject, things in sets:
        references = [known["robot"]]
        whole = [t for t in things if together(start, end, t)]
        if whole:
            references.append(whole[int(rng.integers(len(whole)))])
        for other in references:
            ranked = [t for t in things if t is not other]
            for kind, oracle in oracle_many.RANKINGS.items():
                if kind in ("fastest", "slowest") and other.name != "robot":
                    continue
                query = {"kind": kind, "subject": subject, "object": other.name, "window": window}
                clear = oracle(scene, ranked, other, start, end) if ranked else None
                tally.ask(scene, kind if clear is None or not clear.declined else f"{kind}: nothing", query, clear)
        query = {"kind": "count", "subject": subject, "window": window}
        tally.ask(scene, "count: seen", query, oracle_many.seen_count(things, start, end))
        verdicts = {t.name: oracle_many.moving_verdict(scene, t, start, end) for t in things}
        for asked in ("moving", "still"):
            flip = {n: v if v is None or asked == "moving" else not v for n, v in verdicts.items()}
            count = {**query, "of": "motion", "asked": asked}
            tally.ask(scene, f"count: {asked}", count, oracle_many.relation_count(flip))
        verdicts = {t.name: oracle_many.closing_verdict(scene, t, known["robot"], start, end) for t in things}
        count = {**query, "of": "distance", "asked": "decreasing", "object": "robot"}
        tally.ask(scene, "count: closing", count, oracle_many.relation_count(verdicts))


def _seen(track, start, end):
    return bool(np.any((track.stamps_s >= start - 1e-6) & (track.stamps_s <= end + 1e-6)))


def check_presence(scene, tally, rng, tracks):
    """Windows that begin while a thing is seen and may end after it."""
    for subject in tracks:
        if len(subject.t) < 15:
            continue
        for _ in range(2):
            start = float(np.round(subject.t[int(rng.integers(len(subject.t)))], 3))
            end = min(start + float(rng.choice([2.0, 4.0, 6.0])), float(scene.stamps_s[-1]))
            if end - start < 1.5:
                continue
            query = {"subject": subject.name, "window": [start, end]}
            clear = oracle_presence.visibility(scene, subject, start, end)
            label = "visibility" if clear is None else "visibility: " + ", ".join(clear.expected)
            tally.ask(scene, label, {**query, "kind": "visibility"}, clear)
            clear = oracle_presence.last_seen(scene, subject, start, end)
            tally.ask(scene, "last_seen", {**query, "kind": "last_seen"}, clear)
