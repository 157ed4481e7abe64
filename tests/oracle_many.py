"""Oracles of the kinds of many things, by docs/kinds.md, on raw arrays; see tests/oracle_metric.py."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tests import oracle
from tests.oracle_bodies import Body
from tests.oracle_clear import Clear

#: Seen for less than this share of the window, a thing may or may not be ranked: clear only if it cannot win.
WHOLE = 0.6


def distances(thing: Body, other: Body, start, end):
    """Distances at the stamps of the window that both have, and these stamps."""
    i, j = oracle.common(thing.t, other.t, start, end)
    return np.linalg.norm(thing.p[i] - other.p[j], axis=1), thing.t[i]


def winner(scores, sure, gap, tolerance, sign):
    """A case where one thing that was seen enough leads all others by the gap; the largest sign x score wins."""
    if len(scores) < 2 or not sure:
        return None
    order = sorted(scores, key=lambda name: -sign * scores[name])
    first, second = order[:2]
    lead = sign * (scores[first] - scores[second])
    if first not in sure or lead < gap(scores[first]):
        return None
    return Clear(only=first, value=scores[first], tolerance=tolerance(scores[first]))


def by_distance(kind):
    sign, pick = (-1, np.min) if kind == "nearest" else (1, np.max)

    def rank(scene, things, other: Body, start, end):
        scores, sure = {}, set()
        for thing in things:
            d, t = distances(thing, other, start, end)
            if len(d):
                scores[thing.name] = float(pick(d))
                if len(d) >= 8 and float(np.ptp(t)) >= WHOLE * (end - start):
                    sure.add(thing.name)
        noise = 4 * max(float(b.sigma.max()) for b in (*things, other))
        return winner(scores, sure, lambda d: 0.5 + noise + 0.05 * d, lambda d: noise + 0.02 * d, sign)

    return rank


def by_speed(kind):
    sign = 1 if kind == "fastest" else -1

    def rank(scene, things, other, start, end):
        scores, sure = {}, set()
        for thing in things:
            rows = thing.rows(start, end)
            if len(rows) < 2:
                continue
            p, t = thing.p[rows], thing.t[rows]
            if t[-1] - t[0] < 1.0:
                return None
            far = float(np.linalg.norm(p[-1] - p[0]))
            marks = [*range(0, len(p) - 1, 10), len(p) - 1]
            path = sum(float(np.linalg.norm(p[b] - p[a])) for a, b in itertools.pairwise(marks))
            if path > 1.15 * far + 1.0:
                return None  # what a mean speed is depends on how the path is measured
            scores[thing.name] = path / (t[-1] - t[0])
            if t[-1] - t[0] >= WHOLE * (end - start):
                sure.add(thing.name)
        return winner(scores, sure, lambda v: 0.5 + 0.07 * v, lambda v: 0.3 + 0.07 * v, sign)

    return rank


def by_rate(kind):
    sign = -1 if kind == "fastest_approaching" else 1

    def rank(scene, things, other: Body, start, end):
        scores, sure = {}, set()
        for thing in things:
            d, t = distances(thing, other, start, end)
            if len(d) < 2 or t[-1] - t[0] < 1.0:
                if len(d):
                    return None
                continue
            scores[thing.name] = float(d[-1] - d[0]) / (t[-1] - t[0])
            half = len(d) // 2
            halves = (d[half] - d[0]) / (t[half] - t[0]), (d[-1] - d[half]) / (t[-1] - t[half])
            if abs(halves[1] - halves[0]) > 0.3 * max(abs(h) for h in halves) + 0.5:
                return None  # a mean of two different rates depends on how it is fitted
            if t[-1] - t[0] >= WHOLE * (end - start):
                sure.add(thing.name)
        if not scores:
            return None
        best = max(sign * s for s in scores.values())
        if best < -0.3:
            return Clear(expected="nothing does", declined=True)
        if best < 1.5:
            return None
        return winner(scores, sure, lambda v: 0.8 + 0.1 * abs(v), lambda v: 0.4 + 0.1 * abs(v), sign)

    return rank


RANKINGS = {
    "nearest": by_distance("nearest"),
    "farthest": by_distance("farthest"),
    "fastest": by_speed("fastest"),
    "slowest": by_speed("slowest"),
    "fastest_approaching": by_rate("fastest_approaching"),
    "fastest_receding": by_rate("fastest_receding"),
}


def seen_count(things, start, end):
    seen = [t.name for t in things if len(t.rows(start, end))]
    few = [t.name for t in things if 0 < len(t.rows(start, end)) < 3]
    return None if few or not seen else Clear(value=float(len(seen)), tolerance=0.0)


def relation_count(verdicts):
    """From a verdict (True, False or None: unclear) by name; what is clear must be on its side of the answer."""
    if sum(v is not None for v in verdicts.values()) < 2:
        return None
    yes = {name for name, v in verdicts.items() if v}
    no = {name for name, v in verdicts.items() if v is False}

    def check(answer):
        said = answer.details.get("satisfying")
        if said is None:
            return ["no details.satisfying"]
        said = {s["track"] if isinstance(s, dict) else s for s in said}
        wrong = sorted(yes - said), sorted(said & no)
        return [f"lacks {wrong[0]}, wrongly has {wrong[1]}"] if any(wrong) else []

    exact = None not in verdicts.values()
    return Clear(
        expected=(len(yes), len(no), len(verdicts)),
        value=float(len(yes)) if exact else None,
        tolerance=0.0,
        check=check,
    )


def moving_verdict(scene, thing: Body, start, end):
    rows = thing.rows(start, end)
    if len(rows) < 12:
        return None
    length = 0.0 if math.isnan(thing.length) else thing.length
    state = oracle.moving(thing.p[rows], length, max(1.5 * scene.ego_sigma_m, 0.15))
    return None if state is None else state == "moving"


def closing_verdict(scene, thing: Body, other: Body, start, end):
    d, _ = distances(thing, other, start, end)
    towards = oracle.trend(d, 0.3) if len(d) >= 12 else None
    return None if towards is None else towards == "decreasing"
