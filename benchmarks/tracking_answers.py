"""How often the same question has the same answer of a detector's tracks and of the labels' tracks, by kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from calibration_cases import matches
from reasoning import query

import dsr_core
from dsr_core.reasoning.agreement import states_agreement
from dsr_core.reasoning.answer import Answer
from dsr_core.reasoning.kinds import REGISTRY
from dsr_core.reasoning.vocabulary import VOCABULARY
from dsr_core.scene import Scene
from dsr_core.sources.kitti import KittiTracking

#: Answers are the same when their states agree for this share of the time.
SAME_SHARE = 0.8
#: Numbers are the same within so many of their common sigmas and this fraction; times within SAME_S.
SIGMAS, FRACTION, SAME_S = 3.0, 0.1, 0.3
WINDOW_S = (2.0, 5.0)
LEAST_SAMPLES = 15


def same(found: Answer, true: Answer, ids: dict[str, str]) -> bool:
    """Whether two answers say the same; `ids` maps the truth's ids to the other tracks'."""
    if _is_many(true.kind) and true.kind != "count":
        return [ids.get(s.label, s.label) for s in true.states] == [s.label for s in found.states]
    if true.states or found.states:
        agreement = states_agreement(found, true)
        return agreement is not None and agreement >= SAME_SHARE
    if true.value is None or found.value is None:
        return true.value == found.value
    sigma = np.hypot(found.sigma or 0.0, true.sigma or 0.0)
    least = SAME_S if true.unit == "s" else 0.0
    return abs(found.value - true.value) <= max(SIGMAS * sigma + FRACTION * abs(true.value), least)


def fidelity(
    root: Path, names: Sequence[str], count: int, seed: int = 0, kinds: Iterable[str] = tuple(REGISTRY)
) -> dict[str, Counter]:
    """Counts by kind: same, other, and which of the two declined, of `count` questions a sequence and kind."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for name in names:
        truth = KittiTracking(root, name).truth()
        found = KittiTracking(root, name, "pointrcnn").tracked_scene()
        rng = np.random.default_rng([seed, int(name)])
        for kind in kinds:
            for number in range(count):
                asked = _question(truth, kind, rng, number)
                if asked is None:
                    continue
                ids = matches(found, truth, _wanted(truth, asked), tuple(asked["window"]))
                counts[kind][_outcome(truth, found, asked, ids)] += 1
                if VOCABULARY[kind].many and ids:
                    both = _only(truth, ids), _only(found, ids.values())
                    counts[f"{kind}, tracked"][_outcome(*both, asked, ids)] += 1
    return counts


def _question(truth: Scene, kind: str, rng, number: int) -> dict | None:
    """A typed question about things that are labelled in its window."""
    length = rng.uniform(*WINDOW_S)
    start = rng.uniform(0.0, max(truth.end_s - length, 0.1))
    window = (float(start), float(start + length))
    there = [i for i, t in truth.tracks.items() if np.count_nonzero(t.between(*window).observed) >= LEAST_SAMPLES]
    if len(there) < 2:
        return None
    return query(kind, truth if VOCABULARY[kind].many else _only(truth, there), window, rng, number)


def _only(scene: Scene, ids: Iterable[str]) -> Scene:
    return replace(scene, tracks={i: scene.tracks[i] for i in ids})


def _wanted(truth: Scene, asked: dict) -> set[str]:
    """Ids of the things that a question names; all where it is about anything."""
    if asked["subject"] == "anything":
        return set(truth.tracks)
    return {asked[k] for k in ("subject", "object") if asked.get(k) in truth.tracks}


def _outcome(truth: Scene, found: Scene, asked: dict, ids: dict[str, str]) -> str:
    if asked["subject"] != "anything" and _wanted(truth, asked) - set(ids):
        return "not tracked"
    theirs = asked | {k: ids[asked[k]] for k in ("subject", "object") if asked.get(k) in ids}
    true, ours = dsr_core.ask(truth, asked), dsr_core.ask(found, theirs)
    if true.declined or ours.declined:
        return "both decline" if true.declined and ours.declined else "truth only" if ours.declined else "tracks only"
    return "same" if same(ours, true, ids) else "other"


def print_answers(root: Path, names: Sequence[str], count: int = 40) -> None:
    """A row for each kind."""
    heads = ("same", "other", "truth only", "tracks only", "both decline", "not tracked")
    print(f"{'kind':28s} {'same %':>7s}" + "".join(f"{h:>13s}" for h in heads))
    counts = fidelity(root, names, count)
    counts["of one or two things"] = sum((n for k, n in counts.items() if not _is_many(k)), Counter())
    for kind, n in counts.items():
        share = 100 * n["same"] / max(n["same"] + n["other"], 1)
        print(f"{kind:28s} {share:7.1f}" + "".join(f"{n[h]:13d}" for h in heads), flush=True)
    print(
        "same %: of those answered by both; truth only: the detector's tracks decline; not tracked: asked of neither;\n"
        "kinds of many things: of all that is labelled and found, and (tracked) of what is labelled and tracked."
    )


def _is_many(name: str) -> bool:
    kind = name.split(",")[0]
    return kind in VOCABULARY and VOCABULARY[kind].many
