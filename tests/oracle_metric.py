"""Oracles of the kinds that compare a window's start with its end, by docs/kinds.md, on raw arrays.

Each takes bodies cut to common samples (tests/oracle_bodies.py) and gives a `Clear` case, or None where the margin is
not clear. The viewer is given whole or held fixed at a row.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from tests import oracle
from tests.oracle_bodies import Body, beyond, box_distance, in_frame, world_sigma
from tests.oracle_clear import Clear, sides_of


def bearing_close(expected, tolerance):
    def check(answer):
        if answer.value is None:
            return ["no bearing"]
        off = abs((answer.value - expected + math.pi) % (2 * math.pi) - math.pi)
        return [] if off <= tolerance else [f"bearing {answer.value:.3f} not {expected:.3f} +- {tolerance:.3f}"]

    return check


def displacement(scene, subject: Body):
    moved = float(np.linalg.norm(subject.p[-1] - subject.p[0]))
    sigma = world_sigma(scene, subject)
    verdict = beyond(moved, sigma, 0.0 if math.isnan(subject.length) else subject.length)
    if verdict is None:
        return None
    return Clear(only="moved" if verdict else "stayed", value=moved, tolerance=3 * sigma + 0.02 * moved)


def path_length(scene, subject: Body):
    state = oracle.moving(subject.p, 0.0 if math.isnan(subject.length) else subject.length, 1.5 * scene.ego_sigma_m)
    if state is None:
        return None

    def chords(step):
        rows = [*range(0, len(subject.p) - 1, step), len(subject.p) - 1]
        return sum(float(np.linalg.norm(subject.p[b] - subject.p[a])) for a, b in itertools.pairwise(rows))

    coarse, fine = chords(10), chords(5)
    if state == "moving" and fine - coarse > 0.05 * fine:
        return None
    if state == "still":
        return Clear(only="still", value=0.0, tolerance=3 * world_sigma(scene, subject))
    sigma = world_sigma(scene, subject)
    return Clear(has="moving", value=(coarse + fine) / 2, tolerance=3 * sigma + 0.05 * fine)


def moving_direction(scene, subject: Body, viewer: Body, row=0):
    step = subject.p[-1] - subject.p[0]
    moved = float(np.linalg.norm(step))
    sigma = world_sigma(scene, subject)
    verdict = beyond(moved, sigma, 0.0 if math.isnan(subject.length) else subject.length)
    if verdict is None:
        return None
    if not verdict:
        return Clear(only="still")
    seen = np.array([float(viewer.axes[row][:, i] @ step) for i in range(3)])
    noise = 2 * sigma / moved + 2 * viewer.heading_sigma
    named = sides_of(seen, noise)
    level = math.hypot(seen[0], seen[1]) / moved
    check = bearing_close(math.atan2(seen[1], seen[0]), 2 * noise / level + 0.05) if level > 0.5 else None
    return Clear(sides=named, check=check)


def nearest_distance(scene, subject: Body, other: Body):
    n = box_distance(other.p[0], subject, -1)
    noise = world_sigma(scene, subject) + float(other.sigma[0])
    if math.isfinite(subject.length):
        noise += 0.5 * subject.length * subject.heading_sigma
    return Clear(value=n, tolerance=3 * noise + 0.02 * n)


def distance_change(scene, subject: Body, other: Body):
    start, end = (box_distance(other.p[i], subject, i) for i in (0, -1))
    sigma = math.sqrt(sum(float(b.sigma[i]) ** 2 for b in (subject, other) for i in (0, -1)))
    verdict = beyond(end - start, sigma, max(start, end), clear=2.0)
    if verdict is None or min(start, end) < 0.5:
        return None
    label = ("increasing" if end > start else "decreasing") if verdict else "constant"
    return Clear(only=label, value=end - start, tolerance=3 * sigma + 0.02 * max(start, end))


def coordinate_change(axis: int, labels):
    """The oracle of `lateral_change` (axis 1) and `depth_change` (axis 0); labels are (positive, negative)."""

    def change(scene, subject: Body, viewer: Body, row=None):
        seen = in_frame(viewer, subject.p, row)
        ranges = np.linalg.norm(seen[[0, -1]], axis=1)
        ends = [float(subject.sigma[i]) ** 2 for i in (0, -1)]
        if row is None:
            ends += [float(viewer.sigma[i]) ** 2 for i in (0, -1)]
            ends += [(float(r) * viewer.heading_sigma) ** 2 for r in ranges]
        else:  # seen from a fixed place, the change is one in the world
            across = float(np.linalg.norm(np.delete(seen[-1] - seen[0], axis)))
            ends += [2 * scene.ego_sigma_m**2, (across * viewer.heading_sigma) ** 2]
        sigma = math.sqrt(sum(ends))
        moved = float(seen[-1, axis] - seen[0, axis])
        verdict = beyond(moved, sigma, float(ranges.mean()), clear=2.0)
        if verdict is None:
            return None
        label = (labels[0] if moved > 0 else labels[1]) if verdict else "constant"
        return Clear(only=label, value=moved, tolerance=3 * sigma + 0.02 * float(ranges.mean()))

    return change


lateral_change = coordinate_change(1, ("left", "right"))
depth_change = coordinate_change(0, ("farther", "closer"))
